"""Every environment is a Gymnasium environment: checked by Gymnasium's own checker, deterministic, torn down."""

import asyncio
import json
import sys
import warnings

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from practicum.bridges import as_gymnasium, register_gymnasium
from practicum.bridges.gym_env import ACTION_LIMIT, UnicodeText
from practicum.environment import Environment, tool
from practicum.errors import EnvironmentFault
from practicum.suites.support_desk import SupportDesk
from practicum.tasks import Task


def call(tool, /, **arguments):
    return json.dumps({"name": tool, "arguments": arguments})


@pytest.fixture
def env(shop):
    made = as_gymnasium(shop.Shop, score=shop.score)
    yield made
    made.close()


class Talk(Environment):
    """A scripted user who asks twice."""

    id, version = "talk", "1.0.0"
    max_turns = 5

    def tasks(self, split):
        return [Task("t", "Hello?")]

    def start(self, task):
        self.left = 2

    def next_user(self, answer):
        self.left -= 1
        return f"And then? ({answer})" if self.left else None

    @tool
    def wait(self) -> str:
        """wait"""
        return "half a pair: \ud800"


def test_gymnasiums_own_checker_passes_it_without_a_warning(shop):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(as_gymnasium(shop.Shop, score=shop.score))


def test_an_instance_a_shipped_suite_and_a_registered_one_pass_the_checker_too(shop):
    name = register_gymnasium(shop.Shop, "test", shop.score)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(as_gymnasium(shop.Shop()))
            check_env(as_gymnasium(SupportDesk))
            check_env(gymnasium.make(name).unwrapped)
    finally:
        gymnasium.registry.pop(name)


def test_a_seed_decides_task_and_episode(env):
    first, info = env.reset(seed=11)
    price = json.loads(env.step(call("buy", name="fig", count=1))[0])["price"]
    others = {env.reset(seed=seed)[1]["task"] for seed in range(30)}
    again, same = env.reset(seed=11)
    assert (again, same) == (first, info)
    assert json.loads(env.step(call("buy", name="fig", count=1))[0])["price"] == price
    assert len(others) > 5


def test_without_a_seed_episodes_follow_from_the_last_one(env):
    def tasks():
        env.reset(seed=3)
        return [env.reset()[1] for _ in range(5)]

    first, second = tasks(), tasks()
    assert first == second
    assert len({(info["task"], info["seed"]) for info in first}) > 1


def test_a_task_can_be_chosen_and_with_its_seed_is_the_episode_the_environment_itself_plays(env, shop):
    _, info = env.reset(seed=7, options={"task": "train-4"})
    ours = shop.Shop()
    ours.reset(ours.tasks("train")[4], 7)
    try:
        assert (info["task"], info["seed"]) == ("train-4", 7)
        assert env.step(call("buy", name="plum", count=5))[0] == ours.call("buy", {"name": "plum", "count": 5}).text
    finally:
        ours.close()


def test_the_first_observation_holds_instructions_tools_and_the_task(env):
    text, info = env.reset(seed=1, options={"task": "train-0"})
    assert text.startswith("You buy fruit.")
    assert text.endswith("Buy 1 of pear.")
    assert '"maximum": 500' in text
    assert [schema["function"]["name"] for schema in info["tools"]] == ["buy", "look", "say"]
    assert [message["role"] for message in info["messages"]] == ["system", "user"]


def test_an_episode_that_does_what_was_asked_is_rewarded_at_its_end_only(env):
    env.reset(seed=1, options={"task": "train-0"})
    seen, reward, terminated, truncated, info = env.step(call("buy", name="pear", count=1))
    assert json.loads(seen)["count"] == 1
    assert (reward, terminated, truncated, info["tool"]) == (0.0, False, False, "buy")
    seen, reward, terminated, truncated, info = env.step("done")
    assert (seen, reward, terminated, truncated) == ("", 1.0, True, False)
    assert info["ending"] == "final"
    assert info["final_state"] == {"basket": [["pear", 1]]}
    assert info["score"] == 1.0


def test_max_turns_without_an_answer_truncate_and_are_scored(env):
    env.reset(seed=1, options={"task": "train-0"})
    steps = [env.step(call("look"))[2:4] for _ in range(3)]
    assert steps == [(False, False)] * 3
    _, reward, terminated, truncated, info = env.step(call("buy", name="pear", count=1))
    assert (reward, terminated, truncated, info["ending"]) == (1.0, False, True, "max_turns")


