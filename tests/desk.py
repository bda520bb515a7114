"""A small desk for tests: one lookup, then the answer; the reward also tells random answers apart."""

from practicum import Environment, Task, score_fields, tool
from practicum.environment import Call

COLOURS = ("red", "green", "blue")


class Desk(Environment):
    """Which colour has the box?"""

    id, version = "test-desk", "1.0.0"
    max_turns = 3

    @tool
    def look(self, box: int) -> dict:
        """a box's colour"""
        return {"colour": COLOURS[box % 3]}

    def tasks(self, split: str) -> list[Task]:
        start = {"train": 0, "validation": 100, "test": 200}[split]
        return [Task(f"{split}-{n}", f"Box {n}?", {"colour": COLOURS[n % 3]}) for n in range(start, start + 12)]

    def oracle(self, task: Task):
        seen = yield Call("look", {"box": int(task.prompt.removeprefix("Box ").rstrip("?"))})
        return f'<final_output>{{"colour":"{seen["colour"]}"}}</final_output>'


score = score_fields(tag="final_output", exact=True)


def reward(rollout) -> float:
    """A number that depends on every word and every call."""
    said = "".join(str(message.get("content")) for message in rollout.messages)
    return (sum(said.encode()) % 11 + len(rollout.tool_calls)) / 20
