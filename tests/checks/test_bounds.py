from types import SimpleNamespace
from typing import Any

from practicum.checks.bounds import TURNS, check_bounds
from practicum.environment.calling import RESULT_LIMIT


def trial(*, turns: int = 8, result: int = 10, **fields: Any) -> Any:
    schema = {"type": "object", "properties": fields, "additionalProperties": False}
    tools = [{"type": "function", "function": {"name": "act", "parameters": schema}}]
    transcript = {"tools": tools, "results": [{"name": "act", "text": "x" * result}]}
    return SimpleNamespace(
        transcripts=[transcript],
        plans=[SimpleNamespace(label="a task")],
        facts=SimpleNamespace(max_turns=turns),
        place=lambda name: f"desk.py:{name}",
    )


def test_arguments_with_bounds_pass() -> None:
    bounded = trial(
        text={"type": "string", "maxLength": 9},
        day={"type": "string", "format": "date"},
        code={"type": "string", "pattern": "^[A-Z]{3}$"},
        count={"type": "integer", "minimum": 0, "exclusiveMaximum": 9},
        many={"type": "array", "maxItems": 2, "items": {"enum": ["a", "b"]}},
        pair={"type": "array", "prefixItems": [{"enum": ["a"]}, {"type": "boolean"}], "maxItems": 2},
        maybe={"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    )
    assert check_bounds(bounded) == []


def test_every_open_end_is_listed_at_any_depth() -> None:
    (finding,) = check_bounds(
        trial(
            text={"type": "string", "pattern": "^a+$"},
            lines={"type": "array", "items": {"type": "object", "properties": {"n": {"type": "number"}}}},
            options={"type": "object"},
            pair={"type": "array", "prefixItems": [{"type": "number"}], "maxItems": 2},
            anything={},
        )
    )
    assert finding.severity == "warn"
    assert finding.difference.splitlines() == [
        "text: text without maxLength",
        "lines: list without maxItems",
        "lines[].n: number without minimum and maximum",
        "options: mapping without maxProperties",
        "pair[0]: number without minimum and maximum",
        "pair[]: anything at all",
        "anything: anything at all",
    ]


def test_a_huge_result_and_an_episode_of_any_length_are_told_of() -> None:
    assert check_bounds(trial(turns=TURNS, result=RESULT_LIMIT)) == []
    result, turns = check_bounds(trial(turns=TURNS + 1, result=RESULT_LIMIT + 1))
    assert "longer than an agent is shown" in result.what
    assert "1,001 model calls" in turns.what
