from pathlib import Path

from practicum.checks.ways.traced import Step, parting


def steps(tmp_path: Path, *held: tuple[int, str, dict[str, int]]) -> list[Step]:
    return [Step(f"{tmp_path / 'desk.py'}:{line}", stage, 1, values, ()) for line, stage, values in held]


def test_equal_plays_never_part(tmp_path: Path) -> None:
    play = steps(tmp_path, (3, "more", {"a": 1}), (4, "more", {"a": 1, "b": 2}))
    assert parting(play, list(play), "more") == ""


def test_the_first_line_after_which_something_differs_is_named(tmp_path: Path) -> None:
    first = steps(tmp_path, (3, "more", {"a": 1}), (4, "more", {"a": 1, "b": 2}), (5, "more", {"a": 1, "b": 2}))
    second = steps(tmp_path, (3, "more", {"a": 1}), (4, "more", {"a": 1, "b": 7}), (5, "more", {"a": 1, "b": 7}))
    assert parting(first, second, "more").endswith("desk.py:4")


def test_a_line_in_the_method_that_gave_the_difference_goes_before_earlier_ones(tmp_path: Path) -> None:
    first = steps(tmp_path, (2, "reset", {"began": 1}), (6, "more", {"the result": 2}))
    second = steps(tmp_path, (2, "reset", {"began": 5}), (6, "more", {"the result": 9}))
    assert parting(first, second, "more").endswith(":6")
    assert parting(first, second, "look").endswith(":2")


def test_where_the_ways_part_the_line_before_decided(tmp_path: Path) -> None:
    first = steps(tmp_path, (3, "more", {}), (4, "more", {}))
    second = steps(tmp_path, (3, "more", {}), (9, "more", {}))
    assert parting(first, second, "more").endswith(":3")


def test_what_a_line_takes_from_the_instance_is_traced_to_where_it_was_set(tmp_path: Path) -> None:
    (tmp_path / "desk.py").write_text("\nself.number = id(self)\n\n\n\nreturn self.number\n", encoding="utf-8")
    first = steps(tmp_path, (2, "reset", {"self.number": 1}), (6, "more", {"self.number": 1, "the result": 1}))
    second = steps(tmp_path, (2, "reset", {"self.number": 5}), (6, "more", {"self.number": 5, "the result": 5}))
    assert parting(first, second, "more").endswith(":2")
