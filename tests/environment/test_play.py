"""One driver of an oracle, with one bound: whoever lets it play gets the same steps and the same end."""

import hashlib
import json
from pathlib import Path

import pytest

from practicum import Environment, Task, tool
from practicum.checks import episodes
from practicum.environment import Call
from practicum.environment.play import CALL_LIMIT, OracleFault, OracleSteps
from practicum.seeds import derive
from practicum.services import Recorder
from practicum.services.sources import CallableSource
from practicum.suites.support_desk import SupportDesk
from practicum.training import imitation as foothold

TASK = Task("climb", "Climb as many steps as the label says.", {"steps": 250})


class Stairs(Environment):
    """One step a call; the oracle climbs until it has enough, or for ever."""

    id, version, max_turns = "stairs", "1.0.0", 400
    endless = False
    told = ()

    def start(self, task):
        self.height = 0

    @tool
    def up(self) -> dict:
        """one step"""
        self.height += 1
        return {"height": self.height}

    @tool
    def say(self) -> str:
        """no JSON"""
        return "not {json"

    def oracle(self, task):
        seen = {"height": 0}
        while self.endless or seen["height"] < task.answer["steps"]:
            seen = yield Call("up", {})
        return f"{seen['height']} steps"


class Endless(Stairs):
    endless = True


def checked(kind):
    shown = episodes.demonstrate(kind(), TASK, 1, Path(__file__).parent)
    if shown.problem:
        raise OracleFault(shown.problem)
    return len(shown.calls)


def demonstrated(kind):
    return sum(message["role"] == "tool" for message in foothold.demonstrate(kind(), TASK, 1))


def recorded(kind):
    return Recorder(CallableSource({"up": lambda: {}}, name="stairs")).play(kind(), [TASK])


DRIVERS = pytest.mark.parametrize("driver", [checked, demonstrated, recorded])


@DRIVERS
def test_a_long_oracle_is_played_to_its_answer_whoever_plays_it(driver):
    assert driver(Stairs) == 250


@DRIVERS
def test_an_endless_oracle_is_stopped_at_the_same_bound(driver):
    with pytest.raises(OracleFault, match=f"more than {CALL_LIMIT} calls"):
        driver(Endless)


def test_the_bound_names_itself_the_task_and_what_to_do():
    with pytest.raises(OracleFault) as stopped:
        foothold.demonstrate(Endless(), TASK, 1)
    assert stopped.value.where == "task climb"
    assert str(CALL_LIMIT) in stopped.value.allowed
    assert "return its answer" in stopped.value.fix


def test_a_stopped_oracle_leaves_its_environment_closed():
    environment = Endless()
    with pytest.raises(OracleFault):
        foothold.demonstrate(environment, TASK, 1)
    assert environment.task is None


def test_an_oracle_is_sent_data_where_a_result_is_json_and_text_where_not():
    sent = []

    def oracle():
        sent.append((yield Call("up", {})))
        sent.append((yield Call("say", {})))
        return "done"

    environment = Stairs()
    environment.reset(TASK, 1)
    steps = OracleSteps(oracle(), TASK)
    texts = [result.text for _, result in steps.played_on(environment)]
    environment.close()

    assert sent == [{"height": 1}, "not {json"]
    assert texts == ['{"height":1}', "not {json"]
    assert (steps.answer, steps.made) == ("done", 2)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Call("down", {"by": 3}), r'the oracle\'s call down\(\{"by":3\}\) failed: .*down'),
        ("Is that all?", "the oracle yielded an answer, and the user said nothing to it"),
    ],
)
def test_a_step_that_fails_ends_the_play(step, said):
    def oracle():
        yield step
        return "never said"

    environment = Stairs()
    environment.reset(TASK, 1)
    with pytest.raises(OracleFault, match=said) as failed:
        list(OracleSteps(oracle(), TASK).played_on(environment))
    environment.close()
    assert failed.value.where == "task climb"


def test_demonstrations_are_to_the_byte_what_they_were():
    sum_of_all = hashlib.sha256()
    desk = SupportDesk(2)
    for task in desk.tasks("train")[:8]:
        shown = foothold.demonstrate(SupportDesk(2), task, derive(3, "demonstration", task.id))
        sum_of_all.update(json.dumps(shown, ensure_ascii=False).encode())
    assert sum_of_all.hexdigest() == "1f7d40aeb583d00e97c7455f16e8dc6469561df42792513adf2383acc9961fd6"
