"""A sound environment of lookups; the faulty ones are made from it."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from practicum import Call, Environment, Task, ToolError, score_fields, tool

Name = Annotated[str, Field(max_length=400)]
Count = Annotated[int, Field(ge=0, le=1000)]

ROWS = {
    f"K{number}": {"colour": colour, "size": number * 7}
    for number, colour in enumerate(("red", "blue", "green", "gold") * 3)
}
SPLITS = {"train": range(6), "validation": range(6, 9), "test": range(9, 12)}

score = score_fields(tag="final_output", exact=True)
reward = score_fields(tag="final_output", partial=True)


class Shelf(Environment):
    """Read-only lookups."""

    id, version = "shelf", "1.0.0"

    @tool
    def look(self, name: Name) -> dict[str, Any]:
        """a thing's colour and size"""
        if name not in ROWS:
            raise ToolError(f"there is no {name!r}")
        return ROWS[name]

    def system_prompt(self, task: Task) -> str:
        del task
        return 'Look the thing up. Answer <final_output>{"colour":…,"size":…}</final_output>'

    def tasks(self, split: str) -> list[Task]:
        return [Task(f"{split}-{n}", f"What is K{n} like?", ROWS[f"K{n}"]) for n in SPLITS[split]]

    def oracle(self, task: Task) -> Iterator[Call]:
        found = yield Call("look", {"name": task.prompt.split()[2]})
        return f"<final_output>{json.dumps(found)}</final_output>"


class Counting(Shelf):
    """Base of those whose second tool, ``more``, does the faulty thing; the oracle asks it first."""

    def oracle(self, task: Task) -> Iterator[Call]:
        yield Call("more", {})
        return (yield from super().oracle(task))
