"""A run's stages, each done once: check, baseline, foothold, reinforcement, evaluation, report.

Every stage looks at the run folder for what is already there, so carrying a run out again after Ctrl-C or kill -9
continues where it stopped. ``practicum demo``, ``train``, ``resume`` and the single-stage commands are all this.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from practicum.checks.environment import run_checks
from practicum.checks.findings import print_report
from practicum.errors import RunError
from practicum.evaluation.evaluator import Evaluation, EvaluationPlan, Mode, evaluate, read_evaluation
from practicum.files import write_folder
from practicum.ledger.verify import file_digests
from practicum.monitor.metrics import evaluation_metrics
from practicum.monitor.progress import TrainingView
from practicum.seeds import derive
from practicum.training.checkpoint import latest_checkpoint, save_checkpoint
from practicum.training.run import Run
from practicum.training.summary import next_commands
from practicum.training.trainer import Trainer, total_steps
from practicum.training.warmstart import warmstart
from practicum.training.workbench import Workbench
from practicum.trajectory import group_by_task
from practicum.viewer.report import write_report


@dataclass
class Pipeline:
    """One run being carried out on a workbench.

    The trainer is handed training and validation tasks; only ``evaluate`` reads the test split.
    """

    run: Run
    bench: Workbench
    console: Console
    step: int = 0
    """Training steps the present weights have had."""

    @property
    def modes(self) -> tuple[Mode, ...]:
        """How models are evaluated: as they will be used, and greedily."""
        return ("sampled", "greedy") if self.run.recipe.deploy_temperature else ("greedy",)

    def check(self) -> None:
        """Certify the environment; refuse to go on with one that fails."""
        with self.console.status("checking the environment") as status:
            report = run_checks(self.bench.target, progress=lambda text: status.update(f"checking: {text}"))
        print_report(report, self.console)
        self.run.events.append("check", report.to_dict())
        if not report.ok:
            raise RunError("the environment failed its checks", fix="mend what is named above, then run again")

    def evaluate(self, label: str) -> list[Evaluation]:
        """Evaluate the present weights on the test split; what is on record of them is read back."""
        return [self._recorded(label, mode) or self._evaluate(label, mode) for mode in self.modes]

    def foothold(self) -> int:
        """Load the newest checkpoint, or make the first one; returns its step."""
        run, recipe = self.run, self.run.recipe
        checkpoint = latest_checkpoint(run.folder, self._warn)
        run.forget_after(checkpoint.step if checkpoint else None)
        if checkpoint is not None:
            self.bench.learner.load(checkpoint.folder)
            self.step = checkpoint.step
            return self.step
        if recipe.warmstart_demonstrations:
            warmstart(self.bench, run, self.console)
        else:
            save_checkpoint(run.folder, 0, self.bench.learner)
        return 0

    def reinforce(self, first_step: int) -> None:
        """Multi-turn reinforcement learning from ``first_step`` to the end, then export the model."""
        bench, run = self.bench, self.run
        last = total_steps(run.recipe, len(bench.splits["train"]))
        if first_step < last:
            with TrainingView(last, title=run.name, first_step=first_step, console=self.console) as view:
                Trainer(bench, run, bench.splits["train"], bench.splits["validation"], view).fit(first_step)
        self.step = last
        if not (run.folder / "output").exists():
            write_folder(run.folder / "output", bench.learner.export)

    def finish(self) -> Path:
        """Enter the end of the run into the ledger, and write the HTML page; returns its path."""
        files = file_digests(self.run.folder, [self.run.folder / "output"])
        self.run.events.append("stop", {"files": files, "seconds": round(self.run.seconds, 1)})
        return self.report()

    def report(self) -> Path:
        """Write the HTML page and return its path."""
        return write_report(self.run.folder, next_commands(self.run.folder))

    def _warn(self, text: str) -> None:
        self.console.print(text, style="yellow", markup=False)

    def _recorded(self, label: str, mode: Mode) -> Evaluation | None:
        path = self.run.folder / "evaluations" / f"{label}-{mode}.json"
        found = read_evaluation(path) if path.exists() else None
        return found if found and found.version == self.bench.policy.version else None

    def _evaluate(self, label: str, mode: Mode) -> Evaluation:
        recipe = self.run.recipe
        plan = EvaluationPlan(
            split="test",
            tasks=self.bench.splits["test"],
            rollouts_per_task=1 if mode == "greedy" else recipe.eval_group_size,
            success_threshold=recipe.success_threshold,
            pass_k=recipe.pass_k_values,
            seed=derive(recipe.seed, "test"),
        )
        params = self.bench.held_out_params(0.0 if mode == "greedy" else recipe.deploy_temperature)
        total = len(plan.tasks) * plan.rollouts_per_task
        what = f"evaluating {label} ({mode})"
        with self.console.status(f"{what}: {total} held-out rollouts") as status:
            count = _counter(status.update, what, total)
            dispatcher = self.bench.dispatcher(params, scored=True, on_done=count)
            evaluation, trajectories = self.bench.run(evaluate(dispatcher, plan, label))
        self.run.record_evaluation(evaluation, trajectories)
        metrics = evaluation_metrics(
            "eval",
            group_by_task(trajectories),
            success_threshold=recipe.success_threshold,
            estimates=evaluation.estimates,
        )
        self.run.record_metrics(f"evaluation {evaluation.name}", self.step, metrics)
        return evaluation


def _counter(update: Callable[[str], None], what: str, total: int) -> Callable[[object], None]:
    done, began = 0, time.monotonic()

    def count(_: object) -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - began) / done * (total - done)
        update(f"{what}: {done}/{total} held-out rollouts, {left:.0f} s left")

    return count
