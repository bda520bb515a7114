"""Failures that share a cause are told once."""

from dataclasses import replace

from failing_agents import REF
from practicum.rollout.failures import causes
from practicum.trajectory import Trajectory


def broken(number, error, failure="judge"):
    return Trajectory(f"step-3/t{number}/0", f"t{number}", f"step-3/t{number}", 0, REF, (), (), "error", error=error,
                      failure=failure)  # fmt: skip


def test_failures_that_share_a_cause_are_told_once():
    def refused(n):
        id = f"step-3-t{n}-0-{n:08x}"
        return f"the agent answered HTTP 500 at turn {n}\n  where: trajectory {id} at http://h:{n}\n  what to do: look"

    found = causes(
        [broken(n, refused(n), "infrastructure") for n in range(5)]
        + [broken(n, f"right raised KeyError: 'colour'\n  where: task t{n}") for n in range(3)]
        + [broken(9, "right raised KeyError: 'size'")]
        + [replace(broken(8, "fine"), error=None, failure=None)]
    )
    assert [str(cause) for cause in found] == [
        "5 × infrastructure: the agent answered HTTP 500 at turn 0\n  what to do: look",
        "3 × judge: right raised KeyError: 'colour'",
        "1 × judge: right raised KeyError: 'size'",
    ]


def test_the_models_own_words_make_no_cause_another():
    texts = ("I am quite sure that it is the blue one", "the answer to this question is: perhaps 4")
    found = causes([broken(n, f"ValueError: no JSON in {text!r}", "policy") for n, text in enumerate(texts)])
    assert [cause.count for cause in found] == [2]
