"""What each setting is, where its value comes from, what else it could be, and what experience says about it: where to
start, and which symptom in the metrics asks for which change."""

from dataclasses import dataclass
from typing import Any

from practicum.recipe.layout import SECTIONS
from practicum.recipe.model import Recipe, Source


@dataclass(frozen=True)
class Row:
    """One setting of one recipe."""

    key: str
    value: Any
    source: Source
    range: str
    help: str
    section: str
    """Title of the group of settings it belongs to."""
    aws: str
    """Where it stands in an AWS recipe file, such as ``rl.gamma``; empty where AWS has no such setting."""
    advice: tuple[str, ...]


def explain(recipe: Recipe) -> list[Row]:
    """One row per setting, in the recipe's order."""
    values, sources = recipe.to_dict(), recipe.sources
    rows, section, schemas = list[Row](), "", _schemas()
    for key, field in Recipe.model_fields.items():
        section = _BEGINS.get(key, section)
        says = " ".join((field.description or "").split())
        aws = _AWS.get(key, "")
        rows.append(Row(key, values[key], sources[key], _words(schemas[key]), says, section, aws, ADVICE.get(key, ())))
    return rows


def allowed(key: str) -> str:
    """What a setting accepts, in words: ``an integer, at least 1, or null``."""
    return _words(_schemas()[key])


def _schemas() -> dict[str, Any]:
    properties: dict[str, Any] = Recipe.model_json_schema()["properties"]
    return properties


def _words(schema: dict[str, Any]) -> str:
    if "allowed" in schema:
        return str(schema["allowed"])
    if "anyOf" in schema:
        return ", or ".join(_words(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    return _NOUNS[schema.get("format", schema["type"])] + _bounds(schema)


_BEGINS = {
    "name": "What runs",
    "global_batch_size": "Batch and schedule",
    "advantage_method": "Algorithm",
    "temperature": "Sampling",
    "val_every": "Validation and evaluation",
    "lora_rank": "Model and optimizer",
    "rollout_max_concurrency": "Rollouts",
    "warmstart_demonstrations": "Foothold",
    "device": "Machine",
}
"""First setting of a section → its title."""

_AWS = {name: f"{section}.{key}" for section, keys in reversed(SECTIONS.items()) for key, name in keys.items()}

_NOUNS = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "path": "a path",
    "null": "null",
}

_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def _bounds(schema: dict[str, Any]) -> str:
    named = [f"{phrase} {schema[bound]:.10g}" for bound, phrase in _BOUNDS.items() if bound in schema]
    return ", " + " and ".join(named) if named else ""


ADVICE: dict[str, tuple[str, ...]] = {
    "global_batch_size": (
        "Sparse rewards want a larger batch, a lower learning rate or more steps.",
        "Groups all equal (analysis/zero_adv_groups high): raise it, and lower group_size from 8 to 4.",
    ),
    "group_size": ("Train reward flat and groups all equal (analysis/zero_adv_groups high): 8 → 4, raise the batch.",),
    "max_steps": ("Observe 25 to 50 steps before the next change; most failures show within 30.",),
    "loss_fn": (
        "Start with ppo at (0.8, 1.2).",
        "cispo tends to collapse between steps 40 and 80: if reward falls to about 0 there, change to ppo.",
    ),
    "clip_low_threshold": (
        "With cispo's lower bound at 1 a bad action's probability goes on falling freely; only the upper restrains.",
    ),
    "max_steps_off_policy": (
        "3 hides latency, 1 where rollouts are fast, 0 when diagnosing a collapse.",
        "Reward collapses to about 0 after step 40 to 80: 0 first.",
    ),
    "advantage_method": (
        "Success stops rising while groups fall silent (analysis/zero_adv_groups high): max_rl, with group_size 8.",
        "max_rl keeps answers that are right for few prompts; it wants a reward that pays little for no success.",
    ),
    "advantage_std": (
        "A learning rate from TRL or verl: sample. From Tinker: advantage_normalization false.",
        "Adam cancels the factor; grad_clip_norm, kl_coef and entropy_coef do not.",
    ),
    "min_group_survivors": (
        "Of two survivors any difference becomes +1 and -1 (analysis/groups_of_two): 3 or 4 where rollouts fail often.",
    ),
    "filter_reward": ("What is only left out is never unlearnt (rollout/filtered stays up): 0, or below it.",),
    "stragglers": (
        "cut is a bias, not a speed-up alone: hard tasks whose successes take 150 s and whose failures take 25 s keep "
        "about a quarter of their reward in simulation, with wait all of it.",
        "rollout/reward/mean apart from rollout/reward/begun_mean for many steps: back to wait.",
        "Steps wait long (timing_s/wait high): a lower rollout_timeout or max_turns bounds what is waited for.",
    ),
    "temperature": ("1 for training: the policy that is improved is then the one that is sampled.",),
    "sampling_max_tokens": ("More than 5% of rollouts at the cap (rollout/tokens/at_cap_frac): raise it.",),
    "max_turns": (
        "ceil(1.5 × turns of a walkthrough).",
        "10% or more at max_turns with no final answer (rollout/tokens/max_turns_frac): raise it.",
        "High pass@1 with low completion: raise it.",
    ),
    "max_sequence_length": ("At least max_turns × (sampling_max_tokens + tool output) + prompt.",),
    "lora_rank": (
        "Sparse rewards want a lower rank or a lower rate; all else healthy and reward stalls: rank 64, alpha 128.",
    ),
    "lora_alpha": ("The effective step is learning_rate × lora_alpha / lora_rank: change one, look at all three.",),
    "learning_rate": (
        "The effective step of an adapter is learning_rate × lora_alpha / lora_rank.",
        "Sparse rewards want a lower rate, a larger batch or more steps.",
    ),
    "grad_clip_norm": ("Gradient norm spikes with a collapse: 0.5. Pinned at the clip with flat reward: 2.0.",),
    "rollout_max_retries": (
        "More than 1% of rollouts failing for good is an environment fault, not a matter of retries.",
    ),
    "reward": (
        "Reward flat from step 0: align the output format with what the reward parses.",
        "rollout/reward/valid_mean below mean while stalling: denser reward, or another difficulty mix.",
        "Train reward up and val/reward/mean flat: the reward is being hacked; tighten its parser.",
    ),
}
"""Setting → advice, each a sentence or two that names the metric it goes by.

One change at a time; observe 25 to 50 steps; most failures show within 30.
"""
