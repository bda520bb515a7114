"""Checks: what an environment, its judges and its agent must show before anything is trained.

>>> from practicum.checks import run_checks
>>> from practicum.environment.target import resolve_target
>>> run_checks(resolve_target("support_desk")).ok
True
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from practicum.checks.agent.check_agent import check_agent
    from practicum.checks.agent.rehearsal import require_agent
    from practicum.checks.catalogue import AGENT, CHECKS, EVERY, REPETITIONS, TASKS_PER_SPLIT, Check
    from practicum.checks.certificate import Certificate, CheckSubject, objection, subject_of
    from practicum.checks.changed_files import environments_of
    from practicum.checks.environment import run_checks
    from practicum.checks.findings import (
        AgentReport,
        Finding,
        JudgesReport,
        Note,
        Report,
        State,
        counted,
        print_agent,
        print_judges,
        print_report,
    )
    from practicum.checks.processes.client import Nursery
    from practicum.checks.scores.check_judges import check_judges
    from practicum.checks.scores.evidence import read_recorded

_HOMES = {
    "agent.check_agent": "check_agent",
    "agent.rehearsal": "require_agent",
    "catalogue": "AGENT CHECKS EVERY REPETITIONS TASKS_PER_SPLIT Check",
    "certificate": "Certificate CheckSubject objection subject_of",
    "changed_files": "environments_of",
    "environment": "run_checks",
    "findings": ("AgentReport Finding JudgesReport Note Report State counted print_agent print_judges print_report"),
    "processes.client": "Nursery",
    "scores.check_judges": "check_judges",
    "scores.evidence": "read_recorded",
}

__all__ = [
    "AGENT",
    "CHECKS",
    "EVERY",
    "REPETITIONS",
    "TASKS_PER_SPLIT",
    "AgentReport",
    "Certificate",
    "Check",
    "CheckSubject",
    "Finding",
    "JudgesReport",
    "Note",
    "Nursery",
    "Report",
    "State",
    "check_agent",
    "check_judges",
    "counted",
    "environments_of",
    "objection",
    "print_agent",
    "print_judges",
    "print_report",
    "read_recorded",
    "require_agent",
    "run_checks",
    "subject_of",
]


def __getattr__(name: str) -> Any:
    """What is asked for, from where it is: the processes that play an environment load none of the rest."""
    home = next((module for module, names in _HOMES.items() if name in names.split()), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
