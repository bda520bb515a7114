"""The report on an agent: what was seen of it, and what nobody has looked at."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from practicum.checks.catalogue import AGENT
from practicum.checks.findings import Finding, State, state_of


@dataclass(frozen=True)
class AgentReport:
    """What was found of an agent.

    Attributes:
        agent: Its address.
        checks: Codes of the checks that saw something, in the catalogue's order.
        skipped: Code of a check that saw nothing → why.
        unchecked: What nobody has looked at, in words.
        rollouts: Played with a scripted model.
        rewards: Whose rewards were compared with the score, such as ``100 recorded``.
    """

    agent: str
    findings: tuple[Finding, ...]
    checks: tuple[str, ...]
    skipped: Mapping[str, str]
    unchecked: tuple[str, ...]
    rollouts: int
    rewards: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether something was seen and nothing failed; warnings do not count."""
        return bool(self.checks) and not any(finding.severity == "fail" for finding in self.findings)

    @property
    def states(self) -> dict[str, State]:
        """How each check came out, in the catalogue's order."""
        return {code: state_of(code, self.findings, self.checks) for code in AGENT}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data, ``ok`` included."""
        return {
            "ok": self.ok,
            "agent": self.agent,
            "counts": dict(Counter(self.states.values())),
            "checks": list(self.checks),
            "skipped": dict(self.skipped),
            "unchecked": list(self.unchecked),
            "rollouts": self.rollouts,
            "rewards": self.rewards,
            "findings": [asdict(finding) for finding in self.findings],
            "seconds": round(self.seconds, 3),
        }
