"""The version book: what each version of an environment was, so that it cannot change under its name.

The book lies beside the runs (``runs/.environments``). The first run with an environment enters it; whoever trains
or evaluates later with the same id and version must have the same code and fixtures, and with the same settings the
same schemas, state and transform too.

Certificates of environments stand in it too, under the environment's digest:
``runs/.environments/certificates/<environment's digest>/<key>.json``, canonical JSON; the key tells checks of one
environment with other scores or datasets apart. A later check of the same replaces an earlier one, passed or not.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from practicum.digests import canonical_json
from practicum.environment import Environment
from practicum.environment.parts import EnvironmentPart as Part
from practicum.errors import LedgerError
from practicum.files import write_text

RUNS = Path("runs")
"""Where runs lie unless they are put elsewhere."""

FOLDER = ".environments"
CERTIFICATES = "certificates"
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
                + "\n".join(_difference(changed, before, parts)),
                where=f"{type(environment).__name__} in {environment.folder}; recorded in {path}",
                fix="give it a new version, or put back what it was",
            )


def certificate_folder(runs: Path, environment: str) -> Path:
    """Where the certificates of an environment with this digest lie."""
    return runs / FOLDER / CERTIFICATES / environment


def write_certificate(runs: Path, environment: str, key: str, content: Mapping[str, Any]) -> Path:
    """Write a certificate atomically and return its path.

    Raises:
        LedgerError: it is not JSON, or cannot be written there.
    """
    path = certificate_folder(runs, environment) / f"{key}.json"
    try:
        write_text(path, canonical_json(dict(content)) + "\n")
    except (OSError, TypeError, ValueError) as error:
        raise LedgerError(
            f"the certificate cannot be written: {error}", where=str(path), fix="run the check where you can write"
        ) from error
    return path


def read_certificates(runs: Path, environment: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every certificate of an environment with this digest: path and content; none where there is none.

    Raises:
        LedgerError: a file cannot be read, or is no JSON object.
    """
    for path in sorted(certificate_folder(runs, environment).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _unreadable_certificate(path, str(error)) from error
        if not isinstance(content, dict):
            raise _unreadable_certificate(path, "it is no JSON object")
        yield path, content


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


def _difference(changed: list[str], before: Mapping[str, Part], present: Mapping[str, Part]) -> Iterator[str]:
    lines: list[str] = []
    for name in changed:
        if name not in present or name not in before:
            lines.append(f"{name}: {'new' if name in present else 'gone'}")
            continue
        old, new = before[name].text, present[name].text
        if old is None or new is None:
            lines.append(f"{name}: {before[name].digest[:12]} → {present[name].digest[:12]}")
            continue
        lines += difflib.unified_diff(
            old.splitlines(), new.splitlines(), f"{name} before", f"{name} now", "", "", 1, ""
        )
    yield from lines[:LINES_SHOWN]
    if len(lines) > LINES_SHOWN:
        yield f"… and {len(lines) - LINES_SHOWN} more lines"


def _unreadable_certificate(path: Path, why: str) -> LedgerError:
    return LedgerError(
        f"a certificate cannot be read: {why}", where=str(path), fix="remove it, and run practicum check again"
    )
