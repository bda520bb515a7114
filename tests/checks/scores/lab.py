"""A sound environment with a strict score and a documented reward: what planted faults are put into."""

from practicum import Environment, Task, score_fields, tool
from practicum.environment import Call

COLOURS = ("dark red", "green", "blue")
SHELVES = ("A1", "B2", "C3", "D4")


def facts(box: int) -> dict:
    return {"colour": COLOURS[box % 3], "shelf": SHELVES[box % 4], "weight": 10 + box * 7 % 40, "fragile": box % 5 == 0}


class Lab(Environment):
    """Where does a sample stand?"""

    id, version = "test-lab", "1.0.0"
    max_turns = 5

    @tool
    def find_box(self, box: int) -> dict:
        """a box's colour and shelf"""
        return {"colour": facts(box)["colour"], "shelf": facts(box)["shelf"]}

    @tool
    def weigh(self, box: int) -> dict:
        """a box's weight, and whether it is fragile"""
        return {"weight": facts(box)["weight"], "fragile": facts(box)["fragile"]}

    def system_prompt(self, task: Task) -> str:
        return "Look the box up and weigh it, then answer only with <final_output>{…}</final_output>"

    def tasks(self, split: str) -> list[Task]:
        start = {"train": 0, "validation": 1000, "test": 2000}[split]
        return [self.task_of(split, n) for n in range(start, start + 40)]

    def task_of(self, split: str, n: int) -> Task:
        return Task(f"{split}-{n}", f"What of box {n}?", facts(n))

    def oracle(self, task: Task):
        box = int(task.prompt.removeprefix("What of box ").partition("?")[0])
        seen = yield Call("find_box", {"box": box})
        weighed = yield Call("weigh", {"box": box})
        found = {**seen, **weighed}
        fragile = "true" if found["fragile"] else "false"
        return (
            f'<final_output>{{"colour": "{found["colour"]}", "shelf": "{found["shelf"]}", '
            f'"weight": {found["weight"]}, "fragile": {fragile}}}</final_output>'
        )


class Leaking(Lab):
    """The question holds the answer."""

    id = "test-lab-leaking"

    def task_of(self, split: str, n: int) -> Task:
        known = facts(n)
        hint = f"(It is the {known['colour']} one on {known['shelf']}.)"
        answer = {name: known[name] for name in ("colour", "shelf")}
        return Task(f"{split}-{n}", f"What of box {n}? {hint}", answer)

    def oracle(self, task: Task):
        box = int(task.prompt.removeprefix("What of box ").partition("?")[0])
        seen = yield Call("find_box", {"box": box})
        yield Call("weigh", {"box": box})
        return f'<final_output>{{"colour": "{seen["colour"]}", "shelf": "{seen["shelf"]}"}}</final_output>'


score = score_fields(tag="final_output", exact=True)
reward = score_fields(tag="final_output", partial=True)
