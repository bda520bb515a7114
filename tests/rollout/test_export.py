"""What is exported can be served as it was trained: chat template and sampling, also of outputs that lack them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.policy import Policy
from practicum.rollout.chat_template import chatml_template, template_difference
from practicum.rollout.model_export import export_model
from practicum.rollout.renderer import make_renderer

OWN = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture
def base(tiny_model: Path, tmp_path: Path) -> Path:
    """A model with a chat template that knows no tools, and sampling settings of its own."""
    folder = tmp_path / "base"
    shutil.copytree(tiny_model, folder)
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = OWN
    tokenizer.save_pretrained(folder)
    settings = {"bos_token_id": 1, "eos_token_id": 0, "temperature": 0.3, "do_sample": True, "repetition_penalty": 1.3}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("rank", [0, 2], ids=["whole", "adapter"])
def test_an_output_of_an_earlier_version_is_exported_with_the_template_of_training(
    base: Path, tmp_path: Path, rank: int
) -> None:
    old = tmp_path / "output"
    old.mkdir()
    LocalLearner(Policy.load(base, dtype=torch.float32, device=torch.device("cpu")), lora_rank=rank).export(old)
    assert (old / "chat_template.jinja").read_text() == OWN

    difference = export_model(old, tmp_path / "exported")

    tokenizer = tf.AutoTokenizer.from_pretrained(tmp_path / "exported")
    assert difference == ""
    assert tokenizer.chat_template == chatml_template("pythonic")
    assert template_difference(tokenizer, make_renderer(tokenizer, "tiny")) == ""


def test_an_exported_model_ends_a_turn_as_in_training_and_samples_without_the_bases_settings(
    base: Path, tmp_path: Path
) -> None:
    export_model(base, tmp_path / "exported")

    settings = json.loads((tmp_path / "exported/generation_config.json").read_text())
    assert settings["eos_token_id"] == [2]
    assert not {"temperature", "top_p", "top_k", "repetition_penalty"} & set(settings)


def test_a_model_of_no_known_family_keeps_its_template_and_that_is_said(base: Path, tmp_path: Path) -> None:
    words = Tokenizer(WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    other = tf.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", chat_template=OWN)
    other.save_pretrained(base)

    difference = export_model(base, tmp_path / "exported")

    assert "the tokenizer's own template is kept" in difference
    assert "no renderer is known" in difference
    assert tf.AutoTokenizer.from_pretrained(tmp_path / "exported").chat_template == OWN


def test_a_known_family_keeps_its_template_and_the_difference_is_said(
    base: Path, tmp_path: Path, commands: Any
) -> None:
    folder = tmp_path / "models/Qwen/Qwen3-4B-Instruct-2507"
    folder.parent.mkdir(parents=True)
    base.rename(folder)
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    tokenizer.unk_token = None
    calls = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
    tokenizer.add_tokens(calls, special_tokens=True)
    tokenizer.save_pretrained(folder)

    done = commands("export", str(folder), "exported")

    assert done.code == 0, done.err
    assert "chat template: a first question: training wrote '<|im_start|>user\\nWhose is ticket T1?" in done.out
    assert tf.AutoTokenizer.from_pretrained(commands.folder / "exported").chat_template == OWN
