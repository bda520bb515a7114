"""Runs to look at."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from practicum.digests import digest, digest_folder
from practicum.store import read_trajectories


def told(path: Path) -> list[dict[str, Any]]:
    """The trajectories of a file without the times they took."""
    return [
        asdict(
            replace(
                trajectory,
                turns=tuple(replace(turn, latency_s=0.0) for turn in trajectory.turns),
                tool_calls=tuple(replace(call, latency_s=0.0) for call in trajectory.tool_calls),
            )
        )
        for trajectory in read_trajectories(path)
    ]


@pytest.fixture
def outcome() -> Any:
    """Makes the digests of what a run came to: its model, and every trajectory but for the times."""

    def of(run: Path) -> dict[str, str]:
        tables = {path.name: digest(told(path)) for path in sorted((run / "trajectories").glob("*.parquet"))}
        return {"output": digest_folder(run / "output"), **tables}

    return of
