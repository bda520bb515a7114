"""The checks of judges for people: a line for each code, then every finding with its evidence."""

from typing import TYPE_CHECKING

from practicum.checks.findings import print_results, verdict_line
from practicum.checks.scores.check_judges import JudgesReport
from practicum.display import say

if TYPE_CHECKING:
    from rich.console import Console


def print_judges(report: JudgesReport, console: "Console") -> None:
    """Print a report of ``check_judges``."""
    from rich.text import Text

    print_results(report.states, lambda code: report.skipped.get(code, ""), report.findings, console)
    for note in report.allowed:
        say(console)
        say(console, Text.assemble(("allowed", "bold"), f"  {note.kind}: {note.reason} ({', '.join(note.seen)})"))
    families = len(report.families)
    say(console)
    tail = f": {families} families of attacks, baseline rollouts: {report.baseline}, {report.seconds:.1f} s"
    say(console, verdict_line(report.ok, report.states.values(), tail))
