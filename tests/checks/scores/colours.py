"""An environment whose answer is one plain word, without tag or JSON; and its strict score."""

from practicum import Environment, Task, tool
from practicum.environment import Call

COLOURS = ("red", "green", "blue")


class Colours(Environment):
    """What colour is a box?"""

    id, version = "test-colours", "1.0.0"
    max_turns = 3

    @tool
    def look(self, box: int) -> dict:
        """a box's colour"""
        return {"colour": COLOURS[box % 3]}

    def system_prompt(self, task: Task) -> str:
        return "Look the box up, then answer with its colour and nothing else."

    def tasks(self, split: str) -> list[Task]:
        start = {"train": 0, "validation": 100, "test": 200}[split]
        return [Task(f"{split}-{n}", f"Box {n}?", {"colour": COLOURS[n % 3]}) for n in range(start, start + 30)]

    def oracle(self, task: Task):
        seen = yield Call("look", {"box": int(task.prompt.removeprefix("Box ").removesuffix("?"))})
        return seen["colour"]


def score(rollout) -> float:
    return float(rollout.answer.strip() == rollout.task.answer["colour"])
