"""Certificates of environments, kept in the version book under the environment's digest.

``runs/.environments/certificates/<environment's digest>/<key>.json``, canonical JSON; the key tells checks of one
environment with other scores or datasets apart. A later check of the same replaces an earlier one, passed or not.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from practicum.digests import canonical_json
from practicum.errors import LedgerError
from practicum.files import write_text
from practicum.runs.versions import FOLDER

CERTIFICATES = "certificates"


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
            raise _unreadable(path, str(error)) from error
        if not isinstance(content, dict):
            raise _unreadable(path, "it is no JSON object")
        yield path, content


def _unreadable(path: Path, why: str) -> LedgerError:
    return LedgerError(
        f"a certificate cannot be read: {why}", where=str(path), fix="remove it, and run practicum check again"
    )
