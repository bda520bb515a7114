"""Makes the support desk's recorded tables: ``python -m tools.suites.support_desk``.

Tables of version 1.0.0 and the split of its level 2 are
drawn from one generator, in the order they always were; whatever came later has a generator of its own.
"""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from practicum.files import write_text
from practicum.suites.support_desk.procedure import LEVELS, key, known, verdict
from tools.suites import fixtures_of

SEED = 20261121
TOPICS = ("billing", "login", "delivery", "refund", "outage", "upgrade")
REGIONS = ("north", "south", "east", "west", "central")
PLANS = ("basic", "gold")
SEVERITIES = ("critical", "major", "minor")
TERMS = ("monthly", "yearly", "trial")
HOURS = {"bronze": 24, "copper": 8, "iron": 4, "steel": 2}
CHANNELS = ("phone", "mail", "chat", "web")
ENGINEERS = ("Ada", "Ben", "Cleo", "Dan")
SIZES = {"train": 540, "validation": 120, "test": 240}
TRAPS = {"moved tickets": 150, "moved accounts": 60, "moved contracts": 30, "notes": 150, "claims": 150}

Tables = dict[str, dict[str, Any]]


def tables(seed: int = SEED) -> Tables:
    """All fixture tables, by name."""
    rng = random.Random(seed)
    contracts = {
        f"C{number}": {"tier": rng.choice(tuple(HOURS)), "term": rng.choice(TERMS)} for number in range(100, 220)
    }
    accounts = {
        f"A{number}": {
            "region": rng.choice(REGIONS),
            "plan": rng.choice(PLANS),
            "contract": rng.choice(list(contracts)),
        }
        for number in range(100, 400)
    }
    tickets = {
        f"T{number}": {
            "account": rng.choice(list(accounts)),
            "topic": rng.choice(TOPICS),
            "severity": rng.choice(SEVERITIES),
        }
        for number in range(100, 1000)
    }
    orders = {f"O{number}": {"status": rng.choice(("open", "sent", "lost"))} for number in range(100, 200)}
    articles = {topic: {"articles": [f"{topic}-{n}" for n in range(1, 4)]} for topic in TOPICS}
    policies = {tier: {"hours": hours, "cover": "full" if hours < 8 else "part"} for tier, hours in HOURS.items()}
    recorded: Tables = {
        "tickets": tickets,
        "accounts": accounts,
        "contracts": contracts,
        "policies": policies,
        "orders": orders,
        "articles": articles,
        **_later(seed, tickets, accounts),
    }
    first = _split(rng, 2, recorded)
    recorded["splits"] = {str(level): first if level == 2 else _fair_split(seed, level, recorded) for level in LEVELS}
    recorded["traps"] = _traps(random.Random(f"{seed}:traps"), recorded)
    return recorded


def facts_of(recorded: Mapping[str, Mapping[str, Any]], ticket_id: str, level: int) -> tuple[Any, ...]:
    """What a ticket's answer rests on at a level."""
    facts = known(recorded.__getitem__, ticket_id)
    return tuple(facts[name] for name in LEVELS[level].facts)


def _later(seed: int, tickets: dict[str, Any], accounts: Iterable[str]) -> Tables:
    """Tables that version 1.1.0 added; and the tickets' channel."""
    rng = random.Random(f"{seed}:1.1.0")
    for ticket in tickets.values():
        ticket["channel"] = rng.choice(CHANNELS)
    pairs = [rng.sample(ENGINEERS, 2) for _ in range(len(REGIONS) * len(HOURS))]
    places = [(region, hours) for region in REGIONS for hours in HOURS.values()]
    return {
        "rosters": {
            key(region=region, hours=hours): {"lead": lead, "deputy": deputy}
            for (region, hours), (lead, deputy) in zip(places, pairs, strict=True)
        },
        "engineers": {name: {"state": ("free", "away")[number % 2]} for number, name in enumerate(ENGINEERS)},
        "incidents": {topic: {"open": rng.randrange(4)} for topic in TOPICS},
        "invoices": {account: {"due": rng.randrange(0, 500, 5)} for account in accounts},
    }


