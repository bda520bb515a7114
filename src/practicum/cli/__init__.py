"""The command line. Errors a user can act on are printed without a traceback; the exit status is 1."""

import errno
import logging
import sys

from rich.text import Text

from practicum.cli import checking, recipes, runs, services  # noqa: F401 (each enters its commands)
from practicum.cli.app import app
from practicum.cli.ending import Ending
from practicum.display import VisibleFormatter, say, screen, show_traceback
from practicum.errors import PracticumError, RunError

__all__ = ["app", "main"]

_FIX = {
    errno.EACCES: "let this user read and write there (chown, chmod), or name a place that is yours",
    errno.EPERM: "let this user read and write there (chown, chmod), or name a place that is yours",
    errno.EROFS: "it cannot be written at all: name another place",
    errno.ENOSPC: "make room there, then run the command again",
    errno.EDQUOT: "make room there, then run the command again",
    errno.EMFILE: "allow more open files: ulimit -n 4096",
}


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
            _fail(_refused(error))
        except Exception as error:
            show_traceback(error)
            sys.exit(1)


def _fail(error: PracticumError) -> None:
    say(screen(stderr=True), Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
    sys.exit(1)


def _refused(error: OSError) -> RunError:
    """What the system refused, as an error to act on."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    fix = _FIX.get(error.errno or 0, "see that it is there and can be used, then run the command again")
    return RunError(error.strerror or str(error) or type(error).__name__, where=" → ".join(names), fix=fix)
