"""Training begins with a passed check of exactly this environment, or with a reason that stands in the ledger."""

import json
from pathlib import Path
from typing import Any

import pytest

from practicum.runs.events import read_events


def check_events(commands: Any, run: str) -> list[dict[str, Any]]:
    events = read_events(commands.folder / "runs" / run / "events.jsonl")
    return [dict(event.data) for event in events if event.kind == "check"]


def certificates(commands: Any) -> list[Path]:
    return sorted((commands.folder / "runs/.environments/certificates").rglob("*.json"))


# The desk's own reward pays for every word, so that there is something to learn: no check of rewards would pass it.
RECIPE = ("desk.yaml", "reward=score")
FAST = (*RECIPE, "max_steps=1", "test_tasks=12")  # of twelve tasks the able model gets some right, greedily


def test_a_check_then_training_and_every_change_in_between_closes_the_gate(commands: Any) -> None:
    refused = commands("train", *FAST, "environment=desk.py:Desk", "--run", "a", gate=True)
    assert refused.code == 1
    assert "has no valid certificate" in refused.err
    assert "practicum check desk.yaml reward=score environment=desk.py:Desk" in refused.err
    assert "--without-gate" in refused.err
    assert not (commands.folder / "runs").exists()

    assert commands("check", "desk.py").code == 0
    bare = commands("train", *FAST, "--run", "a", gate=True)
    assert bare.code == 1
    assert "says nothing of score, reward" in bare.err
    checked = commands("check", *RECIPE)
    assert checked.code == 0, checked.out + checked.err
    (path,) = [file for file in certificates(commands) if json.loads(file.read_text())["judges"]]
    assert str(path.relative_to(commands.folder)) in checked.out
    content = json.loads(path.read_text())
    unmeasured = commands("train", *FAST, "--run", "a", gate=True)
    assert unmeasured.code == 1
    assert "no baseline is on record" in unmeasured.err
    commands("baseline", *FAST, "--run", "a")
    trained = commands("train", *FAST, "--run", "a", gate=True)
    assert trained.code == 0, trained.err
    (event,) = check_events(commands, "a")
    assert event["certificate"] == content["digest"]
    assert event["report"] == content["report"]
    assert commands("resume", "runs/a").code == 0
    assert len(check_events(commands, "a")) == 1
    assert commands("verify", "runs/a").code == 0

    path.write_text(path.read_text().replace('"episodes":', '"episodes":1'))
    edited = commands("train", *FAST, "--run", "b", gate=True)
    assert edited.code == 1
    assert "it was edited" in edited.err
    assert path.name in edited.err

    path.write_text(json.dumps(content))
    desk = commands.folder / "desk.py"
    desk.write_text(desk.read_text().replace('"1.0.0"', '"1.0.1"'))
    other = commands("train", *FAST, "--run", "c", gate=True)
    assert other.code == 1
    assert "test-desk 1.0.1" in other.err
    assert not (commands.folder / "runs/c").exists()


def test_an_environment_that_fails_its_check_cannot_be_trained_in_without_a_reason(commands: Any) -> None:
    desk = commands.folder / "desk.py"
    desk.write_text(desk.read_text().replace("COLOURS[box % 3]}", "__import__('random').choice(COLOURS)}"))
    assert commands("check", *RECIPE, "--tasks", "1").code == 1
    assert len(certificates(commands)) == 1

    refused = commands("train", *FAST, "--run", "a", gate=True)
    empty = commands("train", *FAST, "--run", "a", "--without-gate", "  ", gate=True)
    trained = commands("train", *FAST, "--run", "a", "--without-gate", "to see it fail", gate=True)

    assert refused.code == 1
    assert "the check failed: ENV-" in refused.err
    assert empty.code == 1
    assert "--without-gate needs a reason" in empty.err
    assert trained.code == 0, trained.err
    assert check_events(commands, "a") == [{"without_gate": "to see it fail"}]


@pytest.mark.parametrize("option", [("--tasks", "1"), ("--repetitions", "1")])
def test_a_quick_look_is_no_certificate(commands: Any, option: tuple[str, str]) -> None:
    assert commands("check", *RECIPE, *option).code == 0

    refused = commands("train", *FAST, "--run", "a", gate=True)

    assert refused.code == 1
    assert "looked less closely" in refused.err


