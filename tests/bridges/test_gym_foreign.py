"""A Gymnasium text environment of somebody else's is an environment: its tool, its seeds, its endings."""

import json
import string

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from practicum.bridges import GymnasiumEnvironment, as_gymnasium
from practicum.bridges.gym_foreign import score
from practicum.errors import EnvironmentFault
from practicum.tasks import TaskSet

LAKE = {
    "game": "FrozenLake-v1",
    "game_args": {"render_mode": "ansi"},
    "actions": ["left", "down", "right", "up"],
    "sizes": {"train": 6, "validation": 3, "test": 3},
}


class Echo(gymnasium.Env):
    """Text in, text out: a word to be said back, three times."""

    def __init__(self, charset=string.ascii_lowercase):
        self.action_space = spaces.Text(8, charset=charset)
        self.observation_space = spaces.Dict(
            {
                "word": spaces.Text(8, charset=charset),
                "left": spaces.Tuple([spaces.Discrete(4), spaces.MultiBinary(2), spaces.MultiDiscrete([3, 3])]),
            }
        )

    def _seen(self):
        counts = (np.int64(self.left), np.array([1, 0], np.int8), np.array([2, 1]))
        return {"word": self.word, "left": counts}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 3
        self.word = "".join(self.np_random.choice(list("abc"), size=4))
        return self._seen(), {}

    def step(self, action):
        reward = 2.0 if action == self.word else -1.0
        self.left -= 1
        self.word = "".join(self.np_random.choice(list("abc"), size=4))
        return self._seen(), reward, self.left == 0, False, {}


def played(environment, task, actions, seed=1):
    environment.reset(task, seed)
    results = [environment.call("act", {"action": action}) for action in actions]
    state = dict(environment.final_state())
    environment.close()
    return [json.loads(result.text) for result in results], state


def test_a_game_of_gymnasium_has_one_tool_with_the_named_actions():
    lake = GymnasiumEnvironment(**LAKE)
    (schema,) = lake.schemas()
    assert schema["function"]["name"] == "act"
    assert schema["function"]["parameters"]["properties"] == {
        "action": {"type": "string", "enum": ["left", "down", "right", "up"]}
    }
    assert (lake.id, lake.version, lake.max_turns) == ("FrozenLake", "1", 101)


def test_without_names_actions_are_numbers_from_where_the_space_begins():
    class From(Echo):
        def __init__(self):
            super().__init__()
            self.action_space = spaces.Discrete(3, start=5)

    (schema,) = GymnasiumEnvironment(From).schemas()
    assert schema["function"]["parameters"]["properties"] == {"action": {"type": "integer", "minimum": 5, "maximum": 7}}
    results, _ = played(GymnasiumEnvironment(From), GymnasiumEnvironment(From).tasks("train")[0], [5.0, 4, 7])
    assert ["error" in result for result in results] == [False, True, False]


class Levers(gymnasium.Env):
    """Asks for an action of the given space, and shows what it was given."""

    def __init__(self, space, steps=2):
        self.action_space, self.steps = space, steps
        self.observation_space = spaces.Text(500, charset=string.printable)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = self.steps
        return str(self.np_random.integers(1000)), {}

    def step(self, action):
        assert action in self.action_space
        self.left -= 1
        return f"{type(action).__name__} {action}", 1.0, self.left == 0, False, {}


def whole(low, high):
    return {"type": "integer", "minimum": low, "maximum": high}


def parts(*schemas):
    return {"type": "array", "prefixItems": list(schemas), "minItems": len(schemas), "maxItems": len(schemas)}


def alike(schema, count):
    return {"type": "array", "items": schema, "minItems": count, "maxItems": count}


SPACES = {
    "list": (spaces.MultiDiscrete([3, 2]), parts(whole(0, 2), whole(0, 1)), [2.0, 1], "ndarray [2 1]", [3, 0]),
    "shifted": (spaces.MultiDiscrete([3, 3], start=[5, 5]), alike(whole(5, 7), 2), [5, 7], "ndarray [5 7]", [0, 0]),
    "grid": (
        spaces.MultiDiscrete([[2, 2], [2, 2]]),
        alike(alike(whole(0, 1), 2), 2),
        [[0, 1], [1, 0]],
        "ndarray [[0 1]\n [1 0]]",
        [[0, 1]],
    ),
    "bits": (spaces.MultiBinary([2]), alike(whole(0, 1), 2), [1, 0], "ndarray [1 0]", [1, 2]),
    "tuple": (
        spaces.Tuple([spaces.Discrete(2, start=1), spaces.Text(3, charset="ab")]),
        parts(whole(1, 2), {"type": "string", "minLength": 1, "maxLength": 3}),
        [2, "ab"],
        "tuple (np.int64(2), 'ab')",
        [2, "abc"],
    ),
    "nothing": (spaces.Tuple([]), {"type": "array", "minItems": 0, "maxItems": 0}, [], "tuple ()", [1]),
    "dict": (
        spaces.Dict({"move": spaces.MultiDiscrete([4, 2]), "fire": spaces.Discrete(2)}),
        {
            "type": "object",
            "properties": {"fire": whole(0, 1), "move": parts(whole(0, 3), whole(0, 1))},
            "required": ["fire", "move"],
            "additionalProperties": False,
        },
        {"move": [3, 1], "fire": 1},
        "dict {'fire': np.int64(1), 'move': array([3, 1])}",
        {"move": [3, 1]},
    ),
}


