"""Hidden tests are run in the sandbox and judged outside it: only code that does what it should passes."""

import ast
import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from practicum.errors import RolloutError
from practicum.scoring import judge
from practicum.scoring.executed import (
    RUNNER,
    Outcome,
    encoded,
    expected,
    last_apart,
    passes,
    run_cases,
    score_tests,
)

exact = score_tests(exact=True)
partial = score_tests(partial=True)

RIGHT = """
def double(number):
    if number < 0:
        raise ValueError(number)
    return 2 * number

def pair(number, seen=None):
    seen = [] if seen is None else seen
    seen.append(number)
    return number, seen
"""
START = RIGHT.replace("2 * number", "number + 2").replace("seen=None", "seen=[]")
LABEL = {
    "setup": "from code import double, pair\nimport code as module",
    "cases": [
        {"code": "double(2)", "gives": "4", "kept": True},
        {"code": "double(5)", "gives": "10"},
        {"code": "double(0)", "gives": "0"},
        {"code": "double(-1)", "raises": "ValueError", "kept": True},
        {"code": "pair(1); pair(2)", "gives": "(2, [2])"},
        {"code": "x = double(3)\n[x, str(x)]", "gives": "[6, '6']"},
    ],
}
LABEL["setup"] = LABEL["setup"].replace("code", "work")


def scored(rule, finished, source, **more):
    files = {"work.py": source, **more}
    judgement = asyncio.run(judge(rule, finished("done", LABEL, final_state={"files": files})))
    return judgement.total, judgement.components


def outcomes(source, *codes, setup="from work import *"):
    return asyncio.run(run_cases({"work.py": source}, codes, setup=setup))


def test_code_that_does_what_it_should_passes(finished):
    for rule in (exact, partial):
        assert scored(rule, finished, RIGHT) == (1.0, {"passed": 1, "repaired": 1, "kept": 1, "exact": 1})


def test_code_handed_in_as_it_was_earns_nothing(finished):
    for rule in (exact, partial):
        value, components = scored(rule, finished, START)
        assert value == 0
        assert components == pytest.approx({"passed": 2 / 6, "repaired": 0, "kept": 1, "exact": 0})


def test_credit_goes_to_what_was_repaired_and_what_was_broken_takes_it_away(finished):
    half = START.replace("number + 2", "2 * number")
    value, components = scored(partial, finished, half)
    assert components == pytest.approx({"passed": 5 / 6, "repaired": 3 / 4, "kept": 1, "exact": 0})
    assert value == pytest.approx(0.5 * 3 / 4)
    assert scored(exact, finished, half)[0] == 0
    worse = half.replace("raise ValueError(number)", "return 0")
    value, components = scored(partial, finished, worse)
    assert components["kept"] == pytest.approx(1 / 2)
    assert value == pytest.approx(0.5 * 3 / 4 / 2)


