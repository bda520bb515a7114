"""A run killed at any moment and resumed comes to the same as one that was never disturbed."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from kills import AFTER_CALLS, KILL, killed_at
from practicum.store import read_trajectories

SAMPLER = ("practicum.engine.local.sampler", "LocalSampler", "_step")
LEARNER = "practicum.engine.local.learner"
WITHIN_A_FOLDER = (
    KILL
    + """
import practicum.files, practicum.runs.checkpoint as checkpoint
original = checkpoint.write_folder
def half(target, fill):
    if target.name == "step-000002":
        original(target, lambda folder: (fill(folder), kill()))
    original(target, fill)
checkpoint.write_folder = half
"""
)
WITHIN_AN_EVENT = (
    KILL
    + """
from practicum.runs.events import EventLog
original = EventLog.append
def half(self, kind, data=None):
    if kind == "step":
        self._file.write(b'{"seq": 9, "ti'); self._file.flush(); kill()
    return original(self, kind, data)
EventLog.append = half
"""
)

MOMENTS = [
    ("the foothold's third update", killed_at(LEARNER, "LocalLearner", "optim_step", 3)),
    ("the first step's sampling", killed_at(*SAMPLER, 30)),
    ("the gradient of the first step", killed_at(LEARNER, "LocalLearner", "forward_backward", 1)),
    ("the update of the first step", killed_at(LEARNER, "LocalLearner", "optim_step", 1)),
    ("the event of the first step", WITHIN_AN_EVENT),
    ("the second checkpoint", WITHIN_A_FOLDER),
    ("the third step's sampling", killed_at(*SAMPLER, 8)),
    ("the export", killed_at(LEARNER, "LocalLearner", "export", 1)),
    ("the evaluation", killed_at("practicum.runs.folder", "Run", "record_evaluation", 1, before=True)),
]


def test_killed_at_every_stage_it_still_comes_to_the_same_model_and_trajectories(commands: Any, outcome: Any) -> None:
    recipe = ("desk.yaml", "warmstart_demonstrations=4", "warmstart_batch_size=2", "warmstart_epochs=2")
    assert commands("train", *recipe, "--run", "whole").code == 0

    for number, (moment, first) in enumerate(MOMENTS):
        what = ("resume", "runs/torn") if number else ("train", *recipe, "--run", "torn")
        command = commands(*what, first=first)
        assert command.code == -signal.SIGKILL, f"not killed at {moment}: {command.out} {command.err}"
    last = commands("resume", "runs/torn")

    assert last.code == 0, last.err
    runs = commands.folder / "runs"
    assert outcome(runs / "torn") == outcome(runs / "whole")
    assert commands("verify", "runs/torn").code == 0
    lines = [json.loads(line) for line in (runs / "torn" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["phase"] == "rl"] == [1, 2, 3]
    assert [line["step"] for line in lines if line["phase"] == "foothold"] == [1, 2]
    leftovers = [path for path in (runs / "torn").rglob(".*") if path.suffix in (".part", ".old")]
    assert leftovers == []


def test_a_killed_run_with_penalties_goes_on_from_the_same_reference(commands: Any, outcome: Any) -> None:
    recipe = ("desk.yaml", "warmstart_demonstrations=4", "warmstart_epochs=1", "kl_coef=0.5", "entropy_coef=0.01")
    assert commands("train", *recipe, "--run", "whole").code == 0
    # The foothold has one update and each step two: this is in the third step, two checkpoints after the first.
    late = killed_at(LEARNER, "LocalLearner", "forward_backward", 6)

    assert commands("train", *recipe, "--run", "torn", first=late).code == -signal.SIGKILL
    assert commands("resume", "runs/torn").code == 0

    runs = commands.folder / "runs"
    assert outcome(runs / "torn") == outcome(runs / "whole")
    assert [path.name[-1] for path in sorted((runs / "torn/checkpoints").iterdir())] == ["0", "2", "3"]
    lines = [json.loads(line) for line in (runs / "torn" / "metrics.jsonl").read_text().splitlines()]
    steps = [line["metrics"] for line in lines if line["phase"] == "rl"]
    trained = [step for step in steps if step["training/num_groups"]]
    assert trained, "no step of the test had anything to train on"
    assert all(step["training/kl"] >= 0 and step["training/entropy"] > 0 for step in trained)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(commands: Any, outcome: Any) -> None:
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        assert commands("train", "desk.yaml", f"seed={seed}", "--run", name).code == 0

    one, two, three = (outcome(commands.folder / "runs" / name) for name in ("one", "two", "three"))
    assert one == two
    assert all(one[name] != three[name] for name in one)
    tables = (commands.folder / "runs/one/trajectories").glob("step-*.parquet")
    calls = [call for table in tables for trajectory in read_trajectories(table) for call in trajectory.tool_calls]
    assert calls, "no rollout of the test called a tool"


def test_a_damaged_newest_checkpoint_is_passed_over_with_a_message(commands: Any, outcome: Any) -> None:
    assert commands("train", "desk.yaml", "--run", "a").code == 0
    run = commands.folder / "runs/a"
    before = outcome(run)
    shutil.rmtree(run / "output")
    weights = run / "checkpoints/step-000003/learner.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)

    again = commands("resume", "runs/a")

    assert again.code == 0, again.err
    assert "step-000003 is damaged (learner.safetensors does not match its digest)" in again.out
    assert "going on from the checkpoint of step 2" in again.out
    assert outcome(run) == before


@pytest.mark.parametrize("phase", ["rollouts", "gradient"])
def test_ctrl_c_says_how_to_go_on_and_leaves_a_run_that_does(commands: Any, outcome: Any, phase: str) -> None:
    where = {"rollouts": SAMPLER, "gradient": (LEARNER, "LocalLearner", "forward_backward")}[phase]
    calls = {"rollouts": 30, "gradient": 2}[phase]
    interrupt = "import os, signal; kill = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
    first = interrupt + AFTER_CALLS.format(module=where[0], owner=where[1], name=where[2], n=calls, before=False)

    stopped = commands("train", "desk.yaml", "--run", "a", first=first)

    assert stopped.code == 130
    assert "Go on with: " in stopped.out
    assert " resume runs/a\n" in stopped.out
    assert "Traceback" not in stopped.out + stopped.err
    run = commands.folder / "runs/a"
    assert [path for path in run.rglob(".*") if path.suffix in (".part", ".old")] == []
    assert not (run / "output").exists()
    assert commands("resume", "runs/a").code == 0
    assert (run / "report.html").is_file()


def test_a_second_process_on_one_run_is_refused(commands: Any) -> None:
    first = commands.start("train", "desk.yaml", "--run", "a", first="import time\n" + WAITING)
    events = commands.folder / "runs/a/events.jsonl"
    deadline = time.monotonic() + 30
    while not (events.exists() and events.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)

    second = commands("resume", "runs/a")
    third = commands("train", "desk.yaml", "--run", "a")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()

    assert (second.code, third.code) == (1, 1)
    assert "another process is writing to this run" in second.err
    assert "another process is writing to this run" in third.err


WAITING = """
from practicum.training.trainer import Trainer
Trainer.step = lambda *args: time.sleep(60)
"""


def test_resuming_with_another_environment_is_refused(commands: Any) -> None:
    first = killed_at(LEARNER, "LocalLearner", "forward_backward", 2)
    assert commands("train", "desk.yaml", "--run", "a", first=first).code == -signal.SIGKILL
    desk = commands.folder / "desk.py"
    desk.write_text(desk.read_text().replace("% 11", "% 7"))

    again = commands("resume", "runs/a")

    assert again.code == 1
    assert "test-desk changed, and is still called version 1.0.0" in again.err
    assert "% 7" in again.err


def test_a_folder_without_a_run_cannot_be_resumed(commands: Any) -> None:
    (commands.folder / "runs/empty").mkdir(parents=True)

    assert "no run in runs/empty" in commands("resume", "runs/empty").err
    assert Path(commands.folder / "runs/empty").exists()


def test_a_course_that_is_done_again_keeps_its_own_checkpoints(commands: Any) -> None:
    assert commands("train", "desk.yaml", "max_steps=4", "kl_coef=0.1", "--run", "a").code == 0
    run = commands.folder / "runs/a"
    shutil.rmtree(run / "output")
    for step in (3, 4):
        (run / f"checkpoints/step-00000{step}/state.json").write_text("{}")
    torn = killed_at(LEARNER, "LocalLearner", "forward_backward", 3)
    assert commands("resume", "runs/a", first=torn).code == -signal.SIGKILL

    kept = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert kept in (["step-000000", "step-000001"], ["step-000000", "step-000001", "step-000002"])
    again = commands("resume", "runs/a")

    assert again.code == 0, again.err
    assert f"going on from the checkpoint of step {kept[-1][-1]}" in again.out
