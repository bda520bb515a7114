"""``practicum track``: what a tracking server did not take while a run went on is sent to it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from practicum.errors import RunError
from practicum.monitor.tracking import first_line, is_broken, parts_of, quieten, write_part
from practicum.monitor.undelivered import Destination, Undelivered, without_password

if TYPE_CHECKING:
    from practicum.monitor.mlflow_store import MlflowStore


@dataclass(frozen=True)
class Delivery:
    """What was sent: entries, where to, and what the server refused for good, in words."""

    entries: int
    destination: Destination
    refused: tuple[str, ...]


def deliver(
    run_folder: Path,
    tracking_uri: str | None = None,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> Delivery | None:
    """Send a run's undelivered entries, the oldest first; None where there are none.

    What has arrived is removed from the folder batch by batch, so that an interrupted delivery goes on where it
    stopped. An entry that a server refuses for good is dropped, and named in the answer.

    Args:
        run_folder: The run's folder.
        tracking_uri: Another place than where they were to go.
        progress: Is told batches sent, and batches to send.

    Raises:
        RunError: the server does not answer, or a batch cannot be read; what has not arrived is still there.
    """
    undelivered = Undelivered(run_folder)
    batches = undelivered.batches()
    if not batches:
        return None
    destination = undelivered.destination()
    destination = replace(destination, tracking_uri=tracking_uri or destination.tracking_uri)
    store = _opened(run_folder, destination)
    sent, refused = 0, list[str]()
    for number, batch in enumerate(batches, start=1):
        for part in parts_of(list(undelivered.entries(batch))):
            try:
                write_part(store, part)
                sent += len(part)
            except Exception as error:  # whatever MLflow raises
                if not is_broken(error):
                    raise _unanswered(destination, error) from error
                refused.append(f"{part[0][0]}: {first_line(error)}")
        undelivered.forget(batch)
        progress(number, len(batches))
    return Delivery(sent, destination, tuple(refused))


def _opened(run_folder: Path, destination: Destination) -> "MlflowStore":
    quieten()
    try:
        from practicum.monitor.mlflow_store import MlflowStore

        return MlflowStore(run_folder, destination.experiment, destination.run_name, destination.tracking_uri)
    except Exception as error:  # as above
        raise _unanswered(destination, error) from error


def _unanswered(destination: Destination, error: Exception) -> RunError:
    return RunError(
        f"MLflow takes nothing: {first_line(error)}",
        where=without_password(destination.tracking_uri or "the store in the run folder"),
        fix="see that it runs there, then run the command again; or name another with --tracking-uri. "
        "No password is kept: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or name the whole address",
    )
