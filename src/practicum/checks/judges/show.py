"""The checks of judges for people: a line for each code, then every finding with its evidence."""

from typing import TYPE_CHECKING

from practicum.checks.findings import counted, print_finding, state_line, verdict
from practicum.checks.judges.check import JudgesReport
from practicum.display import say

if TYPE_CHECKING:
    from rich.console import Console


def print_judges(report: JudgesReport, console: "Console") -> None:
    """Print a report of ``check_judges``."""
    from rich.text import Text

    for code, state in report.states.items():
        say(console, state_line(code, state, report.skipped.get(code, "") if state == "skipped" else ""))
    for finding in report.findings:
        say(console)
        print_finding(finding, console)
    for note in report.allowed:
        say(console)
        say(console, Text.assemble(("allowed", "bold"), f"  {note.kind}: {note.reason} ({', '.join(note.seen)})"))
    families = len(report.families)
    say(console)
    states = report.states.values()
    tail = f": {families} families of attacks, baseline rollouts: {report.baseline}, {report.seconds:.1f} s"
    say(console, Text.assemble(verdict(report.ok, states), f"{tail}; {counted(states)}"))
