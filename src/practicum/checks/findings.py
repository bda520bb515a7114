"""One finding type and one verdict for every check, of environments, judges and agents; for people, or as JSON."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from practicum.checks.catalogue import AGENT, CHECKS, EVERY, NOT_ASKED, Severity
from practicum.digests import digest
from practicum.display import say, visible
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


State = Literal["ok", "warn", "fail", "skipped", "explained"]
"""How a check came out. A skipped one saw nothing; an explained one saw nothing but another's consequences."""


def state_of(code: str, findings: Iterable[Finding], ran: Collection[str], explained: Collection[str] = ()) -> State:
    """How one check came out."""
    severities = {finding.severity for finding in findings if finding.code == code}
    if severities:
        return "fail" if "fail" in severities else "warn"
    if code in explained:
        return "explained"
    return "ok" if code in ran else "skipped"


def counted(states: Iterable[State]) -> str:
    """States in words: ``11 ok, 1 warn, 2 skipped``; those of which there is none are left out, but for ``ok``."""
    number = Counter(states)
    order: tuple[State, ...] = ("ok", "warn", "fail", "explained", "skipped")
    return ", ".join(f"{number[state]} {state}" for state in order if number[state] or state == "ok")


@dataclass(frozen=True)
class RecordedCalls:
    """What a recorded run gave to play: rollouts of this environment's tasks, those that call a tool, those played."""

    run: str
    rollouts: int
    calling: int
    played: int

    def __str__(self) -> str:
        if not self.calling:
            return f"{self.run}: none of {self.rollouts} recorded rollouts calls a tool: there is nothing of it to play"
        return f"{self.run}: {self.calling} of {self.rollouts} recorded rollouts call a tool; {self.played} were played"


