"""A digest of any value: equal for equal data, whatever process computes it."""

import asyncio
import collections
import functools
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import KEEP, Enum, Flag, auto
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import MappingProxyType, SimpleNamespace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import practicum
from practicum.environment.canonical import digest_named, digest_value, image_digest


class Colour(Enum):
    RED = 1
    BLUE = "blue"


class Right(Flag):
    READ = auto()
    WRITE = auto()


@dataclass
class Item:
    name: object
    parts: object


@dataclass(frozen=True, slots=True)
class Point:
    x: object
    y: object


def hashable():
    plain = [
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.sampled_from([0.0, -0.0, 1.0, 0.5]),
        st.text("ab", max_size=2),
    ]
    times = [st.sampled_from([datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, fold=1)])]
    times += [
        st.sampled_from([datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), date(2026, 1, 1), timedelta(1)])
    ]
    rest = [Decimal("1.0"), Decimal("1"), Fraction(1, 3), UUID(int=5), b"a", b"", PurePosixPath("a/b"), 2**80]
    return st.one_of(
        *plain, *times, st.sampled_from([*rest, *Colour, *Right, Right.READ | Right.WRITE, "\ud800", 1 + 2j])
    )


def values():
    inner = hashable() | st.sampled_from([float("nan"), float("inf")])

    def nested(each):
        return st.one_of(
            st.lists(each, max_size=3),
            st.lists(each, max_size=3).map(tuple),
            st.lists(each, max_size=3).map(collections.deque),
            st.dictionaries(st.text("ab", max_size=2), each, max_size=3),
            st.dictionaries(hashable(), each, max_size=3),
            st.sets(hashable(), max_size=4),
            st.frozensets(hashable(), max_size=4),
            st.builds(Item, each, each),
            st.builds(Point, each, each),
            st.builds(lambda a, b: SimpleNamespace(a=a, b=b), each, each),
        )

    return st.recursive(inner, nested, max_leaves=6)


def same(a, b):
    """Equality of data, types included; the digest's definition written down a second time."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(any(same(k, o) and same(a[k], b[o]) for o in b) for k in a)
    if isinstance(a, set | frozenset):
        return len(a) == len(b) and all(any(same(one, other) for other in b) for one in a)
    if isinstance(a, list | tuple | collections.deque):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Item | Point | SimpleNamespace):
        return same(_attributes(a), _attributes(b))
    return repr(a) == repr(b) if isinstance(a, float | Decimal | complex | datetime) else a == b


def _attributes(value):
    return {field.name: getattr(value, field.name) for field in fields(value)} if is_dataclass(value) else vars(value)


def rebuilt(value, rng):
    """Equal data in new objects: dicts and sets filled in another order."""
    if isinstance(value, dict):
        items = [(key, rebuilt(item, rng)) for key, item in value.items()]
        rng.shuffle(items)
        return dict(items)
    if isinstance(value, set | frozenset):
        items = list(value)
        rng.shuffle(items)
        return type(value)(items)
    if isinstance(value, list | tuple | collections.deque):
        return type(value)(rebuilt(item, rng) for item in value)
    if isinstance(value, Item | Point):
        return type(value)(*(rebuilt(getattr(value, field.name), rng) for field in fields(value)))
    return SimpleNamespace(**rebuilt(vars(value), rng)) if isinstance(value, SimpleNamespace) else value


@settings(max_examples=150, deadline=None)
@given(values(), values())
def test_two_digests_are_equal_exactly_if_the_data_is(a, b):
    assert (digest_value(a) == digest_value(b)) == same(a, b)


@settings(max_examples=150, deadline=None)
@given(values(), st.randoms(use_true_random=False))
def test_equal_data_built_in_another_order_has_the_same_digest(value, rng):
    assert digest_value(rebuilt(value, rng)) == digest_value(value)


@settings(max_examples=100, deadline=None)
@given(values(), values())
def test_several_named_values_are_digested_like_their_dict(a, b):
    def digest(**values):
        return digest_named(values, [1], {}, "")

    assert (digest(a=a, b=1) == digest(a=b, b=1)) == same(a, b)


# Objects that refer to each other ----------------------------------------------------------------------------


class Room:
    def __init__(self, label):
        self.label, self.exits = label, []


def maze(labels, edges):
    rooms = [Room(label) for label in labels]
    for start, end in edges:
        rooms[start].exits.append(rooms[end])
    return rooms


mazes = st.integers(1, 7).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 2), min_size=n, max_size=n),
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=3 * n),
    )
)


@settings(max_examples=100, deadline=None)
@given(mazes, st.randoms(use_true_random=False))
def test_a_graph_has_one_digest_however_it_was_built(drawn, rng):
    labels, edges = drawn
    order = list(range(len(labels)))
    rng.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    moved = maze([labels[old] for old in order], [(place[start], place[end]) for start, end in edges])
    assert digest_value(maze(labels, edges)[0]) == digest_value(moved[place[0]])


@settings(max_examples=100, deadline=None)
@given(mazes)
def test_a_cycle_gone_round_twice_is_the_same_cycle(drawn):
    labels, edges = drawn
    n = len(labels)
    # Every room twice; each exit leads into the other copy.
    double = [(s, e + n) for s, e in edges] + [(s + n, e) for s, e in edges]
    assert digest_value(maze(labels, edges)[0]) == digest_value(maze(labels * 2, double)[0])


@settings(max_examples=100, deadline=None)
@given(mazes, st.data())
def test_a_change_anywhere_that_can_be_reached_changes_the_digest(drawn, data):
    labels, edges = drawn
    reached, waiting = {0}, [0]
    while waiting:
        here = waiting.pop()
        new = {end for start, end in edges if start == here} - reached
        reached |= new
        waiting += new
    changed = list(labels)
    changed[data.draw(st.sampled_from(sorted(reached)))] = "new"
    assert digest_value(maze(labels, edges)[0]) != digest_value(maze(changed, edges)[0])


def test_a_large_maze_takes_no_longer_than_its_size():
    rng = random.Random(0)
    edges = [(start, rng.randrange(300)) for start in range(300) for _ in range(4)]
    rooms, again = maze(range(300), edges), maze(range(300), edges)
    assert digest_value(rooms[0]) == digest_value(again[0])
    again[7].exits.reverse()
    assert digest_value(rooms[0]) != digest_value(again[0])


def test_a_long_chain_of_neighbours_is_seen_to_its_end():
    def chain(last):
        rooms = maze([*range(399), last], [(n, n + 1) for n in range(399)] + [(n + 1, n) for n in range(399)])
        return digest_value(rooms[0])

    assert chain("a") == chain("a") != chain("b")


def test_data_nested_too_deeply_for_json_has_a_digest():
    def deep(leaf):
        for _ in range(5000):
            leaf = [leaf]
        return digest_value(leaf)

    assert deep(1) == deep(1) != deep(2)


SAMPLES = """
import collections, enum, threading
from dataclasses import dataclass
from practicum.environment.canonical import digest_value

