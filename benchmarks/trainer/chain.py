"""A desk with seven dependent lookups and an answer: eight turns, each short, as agents' trajectories are."""

import random
from typing import Annotated

from pydantic import Field

from practicum.environment import Call, Environment, Oracle, tool
from practicum.tasks import Task

LOOKUPS = 7


class Chain(Environment):
    """Each record names the next."""

    id, version, max_turns = "chain", "1.0.0", LOOKUPS + 1

    def system_prompt(self, task: Task) -> str:
        """What to do."""
        return f"Follow the records from the one you are given, {LOOKUPS} in all. Answer with the last one's name."

    def tasks(self, split: str) -> list[Task]:
        """Sixteen chains."""
        return [Task(f"{split}-{n}", f"Begin with record R{1000 + n}.", {"name": ""}) for n in range(16)]

    def oracle(self, task: Task) -> Oracle:
        """Follows the records."""
        name = task.prompt.split()[-1].rstrip(".")
        for _ in range(LOOKUPS):
            name = (yield Call("get_record", {"name": name}))["next"]
        return f"<final_output>{name}</final_output>"

    @tool
    def get_record(self, name: Annotated[str, Field(max_length=8)]) -> dict[str, str]:
        """a record's owner, region, state and the next record"""
        draw = random.Random(name)
        region, state = draw.choice(["north", "south", "east", "west"]), draw.choice(["open", "closed", "held"])
        return {
            "owner": f"U{draw.randrange(1000)}",
            "region": region,
            "state": state,
            "next": f"R{draw.randrange(9999)}",
        }