class Verdict:
    """What every report says of its checks: how each came out, and why one has no result.

    Attributes:
        findings: In the catalogue's order.
        checks: Codes of the checks that saw something, in the catalogue's order.
        skipped: Code of a check that saw nothing → why.
    """

    findings: tuple[Finding, ...]
    checks: tuple[str, ...]
    skipped: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether something was seen and nothing failed; warnings do not count."""
        return bool(self.checks) and not any(finding.severity == "fail" for finding in self.findings)

    @property
    def codes(self) -> frozenset[str]:
        """Codes of all findings."""
        return frozenset(finding.code for finding in self.findings)

    @property
    def catalogue(self) -> Iterable[str]:
        """Codes of the checks that this report is about, in order."""
        raise NotImplementedError

    @property
    def states(self) -> dict[str, State]:
        """How each check came out, in the catalogue's order."""
        return {code: self.state(code) for code in self.catalogue}

    def state(self, code: str) -> State:
        """How a check came out."""
        return state_of(code, self.findings, self.checks)

    def why_not(self, code: str) -> str:
        """Why a check has no result; empty where it has one."""
        return self.skipped.get(code, "")

    def _verdict(self) -> dict[str, Any]:
        """What every report writes, as plain JSON-able data."""
        return {
            "ok": self.ok,
            "counts": dict(Counter(self.states.values())),
            "checks": list(self.checks),
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass(frozen=True)
class Report(Verdict):
    """What all checks found of one environment.

    Attributes:
        target: What was checked, as the user named it.
        checks: Codes of the checks that saw something, in order.
        tasks: Tasks played per split.
        episodes: Scripts of actions played; each check plays them its own way.
        seconds: Wall time; not part of the digest.
        repetitions: How often the threads were let loose on each other.
        allowed: What may be touched, and why.
        explained: Code of a check that saw differences → code of the finding that explains them.
        skipped: Code of a check that saw nothing → why.
        recorded: What a recorded run gave to play; None where none was named.
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
    skipped: Mapping[str, str] = field(default_factory=dict)
    recorded: RecordedCalls | None = None

    @property
    def catalogue(self) -> Iterable[str]:
        """All checks of environments."""
        return CHECKS

    def state(self, code: str) -> State:
        """How a check came out."""
        return state_of(code, self.findings, self.checks, self.explained)

    def why_not(self, code: str) -> str:
        """Why a check has no result; empty where it has one."""
        state = self.state(code)
        if state == "explained":
            return f"differences that {self.explained[code]} explains: mend that first"
        return self.skipped.get(code) or NOT_ASKED.get(code, "could not be checked") if state == "skipped" else ""

    @property
    def digest(self) -> str:
        """SHA-256 over everything but the time it took."""
        return digest(self._content())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data, ``ok`` and ``digest`` included."""
        seconds = round(self.seconds, 3)
        return {**self._content(), **self._verdict(), "seconds": seconds, "digest": self.digest}

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
            "skipped": {code: self.why_not(code) for code, state in self.states.items() if state == "skipped"},
            "recorded": None if self.recorded is None else asdict(self.recorded),
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass(frozen=True)
class JudgesReport(Verdict):
    """What the checks of judges found.

    Attributes:
        allowed: What would be a finding, but for a documented reason.
        families: Families of attacks that applied.
        baseline: What the baseline rollouts are, such as ``100 made``.
    """

    findings: tuple[Finding, ...]
    allowed: tuple[Note, ...]
    checks: tuple[str, ...]
    families: tuple[str, ...]
    baseline: str
    seconds: float
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def catalogue(self) -> Iterable[str]:
        """The checks that were asked: without a reward, for one, there are fewer."""
        asked = {*self.checks, *self.skipped, *self.codes}
        return [code for code in EVERY if code in asked]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data, ``ok`` included."""
        return {
            **self._verdict(),
            "families": list(self.families),
            "baseline": self.baseline,
            "allowed": [asdict(note) for note in self.allowed],
            "skipped": dict(self.skipped),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class AgentReport(Verdict):
    """What was found of an agent.

    Attributes:
        agent: Its address.
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
    def catalogue(self) -> Iterable[str]:
        """All checks of agents."""
        return AGENT

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data, ``ok`` included."""
        return {
            **self._verdict(),
            "agent": self.agent,
            "skipped": dict(self.skipped),
            "unchecked": list(self.unchecked),
            "rollouts": self.rollouts,
            "rewards": self.rewards,
            "seconds": round(self.seconds, 3),
        }


def print_report(report: Report, console: "Console") -> None:
    """The report for people: one line a check, then every finding with its evidence."""
    from rich.text import Text

    ref = report.environment
    say(console, Text.assemble((f"{ref.id} {ref.version}", "bold"), f"  {report.target}  {ref.digest[:12]}"))
    _print_results(report, console)
    for note in report.allowed:
        say(console)
        _print_note(note, console)
    played = ", ".join(f"{count} {split}" for split, count in report.tasks.items())
    tail = f": {report.episodes} episodes of {played or 'no'} tasks, {report.seconds:.1f} s"
    say(console)
    if report.recorded is not None:
        say(console, Text(f"recorded: {report.recorded}", overflow="fold"))
    say(console, _verdict_line(report, tail))


def print_judges(report: JudgesReport, console: "Console") -> None:
    """The report of ``check_judges`` for people."""
    from rich.text import Text

    _print_results(report, console)
    for note in report.allowed:
        say(console)
        say(console, Text.assemble(("allowed", "bold"), f"  {note.kind}: {note.reason} ({', '.join(note.seen)})"))
    families = len(report.families)
    say(console)
    tail = f": {families} families of attacks, baseline rollouts: {report.baseline}, {report.seconds:.1f} s"
    say(console, _verdict_line(report, tail))


def print_agent(report: AgentReport, console: "Console") -> None:
    """The report of ``check_agent`` for people, with what nobody has looked at."""
    from rich.text import Text

    _print_results(report, console)
    say(console)
    for gap in report.unchecked:
        say(console, Text.assemble(("not checked", "bold yellow"), f"  {gap}", overflow="fold"))
    say(console)
    tail = f": {report.rollouts} rollouts with a scripted model, rewards: {report.rewards}, {report.seconds:.1f} s"
    say(console, _verdict_line(report, tail))


def _print_results(report: Verdict, console: "Console") -> None:
    """A line for each check, then every finding with its evidence."""
    for code, state in report.states.items():
        say(console, state_line(code, state, report.why_not(code)))
    for finding in report.findings:
        say(console)
        print_finding(finding, console)


def _verdict_line(report: Verdict, tail: str) -> Any:
    """The last line of a report: its verdict, what was looked at, and its checks by state."""
    from rich.text import Text

    return Text.assemble(verdict(report.ok, report.states.values()), f"{tail}; {counted(report.states.values())}")


def verdict(ok: bool, states: Iterable[State]) -> tuple[str, str]:
    """A report's verdict and its style."""
    if ok:
        return "passed", "bold green"
    return ("failed", "bold red") if "fail" in states else ("nothing was checked", "bold yellow")


def state_line(code: str, state: State, why_not: str) -> Any:
    """One check as a line of text: its state, its code, what it asks, and why it has no result."""
    from rich.text import Text

    colour = {"fail": "red", "warn": "yellow", "ok": "green"}.get(state, "dim")
    word = {"explained": "–", "skipped": "skip"}.get(state, state)
    title = EVERY[code].title + (f" ({why_not})" if why_not else "")
    return Text.assemble("  ", (f"{word:<4}", colour), f"  {code:<18} {title}")


def _print_note(note: Note, console: "Console") -> None:
    from rich.text import Text

    lines = note.seen or ("not touched",)
    say(console, Text.assemble(("allowed", "bold"), f"  {note.kind}: {note.reason}"))
    for line in lines:
        say(console, Text(f"  {line}", overflow="fold"))


def print_finding(finding: Finding, console: "Console") -> None:
    """One finding with its place, its evidence, why it matters and what to do."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    colour = "red" if finding.severity == "fail" else "yellow"
    say(console, Text.assemble((finding.code, f"bold {colour}"), f"  {finding.what}"))
    facts = Table.grid(padding=(0, 2))
    if finding.where:
        facts.add_row("where", Text(visible(finding.where), overflow="fold"))
    if finding.difference:
        evidence = Text(overflow="fold")
        for line in visible(finding.difference).splitlines():
            evidence.append(f"{line}\n", style={"-": "red", "+": "green"}.get(line[:1], ""))
        evidence.rstrip()
        facts.add_row("shown", evidence)
    facts.add_row("why", Text(visible(finding.why)))
    facts.add_row("what to do", Text(visible(finding.fix)))
    say(console, Padding(facts, (0, 0, 0, 2)))
