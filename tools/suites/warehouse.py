"""Makes the warehouse's sites and requests: ``python -m tools.suites.warehouse``.

Every split has sites of its own, and no two splits hold requests
that rest on the same facts.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from practicum.files import write_text
from practicum.suites.warehouse.requests import RETURN_DAYS, Request, Wish, content, outcome
from practicum.suites.warehouse.site import Order, Site
from tools.suites import fixtures_of

SEED = 20261122
LEVELS = (1, 2, 3, 4, 5)
SITES = {"train": 54, "validation": 10, "test": 20}
SIZES = {"train": (240, 120), "validation": (40, 20), "test": (80, 40)}
"""Tasks of a split at each level: without a trap, and with one."""

ITEMS = (
    *("lamp", "rope", "tent", "drill", "chair", "clock", "radio", "mirror", "ladder", "kettle", "basket", "hammer"),
    *("blanket", "bucket", "candle", "helmet", "bottle", "pillow"),
)
CITIES = ("Bergen", "Turin", "Leeds", "Porto", "Graz", "Lyon")
SUPPLIERS = ("Ostra", "Kelm", "Vidar", "Noble")
STATUSES = ("new", "reserved", "shipped")
"""Every item has an order of each, so that one order may wait for what another gives back."""
FOURTH = ("new", "shipped", "shipped", "cancelled", "cancelled", "refunded", "backordered")


def sites(seed: int = SEED) -> dict[str, Site]:
    """All sites by id, those of ``train`` first."""
    rng = random.Random(seed)
    recorded: dict[str, Site] = {}
    numbers = iter(range(100, 10_000))
    customers = iter(range(100, 1_000))
    for index in range(sum(SITES.values())):
        cities = {f"C{next(customers)}": rng.choice(CITIES) for _ in range(6)}
        items = rng.sample(ITEMS, 6)
        suppliers = {item: rng.choice(SUPPLIERS) for item in items}
        # A customer has one order of an item, so that "the lamp" means one order.
        prices = {item: rng.randint(4, 60) for item in items}
        rows = [
            (customer, item, status)
            for item in items
            for customer, status in zip(rng.sample(list(cities), 4), (*STATUSES, rng.choice(FOURTH)), strict=True)
        ]
        rng.shuffle(rows)
        orders = [_order(rng, f"O{next(numbers)}", *row, prices[row[1]]) for row in rows]
        empty = Site(dict.fromkeys(items, 0), suppliers, cities, {order.id: order for order in orders})
        stock = {item: rng.choice((0, 0, 1, 1, 2, 3, 5, 8)) - empty.free(item) for item in items}
        recorded[f"S{index + 1}"] = Site(stock, suppliers, cities, empty.orders)
    return recorded


def _order(rng: random.Random, id: str, customer: str, item: str, status: str, price: int) -> Order:
    quantity = rng.randint(2, 5) if status == "reserved" else rng.randint(1, 4)
    # Whoever asks for money back has paid.
    paid = 0 if status in ("new", "reserved", "backordered") and rng.random() < 0.35 else price * quantity
    days = rng.choice((rng.randint(1, RETURN_DAYS), rng.randint(RETURN_DAYS + 1, 60))) if status == "shipped" else 0
    parcel = rng.choice(("good", "good", "damaged")) if status == "shipped" else None
    return Order(id, customer, item, quantity, paid, status, days, parcel)


def requests(site: Site, name: str, rng: random.Random) -> Iterator[tuple[int, Request]]:
    """Every request that may be recorded to a site, with its level."""
    for order in site.orders.values():
        for level, wishes in _wishes(site, order, rng):
            yield level, Request(name, wishes)


def _wishes(site: Site, order: Order, rng: random.Random) -> Iterator[tuple[int, tuple[Wish, ...]]]:
    def wish(kind: str, item: str = "") -> Wish:
        return Wish(kind, order.id, order.customer, item)

    cancellable = order.status in ("new", "reserved", "shipped")
    if order.status == "new":
        yield 1, (Wish("reserve", order.id),)
        yield 2, (Wish("ship", order.id),)
    if cancellable and (order.paid == 0 or order.status == "shipped"):
        yield 1, (wish("cancel"),)
    if cancellable and order.paid > 0:
        yield 2, (wish("cancel"),)
    if order.status in ("cancelled", "refunded"):
        yield 1, (wish("refund"),)
    if cancellable or order.status == "cancelled":
        stranger = rng.choice([customer for customer in site.cities if customer != order.customer])
        kind = "refund" if order.status == "cancelled" else "cancel"
        yield 2 if order.paid and kind == "cancel" else 1, (Wish(kind, order.id, stranger),)
    if order.status == "shipped":
        yield 3, (wish("return"),)
        for other in rng.sample([item for item in site.stock if item != order.item], 3):
            yield 4, (wish("exchange", other),)
            yield 5, (wish("exchange_ship", other),)
    for next_order in site.orders.values():
        # The second order needs what the first one gives back; other quantities, or the stock would end as it began.
        same = next_order.item == order.item and next_order.status == "new" and next_order.id != order.id
        free = site.free(order.item)
        if same and free < next_order.quantity <= free + order.quantity and next_order.quantity != order.quantity:
            if cancellable and order.status != "new" and order.paid:
                yield 3, (wish("cancel"), Wish("reserve", next_order.id))
                yield 4, (wish("cancel"), Wish("ship", next_order.id))
            if order.status == "shipped":
                yield 5, (wish("return"), Wish("ship", next_order.id))


def tasks(recorded: dict[str, Site], seed: int = SEED) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Split → level → ``plain`` and ``traps``: requests as text, in the order of the sites."""
    rng = random.Random(f"{seed}:tasks")
    homes = iter(recorded)
    of_split = {split: [next(homes) for _ in range(count)] for split, count in SITES.items()}
    chosen: dict[str, dict[str, dict[str, list[str]]]] = {split: {} for split in SITES}
    for level in LEVELS:
        taken_contents: set[Any] = set()
        # The held-out splits come first: what rests on facts of theirs is no longer free for train.
        for split in ("test", "validation", "train"):
            candidates = [r for name in of_split[split] for at, r in requests(recorded[name], name, rng) if at == level]
            chosen[split][str(level)] = _chosen(recorded, candidates, SIZES[split], taken_contents, rng)
            taken_contents |= {content(recorded[request.site], request) for request in candidates}
    return chosen


