"""Canonical JSON and SHA-256, so that equal things have equal digests on every machine."""

import hashlib
import json
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; raises ``ValueError`` on NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON value in canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_folder(folder: Path, pattern: str = "**/*") -> str:
    """SHA-256 (hex) over the relative names and contents of a folder's files, in name order."""
    names = sorted(path for path in folder.glob(pattern) if path.is_file())
    return digest([(path.relative_to(folder).as_posix(), digest_file(path)) for path in names])
