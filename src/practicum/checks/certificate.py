"""The certificate: what a check came to, with everything it rests on, under a digest of its own.

The digest shows that a certificate was edited. It is no signature: whoever can write the file can write another one
with another digest. Proof against that is the run's ledger, which holds the whole certificate in its chain of hashes.
"""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from practicum.checks import catalogue
from practicum.checks.catalogue import REPETITIONS, TASKS_PER_SPLIT
from practicum.checks.fidelity import production_file
from practicum.checks.findings import Report
from practicum.digests import digest, digest_file
from practicum.environment.target import EnvironmentTarget, Reading
from practicum.errors import LedgerError

FORMAT = 1


@dataclass(frozen=True)
class CheckSubject:
    """What was checked beside the environment itself; digests are SHA-256 in hex.

    Attributes:
        score: Of the score that judged the oracle.
        reward: Of the reward that is trained with; the score's where there is no other.
        limits: Of the recipe's limits that score and budget were checked with; empty without a recipe.
        datasets: Of the files that stand in for the environment's own splits.
        production: Of the schema file it was compared with; empty where there is none.
        named: Whether that file was named, rather than found beside the environment.
        agent: Address of the agent; empty for the built-in one.
    """

    score: str = ""
    reward: str = ""
    limits: str = ""
    datasets: Mapping[str, str] | None = None
    production: str = ""
    named: bool = False
    agent: str = ""

    @property
    def key(self) -> str:
        """A short digest of what a training run has to have in common with the check."""
        agent = [self.agent] if self.agent else []
        return digest([self.score, self.reward, self.limits, dict(self.datasets or {}), *agent])[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data; without an agent, what it was before there were checks of agents."""
        values = asdict(self)
        return values if self.agent else {name: value for name, value in values.items() if name != "agent"}


@dataclass(frozen=True)
class Certificate:
    """One check of one environment.

    Attributes:
        report: ``Report.to_dict()``: checks, findings, what was allowed and why, tasks, episodes, seed, repetitions.
        catalogue: Version of the checks.
        judges: ``JudgesReport.to_dict()``: what was found of score, reward, budget and data; None where nobody looked.
        agent: ``AgentReport.to_dict()``: what was found of an agent behind HTTP; None where nobody looked.
        asked: Tasks per split that were to be played.
        practicum, python, platform, date: What it was made with, where and when (ISO 8601, UTC).
        digest: Of everything else.
    """

    report: Mapping[str, Any]
    subject: CheckSubject
    catalogue: str
    asked: int
    practicum: str
    python: str
    platform: str
    date: str
    judges: Mapping[str, Any] | None = None
    agent: Mapping[str, Any] | None = None
    digest: str = ""
    format: int = FORMAT

    @classmethod
    def of(
        cls,
        report: Report,
        subject: CheckSubject,
        *,
        asked: int,
        practicum: str,
        judges: Mapping[str, Any] | None = None,
        agent: Mapping[str, Any] | None = None,
    ) -> "Certificate":
        """The certificate of a check that was carried out just now."""
        certificate = cls(
            report=report.to_dict(),
            subject=subject,
            judges=judges,
            agent=agent,
            catalogue=catalogue.VERSION,
            asked=asked,
            practicum=practicum,
            python=platform.python_version(),
            platform=platform.platform(),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return cls(**{**certificate._values(), "digest": certificate.true_digest})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Certificate":
        """Read one back, whatever its digest.

        Raises:
            LedgerError: it is no certificate.
        """
        try:
            certificate = cls(**{**values, "subject": CheckSubject(**values["subject"])})
            str(certificate.report["ok"]), str(certificate.environment["digest"])
        except (TypeError, KeyError) as error:
            allowed = "an object with " + ", ".join(field.name for field in fields(cls))
            raise LedgerError(f"not a certificate: {error}", allowed=allowed) from error
        return certificate

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data."""
        values = {**self._values(), "subject": self.subject.to_dict()}
        if self.agent is None:
            del values["agent"]
        return values

    @property
    def environment(self) -> Mapping[str, str]:
        """Id, version and digest of what was checked."""
        found: Mapping[str, str] = self.report["environment"]
        return found

    @property
    def ok(self) -> bool:
        """Whether the check passed."""
        return self.report["ok"] is True

    @property
    def true_digest(self) -> str:
        """The digest that belongs to the content as it stands."""
        content = self.to_dict()
        del content["digest"]
        return digest(content)

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def subject_of(
    target: EnvironmentTarget,
    score: str,
    reward: str = "",
    limits: str = "",
    production: Path | None = None,
    agent: str = "",
) -> CheckSubject:
    """What a target is checked with beside its environment. ``score``, ``reward``, ``limits``: their digests."""
    datasets = {split: _dataset_digest(path, target.reading) for split, path in target.datasets.items()}
    file = production_file(target.home, production)
    schemas = digest_file(file) if file else ""
    return CheckSubject(score, reward or score, limits, datasets, schemas, production is not None, agent)


def _dataset_digest(path: Path, reading: Reading) -> str:
    """Of the file, and of how it is read where that is not as usual."""
    content = digest_file(path)
    return content if reading == Reading() else digest([content, asdict(reading)])


def objection(certificate: Certificate, environment: str, subject: CheckSubject) -> str:
    """Why a certificate does not allow training; empty where it does.

    Args:
        certificate: One that was found.
        environment: Digest of the environment to be trained in.
        subject: What it is to be trained with.
    """
    return next(_objections(certificate, environment, subject), "")


def _objections(certificate: Certificate, environment: str, subject: CheckSubject) -> Iterator[str]:
    checked, report = certificate.subject, certificate.report
    if certificate.digest != certificate.true_digest:
        yield "it was edited: its content does not have the digest that stands in it"
    if certificate.format != FORMAT or certificate.catalogue != catalogue.VERSION:
        yield f"it was made by other checks: catalogue {certificate.catalogue}, now {catalogue.VERSION}"
    if certificate.environment["digest"] != environment:
        yield f"it is of another environment, {certificate.environment['digest'][:12]}"
    if not certificate.ok:
        yield f"the check failed: {_failed(report) or 'without a finding'}"
    if certificate.asked < TASKS_PER_SPLIT or report["repetitions"] < REPETITIONS:
        yield (
            f"it looked less closely than a check does by default: {certificate.asked} tasks of each split, "
            f"{report['repetitions']} repetitions, instead of {TASKS_PER_SPLIT} and {REPETITIONS}"
        )
    if certificate.judges is not None and checked.key != subject.key:
        parts = {
            "score": "score",
            "reward": "reward",
            "limits": "success_threshold, batch, turns or token limit",
            "agent": "agent",
        }
        other = (said for name, said in parts.items() if getattr(checked, name) != getattr(subject, name))
        yield f"it was made with another {next(other, 'dataset')}"
    if certificate.judges is None:
        yield "it says nothing of score, reward, budget and data, which the check of a recipe looks at"
    elif certificate.judges["ok"] is not True:
        yield f"score, reward, budget or data failed: {_failed(certificate.judges)}"
    if subject.agent and certificate.agent is None:
        yield "it says nothing of the agent, which the check of a recipe with one looks at"
    elif subject.agent and certificate.agent is not None and certificate.agent["ok"] is not True:
        yield f"the agent failed: {_failed(certificate.agent) or 'nothing of it was seen'}"
    if not checked.named and checked.production != subject.production:
        yield "production's schema file beside the environment has changed since"


def _failed(report: Mapping[str, Any]) -> str:
    failed = [finding["code"] for finding in report["findings"] if finding["severity"] == "fail"]
    return ", ".join(dict.fromkeys(failed))