LINES = "".join(f'os.write(fd, b\'{n} ["value", null, "", ""]\\n\')\n    ' for n in range(6))
CHEATS = {
    "leaves early": "import os\nos._exit(0)",
    "leaves politely": "import sys\nsys.exit(0)",
    "prints what a runner might": "print('6 passed'); print('OK'); print('[\"value\", 10, \"\", \"\"]')",
    "returns what equals everything": """
class Anything:
    def __eq__(self, other): return True
    __hash__ = None
def double(number): return Anything()
pair = double
""",
    "returns text that equals everything": """
class Anything(str):
    def __eq__(self, other): return True
    def __repr__(self): return "10"
def double(number): return Anything("10")
pair = double
""",
    "replaces the runner's functions": """
import sys
main = sys.modules["__main__"]
for name in ("encoded", "value_of", "_play", "_said", "_case"):
    setattr(main, name, lambda *_: "true")
def double(number): return None
pair = double
""",
    "replaces builtins": """
import builtins
builtins.eval = lambda *_: True
builtins.type = lambda *_: bool
builtins.isinstance = lambda *_: True
def double(number): return None
pair = double
""",
    "writes to every open descriptor": f"""
import os
for fd in range(1, 64):
  try:
    {LINES}
  except OSError:
    pass
def double(number): return None
pair = double
""",
    "writes to the runner's own output": f"""
import os, glob
for place in glob.glob(f"/proc/{{os.getppid()}}/fd/*"):
  try:
    fd = os.open(place, os.O_WRONLY)
    {LINES}
  except OSError:
    pass
def double(number): return None
pair = double
""",
    "kills the runner": "import os\nos.kill(os.getppid(), 9)",
    "stops the runner": "import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\nos._exit(0)",
    "looks for what is expected in memory": """
import gc, sys
def hunt():
    frame, seen = sys._getframe(), []
    while frame:
        seen += list(frame.f_locals.values()) + list(frame.f_globals.values())
        frame = frame.f_back
    for thing in [*seen, *gc.get_objects()]:
        if isinstance(thing, dict) and ("gives" in thing or "cases" in thing):
            return thing
        if isinstance(thing, str) and '"gives"' in thing and "hunt" not in thing:
            return thing
    return None
def double(number):
    found = hunt()
    return eval(found["gives"]) if isinstance(found, dict) and "gives" in found else None
pair = double
""",
    "looks for the task on the disk": """
import os
def double(number):
    for folder, _, names in os.walk("/"):
        if folder.startswith(("/proc", "/sys")):
            continue
        for name in names:
            if name in ("modules.json", "tasks.json", "executed.py", "run_cases.py"):
                return 10
    try:
        import practicum
        return 10
    except ImportError:
        return None
pair = double
""",
    "lets a child of its own go on": f"""
import os, time, glob
if os.fork() == 0:
    os.setsid()
    for _ in range(20):
        for place in glob.glob("/proc/[0-9]*/fd/*"):
            try:
                fd = os.open(place, os.O_WRONLY | os.O_NONBLOCK)
                {LINES.replace(chr(10) + "    ", chr(10) + "                ")}os.close(fd)
            except OSError:
                pass
        time.sleep(0.01)
def double(number): return None
pair = double
""",
    "answers from a trace function": """
import sys
sys.settrace(lambda *_: None)
sys.setprofile(lambda *_: None)
def double(number): raise SystemExit(0)
pair = double
""",
    "raises what it should only once": "def double(number): raise ValueError(number)\npair = double",
    "gives back something endless": "def double(number):\n    a = []\n    a.append(a)\n    return a\npair = double",
    "never comes to an end": "def double(number):\n    while True:\n        pass\npair = double",
    "eats memory": "def double(number): return [0] * 10**10\npair = double",
    "is not Python": "def double(number) return 2 * number",
    "is empty": "",
}


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS.keys())
def test_a_cheat_repairs_nothing(finished, cheat):
    value, components = scored(partial, finished, cheat)
    assert (value, components["exact"], components["repaired"]) == (0, 0, 0)


@pytest.mark.parametrize(
    "files",
    [
        {"tests.py": "def test_all(): pass", "conftest.py": "import os; os._exit(0)", "sitecustomize.py": "1/0"},
        {"os.py": "1/0", "select.py": "1/0", "resource.py": "1/0", "math.py": "1/0", "_json.py": "1/0"},
        {"usercustomize.py": "import os; os._exit(0)", "main.py": "print('passed')", "encodings/__init__.py": "1/0"},
    ],
)
def test_other_files_of_the_agents_change_nothing_for_the_runner(finished, files):
    assert scored(exact, finished, RIGHT, **files)[0] == 1
    assert scored(exact, finished, START, **files)[0] == 0


@pytest.mark.parametrize(
    "files",
    [
        None,
        {},
        [],
        "work.py",
        {"work.py": None},
        {"work.py": "\ud800"},
        {"../work.py": RIGHT},
        {"/work.py": RIGHT},
        {RUNNER: RIGHT, "work.py": RIGHT},
        {"work.py": RIGHT, "work.py/x.py": ""},
        {"work.py": RIGHT + "#" * 200_000},
        {f"work{n}.py": "" for n in range(200)} | {"work.py": RIGHT},
    ],
    ids=range(12),
)
def test_files_that_cannot_be_run_fail_the_agent_and_not_the_rollout(finished, files):
    state = {} if files is None else {"files": files}
    judgement = asyncio.run(judge(partial, finished("done", LABEL, final_state=state)))
    assert judgement.total == 0
    assert judgement.components["passed"] == 0


