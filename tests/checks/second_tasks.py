"""The second zoo: environments that ask, answer, fail or accept wrongly, in ways the first does not know."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field
from shelf import ROWS, SPLITS, Count, Counting, Name, Shelf

from practicum import Call, Environment, Task, score_fields, tool

CODES = {
    "LabelInWords": "ENV-LABEL",
    "LabelAsAnExample": "ENV-LABEL",
    "LabelOfOneField": "ENV-LABEL",
    "OracleRaises": "ENV-UNSOLVED",
    "OracleNeverEnds": "ENV-UNSOLVED",
    "LabelsWrong": "ENV-UNSOLVED",
    "ScoreLooksElsewhere": "ENV-UNSOLVED",
    "IdsTwice": "ENV-DUPLICATE",
    "ValidationInTraining": "ENV-DUPLICATE",
    "PromptsDifferInSpacesOnly": "ENV-DUPLICATE",
    "RaisesInStart": "ENV-FAULT",
    "RaisesInFinalState": "ENV-FAULT",
    "RaisesForOddArguments": "ENV-FAULT",
    "ExitsTheProcess": "ENV-FAULT",
    "NotANumber": "ENV-FAULT",
    "RaisesInSystemPrompt": "ENV-FAULT",
    "RaisesInATool": "ENV-FAULT",
    "EndlessRecursion": "ENV-FAULT",
    "TestTasksRaise": "ENV-FAULT",
    "MappingOfAnything": "ENV-UNBOUNDED",
    "ModelWithoutEnds": "ENV-UNBOUNDED",
    "NumberOfAnySize": "ENV-UNBOUNDED",
    "LongResult": "ENV-UNBOUNDED",
    "ManyTurns": "ENV-UNBOUNDED",
}
SCORES = {"ScoreLooksElsewhere": "another"}
score = score_fields(tag="final_output", exact=True)
another = score_fields(tag="answer", exact=True)


class LabelInWords(Shelf):
    def tasks(self, split: str) -> list[Task]:  # fault
        return [
            Task(
                f"{split}-{n}",
                f"What is K{n} like? The colour is {ROWS[f'K{n}']['colour']} and size = {n * 7}.",
                ROWS[f"K{n}"],
            )
            for n in SPLITS[split]
        ]


class LabelAsAnExample(Shelf):
    def system_prompt(self, task: Task) -> str:  # fault
        return f"{super().system_prompt(task)} For example {json.dumps(dict(task.answer), sort_keys=True)}"


class LabelOfOneField(Environment):
    id, version = "one-field", "1"

    @tool
    def look(self, name: Name) -> str:
        return ROWS[name]["colour"] if name in ROWS else "nothing"

    def tasks(self, split: str) -> list[Task]:  # fault
        return [Task(f"{split}-{n}", f"K{n}? (expected: {n * 7})", {"size": n * 7}) for n in SPLITS[split]]

    def oracle(self, task: Task) -> Iterator[Call]:
        yield Call("look", {"name": "K1"})
        return f"<final_output>{json.dumps(dict(task.answer))}</final_output>"


class OracleRaises(Shelf):
    def oracle(self, task: Task) -> Iterator[Call]:
        found = yield Call("look", {"name": task.prompt.split()[2]})
        return found["weight"]  # fault


class OracleNeverEnds(Shelf):
    def oracle(self, task: Task) -> Iterator[Call]:  # fault
        while True:
            yield Call("look", {"name": "K1"})


class LabelsWrong(Shelf):
    def tasks(self, split: str) -> list[Task]:
        return [Task(task.id, task.prompt, {**task.answer, "size": 1}) for task in super().tasks(split)]

    def oracle(self, task: Task) -> Iterator[Call]:  # fault
        return (yield from super().oracle(task))


class ScoreLooksElsewhere(Shelf):
    def oracle(self, task: Task) -> Iterator[Call]:  # fault
        return (yield from super().oracle(task))


class IdsTwice(Shelf):
    def tasks(self, split: str) -> list[Task]:  # fault
        return [Task(f"{split}-{n % 2}", f"What is K{n} like?", ROWS[f"K{n}"]) for n in SPLITS[split]]


class ValidationInTraining(Shelf):
    def tasks(self, split: str) -> list[Task]:  # fault
        more = super().tasks("validation")[:1] if split == "train" else []
        return [*super().tasks(split), *more]


class PromptsDifferInSpacesOnly(Shelf):
    def tasks(self, split: str) -> list[Task]:  # fault
        listed = super().tasks(split)
        return [*listed, Task(f"{split}-z", listed[0].prompt.upper().replace(" ", "\n"), listed[0].answer)]


class RaisesInStart(Shelf):
    def start(self, task: Task) -> None:
        self.row = ROWS[task.id]  # fault


class RaisesInFinalState(Shelf):
    def final_state(self) -> Mapping[str, Any]:
        return {"row": self.nothing}  # fault


class RaisesForOddArguments(Shelf):
    @tool
    def first(self, text: Annotated[str, Field(max_length=400)]) -> str:
        return text[0] + text[1] + text[299]  # fault


class ExitsTheProcess(Counting):
    @tool
    def more(self) -> str:
        sys.exit(3)  # fault


class NotANumber(Counting):
    @tool
    def more(self) -> float:  # fault
        return math.nan  # fault


class RaisesInSystemPrompt(Shelf):
    def system_prompt(self, task: Task) -> str:
        return "{colour}".format(**task.metadata)  # fault


class RaisesInATool(Counting):
    @tool
    async def more(self) -> int:
        assert len(self.task.id) > 100  # fault
        return 1


class EndlessRecursion(Counting):
    @tool
    def more(self) -> int:
        return self._deeper(1)

    def _deeper(self, depth: int) -> int:  # fault
        return self._deeper(depth + 1)  # fault


class TestTasksRaise(Shelf):
    def tasks(self, split: str) -> list[Task]:
        return super().tasks({"train": "train", "validation": "validation"}[split])  # fault


class MappingOfAnything(Shelf):
    @tool
    def put(self, fields: dict[str, Count]) -> int:  # fault
        return len(fields)


class Line(BaseModel):
    """A line of an order."""

    thing: str
    amount: Count = 1


class ModelWithoutEnds(Shelf):
    @tool
    def put(self, line: Line) -> int:  # fault
        return line.amount


class NumberOfAnySize(Shelf):
    @tool
    def put(self, number: float) -> bool:  # fault
        return number > 1


class LongResult(Counting):
    @tool
    def more(self) -> str:  # fault
        return "word " * 100_000


class ManyTurns(Shelf):  # fault
    max_turns = 100_000
