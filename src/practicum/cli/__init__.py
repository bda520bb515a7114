"""The command line. Errors a user can act on are printed without a traceback; the exit status is 1."""

import sys

from rich.console import Console
from rich.text import Text

from practicum.cli import checking, recipes, runs, services  # noqa: F401 (each enters its commands)
from practicum.cli.app import app
from practicum.errors import PracticumError

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the ``practicum`` command."""
    try:
        app()
    except PracticumError as error:
        message = Text.assemble(("error: ", "bold red"), str(error))
        Console(stderr=True).print(message, soft_wrap=True)
        sys.exit(1)
