"""The command line. Errors a user can act on are printed without a traceback; the exit status is 1."""

import logging
import sys
from importlib import import_module

from rich.text import Text

from practicum.commands.app import app
from practicum.commands.ending import Ending, refused, storage_refusal
from practicum.display import VisibleFormatter, say, screen, show_traceback
from practicum.errors import PracticumError

__all__ = ["app", "main"]

VERBS = (
    *("check", "demo", "baseline", "warmstart", "train", "evaluate", "resume", "promote", "finished", "replay"),
    *("record", "export", "serve", "recipe"),
)
"""Modules that enter their commands when they are imported, in the order of the help."""

for verb in VERBS:
    import_module(f"{__name__}.{verb}")


def main() -> None:
    """Entry point of the ``practicum`` command."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(VisibleFormatter())
    with Ending():
        try:
            app()
        except PracticumError as error:
            _fail(error)
        except OSError as error:
            _fail(refused(error))
        except Exception as error:
            refusal = storage_refusal(error)
            if refusal is None:
                show_traceback(error)
                sys.exit(1)
            _fail(refusal)


def _fail(error: PracticumError) -> None:
    say(screen(stderr=True), Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
    sys.exit(1)
