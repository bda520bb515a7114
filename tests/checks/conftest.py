"""The fault zoo in a folder of its own, and the confusion table at the end of the session."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

Confusion = Counter[tuple[str, str]]
TABLE = pytest.StashKey[Confusion]()


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies, for some of the faults write beside their own file."""
    folder = tmp_path_factory.mktemp("zoo")
    for name in ("zoo.py", "sound.py"):
        shutil.copy(Path(__file__).with_name(name), folder)
    return folder


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
