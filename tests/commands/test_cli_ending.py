"""How commands end that somebody else ends: a container's SIGTERM, and a system that permits nothing."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534
"""A user that may write nowhere here."""
AS_NOBODY = "import practicum.report.run_page, practicum.engine.local.export\n" + (
    f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def trains(commands: Any, *more: str) -> Any:
    """A run that is just being trained."""
    command = commands.start("train", "desk.yaml", "max_steps=400", "--run", "a", *more)
    metrics, until = commands.folder / "runs/a/metrics.jsonl", time.monotonic() + 60
    while not (metrics.exists() and '"rl"' in metrics.read_text()):
        assert time.monotonic() < until, command.err
        time.sleep(0.02)
    return command


@pytest.mark.parametrize("ignored", [False, True], ids=["", "where a shell ignores Ctrl-C"])
def test_sigterm_ends_a_run_as_ctrl_c_does_and_says_how_to_go_on(commands: Any, ignored: bool) -> None:
    first = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" if ignored else ""
    start = commands.start
    commands.start = lambda *arguments: start(*arguments, first=first)
    command = trains(commands)

    if ignored:
        os.kill(command.pid, signal.SIGINT)
        time.sleep(0.2)
    os.kill(command.pid, signal.SIGTERM)

    assert command.wait().code == 143
    assert "stopped; what is on record is whole" in command.out
    assert "resume runs/a" in command.out
    assert "Traceback" not in command.err
    assert "never retrieved" not in command.err
    del commands.start
    assert commands("verify", "runs/a").code == 0


def test_a_server_stops_at_sigterm(commands: Any, able_model: Path) -> None:
    command, until = commands.start("serve", str(able_model), "--port", "0"), time.monotonic() + 30
    while "/v1 (" not in command.out:
        assert time.monotonic() < until, command.err
        time.sleep(0.02)

    os.kill(command.pid, signal.SIGTERM)

    assert command.wait().code == 143
    assert "Traceback" not in command.err


@pytest.fixture
def others(commands: Any, able_model: Path) -> Iterator[Any]:
    """Commands in somebody else's folder, which everybody may read, with a run in it."""
    done = commands("train", "desk.yaml", "max_steps=1", "--run", "a")
    assert done.code == 0, done.err
    folder = Path(tempfile.mkdtemp(prefix="practicum-others-"))
    try:
        shutil.copytree(commands.folder, folder, dirs_exist_ok=True)
        shutil.copytree(able_model, folder / "able")
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        for name in ("desk.yaml", "runs/a/recipe.yaml"):
            (folder / name).write_text((folder / name).read_text().replace(str(able_model), "able"))
        commands.folder = folder
        yield commands
    finally:
        shutil.rmtree(folder)


REFUSED = {
    "report runs/a": "report.html",
    "resume runs/a": "runs/a",
    "eval runs/a": "runs/a",
    "export runs/a model": "model",
    "train desk.yaml --run b": "runs",
    "train desk.yaml --run elsewhere/b": "elsewhere",
}
"""Commands that would write, and the place they name."""


@as_root
def test_what_may_not_be_written_is_said_without_a_traceback(others: Any) -> None:
    for line, where in REFUSED.items():
        done = others(*line.split(), first=AS_NOBODY)

        assert done.code == 1, line
        assert "Traceback" not in done.err + done.out, line
        assert "error: " in done.err, line
        assert "ermission denied" in done.err, line
        assert where in done.err, line
        assert "what to do" in done.err, line
