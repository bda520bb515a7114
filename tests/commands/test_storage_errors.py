"""A full disk or a place that cannot be written, however a library says so, is an error to act on."""

import errno
import sqlite3

import pytest

from practicum.commands.ending import storage_refusal


def raised_from(cause: BaseException) -> Exception:
    try:
        raise ValueError("writing the table failed") from cause
    except ValueError as error:
        return error


FULL = OSError(errno.ENOSPC, "No space left on device", "/runs/a/metrics.jsonl")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FULL, "No space left on device"),
        (ExceptionGroup("two", [ValueError("x"), ExceptionGroup("in", [FULL])]), "No space left on device"),
        (raised_from(FULL), "No space left on device"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "Read-only file system"),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "No space left"),
        (RuntimeError("I/O error: Read-only file system (os error 30)"), "Read-only file system"),
        (sqlite3.OperationalError("database or disk is full"), "No space left on device"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "Read-only file system"),
    ],
)
def test_it_is_found_wherever_it_stands(error: Exception, said: str) -> None:
    refusal = storage_refusal(error)
    assert refusal is not None
    assert said in str(refusal)
    assert "what to do: " in str(refusal)


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError(errno.ENOENT, "No such file"), RuntimeError("(os error 2)")]
)
def test_other_errors_are_left_as_they_are(error: Exception) -> None:
    assert storage_refusal(error) is None


def test_errors_that_lead_back_to_themselves_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert storage_refusal(first) is None
