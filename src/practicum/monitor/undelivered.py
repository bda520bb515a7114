"""What a tracking server did not take: in the run folder, batch by batch, until ``practicum track RUN`` sends it.

``RUN/undelivered/about.json`` says where it was to go; ``000001.json`` holds settings, numbers and the run's status in
the order they came in, ``000001.parquet`` the rollouts among them (``store``), whose prompts stand in the JSON.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from practicum.errors import RunError
from practicum.files import write_text
from practicum.store import read_trajectories, write_trajectories

Entry = tuple[Literal["params", "metrics", "rollout", "status"], Any]
"""Settings by name; (step, milliseconds since 1970, numbers); (trajectory, prompt of its task); the run's status."""

FOLDER = "undelivered"

_USER = re.compile(r"(://)[^/\s]*@")
_PASSWORD = re.compile(r"(://[^/\s:]*):[^/\s]*(?=@)")
_IN_QUERY = re.compile(r"([?&;][\w-]*(?:passw(?:or)?d|token|secret)=)[^&;\s]*", re.IGNORECASE)


def without_password(address: str) -> str:
    """An address of a tracking server or database, which may hold a password, as it may stand on a screen."""
    return _IN_QUERY.sub(r"\1…", _USER.sub(r"\1…@", address))


def storable(address: str) -> str:
    """An address as it may be written down: a server's without user and password, a database's without password.

    Who uses it gives the rest again: in the environment, or with the whole address.
    """
    bare = _USER.sub(r"\1", address) if address.startswith(("http:", "https:")) else _PASSWORD.sub(r"\1", address)
    return _IN_QUERY.sub(r"\1", bare)


@dataclass(frozen=True)
class Destination:
    """Where a run is tracked: experiment, the run's name there, and the store's address (None: in the folder).

    No password is written down.
    """

    experiment: str
    run_name: str
    tracking_uri: str | None


class Undelivered:
    """The batches of one run folder; the folder is made with the first of them."""

    def __init__(self, run_folder: Path) -> None:
        self.folder = run_folder / FOLDER

    def __len__(self) -> int:
        return len(self.batches())

    def keep(self, destination: Destination, entries: Sequence[Entry]) -> None:
        """Write down entries as one batch, which is there whole or not at all."""
        if not entries:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        address = destination.tracking_uri
        about = replace(destination, tracking_uri=None if address is None else storable(address))
        write_text(self.folder / "about.json", json.dumps(vars(about)) + "\n")
        number = max((int(path.stem) for path in self.batches()), default=0) + 1
        target = self.folder / f"{number:06}.json"
        rollouts = [payload for kind, payload in entries if kind == "rollout"]
        if rollouts:
            write_trajectories(target.with_suffix(".parquet"), [trajectory for trajectory, _ in rollouts])
        body = {
            "entries": [[kind, payload] for kind, payload in entries if kind != "rollout"],
            "prompts": [prompt for _, prompt in rollouts],
        }
        write_text(target, json.dumps(body, default=str) + "\n")

    def batches(self) -> list[Path]:
        """The batches' files, the oldest first."""
        return sorted(self.folder.glob("[0-9]*.json"))

    def destination(self) -> Destination:
        """Where the batches were to go.

        Raises:
            RunError: that cannot be read.
        """
        path = self.folder / "about.json"
        try:
            return Destination(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"where it was to go cannot be read: {error}", where=str(path)) from error

    def entries(self, batch: Path) -> Iterator[Entry]:
        """What one batch holds, its rollouts before a status.

        Raises:
            RunError: it cannot be read.
        """
        try:
            body = json.loads(batch.read_text(encoding="utf-8"))
            table = batch.with_suffix(".parquet")
            rollouts = read_trajectories(table) if body["prompts"] else []
            yield from ((kind, payload) for kind, payload in body["entries"] if kind != "status")
            yield from (("rollout", pair) for pair in zip(rollouts, body["prompts"], strict=True))
            yield from ((kind, payload) for kind, payload in body["entries"] if kind == "status")
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunError(
                f"a batch cannot be read: {error}", where=str(batch), fix="remove it, and send the others"
            ) from error

    def forget(self, batch: Path) -> None:
        """Remove a batch that has arrived; the folder with the last of them."""
        batch.unlink()
        batch.with_suffix(".parquet").unlink(missing_ok=True)
        if not self.batches():
            (self.folder / "about.json").unlink(missing_ok=True)
            self.folder.rmdir()
