"""The built-in agent: the plain tool loop, and an environment closed however it ends."""

import asyncio
import json

import pytest

from practicum.engine.protocol import SamplingParams
from practicum.environment import Environment, ToolError, tool
from practicum.environment.play import opening
from practicum.errors import EnvironmentFault, RolloutError
from practicum.rollout.agents import BuiltinAgent
from practicum.rollout.session import Session
from practicum.suites.support_desk import SupportDesk
from practicum.tasks import Task
from practicum.trajectory import USER

TASK = Task("t", "Count to three.")
PARAMS = SamplingParams(max_tokens=48)


class Counter(Environment):
    """Counts, and fails in every way."""

    id, version = "counter", "1"
    max_turns = 4
    made: list["Counter"] = []  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.count, self.stops = 0, 0
        Counter.made.append(self)

    def start(self, task):
        self.count = 0
        if task.metadata.get("broken"):
            raise EnvironmentFault("the database is gone")

    def stop(self):
        self.stops += 1

    def final_state(self):
        return {"count": self.count}

    @tool
    def add(self, number: int):
        """Add to the count."""
        self.count += number
        return {"count": self.count}

    @tool
    def refuse(self):
        """Says no."""
        raise ToolError("no")

    @tool
    def crash(self):
        """A bug."""
        raise KeyError("bug")


@pytest.fixture(autouse=True)
def environments():
    """The environments a test made."""
    Counter.made.clear()
    return Counter.made


@pytest.fixture
def played(speaker, pythonic):
    """Plays one episode with what the model says; gives the episode, the session and the engine."""

    def play(*texts, task=TASK, params=PARAMS, max_turns=None, make=Counter):
        engine = speaker(*texts)
        session = Session("s", engine, pythonic, params, 0)
        return asyncio.run(BuiltinAgent(make, max_turns).run(session, task, 0)), session, engine

    return play


def test_calls_are_run_until_the_model_answers(played, environments):
    episode, session, _ = played("[add(2)]", "[add(1), refuse()]", "Three.")
    assert episode.ending == "final"
    assert episode.final_state == {"count": 3}
    assert [(c.id, c.name, c.arguments, c.result, c.is_error, c.turn) for c in episode.tool_calls] == [
        ("call_0_0", "add", {"number": 2}, '{"count":2}', False, 0),
        ("call_1_0", "add", {"number": 1}, '{"count":3}', False, 1),
        ("call_1_1", "refuse", {}, '{"error":"no"}', True, 1),
    ]
    assert all(call.latency_s >= 0 for call in episode.tool_calls)
    third = session.turns[2]
    assert [(m["role"], m["tool_call_id"], m["content"]) for m in third.messages] == [
        ("tool", "call_1_0", '{"count":3}'),
        ("tool", "call_1_1", '{"error":"no"}'),
    ]
    assert all(turn.extends for turn in session.turns)
    assert [(e.stops, e.task) for e in environments] == [(1, None)]


def test_a_wrong_call_comes_back_to_the_model_as_a_result(played):
    _, session, _ = played('[add("two")]', "[fly()]", "[add(1, 2)]", "Sorry.")
    told = [json.loads(m["content"])["error"] for turn in session.turns[1:] for m in turn.messages]
    assert told[0].startswith("invalid arguments for add: number: ")
    assert told[1] == "unknown tool 'fly'; available: add, refuse, crash"
    assert "argument_2: extra inputs are not permitted" in told[2]


@pytest.mark.parametrize(("own", "turns"), [(None, 4), (2, 2), (1, 1)])
def test_the_turn_budget_ends_the_episode(played, environments, own, turns):
    episode, session, _ = played("[add(1)]", max_turns=own)
    assert (episode.ending, len(session.turns), len(episode.tool_calls)) == ("max_turns", turns, turns)
    assert environments[0].stops == 1


def test_an_answer_cut_at_the_token_limit_ends_the_episode(played, environments):
    episode, session, _ = played("one two three four five six seven", params=SamplingParams(max_tokens=3))
    assert (episode.ending, len(session.turns)) == ("length", 1)
    assert environments[0].stops == 1


@pytest.mark.parametrize(
    ("texts", "task", "error"),
    [
        (["[crash()]"], TASK, KeyError),
        (["[add(1)]", RolloutError("engine trouble")], TASK, RolloutError),
        (["Three."], Task("t", "x", metadata={"broken": True}), EnvironmentFault),
    ],
    ids=["tool", "engine", "start"],
)
def test_the_environment_is_closed_when_something_fails(played, environments, texts, task, error):
    with pytest.raises(error):
        played(*texts, task=task)
    assert [(e.stops, e.task) for e in environments] == [(1, None)]


