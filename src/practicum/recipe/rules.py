"""What settings may be: names that a table holds, and how settings go together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, JsonValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from practicum.algorithms.losses import LOSSES

CLIP = (0.8, 1.2)
"""Bounds on the probability ratio for a loss that has none of its own."""


@dataclass(frozen=True)
class OneOf:
    """A setting that is a name of a table: what has a row is allowed, whenever the row was added."""

    table: Mapping[str, object]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.table)}

    def _checked(self, name: object) -> str:
        if isinstance(name, str) and name in self.table:
            return name
        raise PydanticCustomError("literal_error", "one of {names}", {"names": ", ".join(self.table)})


def says(text: str) -> dict[str, JsonValue]:
    """What ``explain`` and the errors call allowed, where a pattern would tell people nothing."""
    return {"allowed": text}


def clip_bounds(loss: str | None) -> tuple[float, float]:
    """The bounds that follow from a loss where the recipe sets none."""
    row = LOSSES.get(loss or "")
    return row.clip if row and row.clip else CLIP


def clashes(recipe: Any) -> Iterator[str]:
    """How settings of a ``Recipe`` contradict each other, each in words."""
    if not recipe.temperature:
        yield (
            "temperature is 0, the greedy end of its range of 0 to 2, but training compares the rollouts of a "
            f"group (group_size {recipe.group_size}), which would then be all alike: above 0, such as 1; for greedy "
            "validation and evaluation there are val_temperature and deploy_temperature"
        )
    for small, large in (
        ("min_group_survivors", "group_size"),
        ("minibatches_per_step", "global_batch_size"),
        ("sampling_max_tokens", "max_sequence_length"),
        ("val_max_tokens", "max_sequence_length"),
        ("warmup_steps", "max_steps"),
    ):
        low, high = getattr(recipe, small), getattr(recipe, large)
        if low > high:
            yield f"{small} ({low}) may not be above {large} ({high})"
    if recipe.clip_low_threshold >= recipe.clip_high_threshold:
        low, high = recipe.clip_low_threshold, recipe.clip_high_threshold
        yield f"clip_low_threshold ({low:g}) must be below clip_high_threshold ({high:g})"
    yield from _clashes_of_further_steps(recipe)
    if recipe.train_embeddings and recipe.lora_rank:
        yield f"train_embeddings is for full fine-tuning: lora_rank must be 0, not {recipe.lora_rank}"
    if recipe.filter_reward is not None and recipe.max_repeated_tokens is None:
        yield f"filter_reward ({recipe.filter_reward:g}) is for what the filter takes: max_repeated_tokens is null"
    if recipe.lora_plus_lr_ratio != 1 and not recipe.lora_rank:
        yield f"lora_plus_lr_ratio ({recipe.lora_plus_lr_ratio:g}) needs an adapter: lora_rank is 0"


def _clashes_of_further_steps(recipe: Any) -> Iterator[str]:
    steps, every = recipe.extend_steps, recipe.val_every
    if not steps:
        return
    if recipe.max_steps_off_policy:
        yield f"extend_steps needs synchronous training: max_steps_off_policy is {recipe.max_steps_off_policy}, not 0"
    if recipe.lr_schedule != "constant" and not recipe.min_lr_ratio:
        yield f"extend_steps needs a rate that has not run out: lr_schedule is {recipe.lr_schedule}, min_lr_ratio 0"
    if not 0 < every <= steps:
        yield f"extend_steps ({steps}) are added val_every ({every}) at a time: it must fit in"
