"""The confusion table of planted scores and rewards, at the end of the session."""

from collections import Counter

import pytest

Confusion = Counter[tuple[str, str]]
TABLE = pytest.StashKey[Confusion]()


@pytest.fixture(scope="session")
def judged(pytestconfig: pytest.Config) -> Confusion:
    """(planted fault and its code, found code) → how often."""
    return pytestconfig.stash.setdefault(TABLE, Counter())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    table = terminalreporter.config.stash.get(TABLE, Counter())
    if not table:
        return
    terminalreporter.section("planted scores and rewards, and what practicum check found")
    for planted in sorted({row for row, _ in table}):
        found = sorted(code for row, code in table if row == planted)
        terminalreporter.write_line(f"{planted:<52} {', '.join(found)}")
