"""Environments without a fault that answer from a recording, or that somebody else wrote for Gymnasium."""

import json
from collections.abc import Iterator

from shelf import ROWS, SPLITS

from practicum import Call, Task, score_fields
from practicum.bridges.gym_foreign import GymnasiumEnvironment
from practicum.services import RecordedEnvironment

CODE = "none"
SCORES = {"Lake": "crossed"}
PATH = ("down", "down", "right", "right", "down", "right")
score = score_fields(tag="final_output", exact=True)


class RecordedShelf(RecordedEnvironment):
    """Lookups, recorded."""

    id = "recorded-shelf"
    recording = "fixtures/shelf.recording.json"

    def tasks(self, split: str) -> list[Task]:
        return [Task(f"{split}-{n}", f"What is K{n} like?", ROWS[f"K{n}"]) for n in SPLITS[split]]

    def oracle(self, task: Task) -> Iterator[Call]:
        found = yield Call("look", {"name": task.prompt.split()[2]})
        return f"<final_output>{json.dumps(found)}</final_output>"


class Lake(GymnasiumEnvironment):
    """A frozen lake that does not slip."""

    id = "lake"

    def __init__(self) -> None:
        super().__init__(
            "FrozenLake-v1",
            game_args={"render_mode": "ansi", "is_slippery": False},
            actions=["left", "down", "right", "up"],
            sizes={"train": 3, "validation": 2, "test": 2},
        )

    def oracle(self, task: Task) -> Iterator[Call]:
        for action in PATH:
            yield Call("act", {"action": action})
        return "done"


def crossed(rollout: object) -> float:
    return float(rollout.final_state["return"] == 1.0)  # type: ignore[attr-defined]
