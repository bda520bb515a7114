"""How fast judging and its checks are: ``python benchmarks/evaluation.py``; add ``--small`` for a quick look.

Prints rollouts scored per second (10,000 recorded ones), seconds of the overlap check on 100,000 prompts, and seconds
of the attacks on each suite's score and reward, the search included.
"""

import argparse
import asyncio
import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from practicum.checks.attacks import attack, material_of, search
from practicum.checks.attacks.material import answered
from practicum.checks.scores.check_judges import SEARCHED
from practicum.checks.scores.evidence import gather
from practicum.checks.scores.near_duplicates import near_duplicates
from practicum.environment.target import load_target, suites
from practicum.scoring import judge
from practicum.store import read_trajectories, write_trajectories
from practicum.trajectory import EnvironmentRef, Rollout, Trajectory, Turn

WORDS = [
    *("where", "when", "which", "order", "box", "lamp", "red", "green", "blue"),
    *("customer", "ticket", "ship", "cancel", "refund", "region", "plan", "urgent"),
]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a hundredth of the rollouts and prompts")
    scale = 100 if parser.parse_args().small else 1
    scoring(10_000 // scale)
    overlap(100_000 // scale)
    for name in suites():
        attacks(name)


def scoring(count: int) -> None:
    """Recorded rollouts are read back and scored, as ``practicum impact`` and ``eval`` do."""
    target = load_target("support_desk")
    evidence = gather(target, count=20, seed=0, recorded=None)
    solved = [case.solved for case in evidence.cases if case.solved is not None]
    by_id = {rollout.task.id: rollout.task for rollout in solved}
    rollouts = [solved[n % len(solved)] for n in range(count)]
    rollouts = [rollout if n % 2 else answered(rollout, "nothing") for n, rollout in enumerate(rollouts)]
    ref = EnvironmentRef("e", "1", "d")
    recorded = []
    for n, rollout in enumerate(rollouts):
        *before, last = rollout.messages
        turn = Turn(tuple(before), last, (), (), (), (), "stop")
        fields = {"tool_calls": tuple(rollout.tool_calls), "ending": "final", "turns": (turn,)}
        recorded.append(Trajectory(f"r{n}", rollout.task.id, "g", 0, ref, **fields))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rollouts.parquet"
        write_trajectories(path, recorded)
        began = time.perf_counter()
        read = read_trajectories(path)
        reading = time.perf_counter() - began
    score = target.score
    assert score is not None

    async def all_of_them() -> float:
        return sum([(await judge(score, Rollout.of(each, by_id[each.task_id]))).total for each in read])

    began = time.perf_counter()
    right = asyncio.run(all_of_them())
    seconds = time.perf_counter() - began
    print(f"scoring   {count / seconds:>10,.0f} rollouts/s ({right:.0f} of {count} right; read in {reading:.1f} s)")


def overlap(count: int) -> None:
    """Prompts in two splits, one in a hundred a near copy of another."""
    rng = random.Random(0)
    texts = [f"{' '.join(rng.choices(WORDS, k=rng.randrange(12, 30)))} {rng.randrange(10**6)}" for _ in range(count)]
    for n in range(0, count, 100):
        texts[n] = f"please, {texts[(n + 1) % count]}"
    began = time.perf_counter()
    pairs = near_duplicates(texts, [n % 2 for n in range(count)])
    print(f"overlap   {time.perf_counter() - began:>10.1f} s for {count:,} prompts ({len(pairs)} pairs)")


def attacks(name: str) -> None:
    """All families against a suite's score and reward, on 12 tasks, and the search between the two."""
    target = load_target(name)
    assert target.score is not None
    assert target.reward is not None
    began = time.perf_counter()
    material = material_of(gather(target, count=12, seed=0, recorded=None).cases)
    tried, beaten = 0, 0
    for purpose in ("score", "reward"):
        function = getattr(target, purpose)
        report = asyncio.run(attack(function, material, purpose=purpose))
        tried, beaten = tried + sum(result.rollouts for result in report.results), beaten + len(report.beaten)
    gaps = asyncio.run(search(target.reward, target.score, material, seed=0, budget=SEARCHED))
    seconds = time.perf_counter() - began
    print(
        f"attacks   {seconds:>10.1f} s on {name} ({tried} rollouts judged, {beaten} families beat it; then a search "
        f"over {SEARCHED}, {len(gaps)} found)"
    )


if __name__ == "__main__":
    main()