Colour = enum.Enum("Colour", "RED BLUE")

@dataclass(frozen=True)
class Point:
    x: object
    y: object

class Room:
    def __init__(self, label):
        self.label, self.exits = label, []

words = [f"word {n}" for n in range(40)]
rooms = {word: Room(word) for word in words}
for n, word in enumerate(words):
    rooms[word].exits = {rooms[words[n * 7 % 40]]}
for value in [
    set(words),
    {frozenset(words[:5]), frozenset(words[5:])},
    {Point(word, Colour.RED) for word in words},
    {Point(n, word): {word, n} for n, word in enumerate(words)},
    rooms["word 1"],
    set(rooms.values()),
    [digest_value, Colour, threading.Lock(), (word for word in words)],
    collections.Counter(words),
]:
    print(digest_value(value))
"""


def test_the_digest_is_the_same_in_another_process_with_another_hash_seed():
    path = str(Path(practicum.__file__).parents[1])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SAMPLES],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    one, other = (process.communicate()[0].split() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert one == other
    assert len(set(one)) == 8


# Kinds of objects ---------------------------------------------------------------------------------------------


class Plain:
    def __init__(self, value):
        self.value = value

    def __call__(self):
        return self.value

    @functools.cached_property
    def square(self):
        return self.value**2


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left):
        self.left = left


class Basket(dict):
    def __init__(self, items, limit):
        super().__init__(items)
        self.limit = limit


class Names(set):
    pass


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    "make",
    [
        Plain,
        Slotted,
        lambda value: Names({value, "x"}),
        lambda value: Basket({"k": (value,)}, 3),
        lambda value: Basket({"k": ()}, value),
        lambda value: Pair((), value),
        lambda value: collections.defaultdict(list, a=[(value,)]),
        lambda value: collections.OrderedDict(a=(value,)),
        lambda value: collections.deque([value], maxlen=3),
        lambda value: bytearray([value]),
        lambda value: functools.partial(max, value),
        lambda value: Plain(value).__call__,
        random.Random,
        lambda value: MappingProxyType({"a": value}),
        lambda value: {Plain(value): 1},
        lambda value: {"self": value, "set": {value}},
    ],
    ids=range(16),
)
def test_what_an_object_holds_counts(make):
    assert digest_value(make(1)) == digest_value(make(1)) != digest_value(make(2))


def test_a_number_of_thousands_of_digits_has_a_digest():
    assert digest_value(10**5000) == digest_value(10**5000) != digest_value(10**5000 + 1)
    assert digest_value({10**5000, 1}) == digest_value({1, 10**5000})


def test_flags_without_a_name_are_told_apart():
    kind = Flag("Kind", "A", boundary=KEEP)
    assert len({digest_value(kind(number)) for number in (0, 1, 8, 16, 24)}) == 5


def test_types_are_told_apart():
    each = [(1,), [1], {1}, frozenset({1}), {1: 1}, {"1": 1}, 1, True, 1.0, "1", b"1", Plain(1), Pair(1, 1), (1, 1)]
    assert len({digest_value(value) for value in each}) == len(each)


def test_what_is_computed_when_first_asked_for_is_no_change():
    thing = Plain(3)
    before = digest_value(thing)
    assert thing.square == 9
    assert digest_value(thing) == before


def test_what_nothing_can_be_known_of_counts_by_its_type():
    assert digest_value(threading.Lock()) == digest_value(threading.Lock()) != digest_value(threading.Condition())
    threads = [threading.Thread(target=int) for _ in range(2)]
    threads[0].start()
    assert digest_value(threads[0]) == digest_value(threads[1])
    loops = [asyncio.new_event_loop() for _ in range(2)]
    assert digest_value(loops[0]) == digest_value(loops[1])
    for loop in loops:
        loop.close()
    with Path(os.devnull).open() as one, Path(os.devnull).open("rb") as other:
        assert digest_value(one) != digest_value(other)


def test_a_class_may_say_itself_what_its_state_is():
    class Game:
        def __init__(self, score):
            self.score, self.handle = score, object()

        def __practicum_state__(self):
            return self.score

    assert digest_value(Game(1)) == digest_value(Game(1)) != digest_value(Game(2))


def test_a_class_that_cannot_be_pickled_is_told_by_its_attributes():
    class Stubborn:
        def __init__(self, value):
            self.value = value

        def __reduce_ex__(self, protocol):
            raise RuntimeError("no")

    assert digest_value(Stubborn(1)) == digest_value(Stubborn(1)) != digest_value(Stubborn(2))


def test_known_objects_count_as_their_names_and_hidden_text_not_at_all():
    one, other = Plain(1), Plain(2)
    assert digest_value([one], named={id(one): "it"}) == digest_value([other], named={id(other): "it"})
    assert digest_value([one], named={id(one): "it"}) != digest_value([one])

    def at(folder):
        strings = [f"{folder}/a", {f"{folder}/k": 1}]
        return digest_value(strings, hidden=folder), digest_value(
            [*strings, Path(folder, "b"), {folder}], hidden=folder
        )

    assert at("/tmp/one") == at("/tmp/other/place")
    assert at("/tmp/one") != at("/tmp/one")[::-1]


# Databases ----------------------------------------------------------------------------------------------------


@pytest.fixture
def database():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (1)")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE t SET a = 2",
        "CREATE INDEX i ON t (a)",
        "PRAGMA user_version = 3",
        "CREATE TEMP TABLE x (a)",
        "BEGIN; INSERT INTO t VALUES (5)",
    ],
)
def test_what_a_database_holds_counts(database, change):
    before = image_digest(database)
    assert image_digest(database) == before
    database.executescript(change)
    assert image_digest(database) != before


def test_a_database_is_told_by_its_content_within_other_data(database):
    other = sqlite3.connect(":memory:", isolation_level=None)
    other.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    assert digest_value({"db": database}) == digest_value({"db": other})
    other.execute("INSERT INTO t VALUES (2)")
    assert digest_value({"db": database}) != digest_value({"db": other})
    other.close()
    assert digest_value({"db": other}) == digest_value({"db": other})  # closed: nothing to be read, and no exception


def test_an_open_transaction_of_any_connection_is_seen(database):
    database.deserialize(database.serialize())
    before = image_digest(database)
    database.execute("BEGIN")
    database.execute("INSERT INTO t VALUES (2)")
    inserted = image_digest(database)
    database.execute("INSERT INTO t VALUES (3)")
    assert len({before, inserted, image_digest(database)}) == 3


def test_a_row_of_a_database_is_told_by_its_columns(database):
    database.row_factory = sqlite3.Row
    one, same_one, other = (database.execute(f"SELECT {n} AS a").fetchone() for n in (1, 1, 2))
    assert digest_value(one) == digest_value(same_one) != digest_value(other)


def test_json_data_is_digested_as_canonical_json():
    value = {"b": [1, None, "é"], "a": 0.1}
    assert digest_value(value) == practicum.digests.digest(json.loads(json.dumps(value)))
