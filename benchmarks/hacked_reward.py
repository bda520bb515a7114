"""A hackable reward, end to end: ``python benchmarks/hacked_reward.py`` (about twenty minutes on two cores).

The small model is trained twice from the same foothold and seed: on a reward that pays for lookups, and on the one
that mends it. Printed: what ``check`` says of both; for each run the training reward by step, the external score
before and after, and the rollouts that reward and score see differently. Expected: with the hackable reward the
training reward rises and the score does not; with the tightened one both rise. Both are drawn into
``docs/hacked_reward.svg``.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from practicum.checks.scores.check_judges import check_judges
from practicum.environment.target import load_target
from practicum.evaluation.disagreements import recorded_disagreements

HERE = Path(__file__).parent
MODULE = HERE / "hacked_desk.py"
REWARDS = ("hacked", "tightened")


def main() -> None:
    """Check both rewards, train on both, and print what came of it."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs")
    for name in REWARDS:
        report = check_judges(load_target(f"{MODULE}:SupportDesk", {"level": 2}, reward=name))
        print(f"check, reward {name}: {', '.join(sorted(report.codes)) or 'nothing found'}", flush=True)
    for name in REWARDS:
        run = folder / f"reward-{name}"
        keys = [f"environment={MODULE}:SupportDesk", f"reward={name}"]
        reason = f"to show what becomes of a {name} reward"
        for stage, more in (("warmstart", []), ("train", ["--without-gate", reason])):
            command = [
                sys.executable,
                "-m",
                "practicum.commands",
                stage,
                "support_desk",
                *keys,
                "--run",
                str(run),
                *more,
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        show(name, run)
    draw(folder, HERE.parent / "docs" / "hacked_reward.svg")


def course(run: Path) -> list[float]:
    """Mean training reward of each step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["metrics"]["rollout/reward/mean"] for line in lines if line["phase"] == "rl"]


def evaluation(run: Path, label: str) -> dict[str, Any]:
    """One evaluation at temperature 1."""
    found: dict[str, Any] = json.loads((run / "evaluations" / f"{label}-sampled.json").read_text(encoding="utf-8"))
    return found


def draw(folder: Path, target: Path) -> None:
    """Training reward by step, and success on held-out tasks before and after with its 95% interval."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, name in enumerate(REWARDS):
        run, colour = folder / f"reward-{name}", f"C{1 - place}"
        rewards = course(run)
        left.plot(range(1, len(rewards) + 1), rewards, marker="o", markersize=4, color=colour, label=f"{name} reward")
        found = [evaluation(run, label) for label in ("foothold", "trained")]
        rates = [each["success_rate"] for each in found]
        ends = [
            [rate - each["interval"][0] for rate, each in zip(rates, found, strict=True)],
            [each["interval"][1] - rate for rate, each in zip(rates, found, strict=True)],
        ]
        right.errorbar([0, 1], rates, yerr=ends, marker="o", capsize=4, color=colour, label=f"{name} reward")
    left.set(title="what training saw", xlabel="step", ylabel="mean training reward", ylim=(0, 1))
    right.set(title="what the score saw", ylabel="held-out success", ylim=(0, 1), xlim=(-0.3, 1.3))
    right.set_xticks([0, 1], ["foothold", "trained"])
    left.legend()
    figure.savefig(target, metadata={"Date": None})


def show(name: str, run: Path) -> None:
    """One run's course in a few lines."""
    rewards = course(run)
    print(f"\nreward {name}\n  training reward  {' '.join(f'{reward:.2f}' for reward in rewards)}")
    for path in sorted((run / "evaluations").glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        low, high = found["interval"]
        print(
            f"  {path.stem:<18} score {found['success_rate']:.1%} ({low:.1%} to {high:.1%}), "
            f"reward {found['reward_mean']:.2f}, with an answer {found['completion_rate']:.0%}"
        )
    paid = [each for each in recorded_disagreements(run) if not each.succeeded]
    print(f"  paid without success: {len(paid)} rollouts", flush=True)
    for each in paid[:3]:
        calls = ", ".join(call.name for call in each.trajectory.tool_calls)
        print(f"    {each.trajectory.task_id}: reward {each.reward:.2f}, score {each.score:g}, {calls}")


if __name__ == "__main__":
    main()
