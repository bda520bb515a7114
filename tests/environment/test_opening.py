"""What an episode begins with, of tasks that are one text and of tasks that are a chat."""

import pytest

from practicum.bridges.episode import ServedEpisode
from practicum.environment import Environment
from practicum.environment.play import opening
from practicum.tasks import Task

SYSTEM = {"role": "system", "content": "Answer in German."}
BEFORE, LAST = ({"role": "user", "content": text} for text in ("I have 2.", "Add 3."))


class Desk(Environment):
    """Adds."""

    id, version = "adding", "1"

    def __init__(self, told=""):
        super().__init__()
        self.told = told

    def system_prompt(self, task):
        return self.told


@pytest.mark.parametrize(
    ("told", "history", "expected"),
    [
        ("", (), [LAST]),
        ("Be brief.", (BEFORE,), [{"role": "system", "content": "Be brief."}, BEFORE, LAST]),
        ("", (SYSTEM, BEFORE), [SYSTEM, BEFORE, LAST]),
        ("Be brief.", (SYSTEM,), [{"role": "system", "content": "Be brief.\n\nAnswer in German."}, LAST]),
    ],
)
def test_what_a_task_says_before_its_prompt_stands_there_below_one_system_message(told, history, expected):
    task = Task("t", "Add 3.", history=history)
    environment = Desk(told)
    assert opening(environment, task) == expected
    assert ServedEpisode(environment, task, 0).messages == expected


def test_what_becomes_of_the_messages_is_nothing_to_the_task():
    task = Task("t", "Add 3.", history=(BEFORE,))
    opening(Desk(), task)[0]["content"] = "edited"
    assert task.history[0]["content"] == "I have 2."
