"""Foreign code made repeatable, foreign data made plain and bounded."""

import datetime
import decimal
import enum
import json
import random
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from practicum.environment.resources import VirtualClock
from practicum.errors import EnvironmentFault
from practicum.suites.foreign_code import load_private, seeded_libraries
from practicum.suites.foreign_data import bounded, plain
from practicum.suites.stand_ins import Acting, acting

MODULE = """
import datetime as dt
import os.path
import random
import secrets
import time as clock
import uuid
from datetime import date, datetime, timedelta
from random import choice, randint
from time import time
from uuid import uuid4

BORN = datetime.now()

def told():
    from random import random as inner
    import time as again
    return {
        "module_now": dt.datetime.now().isoformat(),
        "now": datetime.now().isoformat(),
        "utc": datetime.now(dt.timezone.utc).isoformat(),
        "today": str(date.today()),
        "age": date.today().year - datetime.strptime("2000-05-05", "%Y-%m-%d").year,
        "local": datetime.fromtimestamp(0).isoformat(),
        "naive": datetime(1970, 1, 2).timestamp(),
        "time": [time(), again.time_ns(), clock.monotonic()],
        "text": [clock.strftime("%Y"), clock.ctime(), clock.localtime().tm_hour],
        "draws": [random.random(), randint(1, 10**9), choice(range(10**9)), inner()],
        "unseeded": random.Random().random(),
        "seeded": random.Random(3).random(),
        "system": random.SystemRandom().random(),
        "secret": [secrets.token_hex(4), secrets.randbelow(10**9)],
        "ids": [str(uuid.uuid4()), uuid4().hex],
    }

def waits():
    clock.sleep(90)
    return datetime.now().isoformat()

def kinds():
    real = __import__("sys").modules["datetime"]
    return [isinstance(real.datetime(2020, 1, 1), datetime), isinstance(real.date(2020, 1, 1), date),
            isinstance(3, date), type(datetime(2020, 1, 1) + timedelta(days=1)) is datetime]
"""


@pytest.fixture
def foreign(tmp_path):
    path = tmp_path / "tools.py"
    path.write_text(MODULE)
    yield load_private(path, "practicum_test_foreign")
    del sys.modules["practicum_test_foreign"]


def told(foreign, seed=1):
    with acting(Acting(random.Random(seed), VirtualClock())):
        return foreign.told()


def test_foreign_code_takes_time_and_chance_from_the_episode(foreign):
    first = told(foreign)
    assert first == told(foreign)
    assert first["module_now"] == first["now"] == "2026-01-01T00:00:00"
    assert first["utc"] == "2026-01-01T00:00:00+00:00"
    assert first["today"] == "2026-01-01"
    assert first["age"] == 26
    assert first["time"] == [1767225600.0, 1767225600 * 10**9, 1767225600.0]
    assert first["text"] == ["2026", "Thu Jan  1 00:00:00 2026", 0]


def test_another_seed_draws_otherwise_but_what_is_seeded_itself_stays(foreign):
    first, second = told(foreign, 1), told(foreign, 2)
    assert {name for name in first if first[name] != second[name]} == {"draws", "unseeded", "system", "secret", "ids"}
    assert first["seeded"] == random.Random(3).random()


def test_local_time_is_utc_wherever_the_machine_stands(foreign, monkeypatch):
    try:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert time.localtime(0).tm_hour == 9
        assert told(foreign)["local"] == "1970-01-01T00:00:00"
        assert told(foreign)["naive"] == 86400.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_sleeping_lets_the_virtual_clock_pass_and_nobody_wait(foreign):
    source, began = Acting(), time.monotonic()
    with acting(source):
        assert foreign.waits() == "2026-01-01T00:01:30"
    assert time.monotonic() - began < 60
    assert source.clock.elapsed == 90


def test_real_dates_are_dates_to_foreign_code(foreign):
    assert foreign.kinds() == [True, True, False, True]


def test_what_a_module_asks_while_it_is_imported_is_the_beginning(foreign):
    assert foreign.BORN.isoformat() == "2026-01-01T00:00:00"


def test_nobody_elses_modules_are_touched(foreign):
    told(foreign)
    assert datetime.datetime.now().year >= 2026
    assert datetime.datetime is type(datetime.datetime(2020, 1, 1))
    assert random.Random.__module__ == "random"
    assert abs(time.time() - datetime.datetime.now().timestamp()) < 60


def test_stand_ins_can_be_asked_for_by_name(tmp_path):
    (tmp_path / "some.py").write_text("import uuid\nfrom datetime import date\nNEW = uuid.uuid4\n")
    module = load_private(tmp_path / "some.py", "practicum_test_some", only=("uuid",))
    assert module.date is datetime.date
    with acting(Acting(random.Random(1))):
        first = module.NEW()
    with acting(Acting(random.Random(1))):
        assert module.NEW() == first


ARRAYS = """
import numpy as np
import numpy.random as chance
import numpy.random
from numpy import random
from numpy.random import default_rng, rand, RandomState

def told():
    again = RandomState(3), np.random.default_rng(3), np.random.Generator(np.random.PCG64(3))
    hidden = [rand(), np.random.randint(10**9), chance.normal(), numpy.random.permutation(99).tolist(), random.random()]
    unseeded = [default_rng().random(), RandomState().rand(), np.random.Generator(np.random.MT19937()).random()]
    np.random.seed(5)
    return hidden, unseeded, [again[0].rand(), again[1].random(), again[2].random()], np.random.rand()

def same():
    import numpy.linalg
    from numpy.linalg import norm
    return isinstance(RandomState(), np.random.RandomState), norm is numpy.linalg.norm, np.float64(1), np.pi
"""


