"""The checks of an agent for people: a line for each code, every finding, and what nobody has looked at."""

from typing import TYPE_CHECKING

from practicum.checks.agent.report import AgentReport
from practicum.checks.findings import print_results, verdict_line
from practicum.display import say

if TYPE_CHECKING:
    from rich.console import Console


def print_agent(report: AgentReport, console: "Console") -> None:
    """Print a report of ``check_agent``."""
    from rich.text import Text

    print_results(report.states, lambda code: report.skipped.get(code, ""), report.findings, console)
    say(console)
    for what in report.unchecked:
        say(console, Text.assemble(("not checked", "bold yellow"), f"  {what}", overflow="fold"))
    say(console)
    tail = f": {report.rollouts} rollouts with a scripted model, rewards: {report.rewards}, {report.seconds:.1f} s"
    say(console, verdict_line(report.ok, report.states.values(), tail))
