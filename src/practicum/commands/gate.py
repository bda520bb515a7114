"""The gate before training: a passed check of exactly this environment, or a reason that stands in the ledger."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import practicum
from practicum.checks.certificate import Certificate, CheckSubject, objection, subject_of
from practicum.checks.findings import AgentReport, JudgesReport, Report
from practicum.digests import digest
from practicum.environment.target import UNCHECKED, AgentsOwn, EnvironmentTarget
from practicum.errors import LedgerError, RunError
from practicum.recipe import BUILTIN, Recipe
from practicum.runs.code_digest import digest_object
from practicum.runs.versions import read_certificates, write_certificate
from practicum.scoring import Judge

LIMITS = ("success_threshold", "max_turns", "sampling_max_tokens", "max_sequence_length", "global_batch_size")
"""Recipe keys that decide what is found of score, reward, budget and data."""


@dataclass(frozen=True)
class Passed:
    """Why training may begin: a certificate, or a reason to do without one."""

    certificate: Certificate | None
    file: Path | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The data of the ledger's ``check`` event."""
        if self.certificate is None:
            return {"without_gate": self.reason}
        return {"certificate": self.certificate.digest, "file": str(self.file or ""), **self.certificate.to_dict()}


def certify(
    runs: Path,
    target: EnvironmentTarget,
    report: Report,
    *,
    asked: int,
    recipe: Recipe | None = None,
    judges: JudgesReport | None = None,
    production: Path | None = None,
    agent: AgentReport | None = None,
) -> Passed:
    """Write the certificate of a check, passed or failed, into the book beside ``runs``.

    Raises:
        LedgerError: it cannot be written, or the score's source cannot be read.
    """
    subject = _subject(target, recipe, production)
    judged = judges.to_dict() if judges is not None else None
    played = agent.to_dict() if agent is not None else None
    certificate = Certificate.of(
        report, subject, asked=asked, practicum=practicum.__version__, judges=judged, agent=played
    )
    path = write_certificate(runs, report.environment.digest, subject.key, certificate.to_dict())
    return Passed(certificate, path)


def require_certificate(
    runs: Sequence[Path],
    target: EnvironmentTarget,
    recipe: Recipe,
    *,
    command: str,
    without_gate: str | None = None,
) -> Passed:
    """A valid certificate for what is to be trained in; an environment that only the agent server has needs none.

    Args:
        runs: Folders of runs in whose books it may stand.
        target: What is to be trained in.
        recipe: With which limits.
        command: The check that would certify it.
        without_gate: A reason to do without; it goes into the ledger.

    Raises:
        RunError: there is none, or the reason is empty; naming why each that was found does not count.
    """
    if without_gate is not None:
        if not without_gate.strip():
            raise RunError("--without-gate needs a reason", fix='--without-gate "why this may be trained unchecked"')
        return Passed(None, reason=without_gate.strip())
    if target.environment is AgentsOwn:
        return Passed(None, reason=UNCHECKED)
    environment = target.make()
    subject = _subject(target, recipe)
    objections = []
    for path, content in _certificates(runs, environment.digest):
        try:
            certificate = Certificate.from_dict(content)
        except LedgerError as error:
            objections.append(f"{path}: {error.what}")
            continue
        doubt = objection(certificate, environment.digest, subject)
        if not doubt:
            return Passed(certificate, path)
        objections.append(f"{path}: {doubt}")
    raise RunError(
        f"environment {environment.id} {environment.version} ({environment.digest[:12]}) has no valid certificate"
        + "".join(f"\n  {text}" for text in objections),
        where=target.name,
        fix=f'run: {command}; or train unchecked with --without-gate "reason", which goes into the ledger',
    )


def _certificates(runs: Sequence[Path], environment: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for folder in dict.fromkeys(path.absolute() for path in runs):
        yield from read_certificates(folder, environment)


def _subject(target: EnvironmentTarget, recipe: Recipe | None, production: Path | None = None) -> CheckSubject:
    def named(judge: Judge | None) -> str:
        return "" if judge is None else digest_object(judge)

    limits = "" if recipe is None else digest([getattr(recipe, key) for key in LIMITS])
    agent = "" if recipe is None or recipe.agent == BUILTIN else recipe.agent
    return subject_of(target, named(target.score), named(target.reward), limits, production, agent)
