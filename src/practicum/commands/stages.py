"""A run's stages, each done once: check, baseline, foothold, reinforcement, evaluation, report.

Every stage looks at the run folder for what is already there, so carrying a run out again after Ctrl-C or kill -9
continues where it stopped. ``practicum demo``, ``train``, ``resume`` and the single-stage commands are all this.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from practicum.checks.agent.check_agent import check_agent
from practicum.checks.catalogue import TASKS_PER_SPLIT
from practicum.checks.environment import run_checks
from practicum.checks.findings import print_agent, print_judges, print_report
from practicum.checks.scores.check_judges import check_judges
from practicum.commands.foothold import warmstart
from practicum.commands.gate import Passed, certify
from practicum.commands.summary import next_commands
from practicum.display import StatusLine, say
from practicum.errors import RunError
from practicum.evaluation.evaluator import Evaluation, EvaluationPlan, Mode, evaluate, read_evaluation
from practicum.evaluation.reference import LABEL as REFERENCE
from practicum.evaluation.reference import Reference, evaluate_reference
from practicum.files import write_folder
from practicum.monitor.metrics import evaluation_metrics
from practicum.monitor.progress import TrainingView
from practicum.recipe import BUILTIN
from practicum.report.run_page import write_report
from practicum.rollout.chat_template import template_difference
from practicum.runs.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from practicum.runs.evaluations import conclude
from practicum.runs.events import read_events
from practicum.runs.folder import Run
from practicum.runs.manifest import file_digests
from practicum.scoring.endpoint import Endpoint
from practicum.scoring.judgement import reported_reward
from practicum.seeds import derive
from practicum.tasks import Task, TaskSet
from practicum.training.async_trainer import trainer_of
from practicum.training.components import Workbench
from practicum.training.course import divergence
from practicum.training.trainer import total_steps
from practicum.trajectory import group_by_task


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
        """Certify the environment, once a run; refuse to go on with one that fails."""
        before = [event.data for event in read_events(self.run.events.path) if event.kind == "check"]
        if any(data.get("report", {}).get("ok") and (data.get("judges") or {}).get("ok") for data in before):
            say(self.console, "certified when the run was begun")
            return
        with StatusLine(self.console, "checking the environment") as status:
            target, recipe = self.bench.target, self.run.recipe
            report = run_checks(target, progress=lambda text: status.update(f"checking: {text}"))
            judged = check_judges(target, recipe, progress=lambda text: status.update(f"checking: {text}"))
            played = check_agent(target, recipe) if recipe.agent != BUILTIN else None
        print_report(report, self.console)
        print_judges(judged, self.console)
        if played is not None:
            print_agent(played, self.console)
        runs = self.run.folder.parent
        self.record(certify(runs, target, report, asked=TASKS_PER_SPLIT, recipe=recipe, judges=judged, agent=played))
        if not (report.ok and judged.ok and (played is None or played.ok)):
            raise RunError("the checks failed", fix="mend what is named above, then run again")

    def record(self, passed: Passed) -> None:
        """Enter into the ledger why training may begin."""
        self.run.events.append("check", passed.to_dict())

    def evaluate(self, label: str) -> list[Evaluation]:
        """Evaluate the present weights on the test split; what is on record of them is read back."""
        return [self._recorded(label, mode) or self._evaluate(label, mode) for mode in self.modes]

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint; what is on record of steps after it is forgotten."""
        self.run.forget_after(checkpoint.step)
        self.run.acknowledge(checkpoint)
        self.bench.learner.load(checkpoint.folder)
        self.step = checkpoint.step

    def foothold(self) -> int:
        """Load the newest checkpoint, or make the first one; returns its step."""
        run, recipe = self.run, self.run.recipe
        checkpoint = latest_checkpoint(run.folder, self._warn)
        if checkpoint is not None:
            self.load(checkpoint)
            return self.step
        run.forget_after(None)
        if recipe.warmstart_demonstrations:
            warmstart(self.bench, run, self.console)
        else:
            save_checkpoint(run.folder, 0, self.bench.learner)
        return 0

    def tasks(self) -> tuple[TaskSet, Sequence[Task]]:
        """Training tasks, and validation tasks where the recipe validates.

        Raises:
            EnvironmentFault: there are none.
        """
        splits = self.bench.splits
        return splits["train"], splits["validation"] if self.run.recipe.validates else ()

    def reinforce(self, first_step: int) -> None:
        """Multi-turn reinforcement learning from ``first_step`` to the end, then export the model."""
        bench, run = self.bench, self.run
        last = total_steps(run.recipe, len(bench.splits["train"]))
        self.step = first_step
        if first_step < last or run.recipe.extend_steps:
            train, validation = self.tasks()
            held_out = "held-out, not independent" if bench.score is reported_reward else "held-out"
            view = TrainingView(last, run.name, first_step, self.console, held_out)
            with view:
                trainer = trainer_of(run.recipe)(bench, run, train, validation, view)
                self.step = trainer.fit(first_step)
        # One that is there may be of weights that a resumed run has trained again.
        if first_step < self.step or not (run.folder / "output").exists():
            write_folder(run.folder / "output", bench.learner.export)
            difference = template_difference(bench.policy.tokenizer, bench.renderer)
            if difference:
                self._warn(f"output/ keeps the model's own chat template: {difference}")

    def conclude(self) -> None:
        """Write ``evaluation.json``, and say how the models compare and where reward and score disagree."""
        self.run.events.append("evaluation", {"files": conclude(self.run.folder, self.console)})

    def finish(self) -> Path:
        """Enter the end of the run into the ledger, and write the HTML page; returns its path."""
        files = file_digests(self.run.folder, [self.run.folder / "output"])
        self.run.events.append("stop", {"files": files, "seconds": round(self.run.seconds, 1)})
        return self.report()

    def report(self) -> Path:
        """Write the HTML page and return its path."""
        return write_report(self.run.folder, next_commands(self.run.folder))

    def _warn(self, text: str) -> None:
        say(self.console, text, style="yellow")

    def _recorded(self, label: str, mode: Mode) -> Evaluation | None:
        path = self.run.folder / "evaluations" / f"{label}-{mode}.json"
        if path.exists() and not self.run.has_on_record(path.stem):
            self._warn(f"{path.name} is not what the ledger lists under that name: it is evaluated again")
            return None
        found = read_evaluation(path) if path.exists() else None
        return found if found and found.version == self.bench.policy.version else None

    def evaluate_reference(self) -> Evaluation | None:
        """Let the recipe's reference model play the test split; None where it names none. Done once per run."""
        recipe = self.run.recipe
        if not recipe.reference_base_url or not recipe.reference_model:
            return None
        path = self.run.folder / "evaluations" / f"{REFERENCE}-greedy.json"
        if path.exists():
            return read_evaluation(path)
        endpoint = Endpoint(recipe.reference_base_url, recipe.reference_model, recipe.reference_api_key_env or "")
        plan = self._plan("greedy")
        title = f"evaluating {endpoint.model}"
        with StatusLine(self.console, f"{title}: {len(plan.tasks)} held-out rollouts") as status:
            work = evaluate_reference(
                Reference(endpoint, max_tokens=recipe.val_max_tokens),
                plan,
                self.bench.target.make,
                score=self.bench.score,
                reward=self.bench.reward,
                max_turns=recipe.max_turns,
                on_done=_counter(status.update, title, len(plan.tasks)),
            )
            evaluation, trajectories = self.bench.run(work)
        if evaluation.says_nothing:
            raise RunError(
                f"the reference model gave no rollout: {trajectories[0].error}", where=recipe.reference_base_url
            )
        self.run.record_evaluation(evaluation, trajectories)
        return evaluation

    def _plan(self, mode: Mode) -> EvaluationPlan:
        recipe = self.run.recipe
        return EvaluationPlan(
            split="test",
            tasks=self.bench.splits["test"],
            rollouts_per_task=1 if mode == "greedy" else recipe.eval_group_size,
            success_threshold=recipe.success_threshold,
            pass_k=recipe.pass_k_values,
            seed=derive(recipe.seed, "test"),
            model_name=recipe.model_name or "",
        )

    def _evaluate(self, label: str, mode: Mode) -> Evaluation:
        recipe, plan = self.run.recipe, self._plan(mode)
        params = self.bench.held_out_params(0.0 if mode == "greedy" else recipe.deploy_temperature)
        total = len(plan.tasks) * plan.rollouts_per_task
        title = f"evaluating {label} ({mode})"
        with StatusLine(self.console, f"{title}: {total} held-out rollouts") as status:
            count = _counter(status.update, title, total)
            dispatcher = self.bench.dispatcher(params, scored=True, on_done=count)
            evaluation, trajectories = self.bench.run(evaluate(dispatcher, plan, label))
        if evaluation.says_nothing:
            raise RunError(
                f"all {evaluation.failed} rollouts of the evaluation {evaluation.name} failed, most often with:\n"
                f"  {evaluation.commonest_error}",
                where=f"environment {recipe.environment or 'of the agent'} with its score and reward, "
                f"agent {recipe.agent}",
                fix="mend the cause, then run the same command again",
            )
        metrics = evaluation_metrics(
            "eval",
            group_by_task(trajectories),
            success_threshold=recipe.success_threshold,
            estimates=evaluation.estimates,
        )
        if label == "trained":
            metrics |= divergence(self.run.folder, metrics, "eval")
        self.run.record_metrics(f"evaluation {evaluation.name}", self.step, metrics)
        self.run.record_evaluation(evaluation, trajectories)  # its event comes last: what has none is done again
        return evaluation


def _counter(update: Callable[[str], None], title: str, total: int) -> Callable[[object], None]:
    finished, began = 0, time.monotonic()

    def count(_: object) -> None:
        nonlocal finished
        finished += 1
        left = (time.monotonic() - began) / finished * (total - finished)
        update(f"{title}: {finished}/{total} held-out rollouts, {left:.0f} s left")

    return count
