"""Whatever a score or reward returns: a checked number, or a message that fails this rollout alone."""

import asyncio
import math
from fractions import Fraction

import numpy as np
import pytest

from practicum.errors import RolloutError
from practicum.scoring import Judgement, judge


def judged(function, rollout, turns=None):
    return asyncio.run(judge(function, rollout, turns))


def constant(value):
    def reward(rollout):
        return value

    return reward


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (0.5, Judgement((0.5,))),
        (0, Judgement((0.0,))),
        (1, Judgement((1.0,))),
        (True, Judgement((1.0,))),
        (np.float32(0.25), Judgement((0.25,))),
        (np.int64(1), Judgement((1.0,))),
        (Fraction(1, 4), Judgement((0.25,))),
        ([0.25, 0.5], Judgement((0.25, 0.5))),
        ((0.25, 0.5, 0), Judgement((0.25, 0.5, 0.0))),
        ([0.75, -0.25], Judgement((0.75, -0.25))),
        ((0.5, {"a": 1, "b": -3.5}), Judgement((0.5,), {"a": 1.0, "b": -3.5})),
        (([0.25, 0.25], {"a": 0}), Judgement((0.25, 0.25), {"a": 0.0})),
        ((0.5, {}), Judgement((0.5,))),
    ],
)
def test_what_may_be_returned(finished, returned, expected):
    judgement = judged(constant(returned), finished(), turns=len(expected.values))
    assert judgement == expected
    assert judgement.total == pytest.approx(sum(expected.values))
    assert all(type(value) is float for value in (*judgement.values, *judgement.components.values()))


@pytest.mark.parametrize(
    "returned",
    [
        None,
        "0.5",
        "",
        [],
        {},
        {"reward": 1},
        math.nan,
        math.inf,
        -math.inf,
        1.0001,
        -0.0001,
        10**400,
        1j,
        [0.5, None],
        [0.5, "0.5"],
        [0.9, 0.2],
        [-0.2, 0.1],
        [math.nan, 0.1],
        [math.inf, -math.inf],
        [10**400, 0.1],
        [[0.5]],
        (0.5, {"a": math.nan}),
        (0.5, {"a": math.inf}),
        (0.5, {"a": None}),
        (0.5, {"a": "x"}),
        (0.5, {"a": 10**400}),
        (0.5, {"a": [1.0]}),
        (None, {"a": 1.0}),
        (0.5, 0.2, {"a": 1.0}),
        pytest.param(object(), id="an object"),
    ],
    ids=repr,
)
def test_what_may_not(finished, returned):
    with pytest.raises(RolloutError, match=r"^reward gave") as caught:
        judged(constant(returned), finished())
    assert "task t1" in str(caught.value)


@pytest.mark.parametrize(("given", "turns"), [(2, 3), (4, 3), (2, 1)])
def test_a_list_of_another_length_than_the_turns_is_refused(finished, given, turns):
    said = [{"role": "user", "content": "do"}, *[{"role": "assistant", "content": ""}] * turns]
    for asked in (lambda f: judged(f, finished(messages=said)), lambda f: judged(f, finished(), turns=turns)):
        with pytest.raises(RolloutError, match=f"gave {given} numbers for a rollout of turns: {turns}") as caught:
            asked(constant([0.1] * given))
        assert ("or 3, one per turn" in str(caught.value)) is (turns == 3)


def test_one_number_in_a_list_speaks_of_the_whole_rollout(finished):
    assert judged(constant([0.5]), finished(), turns=3) == Judgement((0.5,))


def test_a_signed_reward_may_go_down_to_minus_one(finished):
    def reward(rollout):
        return -1.0

    with pytest.raises(RolloutError, match="signed = True"):
        judged(reward, finished())
    reward.signed = True
    assert judged(reward, finished()).values == (-1.0,)
    low = constant(-1.0001)
    low.signed = True
    with pytest.raises(RolloutError, match=r"\[-1, 1\]"):
        judged(low, finished())


def test_asynchronous_functions_and_objects_are_awaited(finished):
    async def reward(rollout):
        await asyncio.sleep(0)
        return 0.5, {"task": float(rollout.task.id == "t1")}

    class Reward:
        async def __call__(self, rollout):
            return [0.25, 0.25]

    assert judged(reward, finished()) == Judgement((0.5,), {"task": 1.0})
    assert judged(Reward(), finished(), turns=2).total == 0.5


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_function_that_raises_is_named_with_its_error(finished, asynchronous):
    def my_reward(rollout):
        raise ZeroDivisionError("no turns")

    async def my_async_reward(rollout):
        raise ZeroDivisionError("no turns")

    function = my_async_reward if asynchronous else my_reward
    with pytest.raises(RolloutError, match=f"{function.__name__} raised ZeroDivisionError: no turns"):
        judged(function, finished())


@pytest.mark.parametrize("turns", [9, 11, 18, 20, 49])
def test_equal_parts_of_one_over_the_turns_are_one(finished, turns):
    judgement = judged(constant([1 / turns] * turns), finished(), turns=turns)
    assert judgement.total == 1.0
    assert judgement.values == (1 / turns,) * turns


@pytest.mark.parametrize(
    ("returned", "signed", "total"),
    [
        (1.0000000000000002, False, 1.0),
        (0.9999999999999999, False, 1.0),
        (-1e-17, False, 0.0),
        (-1.0000000000000002, True, -1.0),
        (-1e-10, True, -1e-10),
    ],
)
def test_a_number_that_misses_an_end_of_the_range_by_rounding_is_the_end(finished, returned, signed, total):
    function = constant(returned)
    function.signed = signed
    assert judged(function, finished()).total == total
