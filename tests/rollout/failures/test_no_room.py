"""A context that is full: one thing for the built-in agent and over HTTP."""

import asyncio
from collections import Counter

from starlette.responses import JSONResponse

from failing_agents import PARAMS, REF, finish, requests
from practicum.environment import Environment, tool
from practicum.errors import ContextFull
from practicum.rollout.agents import BuiltinAgent
from practicum.rollout.dispatcher import Dispatcher
from practicum.trajectory import failure_counts


class Full:
    """An engine with room for one turn."""

    version = 3

    def __init__(self, inner):
        self.inner, self.calls = inner, Counter()

    async def sample(self, session, prompt_ids, params, seed):
        self.calls[session] += 1
        if self.calls[session] > 1:
            raise ContextFull("no room is left")
        return await self.inner.sample(session, prompt_ids, params, seed)

    def release(self, session):
        self.inner.release(session)

    def attached(self, session):
        return self.inner.attached(session)


async def to_the_end(order, ask, post):
    """An agent that lets the refusal through."""
    for words in ("one", "two"):
        answer = await ask([{"role": "user", "content": words}])
        if answer.status_code != 200:
            return JSONResponse({"errorType": "InternalServerError", "errorMessage": answer.text}, 500)
    return await finish(post)


class Looking(Environment):
    """A tool."""

    id, version = "looking", "1"

    @tool
    def look(self) -> str:
        """looks"""
        return "seen"


def test_a_full_context_is_one_thing_for_the_built_in_agent_and_over_http(serve, dispatch, speaker, pythonic):
    def quarter(rollout):
        return 0.25

    (over_http,), ids = serve(to_the_end, sampler=Full(speaker("Hello.")), reward=quarter)
    dispatcher = Dispatcher(Full(speaker("[look()]")), pythonic, PARAMS, BuiltinAgent(Looking), REF, quarter)
    (built_in,) = asyncio.run(dispatcher.run(requests(1)))
    for t in (built_in, over_http):
        assert (t.ending, t.failure, t.error, t.rewards, t.retries) == ("length", None, None, (0.25,), 0)
    assert len(ids) == 1


def test_a_full_context_of_an_agent_that_reports_its_own_reward_is_worth_nothing(serve, speaker):
    (t,), ids = serve(to_the_end, sampler=Full(speaker("Hello.")), score=lambda rollout: 1.0)
    assert (t.ending, t.failure, t.rewards, t.score, len(ids)) == ("length", "policy", (0.0,), 0.0, 1)
    assert "no room is left" in t.error


def test_a_full_context_that_an_agent_gives_in_to_is_worth_what_it_reports(serve, speaker):
    async def give_in(order, ask, post):
        await to_the_end(order, ask, post)
        return await finish(post, 0.75)

    (t,), _ = serve(give_in, sampler=Full(speaker("Hello.")), policy_failure="drop")
    assert (t.ending, t.failure, t.error, t.rewards) == ("length", None, None, (0.75,))
    assert not any(failure_counts([t]).values())
