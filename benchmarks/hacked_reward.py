"""A hackable reward, end to end: ``python benchmarks/hacked_reward.py`` (about twenty minutes on two cores).

The small model is trained twice from the same foothold and seed: on a reward that pays for lookups, and on the one
that mends it. Printed: what ``check`` says of both; for each run the training reward by step, the external score
before and after, and the rollouts that reward and score see differently. Expected: with the hackable reward the
training reward rises and the score does not; with the tightened one both rise.
"""

import json
import subprocess
import sys
from pathlib import Path

from practicum.checks.judges.check import check_judges
from practicum.checks.target import load_target
from practicum.viewer.disagreements import recorded_disagreements

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
            command = [sys.executable, "-m", "practicum.cli", stage, "support_desk", *keys, "--run", str(run), *more]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        show(name, run)


def show(name: str, run: Path) -> None:
    """One run's course in a few lines."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rewards = [line["metrics"]["rollout/reward/mean"] for line in lines if line["phase"] == "rl"]
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
