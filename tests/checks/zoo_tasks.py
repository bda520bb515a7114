"""Environments that ask, answer or fail wrongly."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field
from shelf import ROWS, SPLITS, Count, Counting, Name, Shelf

from practicum import Call, Task, score_fields, tool

CODES = {
    "LabelInPrompt": "ENV-LABEL",
    "LabelInSystemPrompt": "ENV-LABEL",
    "OracleWrong": "ENV-UNSOLVED",
    "OracleCallsWrongly": "ENV-UNSOLVED",
    "DuplicatePrompts": "ENV-DUPLICATE",
    "SplitsOverlap": "ENV-DUPLICATE",
    "Raises": "ENV-FAULT",
    "RaisesInStop": "ENV-FAULT",
    "ResultNotJson": "ENV-FAULT",
    "Unbounded": "ENV-UNBOUNDED",
}
score = score_fields(tag="final_output", exact=True)


class LabelInPrompt(Shelf):
    def tasks(self, split: str) -> list[Task]:  # fault
        return [
            Task(
                f"{split}-{n}",
                f"What is K{n} like? (colour: {ROWS[f'K{n}']['colour']}, size: {n * 7})",
                ROWS[f"K{n}"],
            )
            for n in SPLITS[split]
        ]


class LabelInSystemPrompt(Shelf):
    def system_prompt(self, task: Task) -> str:  # fault
        return f"Answer such as <final_output>{json.dumps(task.answer)}</final_output>"


class OracleWrong(Shelf):
    def oracle(self, task: Task) -> Iterator[Call]:  # fault
        yield Call("look", {"name": task.prompt.split()[2]})
        return '<final_output>{"colour":"red","size":1}</final_output>'


class OracleCallsWrongly(Shelf):
    def oracle(self, task: Task) -> Iterator[Call]:  # fault
        del task
        yield Call("look", {"name": "Q"})
        return "nothing"


class DuplicatePrompts(Shelf):
    def tasks(self, split: str) -> list[Task]:  # fault
        listed = super().tasks(split)
        return [*listed, Task(f"{split}-again", f"{listed[0].prompt} ", listed[0].answer)]


class SplitsOverlap(Shelf):
    def tasks(self, split: str) -> list[Task]:  # fault
        return super().tasks("train" if split == "test" else split)


class Raises(Counting):
    @tool
    def more(self) -> int:
        return {}["nothing"]  # fault


class ResultNotJson(Counting):
    @tool
    def more(self) -> Any:  # fault
        return {"when": object()}


class Unbounded(Shelf):
    @tool
    def find(  # fault
        self, text: str, most: Annotated[int, Field(ge=0)], names: list[Name], page: Count = 1
    ) -> int:
        return len(text) + most + len(names) + page


class RaisesInStop(Shelf):
    def stop(self) -> None:
        self.connection.close()  # fault
