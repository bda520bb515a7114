"""The zoos' reports, made beside the tests that read them, and the confusion table at the end of the session."""

import ast
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

HERE = Path(__file__).parent
Confusion = Counter[tuple[str, str]]
TABLE = pytest.StashKey[Confusion]()


class Keeper:
    """Checks environments in another process; ``report`` waits for one of them."""

    def __init__(self, folder: Path, keys: Sequence[str]) -> None:
        self._reports: dict[str, dict[str, Any]] = {}
        self._said: IO[str] = (folder / "said.txt").open("w+", encoding="utf-8")
        self._out = (folder / "reports.txt").open("w+", encoding="utf-8")
        self._reading = (folder / "reports.txt").open(encoding="utf-8")
        (folder / "zoo").mkdir()
        command = [sys.executable, str(HERE / "keeper.py"), str(folder / "zoo"), *keys]
        self._process = subprocess.Popen(command, stdout=self._out, stderr=self._said, text=True)

    def report(self, key: str) -> dict[str, Any]:
        """What the check of one environment said."""
        while key not in self._reports:
            over = self._process.poll() is not None
            self._read()
            if over and key not in self._reports:
                said = Path(self._said.name).read_text(encoding="utf-8")
                pytest.fail(f"the keeper ended before it came to {key}:\n{said[-4000:]}")
            time.sleep(0.05)
        return self._reports[key]

    def close(self) -> None:
        """End it, if it has not ended."""
        self._process.terminate()
        self._process.wait()
        for file in (self._said, self._out, self._reading):
            file.close()

    def _read(self) -> None:
        for line in iter(self._reading.readline, ""):
            if line.endswith("\n"):
                report = ast.literal_eval(line)
                self._reports[report["key"]] = report
            else:
                self._reading.seek(self._reading.tell() - len(line.encode()))
                return


@pytest.fixture(scope="session")
def keeper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    """Checks what this session's tests ask for. Begins with the first of them."""
    asked = [getattr(item, "callspec", None) for item in request.session.items if "keeper" in item.fixturenames]
    made = Keeper(tmp_path_factory.mktemp("keeper"), [each.params["each"].key for each in asked if each is not None])
    yield made
    made.close()


@pytest.fixture(scope="session")
def confusion(pytestconfig: pytest.Config) -> Confusion:
    """(planted code, found code) → environments."""
    return pytestconfig.stash.setdefault(TABLE, Counter())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    table = terminalreporter.config.stash.get(TABLE, Counter())
    if not table:
        return
    planted, found = ({pair[side] for pair in table} for side in (0, 1))
    columns = sorted(planted | found)
    terminalreporter.section("planted faults (rows) and what practicum check found")
    terminalreporter.write_line(" " * 16 + " ".join(f"{code.removeprefix('ENV-'):>10}" for code in columns))
    for row in sorted(planted):
        counts = " ".join(f"{table[row, code] or '·':>10}" for code in columns)
        terminalreporter.write_line(f"{row:<16}{counts}")
