"""Where ``learning.py`` learns: a desk with one lookup, a demonstrator who is often wrong, a model of 100,000 weights.

Two things are to be got right: which item is looked up, and which colour is answered. The demonstrator gets each wrong
half of the time, at random, so that imitation learns the form of the work, and what is right as the likeliest of
several ways to go on. What is right more often is left for reinforcement to find out, on tasks it was not shown.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers as tf
from pydantic import Field
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from practicum import Call, Environment, Task, ToolError, score_fields, tool
from practicum.rollout.calls import tools_text
from practicum.scoring import hierarchical
from practicum.trajectory import Rollout

ITEMS = ("cup", "bag", "hat", "pen", "key", "map", "box", "jar")
COLOURS = ("red", "green", "blue", "grey", "black", "white")
NAMES = ("Ann", "Ben", "Cat", "Dan", "Eva", "Fay", "Gus", "Hal", "Ida", "Jon", "Kim", "Leo")
TOWNS = ("Rome", "Oslo", "Bern", "Lima", "Kyiv", "Bonn", "Cork", "Graz", "Nice", "Bath", "Pisa", "York")
TASKS = {"train": 640, "validation": 60, "test": 240}
WRONG = 0.5
"""How often the demonstrator takes another item, and how often another colour."""
FOUND = 0.3
"""What looking the right item up earns, at its turn; the rest of 1 is earned by the right answer, at the last."""
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def _found(rollout: Rollout) -> bool:
    return any(call.arguments.get("item") == rollout.task.metadata["item"] for call in rollout.tool_calls)


score = score_fields(tag="final_output", exact=True)
reward = hierarchical(score, {"found": (FOUND, _found)}, step_penalty=0.0)


class Desk(Environment):
    """Colours of things that people ask for; the same thing has another colour for another customer.

    Args:
        wrong: How often the demonstrator takes another item, and how often another colour.
    """

    id, version, max_turns = "learning-desk", "1.1.0", 3

    def __init__(self, wrong: float = WRONG) -> None:
        super().__init__()
        self.wrong = wrong

    def settings(self) -> dict[str, float]:
        """How often the demonstrator errs."""
        return {"wrong": self.wrong}

    def tasks(self, split: str) -> list[Task]:
        """No customer asks for the same thing twice, so no split shares a task with another."""
        asked = [(name, town, item) for name in NAMES for town in TOWNS for item in ITEMS]
        random.Random(0).shuffle(asked)
        first = sum(TASKS[name] for name in list(TASKS)[: list(TASKS).index(split)])
        return [_task(*each) for each in asked[first : first + TASKS[split]]]

    def oracle(self, task: Task) -> Iterator[Call]:
        """The demonstrator, who is no oracle here."""
        chance = random.Random(task.id)
        found = yield Call("find", {"item": _blurred(task.metadata["item"], ITEMS, chance, self.wrong)})
        return _answer(_blurred(found["colour"], COLOURS, chance, self.wrong))

    @tool
    def find(self, item: Annotated[str, Field(max_length=8)]) -> dict[str, str]:
        """An item's colour."""
        if item not in ITEMS:
            raise ToolError(f"there is no {item}")
        return {"colour": _colour(str(self.task and self.task.id), item)}


def tiny_model(folder: Path, seed: int) -> Path:
    """A Hugging Face folder of two random layers under a tokenizer made for the desk: a word is one token."""
    words = _tokenizer()
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_object=words, eos_token=SPECIAL[2], pad_token=SPECIAL[0])
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:])})
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 512}
    marks = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}
    config = tf.LlamaConfig(**sizes, **heads, **marks, tie_word_embeddings=True, initializer_range=0.1)
    torch.manual_seed(seed)
    tf.AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer() -> Tokenizer:
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    around = ["system user assistant tool\n", tools_text(Desk().schemas(), "pythonic")]
    written = [text for item in ITEMS for text in (f'[find(item="{item}")]', _task("Ann", "Rome", item).prompt)]
    written += [text for colour in COLOURS for text in (_answer(colour), f'{{"colour":"{colour}"}}')]
    asked = [task.prompt for task in Desk().tasks("train")]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*around, *written, *asked] * 2, trainer)
    return tokenizer


def _task(name: str, town: str, item: str) -> Task:
    id = f"{name}-{town}-{item}"
    return Task(id, f'{name} in {town} asks for the colour of "{item}".', {"colour": _colour(id, item)}, {"item": item})


def _colour(task: str, item: str) -> str:
    return random.Random(f"{task}/{item}").choice(COLOURS)


def _answer(colour: str) -> str:
    return f'<final_output>{{"colour": "{colour}"}}</final_output>'


def _blurred(right: str, choices: Sequence[str], chance: random.Random, wrong: float) -> str:
    return right if chance.random() >= wrong else chance.choice([each for each in choices if each != right])
