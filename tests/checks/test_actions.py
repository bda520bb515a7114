import json
import random
from typing import Any

from practicum.checks.actions import CALLS, random_calls, values_in


def tool(**fields: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": fields, "required": list(fields)}
    return {"type": "function", "function": {"name": "act", "parameters": parameters}}


def test_equal_seeds_give_equal_calls_and_others_differ() -> None:
    tools = [tool(name={"type": "string"}, many={"type": "integer", "minimum": 0, "maximum": 9})]
    first, again, other = (random_calls(tools, ["K1"], random.Random(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == CALLS


def test_calls_hold_known_values_and_some_that_the_schema_refuses() -> None:
    tools = [tool(name={"type": "string"})]
    calls = [call for seed in range(40) for call in random_calls(tools, ["K1"], random.Random(seed))]
    assert any(call.arguments == {"name": "K1"} for call in calls)
    assert any(call.name == "no_such_tool" for call in calls)
    assert any("unasked_for" in call.arguments for call in calls)
    assert any(call.name == "act" and "name" not in call.arguments for call in calls)
    assert any(not isinstance(call.arguments.get("name", ""), str) for call in calls)


def test_every_kind_of_schema_gets_json() -> None:
    fields = {
        "choice": {"enum": ["a", 1]},
        "fixed": {"const": 3},
        "either": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
        "five": {"type": "array", "items": {"type": "number"}, "minItems": 5},
        "tree": {"$ref": "#/$defs/Tree"},
        "anything": {},
    }
    described = tool(**fields)
    leaf = {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
    described["function"]["parameters"]["$defs"] = {"Tree": {"type": "object", "properties": {"below": leaf}}}
    calls = [call for seed in range(30) for call in random_calls([described], [2], random.Random(seed))]
    assert json.loads(json.dumps([dict(call.arguments) for call in calls]))
    assert all(len(call.arguments["five"]) == 5 for call in calls if isinstance(call.arguments.get("five"), list))


def test_values_are_found_at_any_depth_once_each() -> None:
    assert values_in([{"a": "x", "b": [1, True, {"c": "x"}]}, None, 1]) == ["x", 1, True]
