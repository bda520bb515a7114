"""What an evaluation counts, and how it is written down."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from practicum.engine.protocol import SamplingParams
from practicum.errors import RolloutError
from practicum.evaluation.evaluator import EvaluationPlan, evaluate, read_evaluation, write_evaluation
from practicum.rollout.agents import Episode
from practicum.rollout.dispatcher import Dispatcher, Limits
from practicum.runs.verify import file_digests
from practicum.store import read_trajectories
from practicum.tasks import Task, TaskSet
from practicum.trajectory import EnvironmentRef, Rollout, ToolCall


class Silent:
    """A sampler nobody asks for tokens."""

    version = 7

    async def sample(self, *_: Any) -> Any:
        raise AssertionError("these agents do not speak")

    def release(self, session: str) -> None:
        pass

    @contextlib.contextmanager
    def attached(self, session: str) -> Iterator[None]:
        yield


class Scripted:
    """An agent whose n-th rollout of a task ends as the script says."""

    in_process = True

    def __init__(self, ends: Callable[[str, int], Episode | Exception]) -> None:
        self.ends = ends
        self.seeds: list[tuple[str, int]] = []

    async def run(self, session: Any, task: Task, seed: int, keep: Any) -> Episode:
        self.seeds.append((task.id, seed))
        end = self.ends(task.id, int(session.id.rpartition("/")[2]))
        if isinstance(end, Exception):
            raise end
        return end


def points(rollout: Rollout) -> tuple[float, dict[str, float]]:
    right = float(rollout.final_state["points"])
    return right, {"field/colour": right}


def says(number: float, ending: Any = "final", calls: int = 0) -> Episode:
    return Episode(ending, tuple(ToolCall(str(n), "look", {}, "") for n in range(calls)), {"points": number})


def run(
    agent: Scripted, *, n_tasks: int = 2, rollouts: int = 2, temperature: float = 1.0, label: str = "base"
) -> tuple[Any, list[Any]]:
    plan = EvaluationPlan(
        split="test",
        tasks=TaskSet([Task(f"t{n}", f"prompt {n}") for n in range(n_tasks)]),
        rollouts_per_task=rollouts,
        success_threshold=1.0,
        pass_k=(1, 2, 4),
        seed=11,
    )
    dispatcher = Dispatcher(
        sampler=Silent(),
        renderer=None,  # type: ignore[arg-type]
        params=SamplingParams(temperature),
        agent=agent,
        environment=EnvironmentRef("e", "1", "d"),
        reward=lambda rollout: 0.5,
        score=points,
        limits=Limits(retries=0),
    )
    return asyncio.run(evaluate(dispatcher, plan, label))


def test_failed_rollouts_count_as_no_success() -> None:
    ends = {("t0", 0): says(1.0), ("t0", 1): RolloutError("gone"), ("t1", 0): says(0.5), ("t1", 1): says(1.0)}

    evaluation, trajectories = run(Scripted(lambda task, n: ends[task, n]))

    assert (evaluation.successes, evaluation.n_rollouts, evaluation.failed) == (2, 4, 1)
    assert evaluation.success_rate == 0.5
    # Two tasks: how alike their rollouts are is not known, so the four may be worth as little as two.
    assert evaluation.interval == pytest.approx((0.09, 0.91), abs=0.01)
    assert evaluation.field_accuracy == {"colour": pytest.approx(2.5 / 4)}
    assert evaluation.completion_rate == 0.75
    assert evaluation.pass_at == {"1": 0.5, "2": 1.0}
    assert evaluation.pass_power == {"1": 0.5, "2": 0.0}
    assert evaluation.version == 7
    assert [t.error is None for t in trajectories] == [True, False, True, True]


def test_every_ending_and_tool_call_is_counted() -> None:
    ends = [says(0, "max_turns", 3), says(1.0, "final", 1), says(0, "length"), says(0)]

    evaluation, _ = run(Scripted(lambda task, n: ends[n]), n_tasks=1, rollouts=4)

    assert evaluation.max_turns_frac == 0.25
    assert evaluation.completion_rate == 0.5
    assert evaluation.tool_calls == {"look": 4}


def test_completion_and_correctness_are_two_numbers() -> None:
    ends = [says(1.0, "final"), says(0, "final"), says(1.0, "max_turns"), says(0, "length")]

    evaluation, _ = run(Scripted(lambda task, n: ends[n]), n_tasks=1, rollouts=4)

    assert (evaluation.completion_rate, evaluation.correctness) == (0.5, 0.5)
    assert evaluation.success_rate == 0.5
    assert evaluation.scores == {"t0": [1.0, 0.0, 1.0, 0.0]}
    assert evaluation.rewards == {"t0": [0.5] * 4}


def test_scores_per_task_hold_a_failed_rollout_as_0() -> None:
    evaluation, _ = run(Scripted(lambda task, n: RolloutError("gone") if n else says(1.0)), n_tasks=2)

    assert evaluation.scores == {"t0": [1.0, 0.0], "t1": [1.0, 0.0]}
    assert evaluation.succeeded("t0") == [True, False]
    assert evaluation.bootstrap == (0.5, 0.5)


def test_two_models_are_compared_on_equal_draws_and_modes_differ() -> None:
    agents = [Scripted(lambda task, n: says(1.0)) for _ in range(3)]

    run(agents[0], label="base")
    run(agents[1], label="trained")
    greedy, _ = run(agents[2], temperature=0.0)

    assert agents[0].seeds == agents[1].seeds
    assert len(set(agents[0].seeds)) == 4
    assert set(agents[0].seeds).isdisjoint(agents[2].seeds)
    assert greedy.name == "base-greedy"


def test_an_evaluation_is_read_back_as_it_was_written_with_its_files_digests(tmp_path: Path) -> None:
    evaluation, trajectories = run(Scripted(lambda task, n: says(1.0)))

    files = write_evaluation(tmp_path, evaluation, trajectories)

    page, table = tmp_path / "evaluations/base-sampled.json", tmp_path / "trajectories/eval-base-sampled.parquet"
    assert files == file_digests(tmp_path, [page, table])
    assert read_evaluation(page) == evaluation
    assert [t.id for t in read_trajectories(table)] == [t.id for t in trajectories]
    written = json.loads(page.read_text())
    assert written["interval"][0] < written["success_rate"] <= written["interval"][1] == 1.0
    assert evaluation.estimates["score/interval_low"] == written["interval"][0]
