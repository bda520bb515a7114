"""Settings that a whole process shares: which of them changed, and putting them back."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from practicum.checks.watch.shared import ABSENT, SETTINGS, Setting
from practicum.environment.places import is_users

Values = Mapping[str, Any]
"""Each setting's value by its kind; values are compared with ``==``."""


@dataclass(frozen=True)
class Leftover:
    """One thing left behind: its kind, its name, and the line that made it where that is known."""

    kind: str
    name: str
    where: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain JSON-able data."""
        return asdict(self)


def settings_now() -> dict[str, Any]:
    """Every setting's value by kind."""
    return {setting.kind: setting.read() for setting in SETTINGS}


def changed_settings(before: Values, after: Values) -> list[Setting]:
    """The settings whose values differ."""
    return [setting for setting in SETTINGS if not same(before[setting.kind], after[setting.kind])]


def same(was: Any, now: Any) -> bool:
    """Whether a setting stands as it did. One of a library that was not loaded before has not changed."""
    if was is ABSENT:
        return True
    try:
        return bool(was == now)
    except Exception:
        return was is now


def put_back(before: Values, changed: list[Setting]) -> None:
    """Set what changed to what it was, where that can be done."""
    for setting in changed:
        if setting.restore is not None:
            with suppress(Exception):
                setting.restore(before[setting.kind])


def described(was: Any, now: Any) -> str:
    """What changed, in a line."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        names = [str(name) for name in {**was, **now} if not same(was.get(name, None), now.get(name, None))]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    plain = (str, int, float, type(None))
    return f"{was} → {now}" if isinstance(was, plain) and isinstance(now, plain) else ""


def left_by_import(before: Values, home: Path) -> list[Leftover]:
    """What importing the environment's modules changed for everyone else in the process.

    Filters, search paths and log handlers are set up at import in good faith, by libraries too; what counts are
    settings that change results elsewhere, and the user's own functions in a place that all share.
    """
    after = settings_now()
    return [
        Leftover(setting.kind, described(before[setting.kind], after[setting.kind]))
        for setting in changed_settings(before, after)
        if setting.at_import == "counts"
        or (setting.at_import == "users" and _users_now(before[setting.kind], after[setting.kind], home))
    ]


def _users_now(was: Any, now: Any, home: Path) -> bool:
    """Whether something of the user's stands there now."""
    old, new = _values(was), _values(now)
    return any(is_users(_file(value), home) for value in new if not any(value is each for each in old))


def _values(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def _file(value: Any) -> str:
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    if isinstance(code, CodeType):
        return code.co_filename
    code = getattr(getattr(type(value), "__init__", None), "__code__", None)
    return code.co_filename if isinstance(code, CodeType) else "<built-in>"