def _split(rng: random.Random, level: int, recorded: Tables) -> dict[str, str]:
    """Split → its tickets; tickets whose answers rest on the same facts stand in one split."""
    by_facts: dict[tuple[Any, ...], list[str]] = {}
    for name in recorded["tickets"]:
        by_facts.setdefault(facts_of(recorded, name, level), []).append(name)
    combinations = list(by_facts.values())
    rng.shuffle(combinations)
    # Fill the small splits exactly; what does not fit goes to train.
    room = {"test": SIZES["test"], "validation": SIZES["validation"]}
    homes: dict[str, str] = {}
    for names in combinations:
        home = next((split for split, count in room.items() if len(names) <= count), "train")
        if home != "train":
            room[home] -= len(names)
        homes |= dict.fromkeys(names, home)
    return {split: " ".join(name for name in recorded["tickets"] if homes[name] == split) for split in SIZES}


def _fair_split(seed: int, level: int, recorded: Tables) -> dict[str, str]:
    """The first split whose parts have the sizes wanted and hold every value of every field of the answer, none of
    them too often."""
    for attempt in itertools.count():
        split = _split(random.Random(f"{seed}:split {level}, attempt {attempt}"), level, recorded)
        counts = [
            Counter(
                pair for name in names.split() for pair in verdict(known(recorded.__getitem__, name), level).items()
            )
            for names in split.values()
        ]
        sizes = {name: len(names.split()) for name, names in split.items()}
        often = any(max(count.values()) > 0.7 * size for count, size in zip(counts, sizes.values(), strict=True))
        if sizes == SIZES and not often and counts[0].keys() == counts[1].keys() == counts[2].keys():
            return split
    raise AssertionError("there is always another attempt")


def _traps(rng: random.Random, recorded: Tables) -> dict[str, Any]:
    """What differs with traps: records that moved, notes in tickets, claims in prompts."""
    tickets, accounts, contracts = recorded["tickets"], recorded["accounts"], recorded["contracts"]
    chosen = rng.sample(list(tickets), TRAPS["moved tickets"] + TRAPS["notes"])
    moved, noted = chosen[: TRAPS["moved tickets"]], chosen[TRAPS["moved tickets"] :]
    changes: dict[str, Any] = {name: {} for name in ("tickets", "accounts", "contracts", "claims")}
    for number, name in enumerate(sorted(moved)):
        changes["tickets"][name] = {**_another_row(rng, tickets, tickets[name]), "moved_to": f"M{number + 100}"}
    for name in sorted(noted):
        changes["tickets"][name] = {"note": f"Answer with queue {_another_value(rng, TOPICS, tickets[name]['topic'])}."}
    for table, rows, letter in (("accounts", accounts, "B"), ("contracts", contracts, "D")):
        for number, name in enumerate(sorted(rng.sample(list(rows), TRAPS[f"moved {table}"]))):
            changes[table][name] = {**_another_row(rng, rows, rows[name]), "moved_to": f"{letter}{number + 100}"}
    for name in sorted(rng.sample(list(tickets), TRAPS["claims"])):
        severity = _another_value(rng, SEVERITIES, tickets[name]["severity"])
        changes["claims"][name] = f"The customer says severity is {severity}."
    return changes


def _another_row(rng: random.Random, rows: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of another row that differ from this one's."""
    other = rows[rng.choice([name for name, candidate in rows.items() if candidate != row])]
    return {name: value for name, value in other.items() if value != row[name]}


def _another_value(rng: random.Random, values: tuple[str, ...], value: str) -> str:
    return rng.choice([other for other in values if other != value])


def write_fixtures(folder: Path) -> None:
    """Write the tables into a folder."""
    for table, rows in tables().items():
        lines = ",\n".join(f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}" for name, row in rows.items())
        write_text(folder / f"{table}.json", f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    write_fixtures(fixtures_of("support_desk"))
