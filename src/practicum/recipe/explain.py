"""What each setting is, where its value comes from, and what else it could be."""

from dataclasses import dataclass
from typing import Any

from practicum.recipe.advice import ADVICE
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
