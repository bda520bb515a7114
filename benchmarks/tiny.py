"""A run small enough to be repeated many times: two random layers under a real tokenizer, and a desk to work at."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers as tf
from pydantic import Field

from practicum import Call, Environment, Task, score_fields, tool
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.models import SMOLLM2, find_model, load_tokenizer
from practicum.engine.local.policy import Policy
from practicum.rollout.renderer import make_renderer
from practicum.training.imitation import demonstrations, imitate
from practicum.yaml_reader import dump

COLOURS = ("red", "green", "blue", "grey")
TASKS = {"train": 200, "validation": 20, "test": 40}
score = score_fields(tag="final_output", exact=True)
reward = score_fields(tag="final_output", partial=True)


class Desk(Environment):
    """One lookup, one field."""

    id, version, max_turns = "tiny-desk", "1.0.0", 3

    def tasks(self, split: str) -> list[Task]:
        """Items numbered on over the splits."""
        first = sum(TASKS[name] for name in list(TASKS)[: list(TASKS).index(split)])
        return [self._task(number) for number in range(first, first + TASKS[split])]

    def oracle(self, task: Task) -> Iterator[Call]:
        """Look it up and say so."""
        found = yield Call("find", {"item": task.metadata["item"]})
        return f"<final_output>{json.dumps(found)}</final_output>"

    @tool
    def find(self, item: Annotated[str, Field(max_length=8)]) -> dict[str, str]:
        """An item's colour."""
        return {"colour": _colour(item)}

    def _task(self, number: int) -> Task:
        item = f"i{number}"
        return Task(item, f"Colour of {item}?", {"colour": _colour(item)}, {"item": item})


def _colour(item: str) -> str:
    return random.Random(item).choice(COLOURS)


def tiny_model(folder: Path, environment: type[Environment]) -> Path:
    """A Hugging Face folder of a model that mostly calls the tool and answers."""
    raw, able = folder / "raw", folder / "able"
    sizes = {"vocab_size": 49152, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    config = tf.LlamaConfig(**sizes, **heads, **tokens, tie_word_embeddings=True, initializer_range=0.15)
    torch.manual_seed(0)
    tf.AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(raw)
    load_tokenizer(find_model(SMOLLM2)).save_pretrained(raw)
    policy = Policy.load(raw, dtype=torch.float32, device=torch.device("cpu"))
    learner = LocalLearner(policy, train_embeddings=True)
    data = demonstrations(environment, make_renderer(policy.tokenizer, "tiny"), environment().tasks("train")[:8], 0)
    for _ in imitate(learner, data, data[:1], epochs=24, batch_size=4, learning_rate=1e-2, seed=0):
        pass
    able.mkdir()
    learner.export(able)
    return able


def recipe(path: Path, model: Path, environment: str, **keys: Any) -> Path:
    """Write a recipe for it."""
    values = {
        "model_name": str(model),
        "environment": environment,
        "warmstart_demonstrations": 0,
        "lora_rank": 0,
        "train_embeddings": True,
        "learning_rate": 1e-3,
        "global_batch_size": 4,
        "group_size": 4,
        "minibatches_per_step": 2,
        "max_epochs": 50,
        "max_steps_off_policy": 0,
        "sampling_max_tokens": 24,
        "max_sequence_length": 512,
        "val_every": 0,
        "val_at_start": False,
        "test_tasks": 8,
        "pass_k_values": [1],
        "threads": 1,
        "dtype": "float32",
        "device": "cpu",
        **keys,
    }
    path.write_text(dump(values))
    return path