def test_a_case_that_goes_wrong_fails_alone():
    source = (
        "import os\nstate = []\ndef f(n):\n    state.append(n)\n    if n == 1: os._exit(0)\n    if n == 2: os.abort()\n"
    )
    source += "    if n == 3:\n        while True: pass\n    return len(state)\n"
    found = outcomes(source, "f(0)", "f(1)", "f(2)", "f(3)", "f(4)")
    assert [outcome.kind for outcome in found] == ["value", "ended", "ended", "ended", "value"]
    assert [found[0].value, found[4].value] == [1, 1]
    assert found[3].text == "took too long"


def test_what_a_case_came_to():
    source = "class Own(Exception): pass\ndef own(): raise Own('why')\n"
    found = outcomes(source, "own()", "1 / 0", "len('ab')", "x = 1", "print('x')", "'x' * 50_000", "own")
    assert found == [
        Outcome("raised", name="Own", text="why"),
        Outcome("raised", name="ZeroDivisionError", text="division by zero"),
        Outcome("value", 2),
        Outcome("value", None),
        Outcome("value", None),
        Outcome("ended", text="the result is too large"),
        Outcome("value", {"object": "function"}),
    ]


def test_sets_and_random_numbers_come_out_the_same_every_time():
    source = "import random\ndef mixed():\n    return list({'a', 'b', 'c', 'd', 'e'}), random.random()\n"
    first, second = (outcomes(f"{source}# {n}", "mixed()", "mixed()") for n in range(2))
    assert first == second
    assert first[0] == first[1]


def test_no_expected_value_goes_into_the_sandbox(finished, monkeypatch):
    sent = []

    async def seen(files, **more):
        sent.append(json.dumps([dict(files), more["stdin"]]))
        raise RuntimeError("enough")

    monkeypatch.setattr("practicum.scoring.executed.arun_python", seen)
    label = {
        "setup": "",
        "cases": [{"code": "f(1)", "gives": "'SECRET-41'"}, {"code": "f(2)", "raises": "SecretError"}],
    }
    with pytest.raises(RolloutError, match="enough"):
        asyncio.run(judge(exact, finished("", label, final_state={"files": {"work.py": "f = str"}})))
    assert sent
    assert "SECRET" not in sent[0]
    assert "SecretError" not in sent[0]


def test_equal_files_are_run_once_and_unsteady_ones_again(monkeypatch):
    from practicum.scoring import executed

    runs = []
    real = executed.arun_python

    async def counted(*args, **more):
        runs.append(1)
        return await real(*args, **more)

    monkeypatch.setattr(executed, "arun_python", counted)
    for _ in range(2):
        assert outcomes("def once(): return 7", "once()") == [Outcome("value", 7)]
    assert len(runs) == 1
    for _ in range(2):
        assert outcomes("import os\ndef gone(): os._exit(3)", "gone()")[0].kind == "ended"
    assert len(runs) == 3


def test_a_run_does_not_hold_up_others(finished):
    async def both():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        other = asyncio.create_task(tick())
        await judge(exact, finished("", LABEL, final_state={"files": {"work.py": RIGHT + "# again"}}))
        other.cancel()
        return ticks

    assert asyncio.run(both()) > 2


