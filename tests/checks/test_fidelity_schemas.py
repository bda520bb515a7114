"""Schemas that accept the same are equal however they are written; every other pair is told apart, and how is said."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, create_model

from practicum.checks.fidelity_schemas import gaps


def of(**fields: Any) -> dict[str, Any]:
    """The schema that a tool with these parameters has."""
    return create_model("call", **fields).model_json_schema()


def production(properties: dict[str, Any], required: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), **more}


NODE = {"$ref": "#/$defs/Node"}
TREE = {"type": "object", "properties": {"left": NODE, "right": NODE, "size": {"type": "integer"}}}

SAME = {
    "a union with null": (of(a=(str | None, ...)), production({"a": {"type": ["null", "string"]}}, ("a",))),
    "nullable values": (
        of(a=(Literal["x", "y"] | None, ...)),
        production({"a": {"enum": ["y", "x", None]}}, ("a",)),
    ),
    "const": (of(a=(Literal["x"], ...)), production({"a": {"enum": ["x"], "type": "string"}}, ("a",))),
    "none that stands for left out": (of(a=(int | None, None)), production({"a": {"type": "integer"}})),
    "values or none": (of(a=(Literal["x"] | None, None)), production({"a": {"type": "string", "enum": ["x"]}})),
    "a bound of ours": (
        of(a=(Annotated[str, Field(max_length=9)], ...)),
        production({"a": {"type": "string"}}, ("a",)),
    ),
    "a pattern of ours": (
        of(a=(Annotated[str, Field(pattern="^A")], ...)),
        production({"a": {"type": "string"}}, ("a",)),
    ),
    "numbers that may be whole": (
        of(a=(float, ...)),
        production({"a": {"type": ["integer", "number"]}}, ("a",)),
    ),
    "exclusive of integers": (
        of(a=(Annotated[int, Field(gt=0)], ...)),
        production({"a": {"type": "integer", "minimum": 1}}, ("a",)),
    ),
    "a default that production does not tell": (of(a=(int, 3)), production({"a": {"type": "integer"}})),
    "titles, texts and orders": (
        of(a=(int, Field(description="how many")), b=(str, ...)),
        production({"b": {"type": "string", "title": "B"}, "a": {"type": "integer"}}, ("b", "a"), title="Call"),
    ),
    "parts put together": (
        of(a=(Annotated[str, Field(max_length=9)], ...)),
        production(
            {"a": {"allOf": [{"$ref": "#/$defs/Id"}, {"maxLength": 9}]}},
            ("a",),
            **{"$defs": {"Id": {"type": "string"}}},
        ),
    ),
    "alternatives in another order": (
        of(a=(list[int] | dict[str, int] | list[str], ...)),
        production(
            {
                "a": {
                    "oneOf": [
                        {"type": "array", "items": {"type": "string"}},
                        {"type": "object", "additionalProperties": {"type": "integer"}},
                        {"type": "array", "items": {"type": "integer"}},
                    ]
                }
            },
            ("a",),
        ),
    ),
    "one that contains itself": (
        production({"tree": NODE}, **{"$defs": {"Node": TREE}}),
        production({"tree": TREE}, **{"$defs": {"Node": {**TREE, "description": "a node"}}}),
    ),
    "formats of numbers": (of(a=(int, ...)), production({"a": {"type": "integer", "format": "int64"}}, ("a",))),
    "an object without its type": (
        production({"a": {"type": "object", "properties": {"b": {"type": "string"}}}}),
        production({"a": {"properties": {"b": {"type": "string"}}}}),
    ),
}

TYPES = {"type": "array", "items": {"type": "string"}}
APART = {
    "a missing argument": (
        of(a=(int, ...)),
        production({"a": {"type": "integer"}, "b": TYPES}, ("a",)),
        "- b: optional, array",
    ),
    "a further argument": (
        of(a=(int, ...), b=(str, "")),
        production({"a": {"type": "integer"}}, ("a",)),
        "+ b: optional, string",
    ),
    "a required one too many": (of(a=(int, ...)), production({"a": {"type": "integer"}}), "+ a: required"),
    "a required one too few": (of(a=(int, 0)), production({"a": {"type": "integer"}}, ("a",)), "+ a: optional"),
    "a type": (of(a=(str, ...)), production({"a": {"type": "integer"}}, ("a",)), "+ a: string"),
    "whole numbers or all": (of(a=(float, ...)), production({"a": {"type": "integer"}}, ("a",)), "+ a: number"),
    "null where it is refused": (
        of(a=(str | None, ...)),
        production({"a": {"type": "string"}}, ("a",)),
        "+ a: null or string",
    ),
    "values": (of(a=(Literal["x", "z"], ...)), production({"a": {"enum": ["x", "y"]}}, ("a",)), '+ a: one of "x", "z"'),
    "values where all are taken": (
        of(a=(Literal["x"], ...)),
        production({"a": {"type": "string"}}, ("a",)),
        "- a: string",
    ),
    "many values, the last another": (
        of(a=(Literal[tuple(f"value-{n:03}" for n in range(60))], ...)),
        production({"a": {"enum": [f"value-{n:03}" for n in range(1, 61)]}}, ("a",)),
        "- a: one of",
    ),
    "a bound that is not there": (
        of(a=(str, ...)),
        production({"a": {"type": "string", "maxLength": 9}}, ("a",)),
        "+ a: no maxLength",
    ),
    "a bound that is another": (
        of(a=(Annotated[int, Field(le=9)], ...)),
        production({"a": {"type": "integer", "maximum": 10}}, ("a",)),
        "+ a: maximum 9",
    ),
    "a pattern": (
        of(a=(str, ...)),
        production({"a": {"type": "string", "pattern": "^A"}}, ("a",)),
        '- a: pattern "^A"',
    ),
    "a default": (of(a=(int, 3)), production({"a": {"type": "integer", "default": 4}}), "- a: default 4"),
    "what a list holds": (of(a=(list[int], ...)), production({"a": TYPES}, ("a",)), "+ a[]: integer"),
    "deep inside": (
        of(a=(list[dict[str, int]], ...)),
        production(
            {"a": {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}}}, ("a",)
        ),
        "- a[].any other: string",
    ),
    "members that are refused": (
        production({"a": {"type": "object", "properties": {}}}),
        production({"a": {"type": "object", "properties": {}, "additionalProperties": False}}),
        "- a.any other: refused",
    ),
    "an alternative": (
        of(a=(list[int] | list[str], ...)),
        production({"a": {"oneOf": [TYPES, {"type": "array", "items": {"type": "boolean"}}]}}, ("a",)),
        "may be array",
    ),
    "an alternative too many": (
        of(a=(list[int] | list[str] | list[bool], ...)),
        production({"a": {"oneOf": [TYPES, {"type": "array", "items": {"type": "boolean"}}]}}, ("a",)),
        "+ a: may be array",
    ),
    "one that contains itself and something else": (
        production({"tree": NODE}, **{"$defs": {"Node": TREE}}),
        production({"tree": NODE}, **{"$defs": {"Node": {**TREE, "required": ["size"]}}}),
        "- tree.size: required",
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_accepts_the_same_is_the_same(name: str) -> None:
    assert gaps(*SAME[name]) == []


@pytest.mark.parametrize("name", APART)
def test_what_accepts_something_else_is_told_apart(name: str) -> None:
    ours, theirs, said = APART[name]
    lines = [line for gap in gaps(ours, theirs) for line in gap.lines()]
    assert any(said in line for line in lines), lines


def test_schemas_of_many_that_contain_each_other_are_compared_in_no_time() -> None:
    everything = {
        f"N{n}": {"type": "object", "properties": {f"m{k}": {"$ref": f"#/$defs/N{k}"} for k in range(12)}}
        for n in range(12)
    }
    ours = production({"root": {"$ref": "#/$defs/N0"}}, **{"$defs": everything})
    twisted = {
        name: {"anyOf": [{"$ref": "#/$defs/N1"}, {"$ref": "#/$defs/N2"}, value]} for name, value in everything.items()
    }
    assert gaps(ours, production({"root": {"$ref": "#/$defs/N0"}}, **{"$defs": everything})) == []
    assert gaps(ours, production({"root": {"$ref": "#/$defs/N0"}}, **{"$defs": twisted})) != []
