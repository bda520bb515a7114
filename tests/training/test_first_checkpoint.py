"""The checkpoint that reinforcement started from: what ``kl_coef`` measures from must outlive the others."""

from pathlib import Path

import pytest

from practicum.errors import RunError
from practicum.runs.checkpoint import first_checkpoint, latest_checkpoint, save_checkpoint


class Weights:
    """A learner whose state is one number."""

    def __init__(self) -> None:
        self.value = 0

    def save(self, folder: Path) -> None:
        (folder / "weights").write_text(str(self.value))


def run_of(folder: Path, steps: int, *, keep_first: bool) -> None:
    learner = Weights()
    for step in range(steps + 1):
        learner.value = step
        save_checkpoint(folder, step, learner, keep_first=keep_first)  # type: ignore[arg-type]


def kept(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (folder / "checkpoints").iterdir())


def test_it_is_kept_beside_the_newest_only_where_it_is_needed(tmp_path: Path) -> None:
    run_of(tmp_path / "with", 5, keep_first=True)
    run_of(tmp_path / "without", 5, keep_first=False)
    assert kept(tmp_path / "with") == [0, 4, 5]
    assert kept(tmp_path / "without") == [4, 5]
    assert (first_checkpoint(tmp_path / "with").folder / "weights").read_text() == "0"
    newest = latest_checkpoint(tmp_path / "with", print)
    assert newest is not None
    assert newest.step == 5


def test_where_all_are_damaged_the_run_does_not_begin_again_from_nothing(tmp_path: Path) -> None:
    run_of(tmp_path, 3, keep_first=False)
    said: list[str] = []
    (tmp_path / "checkpoints/step-000003/weights").write_text("7")
    assert getattr(latest_checkpoint(tmp_path, said.append), "step", None) == 2
    assert said == [
        "checkpoint step-000003 is damaged (weights does not match its digest): going back to the one before it"
    ]
    (tmp_path / "checkpoints/step-000002/state.json").unlink()

    with pytest.raises(RunError) as caught:
        latest_checkpoint(tmp_path, said.append)

    assert "step-000003 is damaged (weights does not match its digest), step-000002 is damaged (state.json" in str(
        caught.value
    )
    assert f"where: {tmp_path / 'checkpoints'}" in str(caught.value)
    assert "put one back from a copy, or start a new run with --run NAME" in str(caught.value)
    assert len(said) == 1, "there is none before them to go back to"
    assert latest_checkpoint(tmp_path / "new", said.append) is None


def test_gone_or_damaged_it_is_a_clear_error(tmp_path: Path) -> None:
    run_of(tmp_path, 3, keep_first=True)
    (tmp_path / "checkpoints/step-000000/weights").write_text("7")
    with pytest.raises(RunError, match="weights does not match its digest"):
        first_checkpoint(tmp_path)
    run_of(tmp_path / "other", 3, keep_first=False)
    with pytest.raises(RunError, match=r"started from.*kl_coef"):
        first_checkpoint(tmp_path / "other")
