"""The checks of an agent for people: a line for each code, every finding, and what nobody has looked at."""

from typing import TYPE_CHECKING

from practicum.checks.agent.report import AgentReport
from practicum.checks.findings import print_results, verdict_line

if TYPE_CHECKING:
    from rich.console import Console


def print_agent(report: AgentReport, console: "Console") -> None:
    """Print a report of ``check_agent``."""
    from rich.text import Text

    print_results(report.states, lambda code: report.skipped.get(code, ""), report.findings, console)
    console.print()
    for what in report.unchecked:
        console.print(Text.assemble(("not checked", "bold yellow"), f"  {what}", overflow="fold"))
    console.print()
    tail = f": {report.rollouts} rollouts with a scripted model, rewards: {report.rewards}, {report.seconds:.1f} s"
    console.print(verdict_line(report.ok, report.states.values(), tail))