PASSING = [("4", 4), ("4", 4.0), ("0.3", 0.1 + 0.2), ("(1, 2)", (1, 2)), ("{1, 2}", {2, 1}), ("{'a': [1]}", {"a": [1]})]
PASSING += [("None", None), ("True", True), ("b'x'", b"x"), ("10 ** 30".replace("10 ** 30", "1" + "0" * 30), 10**30)]
PASSING += [("0.0", 0.0), ("''", ""), ("[]", []), ("{'b': 1, 'a': 2}", {"a": 2, "b": 1}), ("-5", -5)]
FAILING = [("4", "4"), ("1", True), ("0", False), ("[1]", (1,)), ("[1, 2]", [2, 1]), ("None", "None"), ("4", 4.1)]
FAILING += [("{'a': 1}", {"a": 1, "b": 2}), ("[]", ()), ("{}", set()), ("'a'", b"a"), ("''", None), ("1", 10**400)]
FAILING += [("1000000000000000", 1000000000000001)]
FAILING += [("1.5", float("nan")), ("1.5", float("inf")), ("{1}", frozenset({1})), ("(1, [2])", (1, (2,))), ("0", "")]


@pytest.mark.parametrize(("literal", "value"), PASSING)
def test_values_that_pass(literal, value):
    assert passes(Outcome("value", json.loads(encoded(value))), expected({"code": "", "gives": literal}))


@pytest.mark.parametrize(("literal", "value"), FAILING)
def test_values_that_do_not(literal, value):
    assert not passes(Outcome("value", json.loads(encoded(value))), expected({"code": "", "gives": literal}))


def test_an_exception_passes_by_its_name_and_never_for_a_value():
    wanted = expected({"code": "", "raises": "ValueError"})
    assert passes(Outcome("raised", name="ValueError", text="any"), wanted)
    assert not passes(Outcome("raised", name="TypeError"), wanted)
    assert not passes(Outcome("value", "ValueError"), wanted)
    assert not passes(Outcome("ended"), wanted)
    for nothing in (Outcome("ended"), Outcome("raised", name="ValueError"), Outcome("raised")):
        assert not passes(nothing, expected({"code": "", "gives": "None"}))
    assert not passes(Outcome("raised", name="ValueError"), expected({"code": "", "gives": "1"}))


literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(literals, literals)
@settings(max_examples=150, deadline=None)
def test_a_literal_passes_for_itself_and_another_does_not(value, other):
    wanted = expected({"code": "", "gives": repr(value)})
    assert passes(Outcome("value", json.loads(encoded(value))), wanted)
    assert ast.literal_eval(repr(value)) == value
    if value != other:
        near = passes(Outcome("value", json.loads(encoded(other))), wanted)
        assert not near or "." in repr((value, other)) or "e" in repr((value, other))


@pytest.mark.parametrize(
    ("code", "parts"),
    [("f(1)", ("", "f(1)")), ("x = 1\nx", ("x = 1", "x")), ("a; b; c", ("a\nb", "c")), ("x = 1", ("x = 1", ""))],
)
def test_the_last_expression_is_told_apart(code, parts):
    assert last_apart(code) == parts


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, "has no cases to run"),
        ({"cases": []}, "has no cases to run"),
        ({"cases": [{"code": "f()"}]}, "needs either gives or raises"),
        ({"cases": [{"code": "f()", "gives": "1", "raises": "E"}]}, "needs either gives or raises"),
        ({"cases": [{"code": "f()", "gives": "f()"}]}, "must be a Python literal"),
        ({"cases": [{"code": "f()", "gives": "1 +"}]}, "must be a Python literal"),
        ({"cases": [{"code": "f(", "gives": "1"}]}, "SyntaxError"),
    ],
)
def test_a_label_that_cannot_be_judged_is_a_fault_of_the_task(finished, label, message):
    with pytest.raises(RolloutError, match=message):
        asyncio.run(judge(exact, finished("", label, final_state={"files": {"work.py": ""}})))


@pytest.mark.parametrize("how", [{}, {"exact": True, "partial": True}])
def test_exactly_one_kind_is_asked_for(how):
    with pytest.raises(ValueError, match="either exact=True or partial=True"):
        score_tests(**how)


def test_the_digest_follows_the_rule(monkeypatch):
    rules = [exact, partial, score_tests(exact=True, files="other")]
    assert len({rule.digest for rule in rules}) == 3
    assert score_tests(exact=True).digest == exact.digest
    before = exact.digest
    monkeypatch.setattr("practicum.scoring.executed.LONGEST", 5)
    assert exact.digest != before
