import importlib.util
import os
import subprocess
import sys
import textwrap
from decimal import Decimal

import pytest

from practicum.errors import LedgerError
from practicum.runs import code_digest
from practicum.runs.code_digest import digest_object, digest_settings
from practicum.scoring import score_fields, weighted

SOURCE = """
    import enum, functools, json, operator, re, threading
    from dataclasses import dataclass, field

    LIMIT = 3
    PATTERN = re.compile("a+")
    TABLE = {"low": 1, "high": [2, 3]}

    class Level(enum.Enum):
        LOW = 1

    def helper(text):
        return len(text) > LIMIT

    def unused(text):
        return 0

    def score(rollout):
        return float(helper(rollout.answer) and bool(PATTERN.search(rollout.answer)) and TABLE["low"])

    def make(weight):
        def weighted(rollout):
            return weight * score(rollout)
        return weighted

    def countdown(n):
        return 0 if n == 0 else countdown(n - 1)

    class Base:
        def shared(self):
            return helper("x")

    @dataclass(frozen=True)
    class Fields(Base):
        names: tuple = ("a", "b")
        partial: bool = False
        level: Level = Level.LOW
        extra: dict = field(default_factory=dict)

        def __call__(self, rollout):
            return len(self.names) * self.shared()

    class Plain:
        def __init__(self, tag):
            self.tag, self.lock, self.myself = tag, threading.Lock(), self

        def __call__(self, rollout):
            return 1.0

    def tagged(tag, rollout):
        return 1.0
"""


@pytest.fixture
def load(tmp_path):
    def load(source=SOURCE):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        path = folder / "rewards.py"
        path.write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location("rewards", path)
        module = sys.modules["rewards"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("rewards", None)


def test_the_same_code_has_the_same_digest_wherever_it_lies(load):
    first = digest_object(load().score)
    assert digest_object(load().score) == first


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("float(helper(", "float(not helper("),
        ("len(text) > LIMIT", "len(text) >= LIMIT"),
        ("LIMIT = 3", "LIMIT = 4"),
        ('re.compile("a+")', 're.compile("b+")'),
        ('"high": [2, 3]', '"high": [2, 4]'),
    ],
    ids=["body", "helper", "constant used by a helper", "pattern", "table"],
)
def test_a_change_anywhere_in_what_a_function_uses_changes_its_digest(load, old, new):
    before = digest_object(load().score)
    assert old in SOURCE
    assert digest_object(load(SOURCE.replace(old, new)).score) != before


def test_a_change_elsewhere_in_the_module_does_not_matter(load):
    before = digest_object(load().score)
    assert digest_object(load(SOURCE.replace("return 0\n", "return 9\n")).score) == before


def test_settings_count_for_dataclasses_closures_partials_and_plain_objects(load):
    m = load()
    partial = m.functools.partial
    different = [
        m.Fields(),
        m.Fields(names=("a",)),
        m.Fields(partial=True),
        m.Fields(extra={"k": Decimal("1.10")}),
        m.Fields(extra={"k": Decimal("1.1")}),
        m.make(1.0),
        m.make(2.0),
        partial(m.tagged, "a"),
        partial(m.tagged, "b"),
        m.Plain("a"),
        m.Plain("b"),
        m.operator.itemgetter("a"),
        m.operator.itemgetter("b"),
        m.Fields,
        m.countdown,
        m.json.loads,
    ]
    assert len({digest_object(value) for value in different}) == len(different)


def test_equal_objects_made_twice_have_equal_digests(load):
    m = load()
    assert digest_object(m.Fields(extra={"x": [1], "y": 2})) == digest_object(m.Fields(extra={"y": 2, "x": [1]}))
    assert digest_object(m.make(1.0)) == digest_object(m.make(1.0))
    assert digest_object(m.Plain("a")) == digest_object(m.Plain("a"))


def test_what_a_method_inherits_and_uses_counts(load):
    before = digest_object(load().Fields())
    assert digest_object(load(SOURCE.replace('helper("x")', 'helper("y")')).Fields()) != before
    assert digest_object(load(SOURCE.replace("LIMIT = 3", "LIMIT = 4")).Fields()) != before


def test_a_bound_method_is_its_object_and_its_name(load):
    m = load()
    assert digest_object(m.Fields().shared) != digest_object(m.Fields().__call__)
    assert digest_object(m.Fields().shared) != digest_object(m.Fields(partial=True).shared)


def test_the_digest_does_not_depend_on_the_hash_seed(tmp_path):
    (tmp_path / "rewards.py").write_text(textwrap.dedent(SOURCE))
    code = (
        "import rewards as r; from practicum.runs.code_digest import digest_object as d;"
        "print(d([r.score, r.Fields(extra={'s': {'x', 'y', 'z', 'w'}}), r.make(2)]))"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1


def test_code_without_a_source_is_refused():
    namespace = {"__name__": "nowhere"}
    exec("def score(rollout):\n    return 1.0\n", namespace)
    with pytest.raises(LedgerError, match="source of score cannot be read"):
        digest_object(namespace["score"])


def polite(rollout):
    return 1.0


def blunt(rollout):
    return 0.0


def rule(weight=0.5, other=polite, tag="answer"):
    return weighted(fields=(weight, score_fields(tag=tag, exact=True)), manner=(1 - weight, other))


def test_a_rules_settings_are_the_same_in_another_version_of_its_code(monkeypatch):
    before, code = digest_settings(rule()), digest_object(rule())
    source = code_digest._source

    def rewritten(code):
        return source(code) + "# rewritten" * code.__module__.startswith("practicum.")

    monkeypatch.setattr(code_digest, "_source", rewritten)
    assert digest_object(rule()) != code
    assert digest_settings(rule()) == before


@pytest.mark.parametrize("other", [rule(0.6), rule(other=blunt), rule(tag="final")], ids=["weight", "function", "tag"])
def test_other_settings_of_a_rule_are_another_rule(other):
    assert digest_settings(other) != digest_settings(rule())


def test_in_a_rules_settings_code_of_ones_own_counts_as_it_stands(monkeypatch):
    before = digest_settings(polite)
    monkeypatch.setattr(code_digest, "_source", lambda code: "rewritten")
    assert digest_settings(polite) != before
