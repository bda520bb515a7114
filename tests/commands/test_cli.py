"""The commands as a user types them: what they leave behind, and what they say when something is wrong."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from practicum.commands import app
from practicum.rollout.chat_template import chatml_template

SUPPORT_DESK = """
model_name: {model}
environment: practicum.suites.support_desk:SupportDesk
environment_args: {{level: 2}}
warmstart_demonstrations: 2
warmstart_epochs: 1
lora_rank: 4
global_batch_size: 2
group_size: 2
max_steps: 2
sampling_max_tokens: 8
max_sequence_length: 2048
train_tasks: 4
val_tasks: 2
test_tasks: 2
val_every: 1
threads: 1
dtype: float32
device: cpu
"""


def test_python_m_lists_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "practicum", "--help"], capture_output=True, text=True, check=True, timeout=60
    )

    for name in [
        "demo",
        "check",
        "baseline",
        "warmstart",
        "train",
        "eval",
        "resume",
        "report",
        "serve",
        "verify",
        "replay",
        "recipe",
    ]:
        assert name in done.stdout


COMMANDS = ("demo", "check", "check-changed", "baseline", "warmstart", "train", "eval", "resume", "report", "serve")


@pytest.mark.parametrize("name", [*COMMANDS, "verify", "replay", "track", "record", "tools"])
def test_every_command_has_help_with_an_example(name: str) -> None:
    help = CliRunner().invoke(app, [name, "--help"])

    assert help.exit_code == 0
    assert f"Example: practicum {name}" in help.output


def test_a_demo_leaves_evaluations_a_report_a_store_and_a_provable_record(commands: Any, tiny_model: Path) -> None:
    (commands.folder / "support.yaml").write_text(SUPPORT_DESK.format(model=tiny_model))

    demo = commands.start("demo", "--recipe", "support.yaml", "--control", environment={"MLFLOW_TRACKING_URI": ""})
    demo.wait(240)  # checks the environment, and trains twice

    assert demo.code == 0, demo.err
    run = commands.folder / "runs/demo"
    labels = {path.stem for path in (run / "evaluations").glob("*.json")}
    models = ("base", "foothold", "trained", "control")
    assert labels == {f"{label}-{mode}" for label in models for mode in ("sampled", "greedy")}
    for name in ("report.html", "mlflow.db", "recipe.yaml", "manifest.json", "output/adapter_model.safetensors"):
        assert (run / name).is_file(), name
    for words in ("step 2/2", "held-out", "ENV-REPEAT", "verify runs/demo", "mlflow", "minutes in all"):
        assert words in demo.out
    verified = commands("verify", "runs/demo")
    assert verified.code == 0, verified.out
    replayed = commands("replay", "runs/demo")
    assert replayed.code == 1  # so small a model calls no tool, and a replay of nothing is no proof
    assert "nothing was replayed: 0 of " in replayed.out
    assert commands("resume", "runs/demo").code == 0
    assert commands("report", "runs/demo").out.startswith("wrote runs/demo/report.html")


def test_an_altered_file_is_found(commands: Any, tiny_model: Path) -> None:
    never_succeeds = f"model_name={tiny_model}"
    assert commands("baseline", "desk.yaml", never_succeeds, "--run", "a").code == 1
    record = commands.folder / "runs/a/evaluations/base-greedy.json"
    record.write_text(record.read_text().replace('"successes": 0', '"successes": 3'))

    verified = commands("verify", "runs/a")

    assert verified.code == 1
    assert "ALTERED  evaluations/base-greedy.json" in verified.out


def test_single_stages_share_a_run_that_train_then_finishes(commands: Any, tiny_model: Path) -> None:
    model = f"model_name={tiny_model}"
    stages = ("desk.yaml", model, "warmstart_demonstrations=2", "--run", "a")

    base = commands("baseline", *stages)
    assert base.code == 1
    assert "the base model succeeds in none of 6 held-out rollouts" in base.err
    assert "practicum warmstart desk.yaml --run runs/a" in base.err
    for name, label in (("warmstart", "foothold"), ("train", "trained")):
        done = commands(name, *stages)
        assert done.code == 0, done.err
        assert label in done.out
    evaluated = commands("eval", "runs/a")
    again = commands("train", *stages)
    other = commands("baseline", "desk.yaml", model, "seed=9", "--run", "a")

    assert all(label in evaluated.out for label in ("base", "foothold", "trained"))
    assert again.code == 1
    assert "practicum resume runs/a" in again.err
    assert other.code == 1
    assert "another recipe" in other.err
    assert "seed (0 there)" in other.err


def test_a_recipe_is_evaluated_before_and_after_it_is_trained(commands: Any) -> None:
    keys = ("desk.yaml", "max_steps=1", "warmstart_demonstrations=2", "--run", "a")

    before = commands("eval", *keys)
    assert commands("train", *keys).code == 0
    after = commands("eval", *keys)
    other = commands("eval", "desk.yaml", "seed=9", "--run", "a")
    folder = commands("eval", "runs/a", "seed=9")

    assert before.code == 0, before.err
    assert "base" in before.out
    assert "trained" not in before.out
    assert "trained" in after.out
    assert (other.code, folder.code) == (1, 1)
    assert "another recipe" in other.err
    assert "own recipe" in folder.err


def test_explain_shows_where_values_come_from(commands: Any) -> None:
    rows = commands("recipe", "explain", "desk.yaml", "learning_rate=1e-5").out.splitlines()

    assert any(row.split()[:3] == ["learning_rate", "1e-05", "override"] for row in rows)
    assert any(row.split()[:3] == ["group_size", "2", "file"] for row in rows)


def test_check_fails_on_an_environment_that_is_not_repeatable(commands: Any) -> None:
    desk = commands.folder / "desk.py"
    desk.write_text(desk.read_text().replace("COLOURS[box % 3]}", "__import__('random').choice(COLOURS)}"))

    checked = commands("check", "desk.py", "--json", "--tasks", "1")

    assert checked.code == 1
    assert "ENV-HERMETIC" in {finding["code"] for finding in json.loads(checked.out)["findings"]}


def test_check_writes_a_page_and_names_its_certificate(commands: Any) -> None:
    checked = commands(
        "check", "desk.py", "--json", "--tasks", "1", "--html", "page.html", "--allow", "clock: shown only"
    )

    assert checked.code == 0, checked.err
    said = json.loads(checked.out)
    assert said["allowed"] == [{"kind": "clock", "reason": "shown only", "seen": []}]
    assert said["repetitions"] >= 1
    (path,) = (commands.folder / "runs/.environments/certificates").rglob("*.json")
    assert json.loads(path.read_text())["digest"] == said["certificate"]
    page = (commands.folder / "page.html").read_text()
    assert said["certificate"] in page
    assert "shown only" in page


def test_a_check_where_nothing_can_be_written_still_gives_its_verdict(commands: Any) -> None:
    (commands.folder / "runs").touch()

    checked = commands("check", "desk.py", "--tasks", "1", "--repetitions", "1")

    assert checked.code == 0
    assert "no certificate: the certificate cannot be written" in checked.err


def test_check_changed_checks_what_files_belong_to_and_is_silent_about_the_rest(commands: Any) -> None:
    (commands.folder / "notes.md").write_text("nothing")
    quick = ("--tasks", "1", "--repetitions", "1")
    silent = commands("check-changed", "notes.md", *quick)
    passed = commands("check-changed", "notes.md", "desk.py", *quick)
    desk = commands.folder / "desk.py"
    desk.write_text(desk.read_text().replace("COLOURS[box % 3]}", "__import__('random').choice(COLOURS)}"))
    failed = commands("check-changed", "notes.md", "desk.py", *quick)

    assert (silent.code, silent.out, silent.err) == (0, "", "")
    assert passed.code == 0, passed.out
    assert "test-desk 1.0.0  desk.py:Desk" in passed.out
    assert not (commands.folder / "runs").exists()
    assert failed.code == 1
    assert "ENV-HERMETIC" in failed.out


FAULTS = [
    ("train desk.yaml lerning_rate=1", "", "unknown key lerning_rate", "the nearest known key is learning_rate"),
    ("train nowhere.yaml", "", "no such recipe file", "nowhere.yaml"),
    ("train nowhere", "", "no recipe 'nowhere' ships", "support_desk"),
    ("train desk.yaml model_name=./none", "", "no model at", "smollm2-135m"),
    ("train desk.yaml environment=desk.py:Desks", "", "Desks does not exist", "Desk"),
    ("train desk.yaml environment=broken.py:Desk", "broken.py:import nothing_there", "nothing_there", "broken.py:1"),
    ("train desk.yaml environment=broken.py:Desk", "broken.py:class Desk(", "not valid Python", "broken.py:1"),
    ("train desk.yaml score=points", "", "'points' beside the environment", "desk.py"),
    ("train desk.yaml training_dataset=t.jsonl", "t.jsonl:", "t.jsonl has no tasks", "at least one row"),
    ("train desk.yaml training_dataset=t.jsonl", 't.jsonl:{"prompt": "a"}\n{"pro', "broken JSON", "t.jsonl, line 2"),
    ("train desk.yaml training_dataset=t.jsonl", 't.jsonl:{"prompt": "a"}', "fewer than one step's", "global_batch"),
    (
        "train desk.yaml training_dataset=t.jsonl",
        't.jsonl:{"prompt": "Box 201?"}\n{"prompt": "a"}',
        "1 prompts stand both in t.jsonl and in test-desk test",
        "Box 201?",
    ),
    ("train desk.yaml device=cuda", "", "PyTorch finds no GPU", "device: cpu"),
    ("train desk.yaml agent=http://127.0.0.1:9", "", "the agent does not answer", "http://127.0.0.1:9/health"),
    ("train desk.yaml max_steps=0", "", "max_steps may not be 0", "at least 1"),
    ("eval runs/none", "", "no run in runs/none", "runs/demo"),
    ("report runs/none", "", "no run in runs/none", "runs/demo"),
    ("verify runs/none", "", "no run in runs/none", "runs/demo"),
    ("serve nothing", "", "no model at 'nothing'", "smollm2-135m"),
    ("check nothing", "", "no environment is called 'nothing'", "support_desk"),
    ("check desk.py max_turns=3", "", "desk.py is no recipe", "environment_args"),
    ("check desk.py --allow clock", "", "clock", "reason"),
    ("check desk.py --allow weather:fine", "", "weather", "network"),
    ("check desk.py --production none.json --tasks 1", "", "no such file", "none.json"),
    ("check desk.py --recorded runs/none --tasks 1", "", "no recorded trajectories", "runs/none"),
]


@pytest.mark.parametrize(("line", "file", "what", "where"), FAULTS)
def test_what_is_wrong_is_said_without_a_traceback(commands: Any, line: str, file: str, what: str, where: str) -> None:
    name, _, text = file.partition(":")
    if name:
        (commands.folder / name).write_text(text)

    done = commands(*line.split(), "--run", "a") if line.startswith("train") else commands(*line.split())

    assert done.code == 1
    assert done.err.startswith("error: ")
    assert what in done.err
    assert where in done.err
    assert "Traceback" not in done.err + done.out
    assert not (commands.folder / "runs").exists(), "nothing may be left half-written"


def test_a_mistyped_command_is_told_apart_from_a_failure(commands: Any) -> None:
    done = commands("trian")

    assert done.code == 2
    assert "No such command" in done.err


FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes}, {bytes}))"
"""A limit on file sizes stands for a full disk: writing beyond it fails in the system call itself."""


@pytest.mark.parametrize("room", [2_000_000, 20_000, 1_500], ids=["checkpoint", "trajectories", "recipe"])
def test_a_full_disk_is_said_and_what_is_there_stays_whole(commands: Any, room: int) -> None:
    full = commands("train", "desk.yaml", "--run", "a", first=FULL_DISK.format(bytes=room))

    assert full.code == 1
    assert "Traceback" not in full.err
    assert "cannot write" in full.err
    run = commands.folder / "runs/a"
    assert [path for path in run.rglob(".*") if path.suffix in (".part", ".old")] == []
    if (run / "recipe.yaml").exists():
        assert "make room there" in full.err
        done = commands("resume", "runs/a")
        assert done.code == 0, done.err


def served(commands: Any, *arguments: str) -> tuple[Any, str]:
    """A server and its address, once it answers."""
    command = commands.start("serve", *arguments, "--port", "0")
    deadline = time.monotonic() + 30
    while "/v1 (" not in command.out and time.monotonic() < deadline:
        time.sleep(0.02)
    line = next(line for line in command.out.splitlines() if "/v1 (" in line)
    return command, line.split(" at ")[1].partition(" ")[0]


def test_serve_answers_an_openai_client_and_stops_at_ctrl_c(commands: Any, able_model: Path) -> None:
    from openai import OpenAI

    command, url = served(commands, str(able_model))
    client = OpenAI(base_url=url, api_key="any")

    message = [{"role": "user", "content": "Box 3?"}]
    answers = [client.chat.completions.create(model="default", messages=message, max_tokens=5) for _ in range(2)]
    os.kill(command.pid, signal.SIGINT)

    assert all(1 <= answer.usage.completion_tokens <= 5 for answer in answers)
    assert command.wait().code == 0
    assert command.out.endswith("stopped\n")
    assert "Traceback" not in command.err


def test_serve_says_that_a_port_is_taken(commands: Any, able_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = commands("serve", str(able_model), "--port", str(port))

    assert done.code == 1
    assert done.err.startswith(f"error: port {port} is already in use")


def test_the_adapter_of_a_lora_run_can_be_served(commands: Any) -> None:
    done = commands("train", "desk.yaml", "lora_rank=2", "train_embeddings=false", "max_steps=1", "--run", "a")
    assert done.code == 0, done.err
    template = commands.folder / "runs/a/output/chat_template.jinja"
    assert template.read_text() == chatml_template("pythonic")

    command, url = served(commands, "runs/a/output")
    body = {"model": "default", "messages": [{"role": "user", "content": "Box 3?"}], "max_tokens": 3}
    answer = httpx.post(f"{url}/chat/completions", json=body, timeout=30)
    os.kill(command.pid, signal.SIGINT)

    assert answer.status_code == 200, answer.text
    assert command.wait().code == 0


HEAVY = ("torch", "transformers", "numpy", "pyarrow", "mlflow", "httpx", "fastapi", "renderers", "duckdb")


def test_the_help_needs_none_of_the_large_libraries() -> None:
    """A verb imports what it works with when it works."""
    code = f"import sys, practicum.commands; print([name for name in {HEAVY} if name in sys.modules])"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"