@pytest.mark.parametrize("name", SPACES)
def test_actions_of_several_parts_are_lists_and_objects(name):
    space, expected, action, seen, wrong = SPACES[name]
    game = GymnasiumEnvironment(Levers, game_args={"space": space, "steps": 2}, id="levers", version="1")
    (schema,) = game.schemas()
    found = schema["function"]["parameters"]["properties"]["action"]
    assert {**found, "required": sorted(found.get("required", ()))} == {
        **expected,
        "required": expected.get("required", []),
    }
    task = game.tasks("train")[0]
    game.reset(task, 1)
    refused, taken, last = (game.call("act", {"action": given}) for given in (wrong, action, action))
    game.close()
    assert (refused.is_error, taken.is_error) == (True, False)
    assert json.loads(taken.text) == {"observation": seen, "game_over": False}
    assert json.loads(last.text)["game_over"]
    assert game.transitions[1].arguments == {"action": action}


def test_whatever_the_space_samples_is_an_action_that_its_schema_takes():
    space = spaces.Dict({f"part {n}": each[0] for n, each in enumerate(SPACES.values())})
    space.seed(3)
    game = GymnasiumEnvironment(Levers, game_args={"space": space, "steps": 50})
    game.reset(game.tasks("train")[0], 1)
    for _ in range(20):
        action = json.loads(json.dumps(space.sample(), default=lambda value: value.tolist()))
        assert not game.call("act", {"action": action}).is_error
    game.close()


def test_splits_are_disjoint_seeds_and_prompts_show_how_the_game_begins():
    lake = GymnasiumEnvironment(**LAKE)
    tasks = {split: TaskSet(lake.tasks(split)) for split in ("train", "validation", "test")}
    assert [len(tasks[split]) for split in tasks] == [6, 3, 3]
    seeds = [task.metadata["seed"] for split in tasks.values() for task in split]
    assert len(set(seeds)) == len(seeds)
    assert not tasks["train"].overlap(tasks["test"])
    assert "SFFF" in tasks["train"][0].prompt.replace("\x1b[41mS\x1b[0m", "S")


def test_an_episode_is_what_gymnasium_itself_plays_with_the_tasks_seed():
    lake = GymnasiumEnvironment(**LAKE)
    task = lake.tasks("train")[3]
    moves = ["right", "down", "down", "right", "down", "left"]
    results, state = played(lake, task, moves)
    real = gymnasium.make("FrozenLake-v1")
    real.reset(seed=task.metadata["seed"])
    for result, move in zip(results, moves, strict=True):
        if "error" in result:
            break
        observation, _, terminated, truncated, _ = real.step(LAKE["actions"].index(move))
        assert (result["observation"], result["game_over"]) == (observation, terminated or truncated)
        assert result["picture"]
    assert state["return"] in (0.0, 1.0)


def test_the_same_task_plays_the_same_whatever_the_episodes_seed_and_another_one_differently():
    lake = GymnasiumEnvironment(Echo)
    tasks = lake.tasks("train")
    assert played(lake, tasks[1], ["abc", "a"], seed=1) == played(GymnasiumEnvironment(Echo), tasks[1], ["abc", "a"], 2)
    assert played(lake, tasks[1], ["abc"]) != played(lake, tasks[2], ["abc"])


def test_text_games_show_their_observations_as_json():
    echo = GymnasiumEnvironment(Echo)
    results, _ = played(echo, echo.tasks("train")[0], ["abcd"])
    assert results[0]["observation"]["left"] == [2, [1, 0], [2, 1]]
    assert len(results[0]["observation"]["word"]) == 4
    assert (echo.id, echo.version) == (f"{__name__}-Echo", "0")


@pytest.mark.parametrize(("action", "said"), [("Ab", "characters"), ("", "non-empty"), ("a" * 9, "too long"), (3, "3")])
def test_what_the_action_space_does_not_hold_is_an_error_the_agent_sees(action, said):
    echo = GymnasiumEnvironment(Echo)
    echo.reset(echo.tasks("train")[0], 1)
    result = echo.call("act", {"action": action})
    echo.close()
    assert result.is_error
    assert said in result.text