def test_an_answer_on_the_last_turn_terminates_and_does_not_truncate(env):
    env.reset(seed=1)
    for _ in range(3):
        env.step(call("look"))
    assert env.step("done")[2:4] == (True, False)


@pytest.mark.parametrize(
    "text",
    ["buy a pear", "", "[1, 2]", '{"name": "look"}', '{"name": 3, "arguments": {}}', '{"a": 1}', "[" * 100_00],
)
def test_text_that_is_no_tool_call_is_the_final_answer(env, text):
    env.reset(seed=1)
    _, _, terminated, _, info = env.step(text)
    assert terminated
    assert info["tool"] is None


def test_a_wrong_call_is_an_observation_and_the_episode_goes_on(env):
    env.reset(seed=1)
    for action, said in [
        (call("buy", name="fig", count=0), "count"),
        (call("steal"), "unknown tool"),
        (call("buy", name="gold", count=1), "there is no gold"),
    ]:
        text, reward, terminated, truncated, info = env.step(action)
        assert said in text
        assert (reward, terminated, truncated, info["is_error"]) == (0.0, False, False, True)


def test_real_text_lies_in_the_spaces_and_halves_of_characters_do_not(env):
    env.reset(seed=1)
    text = "名前 é 🎉 \x00\n"
    seen = env.step(call("say", text=text))[0]
    assert seen == text
    assert seen in env.observation_space
    assert "\ud800" not in env.action_space
    assert "x" * (ACTION_LIMIT + 1) not in env.action_space


def test_text_survives_gymnasiums_flattening():
    space = UnicodeText(12)
    space.seed(1)
    for text in ["", "名前 🎉", space.sample()]:
        assert gymnasium.spaces.unflatten(space, gymnasium.spaces.flatten(space, text)) == text
        assert gymnasium.spaces.flatten(space, text) in gymnasium.spaces.flatten_space(space)


def test_episodes_run_side_by_side_in_gymnasiums_vector_environments(shop):
    name = register_gymnasium(shop.Shop, score=shop.score)
    try:
        envs = gymnasium.make_vec(name, num_envs=3)
        texts, infos = envs.reset(seed=5)
        assert len(set(infos["task"])) > 1
        seen, rewards, terminated, _, _ = envs.step((call("look"), call("say", text="é"), "done"))
        assert list(seen) == ["[]", "é", ""]
        assert list(terminated) == [False, False, True]
        assert list(rewards) == [0, 0, 0]
        assert all(text in envs.single_observation_space for text in texts)
        envs.close()
    finally:
        gymnasium.registry.pop(name)


def test_episodes_run_in_processes_of_their_own_too(shop):
    name = register_gymnasium(shop.Shop)
    envs = gymnasium.make_vec(name, 2, vectorization_mode="async", vector_kwargs={"shared_memory": False})
    try:
        envs.reset(seed=5)
        assert envs.step((call("say", text="é 🎉"), call("look")))[0] == ("é 🎉", "[]")
    finally:
        envs.close()
        gymnasium.registry.pop(name)


def test_what_is_registered_twice_is_refused(shop):
    name = register_gymnasium(shop.Shop)
    try:
        assert name == "practicum/test-shop-v2"
        with pytest.raises(EnvironmentFault, match="practicum/test-shop-v2 already"):
            register_gymnasium(shop.Shop)
    finally:
        gymnasium.registry.pop(name)


def test_a_scripted_user_answers_and_the_episode_goes_on_until_he_is_content():
    env = as_gymnasium(Talk)
    env.reset(seed=1)
    text, _, terminated, _, _ = env.step("One.")
    assert (text, terminated) == ("And then? (One.)", False)
    text, _, terminated, _, info = env.step("Two.")
    assert (text, terminated, info["ending"]) == ("", True, "final")


def test_a_result_that_utf8_cannot_carry_is_still_an_observation():
    env = as_gymnasium(Talk)
    env.reset(seed=1)
    assert env.step(call("wait"))[0] == "half a pair: ?"
    env.close()


