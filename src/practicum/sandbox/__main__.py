"""``python -m practicum.sandbox``: what isolation this machine gives, and how long it takes to start."""

from practicum.display import say_line
from practicum.sandbox.kinds import missing, sandbox_report, sandbox_warning
from practicum.sandbox.limits import KINDS
from practicum.sandbox.python import start_ms


def main() -> None:
    """Prints the report, the times, and the warning if there is one."""
    say_line(sandbox_report())
    for kind in KINDS:
        if not missing(kind):
            say_line(f"start, {kind}: {start_ms(kind):.1f} ms (median of 20)")
    if warning := sandbox_warning():
        say_line(warning)


if __name__ == "__main__":
    main()
