"""The kinds of isolation that can be tried on this machine, and a way to run a program in each."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from practicum.sandbox import PythonLimits, PythonResult, kinds
from practicum.sandbox.limits import KINDS, Kind
from practicum.sandbox.machine import Interpreter, is_real_root, this_interpreter, unreachable
from practicum.sandbox.python import prepare, run_in


def open_interpreter() -> Interpreter | None:
    """A Python that every user may run: this one, or the system's."""
    python = this_interpreter()
    if not is_real_root() or not (unreachable(python.program) or unreachable(python.library)):
        return python
    program, code = Path("/usr/bin/python3"), "import os, sys; print(sys.base_prefix, os.path.dirname(os.__file__))"
    if not program.exists():
        return None
    said = subprocess.run([program, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return Interpreter(Path(os.path.realpath(program)), Path(said[0]), Path(said[1]), Path(said[1]))


@dataclass(frozen=True)
class Wall:
    """One kind of isolation, and the Python it is tried with."""

    kind: Kind
    python: Interpreter

    def run(self, code: str, *argv: str, stdin: str = "", **limits: Any) -> PythonResult:
        """The result of a program of one file."""
        program = prepare({"main.py": code}, argv=argv, stdin=stdin, limits=PythonLimits(**limits))
        return run_in(self.kind, program, python=self.python)


@pytest.fixture(scope="session", params=KINDS)
def wall(request: pytest.FixtureRequest) -> Wall:
    """Each kind in turn, or this machine's own; skipped, with the reason, where the machine does not give it."""
    kind = kinds.sandbox_kind() if request.param == "own" else request.param
    if kind != "rlimits":
        if why := kinds.missing(kind):
            pytest.skip(f"no {kind} here: {why}")
        return Wall(kind, this_interpreter())
    python = open_interpreter()
    if python is None:
        pytest.skip("no Python here that other users may run")
    return Wall("rlimits", python)


@dataclass
class Outside:
    """A corner of this machine that no program may read or change, and what it looked like before."""

    folder: Path
    marker: str
    before: dict[str, str] = field(default_factory=dict)

    @property
    def secret(self) -> Path:
        """A file that every user of the machine may read."""
        return self.folder / "secret.txt"

    def contents(self) -> dict[str, str]:
        """Text by name."""
        return {path.name: path.read_text() for path in self.folder.iterdir()}

    def processes(self) -> list[str]:
        """Command lines on this machine that bear the marker."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = entry.read_bytes().decode(errors="replace")
            except OSError:
                continue
            if self.marker in line:
                found.append(line)
        return found


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Open to every user, so that only the sandbox keeps a program from it."""
    import shutil
    import tempfile
    import uuid

    folder = Path(tempfile.mkdtemp(prefix="outside-", dir="/tmp"))
    folder.chmod(0o777)
    corner = Outside(folder, uuid.uuid4().hex)
    corner.secret.write_text("top secret")
    corner.secret.chmod(0o666)
    corner.before = corner.contents()
    yield corner
    shutil.rmtree(folder)


@pytest.fixture
def open_descriptors() -> Callable[[], list[str]]:
    """Gives what this process has open, pipes and sockets as such."""

    def look() -> list[str]:
        found = []
        for entry in Path("/proc/self/fd").iterdir():
            try:
                found.append(f"{entry.name} {entry.readlink()}")
            except OSError:
                continue  # the one that listed the folder
        return sorted(found)

    return look
