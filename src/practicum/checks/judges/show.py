"""The checks of judges for people: a line for each code, then every finding with its evidence."""

from typing import TYPE_CHECKING

from practicum.checks.findings import counted, state_line, verdict
from practicum.checks.judges.check import JudgesReport

if TYPE_CHECKING:
    from rich.console import Console


def print_judges(report: JudgesReport, console: "Console") -> None:
    """Print a report of ``check_judges``."""
    from rich.text import Text

    colours = {"fail": "red", "warn": "yellow"}
    for code, state in report.states.items():
        console.print(state_line(code, state, report.skipped.get(code, "") if state == "skipped" else ""))
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
    states = report.states.values()
    tail = f": {families} families of attacks, baseline rollouts: {report.baseline}, {report.seconds:.1f} s"
    console.print(Text.assemble(verdict(report.ok, states), f"{tail}; {counted(states)}"))
