"""One finding type and one report for every check; printed for people, or as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from practicum.checks.catalogue import CHECKS, EVERY, NOT_ASKED, Severity
from practicum.digests import digest
from practicum.trajectory import EnvironmentRef

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Finding:
    """Something a check found.

    ``where`` is ``file:line`` when known, ``difference`` the evidence (several lines, often a unified diff).
    """

    code: str
    severity: Severity
    what: str
    where: str = ""
    difference: str = ""
    why: str = ""
    fix: str = ""

    @classmethod
    def of(
        cls,
        code: str,
        what: str,
        *,
        where: str = "",
        difference: str = "",
        severity: Severity = "fail",
        fix: str = "",
    ) -> "Finding":
        """A finding with its check's reason and, unless ``fix`` is given, its check's advice."""
        check = EVERY[code]
        return cls(code, severity, what, where, difference, check.why, fix or check.fix)


@dataclass(frozen=True)
class Note:
    """Something that would be a finding, was it not allowed: its kind, why it is, and where it happened."""

    kind: str
    reason: str
    seen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What all checks found of one environment.

    Attributes:
        target: What was checked, as the user named it.
        checks: Codes of the checks that ran, in order.
        tasks: Tasks played per split.
        episodes: Scripts of actions played; each check plays them its own way.
        seconds: Wall time; not part of the digest.
        repetitions: How often the threads were let loose on each other.
        allowed: What may be touched, and why.
        explained: Code of a check that saw differences → code of the finding that explains them.
    """

    target: str
    environment: EnvironmentRef
    checks: tuple[str, ...]
    tasks: Mapping[str, int]
    episodes: int
    seed: int
    findings: tuple[Finding, ...]
    seconds: float
    repetitions: int = 0
    allowed: tuple[Note, ...] = ()
    explained: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing failed; warnings do not count."""
        return not any(finding.severity == "fail" for finding in self.findings)

    @property
    def codes(self) -> frozenset[str]:
        """Codes of all findings."""
        return frozenset(finding.code for finding in self.findings)

    @property
    def digest(self) -> str:
        """SHA-256 over everything but the time it took."""
        return digest(self._content())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data, ``ok`` and ``digest`` included."""
        return {**self._content(), "ok": self.ok, "seconds": round(self.seconds, 3), "digest": self.digest}

    def _content(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "environment": asdict(self.environment),
            "checks": list(self.checks),
            "tasks": dict(self.tasks),
            "episodes": self.episodes,
            "seed": self.seed,
            "repetitions": self.repetitions,
            "allowed": [asdict(note) for note in self.allowed],
            "explained": dict(self.explained),
            "findings": [asdict(finding) for finding in self.findings],
        }


def print_report(report: Report, console: "Console") -> None:
    """The report for people: one line a check, then every finding with its evidence."""
    from rich.text import Text

    ref = report.environment
    console.print(Text.assemble((f"{ref.id} {ref.version}", "bold"), f"  {report.target}  {ref.digest[:12]}"))
    for code in CHECKS:
        found = [finding for finding in report.findings if finding.code == code]
        console.print(_line(code, found, report))
    for finding in report.findings:
        console.print()
        _print(finding, console)
    for note in report.allowed:
        console.print()
        _print_note(note, console)
    played = ", ".join(f"{count} {split}" for split, count in report.tasks.items())
    verdict = ("passed", "bold green") if report.ok else ("failed", "bold red")
    tail = f": {report.episodes} episodes of {played or 'no'} tasks, {report.seconds:.1f} s"
    console.print()
    console.print(Text.assemble(verdict, tail))


def _line(code: str, found: list[Finding], report: Report) -> Any:
    from rich.text import Text

    ran, by = code in report.checks, report.explained.get(code, "")
    severities = {finding.severity for finding in found}
    worst = "fail" if "fail" in severities else "warn" if severities else "ok" if ran and not by else "–"
    colour = {"fail": "red", "warn": "yellow", "ok": "green"}.get(worst, "dim")
    title = CHECKS[code].title
    if not ran:
        title += f" ({NOT_ASKED.get(code, 'could not be checked')})"
    elif by and not found:
        title += f" (differences that {by} explains: mend that first)"
    return Text.assemble("  ", (f"{worst:<4}", colour), f"  {code:<15} {title}")


def _print_note(note: Note, console: "Console") -> None:
    from rich.text import Text

    lines = note.seen or ("not touched",)
    console.print(Text.assemble(("allowed", "bold"), f"  {note.kind}: {note.reason}"))
    for line in lines:
        console.print(Text(f"  {line}", overflow="fold"))


def _print(finding: Finding, console: "Console") -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    colour = "red" if finding.severity == "fail" else "yellow"
    console.print(Text.assemble((finding.code, f"bold {colour}"), f"  {finding.what}"))
    facts = Table.grid(padding=(0, 2))
    if finding.where:
        facts.add_row("where", Text(finding.where, overflow="fold"))
    if finding.difference:
        evidence = Text(overflow="fold")
        for line in finding.difference.splitlines():
            evidence.append(f"{line}\n", style={"-": "red", "+": "green"}.get(line[:1], ""))
        evidence.rstrip()
        facts.add_row("shown", evidence)
    facts.add_row("why", Text(finding.why))
    facts.add_row("what to do", Text(finding.fix))
    console.print(Padding(facts, (0, 0, 0, 2)))
