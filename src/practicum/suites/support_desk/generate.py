"""Makes the support desk's recorded tables: ``python -m practicum.suites.support_desk.generate``.

Seeded; running it again writes the same bytes.
"""

import json
import random
from pathlib import Path
from typing import Any

from practicum.files import write_text

SEED = 20261121
TOPICS = ("billing", "login", "delivery", "refund", "outage", "upgrade")
REGIONS = ("north", "south", "east", "west", "central")
PLANS = ("basic", "gold")
SEVERITIES = ("critical", "major", "minor")
TERMS = ("monthly", "yearly", "trial")
HOURS = {"bronze": 24, "copper": 8, "iron": 4, "steel": 2}
SIZES = {"train": 540, "validation": 120, "test": 240}


def tables(seed: int = SEED) -> dict[str, dict[str, Any]]:
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
    return {
        "tickets": tickets,
        "accounts": accounts,
        "contracts": contracts,
        "policies": policies,
        "orders": orders,
        "articles": articles,
        "splits": {str(level): _split(rng, level, tickets, accounts, contracts) for level in (2, 4)},
    }


def _split(
    rng: random.Random, level: int, tickets: dict[str, Any], accounts: dict[str, Any], contracts: dict[str, Any]
) -> dict[str, str]:
    """Ticket → split; tickets whose answers rest on the same facts stand in one split."""
    by_facts: dict[tuple[Any, ...], list[str]] = {}
    for name, ticket in tickets.items():
        account = accounts[ticket["account"]]
        contract = contracts[account["contract"]]
        deep = (account["plan"],) if level == 2 else (contract["tier"], contract["term"])
        by_facts.setdefault((ticket["topic"], ticket["severity"], account["region"], *deep), []).append(name)
    combinations = list(by_facts.values())
    rng.shuffle(combinations)
    # Fill the small splits exactly; what does not fit goes to train.
    left = {"test": SIZES["test"], "validation": SIZES["validation"]}
    where: dict[str, str] = {}
    for names in combinations:
        home = next((split for split, room in left.items() if len(names) <= room), "train")
        if home != "train":
            left[home] -= len(names)
        where |= dict.fromkeys(names, home)
    return {name: where[name] for name in tickets}


def main() -> None:
    """Write the tables beside this file."""
    folder = Path(__file__).parent / "fixtures"
    for name, rows in tables().items():
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items())
        write_text(folder / f"{name}.json", f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
