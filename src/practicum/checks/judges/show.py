"""The checks of judges for people: a line for each code, then every finding with its evidence."""

from typing import TYPE_CHECKING

from practicum.checks.catalogue import CHECKS, EVERY, NOT_ASKED
from practicum.checks.judges.check import JudgesReport

if TYPE_CHECKING:
    from rich.console import Console


def print_judges(report: JudgesReport, console: "Console") -> None:
    """Print a report of ``check_judges``."""
    from rich.text import Text

    colours = {"fail": "red", "warn": "yellow", "ok": "green"}
    for code in EVERY:
        ran = code in report.checks
        if code in CHECKS or not (ran or code in NOT_ASKED):
            continue
        severities = {finding.severity for finding in report.findings if finding.code == code}
        worst = "fail" if "fail" in severities else "warn" if severities else "ok" if ran else "–"
        title = EVERY[code].title + ("" if ran else f" ({NOT_ASKED[code]})")
        line = ("  ", (f"{worst:<4}", colours.get(worst, "dim")), f"  {code:<18} {title}")
        console.print(Text.assemble(*line))
    for finding in report.findings:
        console.print()
        console.print(Text.assemble((finding.code, f"bold {colours[finding.severity]}"), f"  {finding.what}"))
        facts = (
            ("where", finding.where),
            ("shown", finding.difference),
            ("why", finding.why),
            ("what to do", finding.fix),
        )
        for name, fact in facts:
            for number, line_ in enumerate(fact.splitlines()):
                console.print(Text(f"  {name if number == 0 else '':<12}{line_}", overflow="fold"))
    for note in report.allowed:
        console.print()
        console.print(Text.assemble(("allowed", "bold"), f"  {note.kind}: {note.reason} ({', '.join(note.seen)})"))
    families = len(report.families)
    console.print()
    verdict = ("passed", "bold green") if report.ok else ("failed", "bold red")
    console.print(
        Text.assemble(
            verdict, f": {families} families of attacks, baseline rollouts: {report.baseline}, {report.seconds:.1f} s"
        )
    )