@pytest.fixture
def with_arrays(tmp_path):
    (tmp_path / "arrays.py").write_text(ARRAYS)
    return load_private(tmp_path / "arrays.py", "practicum_test_arrays", shared=False)


def test_numpys_hidden_generator_is_the_episodes_and_the_processs_own_does_not_move(with_arrays):
    before = np.random.get_state()
    states = []
    for seed in (1, 1, 2):
        with acting(Acting(random.Random(seed))):
            states.append(with_arrays.told())
    assert states[0] == states[1]
    for own, other in zip(states[0][:2], states[2][:2], strict=True):
        assert all(one != two for one, two in zip(own, other, strict=True))
    real = [np.random.RandomState(3).rand(), np.random.default_rng(3).random(), np.random.default_rng(3).random()]
    assert states[0][2] == states[2][2] == real
    assert states[0][3] == states[2][3]
    assert str(np.random.get_state()) == str(before)


def test_the_rest_of_numpy_is_the_real_one(with_arrays):
    with acting(Acting()):
        assert with_arrays.same() == (True, True, np.float64(1), np.pi)


def test_a_module_of_an_episodes_own_is_nobody_elses(tmp_path):
    (tmp_path / "own.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass A:\n    x: int = 1\nSEEN = []\n"
    )
    first, second = (load_private(tmp_path / "own.py", "practicum_test_own", shared=False) for _ in range(2))
    assert first.SEEN is not second.SEEN
    assert first.A().x == 1
    assert "practicum_test_own" not in sys.modules


def test_shared_generators_are_an_episodes_until_it_gives_them_back():
    drawn, alone = {}, {}
    both = threading.Barrier(2)

    def draw(seed):
        both.wait()
        with seeded_libraries(random.Random(seed)):
            drawn[seed] = []
            for _ in range(20):
                drawn[seed].append((random.random(), np.random.rand()))
                time.sleep(0)

    for seed in (1, 2):
        with seeded_libraries(random.Random(seed)):
            alone[seed] = [(random.random(), np.random.rand()) for _ in range(20)]
    threads = [threading.Thread(target=draw, args=(seed,)) for seed in (1, 2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert drawn == alone


def test_shared_generators_are_seeded_and_put_back():
    random.seed(1)
    np.random.seed(1)
    expected = random.getstate(), np.random.get_state()[1].tolist()
    draws = []
    for _ in range(2):
        with seeded_libraries(random.Random(9)):
            draws.append((random.random(), np.random.rand()))
    assert draws[0] == draws[1]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == expected


@pytest.mark.parametrize("text", ["1/0", "raise SystemExit(3)", "def"])
def test_a_module_that_does_not_import_is_told_and_not_kept(tmp_path, text):
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(EnvironmentFault, match="cannot be imported") as told:
        load_private(tmp_path / "broken.py", "practicum_test_broken")
    assert str(tmp_path / "broken.py") in str(told.value)
    assert "practicum_test_broken" not in sys.modules


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(EnvironmentFault, match="no such Python file"):
        load_private(tmp_path / "nowhere.py", "practicum_test_nowhere")


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(False), False),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (float("nan"), None),
        (np.float64("inf"), None),
        (decimal.Decimal("1.5"), 1.5),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (pd.Timestamp("2020-01-02"), "2020-01-02T00:00:00"),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.DataFrame({"a": [1, None], "b": ["x", "y"]}), [{"a": 1.0, "b": "x"}, {"a": None, "b": "y"}]),
        (pd.Series([1, 2]), [1, 2]),
        ({Colour.RED: (1, {2, 1})}, {"red": [1, [1, 2]]}),
        (Colour.RED, "red"),
        (ValueError("why"), "why"),
    ],
)
def test_whatever_foreign_tools_return_becomes_json(value, expected):
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)
    json.dumps(plain(value), allow_nan=False)


def test_schemas_get_a_bound_wherever_they_have_none():
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "short": {"type": "string", "maxLength": 3},
            "kind": {"type": "string", "enum": ["a"]},
            "many": {"type": "array", "items": {"type": ["number", "null"]}},
            "free": {"type": "object"},
            "either": {"anyOf": [{"$ref": "#/$defs/inner"}, {"type": "integer"}]},
        },
        "$defs": {"inner": {"type": "object", "properties": {"deep": {"type": "string"}}}},
    }
    made = bounded(schema)
    fields = made["properties"]
    assert made["additionalProperties"] is False
    assert fields["name"] == {"type": "string", "maxLength": 20_000}
    assert fields["short"] == schema["properties"]["short"]
    assert fields["kind"] == schema["properties"]["kind"]
    assert (fields["many"]["maxItems"], fields["many"]["items"]["maximum"]) == (100, 1e12)
    assert fields["free"]["maxProperties"] == 100
    assert fields["either"]["anyOf"][1] == {"type": "integer", "minimum": -(10**12), "maximum": 10**12}
    assert made["$defs"]["inner"]["properties"]["deep"]["maxLength"] == 20_000
    assert "maxLength" not in schema["properties"]["name"]
    Draft202012Validator.check_schema(made)


def test_a_schema_that_says_what_else_it_takes_is_believed():
    assert bounded({"type": "object", "properties": {}, "additionalProperties": True})["additionalProperties"] is True
    assert bounded({"type": "object"}) == {"type": "object", "maxProperties": 100}
