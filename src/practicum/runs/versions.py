"""The version book: what each version of an environment was, so that it cannot change under its name.

The book lies beside the runs (``runs/.environments``). The first run with an environment enters it; whoever trains
or evaluates later with the same id and version must have the same code and fixtures, and with the same settings the
same schemas, state and transform too.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from practicum.environment import Environment
from practicum.environment.parts import EnvironmentPart as Part
from practicum.errors import LedgerError
from practicum.files import write_text

RUNS = Path("runs")
"""Where runs lie unless they are put elsewhere."""

FOLDER = ".environments"
LINES_SHOWN = 40
"""Lines of difference that an error shows."""

_BY_SETTINGS = frozenset({"schemas", "settings", "state", "transform"})
"""Parts that may differ between instances made with different arguments."""


def enter_version(runs: Path, environment: Environment) -> None:
    """Enter an environment into the book beside ``runs``, or compare it with what stands there.

    Raises:
        LedgerError: it has changed, and its version has not; with the difference.
    """
    compare_version(runs, environment)
    parts = environment.parts
    entry = _folder(runs, environment) / f"{parts['settings'].digest[:16]}.json"
    if not entry.exists():
        write_text(entry, json.dumps({name: asdict(part) for name, part in parts.items()}, indent=1) + "\n")


def compare_version(runs: Path, environment: Environment) -> None:
    """Compare an environment with what stands in the book of it, if anything does.

    Raises:
        LedgerError: it has changed, and its version has not; with the difference.
    """
    parts = environment.parts
    for path in sorted(_folder(runs, environment).glob("*.json")):
        before = _read(path)
        same_settings = before["settings"].digest == parts["settings"].digest
        changed = [
            name
            for name in sorted({*before, *parts})
            if (same_settings or name not in _BY_SETTINGS) and _digest(before, name) != _digest(parts, name)
        ]
        if changed:
            raise LedgerError(
                f"environment {environment.id} changed, and is still called version {environment.version}\n"
                + "\n".join(_shown(changed, before, parts)),
                where=f"{type(environment).__name__} in {environment.folder}; recorded in {path}",
                fix="give it a new version, or put back what it was",
            )


def _folder(runs: Path, environment: Environment) -> Path:
    return runs / FOLDER / quote(environment.id, safe="") / quote(environment.version, safe="")


def _read(path: Path) -> dict[str, Part]:
    try:
        entry = {name: Part(**part) for name, part in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise LedgerError(f"an entry of the version book cannot be read: {error}", where=str(path)) from error
    if "settings" not in entry:
        raise LedgerError("an entry of the version book names no settings", where=str(path))
    return entry


def _digest(parts: Mapping[str, Part], name: str) -> str:
    return parts[name].digest if name in parts else ""


def _shown(changed: list[str], before: Mapping[str, Part], now: Mapping[str, Part]) -> Iterator[str]:
    lines: list[str] = []
    for name in changed:
        if name not in now or name not in before:
            lines.append(f"{name}: {'new' if name in now else 'gone'}")
            continue
        old, new = before[name].text, now[name].text
        if old is None or new is None:
            lines.append(f"{name}: {before[name].digest[:12]} → {now[name].digest[:12]}")
            continue
        lines += difflib.unified_diff(
            old.splitlines(), new.splitlines(), f"{name} before", f"{name} now", "", "", 1, ""
        )
    yield from lines[:LINES_SHOWN]
    if len(lines) > LINES_SHOWN:
        yield f"… and {len(lines) - LINES_SHOWN} more lines"
