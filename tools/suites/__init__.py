"""Generators of the recorded fixtures of the suites that ship. Seeded; running one again writes the same bytes.

python -m tools.suites.support_desk
python -m tools.suites.warehouse
python -m tools.suites.sql_analyst
python -m tools.suites.code_repair.generate
"""

from pathlib import Path

import practicum


def fixtures_of(suite: str) -> Path:
    """The folder of a suite's fixtures."""
    return Path(practicum.__file__).parent / "suites" / suite / "fixtures"