def test_the_environment_is_closed_when_the_rollout_is_cancelled(speaker, pythonic, environments):
    engine = speaker(lambda session, turn, prompt: asyncio.sleep(60) if turn else "[add(1)]")

    async def run():
        session = Session("s", engine, pythonic, PARAMS, 0)
        async with asyncio.timeout(0.2):
            await BuiltinAgent(Counter).run(session, TASK, 0)

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert [(e.stops, e.count) for e in environments] == [(1, 1)]


def test_each_episode_has_an_environment_of_its_own(played, environments):
    for _ in range(2):
        episode, *_ = played("[add(2)]", "Two.")
        assert episode.final_state == {"count": 2}
    assert len(environments) == 2


def test_an_episode_opens_with_the_system_prompt_if_there_is_one_and_the_task():
    assert opening(Counter(), TASK) == [{"role": "user", "content": "Count to three."}]
    desk = SupportDesk(2)
    task = desk.tasks("train")[0]
    system, asked = opening(desk, task)
    assert system == {"role": "system", "content": desk.system_prompt(task)}
    assert asked == {"role": "user", "content": task.prompt}
    assert str(task.answer["queue"]) not in asked["content"]


class Guide(Environment):
    """A user who asks for three things one after the other, and brings a tool along with the second."""

    id, version = "guide", "1"
    max_turns = 8

    def start(self, task):
        self.asked, self.found = 0, []

    def next_user(self, answer):
        self.asked += 1
        self.found.append(answer)
        return ["And the second?", "And the third?", None][self.asked - 1]

    def tool_specs(self):
        return {name: spec for name, spec in super().tool_specs().items() if name != "late" or self.asked}

    def final_state(self):
        return {"found": self.found}

    @tool
    async def look(self, number: int) -> dict:
        """looks, and waits"""
        await asyncio.sleep(0)
        return {"found": number}

    @tool
    async def late(self) -> str:
        """there from the second request on"""
        return "late"


def test_a_scripted_user_goes_on_after_an_answer_until_it_says_nothing(played):
    episode, session, _ = played("[look(1)]", "One.", "[look(2)]", "Two.", "[late()]", "Three.", make=Guide)
    assert (episode.ending, episode.final_state) == ("final", {"found": ["One.", "Two.", "Three."]})
    told = [(m["role"], m["content"]) for turn in session.turns for m in turn.messages if m["role"] in ("user", "tool")]
    # With the second request comes a tool, so the model is told everything anew.
    assert [turn.extends for turn in session.turns] == [True, True, False, True, True, True]
    assert list(dict.fromkeys(told)) == [
        ("user", "Count to three."),
        ("tool", '{"found":1}'),
        ("user", "And the second?"),
        ("tool", '{"found":2}'),
        ("user", "And the third?"),
        ("tool", "late"),
    ]
    assert [step.tool for step in episode.transitions] == ["look", USER, "look", USER, "late"]
    assert [step.arguments for step in episode.transitions if step.tool == USER] == [
        {"answer": "One."},
        {"answer": "Two."},
    ]


def test_a_tool_that_comes_with_a_later_request_is_unknown_before_it(played):
    episode, *_ = played("[late()]", "One.", "[late()]", "Two.", "Three.", make=Guide)
    assert [(call.name, call.is_error) for call in episode.tool_calls] == [("late", True), ("late", False)]


def test_a_users_turns_count_towards_the_turn_budget(played):
    episode, session, _ = played("One.", "Two.", "Three.", make=Guide, max_turns=2)
    assert (episode.ending, len(session.turns)) == ("max_turns", 2)
    assert episode.final_state == {"found": ["One.", "Two."]}


def test_async_tools_of_many_episodes_wait_side_by_side(speaker, pythonic):
    class Waiting(Guide):
        id = "waiting"

        def next_user(self, answer):
            return None

        @tool
        async def look(self, number: int) -> dict:
            """waits for the others"""
            running.append(number)
            while len(running) < 5:
                await asyncio.sleep(0.001)
            return {"found": number}

    running = []

    async def run():
        sessions = [Session(f"s{n}", speaker("[look(1)]", "One."), pythonic, PARAMS, n) for n in range(5)]
        agent = BuiltinAgent(Waiting)
        async with asyncio.timeout(30):
            return await asyncio.gather(*(agent.run(session, TASK, 0) for session in sessions))

    episodes = asyncio.run(run())
    assert [episode.ending for episode in episodes] == ["final"] * 5
    assert all(episode.transitions == episodes[0].transitions for episode in episodes)
