"""The desk's procedure, level by level: which lookups, which answer, by which rule."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from practicum.digests import canonical_json


@dataclass(frozen=True)
class Level:
    """One difficulty.

    Attributes:
        lookups: Tools in the order in which each needs what the one before told.
        ticket, account: What these two tell at this level.
        fields: The answer's.
        facts: What the answer rests on; no two splits share a combination of them.
        turns: Model calls an episode may take.
        distractors: Tools that no ticket needs, unless told otherwise.
        unstated: Values of the last field where no prompt states its rule; empty where one does.
    """

    lookups: tuple[str, ...]
    ticket: tuple[str, ...]
    account: tuple[str, ...]
    fields: tuple[str, ...]
    facts: tuple[str, ...]
    turns: int
    distractors: int
    unstated: tuple[str, ...] = ()


_LOOKUPS = ("get_ticket", "get_account", "get_contract", "get_policy", "get_roster", "get_engineer")
_TICKET = ("account", "topic", "severity")

LEVELS: Mapping[int, Level] = {
    1: Level(
        _LOOKUPS[:1],
        (*_TICKET, "channel"),
        ("region", "plan"),
        ("queue", "reply"),
        ("topic", "severity", "channel"),
        turns=4,
        distractors=1,
    ),
    2: Level(
        _LOOKUPS[:2],
        _TICKET,
        ("region", "plan"),
        ("queue", "region", "priority"),
        ("topic", "severity", "region", "plan"),
        turns=5,
        distractors=1,
    ),
    3: Level(
        _LOOKUPS[:3],
        _TICKET,
        ("region", "contract"),
        ("queue", "region", "priority"),
        ("topic", "severity", "region", "term"),
        turns=6,
        distractors=2,
    ),
    4: Level(
        _LOOKUPS[:4],
        _TICKET,
        ("region", "contract"),
        ("queue", "region", "hours", "owner"),
        ("topic", "region", "tier"),
        turns=8,
        distractors=2,
        unstated=("desk", "field", "lead", "night"),
    ),
    5: Level(
        _LOOKUPS[:5],
        _TICKET,
        ("region", "contract"),
        ("queue", "region", "hours", "assignee"),
        ("topic", "severity", "region", "tier"),
        turns=9,
        distractors=2,
    ),
    6: Level(
        _LOOKUPS,
        _TICKET,
        ("region", "contract"),
        ("queue", "region", "hours", "assignee"),
        ("topic", "region", "tier"),
        turns=11,
        distractors=2,
    ),
}


def key(**arguments: Any) -> str:
    """What a response is recorded under: the arguments in canonical JSON; a single text as it is."""
    only = next(iter(arguments.values()))
    return only if len(arguments) == 1 and isinstance(only, str) else canonical_json(arguments)


def known(table: Callable[[str], Mapping[str, Any]], ticket_id: str) -> dict[str, Any]:
    """All that the lookups of a ticket come to, each table read straight."""
    ticket = table("tickets")[ticket_id]
    account = table("accounts")[ticket["account"]]
    contract = table("contracts")[account["contract"]]
    policy = table("policies")[contract["tier"]]
    roster = table("rosters")[key(region=account["region"], hours=policy["hours"])]
    return {**ticket, **account, **contract, **policy, **roster, **table("engineers")[roster["lead"]]}


def verdict(facts: Mapping[str, Any], level: int) -> dict[str, Any]:
    """The right answer to a ticket, from the facts that the lookups give."""
    decide = {1: _reply, 2: _by_plan, 3: _by_term, 4: _owner, 5: _by_severity, 6: _by_state}[level]
    told = {"queue": facts["topic"], "region": facts.get("region"), "hours": facts.get("hours")}
    return {name: decide(facts) if name == LEVELS[level].fields[-1] else told[name] for name in LEVELS[level].fields}


def _reply(facts: Mapping[str, Any]) -> str:
    return "call" if facts["severity"] == "critical" or facts["channel"] == "phone" else "mail"


def _by_plan(facts: Mapping[str, Any]) -> str:
    if facts["severity"] == "critical":
        return "urgent"
    return "high" if facts["plan"] == "gold" else "normal"


def _by_term(facts: Mapping[str, Any]) -> str:
    if facts["term"] == "trial":
        return "low"
    return "urgent" if facts["severity"] == "critical" else "normal"


def _owner(facts: Mapping[str, Any]) -> str:
    # The rule to discover. Each owner has about a quarter of the tickets, so that no answer is right more often than
    # the others: with a favourite, a policy settles on it before it has found the rule.
    return {2: "night", 4: "lead", 8: "field", 24: "desk"}[facts["hours"]]


def _by_severity(facts: Mapping[str, Any]) -> str:
    return str(facts["deputy" if facts["severity"] == "critical" else "lead"])


def _by_state(facts: Mapping[str, Any]) -> str:
    return str(facts["lead" if facts["state"] == "free" else "deputy"])


def final_output(answer: Mapping[str, Any]) -> str:
    """The answer as the procedure wants it written."""
    return f"<final_output>{json.dumps(dict(answer), separators=(',', ':'))}</final_output>"


@functools.cache
def prompt(path: Path, level: int, traps: bool) -> str:
    """The procedure as the agent reads it: the level's section of the document at ``path``, and the answer's form."""
    sections = _sections(path)
    fields = ",".join(f'"{name}":…' for name in LEVELS[level].fields)
    parts = [sections[f"level {level}"], *([sections["traps"]] if traps else [])]
    return "\n".join([*parts, f"Answer only with <final_output>{{{fields}}}</final_output>"])


def _sections(path: Path) -> dict[str, str]:
    """Text under each line such as ``[level 2]``."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1]
        elif name and line:
            found.setdefault(name, []).append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}
