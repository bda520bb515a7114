"""A run killed, or out of room, between a file and its event in the ledger: nothing is lost, nothing counted twice."""

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kills import KILL
from practicum.digests import digest_file
from practicum.runs.events import LedgerEvent, read_events

BEFORE_THE_EVENT = (
    KILL
    + """
from practicum.runs.events import EventLog
original = EventLog.append
def at_the_event(self, kind, data=None):
    if kind == "{kind}" and (data or {{}}).get("{key}") == {value!r}:
        {what}
    return original(self, kind, data)
EventLog.append = at_the_event
"""
)
ALMOST_FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
none = resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_FSIZE, (self.path.stat().st_size + {room}, none))
try:
    return original(self, kind, data)
finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (none, none))
"""
"""Room for a part of the event's line only; then there is room again."""


def killed_before(kind: str, key: str, value: Any) -> str:
    return BEFORE_THE_EVENT.format(kind=kind, key=key, value=value, what="kill()")


def out_of_room_at(kind: str, key: str, value: Any, room: int) -> str:
    what = ALMOST_FULL.format(room=room).strip().replace("\n", "\n        ")
    return BEFORE_THE_EVENT.format(kind=kind, key=key, value=value, what=what)


def events_of(run: Path, kind: str) -> list[LedgerEvent]:
    return [event for event in read_events(run / "events.jsonl") if event.kind == kind]


def evaluated(run: Path) -> Counter[str]:
    """How often each evaluation stands in the ledger."""
    data = [event.data for event in events_of(run, "evaluation")]
    return Counter(f"{each['label']}-{each['mode']}" for each in data if "label" in each)


def phases(run: Path) -> Counter[tuple[str, int]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return Counter((line["phase"], line["step"]) for line in lines)


def test_an_evaluation_killed_before_its_event_is_on_record_once_and_can_be_promoted(commands: Any) -> None:
    recipe = ("desk.yaml", "promote_better_than=none", "promote_max_unearned=1")
    killed = commands("train", *recipe, "--run", "a", first=killed_before("evaluation", "mode", "greedy"))
    assert killed.code == -signal.SIGKILL, killed.err
    run = commands.folder / "runs/a"
    page = run / "evaluations/trained-greedy.json"
    assert page.exists(), "the kill was meant to come after the files"

    again = commands("resume", "runs/a")

    assert again.code == 0, again.err
    assert evaluated(run) == {"trained-sampled": 1, "trained-greedy": 1}
    listed = [event.data["files"] for event in events_of(run, "evaluation") if event.data.get("mode") == "greedy"]
    assert listed[0]["evaluations/trained-greedy.json"] == digest_file(page)
    assert phases(run)["evaluation trained-greedy", 3] == 1
    verified = commands("verify", "runs/a")
    assert verified.code == 0, verified.out
    assert "evaluations/trained-greedy.json" in verified.out
    promoted = commands("promote", "runs/a")
    assert promoted.code == 0, promoted.err
    assert "in trained-" in promoted.out


def test_a_baseline_killed_before_its_event_is_none_and_is_played_when_asked_for_again(
    commands: Any, tiny_model: Path
) -> None:
    never_succeeds = f"model_name={tiny_model}"
    killed = commands(
        "baseline", "desk.yaml", never_succeeds, "--run", "a", first=killed_before("evaluation", "mode", "greedy")
    )
    assert killed.code == -signal.SIGKILL, killed.err
    run = commands.folder / "runs/a"
    assert (run / "evaluations/base-greedy.json").exists()

    trained = commands("train", "desk.yaml", never_succeeds, "--run", "a")
    evaluated_again = commands("baseline", "desk.yaml", never_succeeds, "--run", "a")

    assert trained.code == 0, trained.err
    assert evaluated(run) == {"base-sampled": 1, "trained-sampled": 1, "trained-greedy": 1, "base-greedy": 1}
    assert "held-out rollouts" in evaluated_again.err
    assert phases(run)["evaluation base-greedy", 0] == 1


def test_an_evaluation_whose_file_was_altered_is_done_again_and_said_so(commands: Any) -> None:
    assert commands("train", "desk.yaml", "--run", "a").code == 0
    run = commands.folder / "runs/a"
    page = run / "evaluations/trained-greedy.json"
    page.write_text(page.read_text().replace('"n_tasks"', ' "n_tasks"'))

    again = commands("resume", "runs/a")

    assert "trained-greedy.json is not what the ledger lists under that name" in again.out
    assert evaluated(run) == {"trained-sampled": 1, "trained-greedy": 2}
    assert commands("verify", "runs/a").code == 0


def test_a_foothold_killed_before_its_event_is_not_repeated_and_its_event_is_entered(commands: Any) -> None:
    recipe = ("desk.yaml", "warmstart_demonstrations=4", "warmstart_epochs=2")
    assert commands("train", *recipe, "--run", "whole").code == 0
    first = killed_before("warmstart", "source", "oracle")
    assert commands("train", *recipe, "--run", "torn", first=first).code == -signal.SIGKILL
    runs = commands.folder / "runs"
    assert (runs / "torn/checkpoints/step-000000").exists()

    again = commands("resume", "runs/torn")

    assert again.code == 0, again.err
    assert "demonstrations: loss" not in again.out, "the foothold was done again"
    (whole,), (torn,) = (events_of(runs / name, "warmstart") for name in ("whole", "torn"))
    assert torn.data == whole.data
    assert phases(runs / "torn")["foothold", 2] == 1


def test_a_checkpoint_killed_before_its_event_is_entered_when_it_is_gone_on_from(commands: Any) -> None:
    first = killed_before("checkpoint", "step", 2)
    assert commands("train", "desk.yaml", "--run", "a", first=first).code == -signal.SIGKILL

    again = commands("resume", "runs/a")

    assert "going on from the checkpoint of step 2" in again.out
    assert [event.data["step"] for event in events_of(commands.folder / "runs/a", "checkpoint")] == [1, 2, 3]


@pytest.mark.parametrize("room", [0, 40])
@pytest.mark.parametrize(
    ("kind", "key", "value"), [("start", "whole", None), ("step", "step", 2), ("evaluation", "mode", "greedy")]
)
def test_no_room_for_an_event_leaves_a_whole_chain_and_a_run_that_goes_on(
    commands: Any, *, kind: str, key: str, value: Any, room: int
) -> None:
    stopped = commands("train", "desk.yaml", "--run", "a", first=out_of_room_at(kind, key, value, room))

    assert stopped.code == 1
    assert "error: cannot write: " in stopped.err
    assert "make room there" in stopped.err
    run = commands.folder / "runs/a"
    last = read_events(run / "events.jsonl")[-1]
    assert (last.kind, "File too large" in last.data["what"]) == ("error", True)
    again = commands(
        "train" if kind == "start" else "resume", *(["desk.yaml", "--run"] if kind == "start" else []), "runs/a"
    )
    assert again.code == 0, again.err
    assert commands("verify", "runs/a").code == 0
    assert evaluated(run) == {"trained-sampled": 1, "trained-greedy": 1}
    assert [phases(run)["rl", step] for step in (1, 2, 3)] == [1, 1, 1]
