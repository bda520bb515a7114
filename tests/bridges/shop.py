"""A small shop for the tests of all faces: state in the episode's database, judged on its final state."""

from typing import Annotated

from pydantic import Field

from practicum.environment import Environment, ToolError, tool
from practicum.tasks import Task

GOODS = ("pear", "plum", "fig")


class Shop(Environment):
    """Buy what the task asks for."""

    id, version = "test-shop", "2.1.0"
    max_turns = 4

    def tasks(self, split: str) -> list[Task]:
        first = {"train": 0, "validation": 100, "test": 200}[split]
        goods = [(n, GOODS[n % 3]) for n in range(first, first + 12)]
        return [Task(f"{split}-{n}", f"Buy {n + 1} of {name}.", {"count": n + 1, "name": name}) for n, name in goods]

    def system_prompt(self, task: Task) -> str:
        return "You buy fruit. Answer: done"

    def start(self, task: Task) -> None:
        self.database.execute("CREATE TABLE basket (name TEXT, count INTEGER)")
        self.price = self.random.randint(1, 1000)
        self.register(self.ended, task.id)

    def ended(self, id: str) -> None:
        """Replaced by tests that look whether episodes end."""

    @tool
    def buy(self, name: Annotated[str, Field(max_length=20)], count: Annotated[int, Field(ge=1, le=500)]) -> dict:
        """put fruit into the basket"""
        if name not in GOODS:
            raise ToolError(f"there is no {name}")
        self.database.execute("INSERT INTO basket VALUES (?, ?)", (name, count))
        return {"name": name, "count": count, "price": self.price}

    @tool
    def look(self) -> list:
        """what lies in the basket"""
        return [list(row) for row in self.database.execute("SELECT name, count FROM basket")]

    @tool
    async def say(self, text: Annotated[str, Field(max_length=1000)]) -> str:
        """hear an echo"""
        return text

    def final_state(self) -> dict:
        return {"basket": [list(row) for row in self.database.execute("SELECT name, count FROM basket")]}


def score(rollout) -> float:
    wanted = [rollout.task.answer["name"], rollout.task.answer["count"]]
    return float(rollout.final_state["basket"] == [wanted])