def test_rewards_are_summed_for_the_score_and_not_shown(finished):
    echo = GymnasiumEnvironment(Echo, returns=(-3, 6))
    task = echo.tasks("train")[0]
    echo.reset(task, 1)
    word = json.loads(task.prompt.partition("\n")[2].replace("'", '"'))["word"]
    texts = [echo.call("act", {"action": word}).text, echo.call("act", {"action": "x"}).text]
    assert "reward" not in "".join(texts)
    assert echo.final_state() == {"return": 1.0, "score": 4 / 9, "steps": 2, "ending": ""}
    assert score(finished(final_state=echo.final_state())) == 4 / 9
    echo.close()


def test_after_the_end_every_action_says_that_the_game_is_over():
    echo = GymnasiumEnvironment(Echo)
    results, state = played(echo, echo.tasks("train")[0], ["a", "a", "a", "a"])
    assert [result.get("game_over") for result in results] == [False, False, True, None]
    assert results[3] == {"error": "the game is over"}
    assert (state["ending"], state["steps"]) == ("terminated", 3)


def test_a_games_own_time_limit_truncates_it():
    lake = GymnasiumEnvironment(**{**LAKE, "game_args": {"max_episode_steps": 2, "is_slippery": False}})
    results, state = played(lake, lake.tasks("train")[0], ["left", "left", "left"])
    assert [result.get("game_over") for result in results] == [False, True, None]
    assert (state["ending"], lake.max_turns) == ("truncated", 3)


def test_every_game_is_closed_also_those_that_only_showed_their_beginning():
    opened, closed = [], []

    class Counted(Echo):
        def __init__(self):
            super().__init__()
            opened.append(self)

        def close(self):
            closed.append(self)

    echo = GymnasiumEnvironment(Counted)
    played(echo, echo.tasks("train")[0], ["a"])
    echo.reset(echo.tasks("train")[1], 1)
    assert len(opened) == len(closed) + 1
    echo.close()
    assert {id(each) for each in opened} == {id(each) for each in closed}


def test_a_task_without_a_seed_gets_one_from_the_episode():
    echo = GymnasiumEnvironment(Echo)
    task = echo.tasks("train")[0]
    bare = type(task)("mine", "Play.")
    assert played(echo, bare, ["a"], seed=1) == played(echo, bare, ["a"], seed=1)
    assert played(echo, bare, ["a"], seed=1) != played(echo, bare, ["a"], seed=2)


def test_transitions_tell_states_apart_and_repeat(finished):
    def digests():
        echo = GymnasiumEnvironment(Echo)
        played(echo, echo.tasks("train")[0], ["a", "b"])
        return [transition.next_state for transition in echo.transitions]

    first = digests()
    assert first == digests()
    assert len(set(first)) == 2


def test_the_digest_depends_on_game_and_arguments():
    lake = GymnasiumEnvironment(**LAKE)
    slippery = GymnasiumEnvironment(**{**LAKE, "game_args": {"is_slippery": False}})
    assert lake.digest == GymnasiumEnvironment(**LAKE).digest
    assert lake.digest != slippery.digest


def test_a_foreign_game_can_be_a_gymnasium_environment_again():
    env = as_gymnasium(GymnasiumEnvironment(**LAKE), score=score)
    env.reset(seed=1)
    seen, _, terminated, _, _ = env.step('{"name": "act", "arguments": {"action": "down"}}')
    assert json.loads(seen)["game_over"] in (True, False)
    assert not terminated
    env.close()


class Picture(Echo):
    """Shows pixels."""

    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(0, 255, (2, 2), np.uint8)

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 2), np.uint8), {}


class Pedal(Echo):
    """Takes numbers with fractions."""

    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(-1, 1, (1,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"game": "NoSuchGame-v0"}, "cannot be made: NameNotFound"),
        ({"game": "no_such_module:Game-v0"}, "cannot be made: ModuleNotFoundError"),
        ({"game": "FrozenLake-v1", "game_args": {"ice": 1}}, "cannot be made: TypeError"),
        ({"game": Picture}, "observations in .* are no text"),
        ({"game": Pedal}, "actions of .* are no text"),
        ({"game": Echo, "actions": ["a"]}, "no order to be named in"),
        ({"game": "FrozenLake-v1", "actions": ["left"]}, "do not name 4 actions"),
        ({"game": "FrozenLake-v1", "actions": ["a", "a", "b", "c"]}, "do not name 4 actions"),
        ({"game": Echo, "returns": (1.0, 1.0)}, "are no range"),
        ({"game": dict}, "made {}"),
    ],
)
def test_games_that_cannot_be_text_are_refused(arguments, message):
    with pytest.raises(EnvironmentFault, match=message):
        GymnasiumEnvironment(**arguments)


def test_an_unknown_split_is_refused():
    with pytest.raises(EnvironmentFault, match="no split 'dev'"):
        GymnasiumEnvironment(Echo).tasks("dev")
