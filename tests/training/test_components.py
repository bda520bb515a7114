"""What a recipe names is put together as it was meant, also where the model came out of another run."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf

from practicum.engine.local.export import export_merged
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.policy import Policy
from practicum.engine.protocol import SamplingParams
from practicum.errors import RolloutError
from practicum.recipe import load_recipe
from practicum.training.components import Workbench, build

QWEN_TOKENS = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>"),
    *("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
)


def bench_of(folder: Path, model: Path, **settings: Any) -> Workbench:
    """The parts of a run of ``desk.yaml`` on a model."""
    here = Path(__file__).parents[1]
    (folder / "desk.py").write_text((here / "desk.py").read_text())
    (folder / "desk.yaml").write_text((here / "desk.yaml").read_text())
    overrides = [f"{key}={value}" for key, value in {"model_name": model, **settings}.items()]
    return build(load_recipe(folder / "desk.yaml", overrides))


@pytest.fixture
def qwen(tiny_model: Path, tmp_path: Path) -> Path:
    """A model whose folder says that it is one of Qwen's, as far as chat formats go."""
    folder = tmp_path / "models/Qwen/Qwen3-4B-Instruct-2507"
    tf.AutoModelForCausalLM.from_pretrained(tiny_model).save_pretrained(folder)
    tokenizer = tf.AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.unk_token = None
    tokenizer.add_tokens(list(QWEN_TOKENS), special_tokens=True)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("rank", [0, 2], ids=["whole", "adapter"])
def test_training_goes_on_in_the_chat_format_it_began_in(qwen: Path, tmp_path: Path, rank: int) -> None:
    output, merged = tmp_path / "runs/q/output", tmp_path / "merged"
    output.mkdir(parents=True)
    policy = Policy.load(qwen, dtype=torch.float32, device=torch.device("cpu"))
    LocalLearner(policy, lora_rank=rank).export(output)
    export_merged(output, merged)

    renderers = [bench_of(tmp_path, model).renderer for model in (qwen, output, merged)]

    tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
    prompt: Any = [{"role": "user", "content": "Where is box 7?"}]
    first, *others = [r.render(prompt, tools=tools, add_generation_prompt=True).token_ids for r in renderers]
    assert others == [first, first]
    assert {type(each.inner).__name__ for each in renderers} == {"Qwen3Renderer"}


def test_a_rollout_ends_where_the_model_does_and_that_is_said(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with bench_of(tmp_path, tiny_model, max_sequence_length=65536) as bench:
        said = capsys.readouterr().err
        with pytest.raises(RolloutError, match="2049 tokens leaves no room in max_sequence_length 2048"):
            bench.run(bench.sampler.sample("a", [5] * 2049, SamplingParams(max_tokens=1), 1))

    assert "max_sequence_length is 65536, but the model was made for at most 2048 tokens" in said


def test_a_bound_within_the_models_own_is_kept_without_a_word(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = pytest.raises(RolloutError, match="max_sequence_length 100")
    with bench_of(tmp_path, tiny_model, max_sequence_length=100) as bench, refused:
        bench.run(bench.sampler.sample("a", [5] * 101, SamplingParams(max_tokens=1), 1))

    assert "max_sequence_length" not in capsys.readouterr().err