def test_the_episode_is_torn_down_at_its_end_at_close_and_at_the_next_reset(shop, monkeypatch):
    ended = []
    monkeypatch.setattr(shop.Shop, "ended", lambda self, id: ended.append(id))
    env = as_gymnasium(shop.Shop)
    env.reset(options={"task": "train-1"})
    env.step("done")
    assert ended == ["train-1"]
    env.reset(options={"task": "train-2"})
    env.reset(options={"task": "train-3"})
    assert ended == ["train-1", "train-2"]
    env.close()
    env.close()
    assert ended == ["train-1", "train-2", "train-3"]


def test_a_step_without_an_open_episode_says_that_reset_is_needed(env):
    with pytest.raises(gymnasium.error.ResetNeeded, match="no episode has begun"):
        env.step("done")
    env.reset(seed=1)
    env.step("done")
    with pytest.raises(gymnasium.error.ResetNeeded, match="the episode is over"):
        env.step("done")


def test_a_fault_of_the_environment_ends_the_episode(shop, monkeypatch):
    ended = []
    monkeypatch.setattr(shop.Shop, "ended", lambda self, id: ended.append(id))
    env = as_gymnasium(shop.Shop)
    env.reset(seed=1)
    env.environment.database.execute("DROP TABLE basket")
    with pytest.raises(Exception, match="no such table"):
        env.step(call("look"))
    assert len(ended) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "train-99"}, "has no task 'train-99'"),
        ({"tsak": "train-1"}, "no option 'tsak'"),
    ],
)
def test_wrong_options_are_refused(env, options, message):
    with pytest.raises(EnvironmentFault, match=message):
        env.reset(options=options)


def test_actions_that_are_no_text_of_the_space_are_refused(env):
    env.reset(seed=1)
    for action in [3, None, "\ud800", "x" * (ACTION_LIMIT + 1)]:
        with pytest.raises(EnvironmentFault, match="no action"):
            env.step(action)


def test_scores_may_be_async_give_numbers_per_turn_and_components(shop):
    async def score(rollout):
        return [0.25, 0.5], {"fruit": 2}

    env = as_gymnasium(shop.Shop, score=score)
    env.reset(seed=1)
    _, reward, _, _, info = env.step("done")
    assert (reward, info["components"]) == (0.75, {"fruit": 2.0})


@pytest.mark.parametrize("value", [float("nan"), None, [], "1", [1, "2"]])
def test_a_score_that_is_no_number_is_a_fault(shop, value):
    env = as_gymnasium(shop.Shop, score=lambda rollout: value)
    env.reset(seed=1)
    with pytest.raises(EnvironmentFault, match="the score gave"):
        env.step("done")


def test_rendering_shows_the_conversation(shop):
    env = as_gymnasium(shop.Shop, render_mode="ansi")
    env.reset(seed=1, options={"task": "train-0"})
    env.step(call("look"))
    env.step("done")
    assert env.render().splitlines() == [
        '{"system": "You buy fruit. Answer: done"}',
        '{"user": "Buy 1 of pear."}',
        '{"assistant": "look({})"}',
        '{"tool": "[]"}',
        '{"assistant": "done"}',
    ]
    with pytest.raises(EnvironmentFault, match="no render mode 'human'"):
        as_gymnasium(shop.Shop, render_mode="human")


def test_an_instance_in_the_middle_of_an_episode_is_refused(shop):
    playing = shop.Shop()
    playing.reset(playing.tasks("train")[0], 1)
    with pytest.raises(EnvironmentFault, match="plays task 'train-0'"):
        as_gymnasium(playing)
    playing.close()


def test_an_empty_split_and_a_missing_gymnasium_are_clear_errors(monkeypatch):
    class Empty(Talk):
        def tasks(self, split):
            return []

    with pytest.raises(EnvironmentFault, match="no tasks in split 'test'"):
        as_gymnasium(Empty, "test")
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(EnvironmentFault, match=r'pip install "practicum\[gymnasium\]"'):
        as_gymnasium(Talk)


def test_a_step_with_an_async_score_works_where_a_loop_runs_already(shop):
    async def score(rollout):
        return 0.5

    async def play():
        env = as_gymnasium(shop.Shop, score=score)
        env.reset(seed=1)
        return env.step("done")[1]

    assert asyncio.run(play()) == 0.5
