"""The checks of an agent for people: a line for each code, every finding, and what nobody has looked at."""

from typing import TYPE_CHECKING

from practicum.checks.agent.report import AgentReport
from practicum.checks.findings import counted, print_finding, state_line, verdict
from practicum.display import say

if TYPE_CHECKING:
    from rich.console import Console


def print_agent(report: AgentReport, console: "Console") -> None:
    """Print a report of ``check_agent``."""
    from rich.text import Text

    for code, state in report.states.items():
        say(console, state_line(code, state, report.skipped.get(code, "") if state == "skipped" else ""))
    for finding in report.findings:
        say(console)
        print_finding(finding, console)
    say(console)
    for what in report.unchecked:
        say(console, Text.assemble(("not checked", "bold yellow"), f"  {what}", overflow="fold"))
    say(console)
    states = report.states.values()
    tail = f": {report.rollouts} rollouts with a scripted model, rewards: {report.rewards}, {report.seconds:.1f} s"
    say(console, Text.assemble(verdict(report.ok, states), f"{tail}; {counted(states)}"))
