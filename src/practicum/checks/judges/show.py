"""The checks of judges for people: a line for each code, then every finding with its evidence."""

from typing import TYPE_CHECKING

from practicum.checks.findings import counted, print_finding, state_line, verdict
from practicum.checks.judges.check import JudgesReport

if TYPE_CHECKING:
    from rich.console import Console


def print_judges(report: JudgesReport, console: "Console") -> None:
    """Print a report of ``check_judges``."""
    from rich.text import Text

    for code, state in report.states.items():
        console.print(state_line(code, state, report.skipped.get(code, "") if state == "skipped" else ""))
    for finding in report.findings:
        console.print()
        print_finding(finding, console)
    for note in report.allowed:
        console.print()
        console.print(Text.assemble(("allowed", "bold"), f"  {note.kind}: {note.reason} ({', '.join(note.seen)})"))
    families = len(report.families)
    console.print()
    states = report.states.values()
    tail = f": {families} families of attacks, baseline rollouts: {report.baseline}, {report.seconds:.1f} s"
    console.print(Text.assemble(verdict(report.ok, states), f"{tail}; {counted(states)}"))
