"""SQL functions an agent may call: all that depend on their arguments alone, and the clock where there is one."""

import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

# Text functions that search one argument with another, in time that grows with their sum. SQLite's own compare each
# place of one with the whole of the other: a statement may take minutes between two looks at its limits. These give the
# same answers. Text that is not UTF-8 is read as far as it is.

MAX_LENGTH = 100_000
"""Longest text or blob, in bytes, that an agent's statement may hold."""

TextOf = Callable[[Any], str]
"""A value as SQLite writes it in text."""


class TooBig(ValueError):
    """A result would be longer than ``MAX_LENGTH``."""


def instr(text_of: TextOf, value: Any, part: Any) -> int | None:
    """Place of ``part``, from 1; 0 where it is not. Two blobs are compared by bytes."""
    if value is None or part is None:
        return None
    if isinstance(value, bytes) and isinstance(part, bytes):
        return value.find(part) + 1
    return text_of(value).find(text_of(part)) + 1


def replace(text_of: TextOf, value: Any, part: Any, by: Any) -> Any:
    """``value`` with ``by`` in place of each ``part``; the value itself where ``part`` is empty.

    Raises:
        TooBig: found before the text is made.
    """
    if value is None or part is None:
        return None
    old = text_of(part)
    if not old or old.startswith("\0"):
        return value
    if by is None:
        return None
    text, new = text_of(value), text_of(by)
    if len(new) > len(old) and len(text) + text.count(old) * (len(new) - len(old)) > MAX_LENGTH:
        raise TooBig("string or blob too big")
    return text.replace(old, new)


def _trimmed(strip: Callable[[str, str], str]) -> Callable[[TextOf, Any, Any], str | None]:
    def trim(text_of: TextOf, value: Any, characters: Any) -> str | None:
        if value is None or characters is None:
            return None
        distinct = dict.fromkeys(text_of(characters).partition("\0")[0])
        return strip(text_of(value), "".join(distinct))

    return trim


TEXT_FUNCTIONS: Mapping[tuple[str, int], Callable[..., Any]] = {
    ("instr", 2): instr,
    ("replace", 3): replace,
    ("trim", 2): _trimmed(str.strip),
    ("ltrim", 2): _trimmed(str.lstrip),
    ("rtrim", 2): _trimmed(str.rstrip),
}
"""By name and number of arguments."""


CHARGE = 50  # steps that a call of a date function counts for
CHARGE_OF_TEXT = 5  # steps that a call of ``TEXT_FUNCTIONS`` counts for, and one more for every so many characters:
CHARACTERS_A_STEP = 100

# name: worst milliseconds of one call within the limits of an agent's statement; SQLite looks at no limit meanwhile
_SLOW = {"like": 80, "glob": 80, "json_patch": 400}
_SLOW_JSON = 5
_MOST_SLOW = 1_000
_CACHED = 100  # characters of a call's arguments up to which its result is remembered