def test_a_recipe_is_checked_with_its_arguments_and_overrides(commands: Any) -> None:
    desk = commands.folder / "desk.py"
    more = "\n    def __init__(self, size: int = 1) -> None:\n        super().__init__()\n        self.size = size\n"
    more += "\n    def settings(self):\n        return {'size': self.size}\n"
    desk.write_text(desk.read_text().replace("    max_turns = 3\n", f"    max_turns = 3\n{more}"))
    args = "environment_args={size: 2}"
    assert commands("check", *RECIPE).code == 0
    small = commands("train", *FAST, args, "--run", "a", gate=True)
    assert commands("check", *RECIPE, args).code == 0
    commands("baseline", *FAST, args, "--run", "a")
    large = commands("train", *FAST, args, "--run", "a", gate=True)

    assert small.code == 1
    assert "practicum check desk.yaml reward=score 'environment_args={size: 2}'" in small.err
    assert large.code == 0, large.err
    assert commands("check", "desk.py", args).code == 1


def test_a_certificate_with_other_limits_does_not_count(commands: Any) -> None:
    assert commands("check", *RECIPE).code == 0

    refused = commands("train", *FAST, "max_turns=1", "--run", "a", gate=True)

    assert refused.code == 1
    assert "made with another success_threshold, batch, turns or token limit" in refused.err
    assert "practicum check desk.yaml reward=score max_turns=1" in refused.err


def test_a_later_look_at_the_environment_alone_closes_nothing(commands: Any) -> None:
    assert commands("check", *RECIPE).code == 0
    assert commands("check", "desk.py").code == 0
    assert commands("check-changed", "desk.py").code == 0
    commands("baseline", *FAST, "--run", "a")

    assert commands("train", *FAST, "--run", "a", gate=True).code == 0


def test_resume_is_no_way_round_the_gate(commands: Any) -> None:
    commands("baseline", *FAST, "--run", "a")

    refused = commands("resume", "runs/a")

    assert refused.code == 1
    assert "has not begun training: the gate comes first" in refused.err
    assert not (commands.folder / "runs/a/output").exists()


def test_a_baseline_of_zero_opens_no_gate(commands: Any) -> None:
    assert commands("check", *RECIPE).code == 0
    commands("baseline", *FAST, "--run", "a")
    for page in (commands.folder / "runs/a/evaluations").glob("base-*.json"):
        page.write_text(json.dumps({**json.loads(page.read_text()), "successes": 0}))

    refused = commands("train", *FAST, "--run", "a", gate=True)

    assert refused.code == 1
    assert "the base model succeeds in none of" in refused.err
    assert "practicum warmstart RECIPE" in refused.err


def test_a_model_that_is_not_clearly_better_is_not_promoted(commands: Any) -> None:
    commands("baseline", *FAST, "--run", "a")
    early = commands("promote", "runs/a")
    assert commands("train", *FAST, "--run", "a").code == 0
    run = commands.folder / "runs/a"

    late = commands("promote", "runs/a")
    other = commands("promote", "runs/a", "agent")

    assert early.code == late.code == other.code == 1
    assert "has no model yet" in early.err
    assert "misses the gate" in late.err
    assert "model or reward" in other.err
    assert not [event for event in read_events(run / "events.jsonl") if event.kind == "promote"]


def test_a_model_that_meets_its_recipes_gate_is_promoted_and_the_ledger_says_so(commands: Any) -> None:
    recipe = (*FAST, "promote_better_than=none")
    commands("baseline", *recipe, "--run", "a")
    assert commands("train", *recipe, "--run", "a").code == 0

    for what in ("model", "reward"):
        done = commands("promote", "runs/a", what)
        assert done.code == 0, done.err
        assert f"promoted: {what}" in done.out

    events = read_events(commands.folder / "runs/a/events.jsonl")
    assert [event.data["what"] for event in events if event.kind == "promote"] == ["model", "reward"]
    assert commands("verify", "runs/a").code == 0