def _chosen(
    recorded: dict[str, Site],
    candidates: list[Request],
    sizes: tuple[int, int],
    taken_contents: set[Any],
    rng: random.Random,
) -> dict[str, list[str]]:
    kinds: dict[str, dict[tuple[str, ...], list[Request]]] = {"plain": {}, "traps": {}}
    for request in candidates:
        if content(recorded[request.site], request) not in taken_contents:
            obstacles = outcome(recorded[request.site], request).obstacles
            kind = (*(wish.kind for wish in request.wishes), *obstacles)
            kinds["traps" if obstacles else "plain"].setdefault(kind, []).append(request)
    picked: dict[str, list[str]] = {}
    places = {str(request): index for index, request in enumerate(candidates)}
    for (name, by_kind), size in zip(kinds.items(), sizes, strict=True):
        for alike in by_kind.values():
            rng.shuffle(alike)
        # One of each kind in turn, so that no kind fills a split.
        turns = [alike.pop() for _ in range(size) for alike in by_kind.values() if alike]
        if len(turns) < size:
            raise ValueError(f"the sites give only {len(turns)} of {size} {name} requests")
        picked[name] = sorted(map(str, turns[:size]), key=places.__getitem__)
    return picked


def write_fixtures(folder: Path) -> None:
    """Write the tables into a folder."""
    recorded = sites()
    rows = [f"{json.dumps(name)}: {_compact(site.to_json())}" for name, site in recorded.items()]
    write_text(folder / "sites.json", "{\n" + ",\n".join(rows) + "\n}\n")
    write_text(folder / "tasks.json", json.dumps(tasks(recorded), indent=0) + "\n")


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


if __name__ == "__main__":
    write_fixtures(fixtures_of("warehouse"))