# name: place of the time in its arguments
_DATES = {"date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1}
_CLOCKS = {"current_date": "%Y-%m-%d", "current_time": "%H:%M:%S", "current_timestamp": "%Y-%m-%d %H:%M:%S"}
_WIDE = re.compile(r"%[^a-zA-Z%]*(?:\*|\d{5})")
_CONVERSION, _WIDTH = re.compile("%[^a-zA-Z%]*"), re.compile("[0-9]+")
_WIDEST = 2 * MAX_LENGTH  # of all conversions of a format together
_MARK = "practicum_dates_installed"
_TEXT_AND_VALUES = """abs char coalesce concat concat_ws format glob hex if ifnull iif instr last_insert_rowid length
    like likelihood likely lower ltrim max min nullif octet_length printf quote replace round rtrim sign soundex substr
    substring trim typeof unhex unicode unlikely upper zeroblob"""
_GROUPS_AND_WINDOWS = """avg count group_concat string_agg sum total median percentile percentile_cont percentile_disc
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value"""
_MATHEMATICS = """acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod
    pi pow power radians sin sinh sqrt tan tanh trunc"""
_JSON = """-> ->> json json_array json_array_length json_error_position json_extract json_insert json_object json_patch
    json_pretty json_quote json_remove json_replace json_set json_type json_valid json_group_array json_group_object"""
_FULL_TEXT = "match bm25 highlight"  # snippet, matchinfo, offsets compare each place found with each
_TIMES = "date time datetime julianday unixepoch strftime timediff"
ALLOWED = frozenset(" ".join((_TEXT_AND_VALUES, _GROUPS_AND_WINDOWS, _MATHEMATICS, _JSON, _FULL_TEXT, _TIMES)).split())


class _Active(threading.local):
    """The guard of the statement that runs in this thread."""

    guard: Any = None


active = _Active()


def slowness(name: str) -> int:
    """Milliseconds that one call may take at worst, between two looks at the limits; 0 for next to none."""
    return _SLOW.get(name, _SLOW_JSON if name.startswith(("json", "->")) else 0)


def too_many_slow(places: Mapping[str, int]) -> str:
    """Why a statement that names functions in so many places may not run; "" if it may."""
    if sum(slowness(name) * count for name, count in places.items()) <= _MOST_SLOW:
        return ""
    slowest = max(places, key=lambda name: slowness(name) * places[name])
    most = _MOST_SLOW // slowness(slowest)
    return f"the query calls {slowest} in too many places: at most {most}, fewer beside other slow functions"


def objection(name: str, has_clock: bool) -> str:
    """Why a function may not be called; "" if it may."""
    if name in _CLOCKS:
        return "" if has_clock else f"{name.upper()} is not available: the database has no clock"
    if name in ALLOWED:
        return ""
    why = ": results must be the same each time" if name in ("random", "randomblob") else ""
    return f"function {name} is not allowed{why}"


def install(connection: sqlite3.Connection) -> None:
    """Puts our date functions in the place of SQLite's, once. Outside of a guard they do what those do.

    Sorting and temporary tables are kept in memory from then on; setting that would drop temporary tables, so on a
    connection that has some it is left.
    """
    try:
        connection.execute(f"SELECT {_MARK}()").close()
    except sqlite3.OperationalError:
        for (name, count), function in TEXT_FUNCTIONS.items():
            connection.create_function(name, count, partial(_text, name, function), deterministic=True)
        if not connection.execute("SELECT 1 FROM sqlite_temp_master").fetchall() and not connection.in_transaction:
            connection.execute("PRAGMA temp_store = MEMORY")
        for name, place in _DATES.items():
            if _exists(name):
                connection.create_function(name, -1, partial(_date, name, place), deterministic=True)
        for name, form in _CLOCKS.items():
            connection.create_function(name, 0, _clock(form))
        for name in ("printf", "format"):
            if _exists(name):
                connection.create_function(name, -1, partial(_format, name), deterministic=True)
        connection.create_function(_MARK, 0, lambda: 1)


def _date(name: str, place: int, *arguments: Any) -> Any:
    guard = active.guard
    if guard is None:
        return _plain(name, arguments)
    guard.charge(CHARGE)
    words = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in arguments]
    if len(words) == place or (
        isinstance(words[place], str) and words[place].lower() in ("now", "subsec", "subsecond")
    ):
        if guard.now is None:
            raise ValueError(guard.refuse("'now' is not available: the database has no clock; give a date"))
        words[place : place + 1] = [_utc(guard.now).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]]
    for word in words[place + 1 :]:
        if isinstance(word, str) and word.strip().lower() in ("localtime", "utc"):
            raise ValueError(guard.refuse(f"'{word.strip()}' is not available: all times are UTC"))
    return _bounded(name, tuple(words))


def _format(name: str, *arguments: Any) -> Any:
    """SQLite's printf, but for widths that would take it minutes."""
    guard = active.guard
    if guard is None:
        return _plain(name, arguments)
    guard.charge(CHARGE + _length(arguments) // CHARACTERS_A_STEP)
    form = str(arguments[0]) if arguments else ""
    if _WIDE.search(form):
        raise ValueError(guard.refuse(f"{name}: a width or precision has at most four digits, and * is not allowed"))
    if sum(int(width) for conversion in _CONVERSION.findall(form) for width in _WIDTH.findall(conversion)) > _WIDEST:
        raise ValueError(guard.refuse(f"{name}: widths and precisions come to more than {_WIDEST:,} characters"))
    return _plain(name, arguments)


def _text(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    guard = active.guard
    if guard is None:
        return _plain(name, arguments)
    guard.charge(CHARGE_OF_TEXT + _length(arguments) // CHARACTERS_A_STEP)
    try:
        return function(_written, *arguments)
    except TooBig as error:
        raise ValueError(guard.refuse(str(error))) from None


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(_plain("CAST", (value,), " AS TEXT"))


def _length(values: Iterable[Any]) -> int:
    return sum(len(value) for value in values if isinstance(value, str | bytes))


def _clock(form: str) -> Callable[[], str]:
    def tell() -> str:
        guard = active.guard
        moment = guard.now if guard is not None and guard.now is not None else datetime.now(UTC)
        return _utc(moment).strftime(form)

    return tell


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment


_helpers = threading.local()


def _bounded(name: str, arguments: tuple[Any, ...]) -> Any:
    return (_remembered if _length(arguments) <= _CACHED else _plain)(name, arguments)


def _plain(name: str, arguments: tuple[Any, ...], suffix: str = "") -> Any:
    """SQLite's own function, asked on a connection of this thread's own."""
    if not hasattr(_helpers, "connection"):
        # no statement is kept: with it would stay what was bound to it, which an agent chose
        _helpers.connection = sqlite3.connect(":memory:", cached_statements=0)
    call = f"SELECT {name}({','.join('?' * len(arguments))}{suffix})"
    return _helpers.connection.execute(call, arguments).fetchone()[0]


_remembered = lru_cache(maxsize=1024)(_plain)  # of short arguments, so that all of it together stays small


@lru_cache
def _exists(name: str) -> bool:
    """Whether this SQLite has the function."""
    try:
        _plain(name, ("%%", "2000-01-01") if name in ("strftime", "printf", "format") else ("2000-01-01",))
    except sqlite3.Error:
        return False
    return True
