"""``score_tests``: the code an episode ended with, run in the sandbox on hidden tests.

A hidden test is a *case*: Python to run, and what must come of it. Only the code goes into the sandbox. What must
come of it stays here, and what did come of it is compared here::

    {"code": "slug('A  b')", "gives": "'a-b'"}                          a value, as a Python literal
    {"code": "slug(None)", "raises": "TypeError"}                       an exception, by its class's name

So there is nothing to cheat with. Code under test shares its process with whatever runs it, and can leave early,
print "passed", rewrite the runner, return an object that equals everything or forge the runner's output; but the
right values are nowhere it could take them from, and to forge them it has to compute them, which is what was asked.

Each case runs in a fork of its own, which imports the code afresh: one that hangs, exits or spoils a module fails
alone.
"""

import ast
import inspect
import json
import math
import os
import re
import resource
import select
import sys
import time
from _json import encode_basestring_ascii
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from practicum.digests import digest
from practicum.sandbox import PythonLimits, arun_python
from practicum.scoring.fields import TOLERANCE, dense, same
from practicum.trajectory import Rollout

LIMITS = PythonLimits(cpu_s=10.0, wall_s=40.0, output_kb=1024, folder_mb=8, folder_files=128)
SECONDS = 5.0
"""Seconds by the clock that a case may take; of processor time it has one."""
PATIENCE = 3
"""Cases that may run out of time; after them the rest fails unseen."""
LONGEST = 20_000
"""Characters of one case's value, encoded."""
REMEMBERED = 256
"""Runs whose outcomes are remembered."""

RUNNER = "__runner__/run.py"
"""Where the runner lies inside: in a folder of its own, so that no file of the agent's stands in for a module."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case: ``value`` (encoded), ``raised`` (class name, message), or ``ended`` without either."""

    kind: Literal["value", "raised", "ended"]
    value: Any = None
    name: str = ""
    text: str = ""


@dataclass(frozen=True)
class ExecutedScore:
    """Runs the files under ``final_state[files]`` on the cases of ``task.answer``.

    The label is ``{"setup": "from slug import slug", "cases": [{"code": …, "gives": … | "raises": …}, …]}``. A case
    with ``"kept": true`` is one that the code at the start passes already; all others are to be repaired.

    With ``partial``: ``exact_weight`` when every case passes, the rest of 1.0 for the share of cases repaired,
    times the share of those kept. Handing in the code as it was gives 0, and so does breaking what worked.
    """

    files: str = "files"
    partial: bool = False
    exact_weight: float = 0.5
    limits: PythonLimits = field(default=LIMITS)

    async def __call__(self, rollout: Rollout) -> tuple[float, dict[str, float]]:
        """The score in [0, 1] and its components: ``passed``, ``repaired``, ``kept`` (shares) and ``exact``.

        Raises:
            ValueError: the task has no cases, or one of them says neither or both what it gives and raises.
            SandboxError: the machine has no sandbox.
        """
        label = rollout.task.answer or {}
        cases = label.get("cases") or ()
        if not cases:
            raise ValueError(f"task {rollout.task.id!r} has no cases to run")
        right_outcomes = [expected(case) for case in cases]
        codes = [case["code"] for case in cases]
        files = rollout.final_state.get(self.files)
        outcomes = await run_cases(files, codes, setup=label.get("setup", ""), limits=self.limits)
        passed = [passes(outcome, right) for outcome, right in zip(outcomes, right_outcomes, strict=True)]
        unspoiled = [good for good, case in zip(passed, cases, strict=True) if case.get("kept")]
        repaired = [good for good, case in zip(passed, cases, strict=True) if not case.get("kept")]
        components = {
            "passed": _share(passed),
            "repaired": _share(repaired),
            "kept": _share(unspoiled),
            "exact": float(all(passed)),
        }
        if not self.partial:
            return components["exact"], components
        credit = components["repaired"] * components["kept"]
        return self.exact_weight * components["exact"] + (1.0 - self.exact_weight) * credit, components

    @property
    def excuses(self) -> dict[str, str]:
        """Partial credit is above an exact score by design; how far is bounded."""
        return dense(self.partial, 1.0 - self.exact_weight)

    @property
    def digest(self) -> str:
        """SHA-256 over the rule's settings and the runner."""
        limits = [list(pair) for pair in sorted(vars(self.limits).items())]
        return digest(["score_tests", 1, self.files, self.partial, self.exact_weight, limits, runner()])


def score_tests(*, exact: bool = False, partial: bool = False, files: str = "files") -> ExecutedScore:
    """A score by hidden tests: ``exact=True`` (all of them or nothing) or ``partial=True`` (credit per test).

    Args:
        exact, partial: Which of the two.
        files: Key of the final state that holds the files: path → text.

    Raises:
        ValueError: neither or both were asked for.
    """
    if exact == partial:
        raise ValueError("score_tests takes either exact=True or partial=True")
    return ExecutedScore(files, partial)


async def run_cases(
    files: Any, codes: Sequence[str], *, setup: str = "", limits: PythonLimits = LIMITS
) -> list[Outcome]:
    """Run each code in a fork of its own, with ``setup`` before it; the value is that of its last expression.

    What ran to its end is remembered for a while: equal files, as the rollouts of a group often hand in, are run once.

    Args:
        files: Path → text, on the module path. What cannot be laid there gives no case a result.

    Raises:
        SandboxError: the machine has no sandbox.
        SyntaxError: a code is not Python.
    """
    if not _can_be_laid(files, limits):
        return [Outcome("ended", text="no files that could be run")] * len(codes)
    parts = [last_apart(code) for code in codes]
    order = repr({"setup": setup, "codes": parts, "seconds": SECONDS, "patience": PATIENCE})
    key = digest([dict(files), order, sorted(vars(limits).items())])
    if key not in _remembered:
        result = await arun_python({**files, RUNNER: runner()}, main=RUNNER, stdin=order, limits=limits)
        outcomes = _outcomes(result.stdout, len(codes))
        if any(outcome.kind == "ended" for outcome in outcomes):
            return outcomes
        _remembered[key] = outcomes
        while len(_remembered) > REMEMBERED:
            _remembered.popitem(last=False)
    return list(_remembered[key])


_remembered: OrderedDict[str, list[Outcome]] = OrderedDict()


def _outcomes(printed: str, count: int) -> list[Outcome]:
    """What the runner said, line by line, of each case."""
    outcomes: dict[int, Outcome] = {}
    for line in printed.splitlines():
        number, _, said = line.partition(" ")
        if re.fullmatch("[0-9]{1,6}", number):
            outcomes.setdefault(int(number), _read(said))
    missing = Outcome("ended", text="no result: too many cases ran out of time or memory")
    return [outcomes.get(number, missing) for number in range(count)]


def expected(case: Mapping[str, Any]) -> Outcome:
    """What a case of a label must come to, to be given to ``passes``.

    Raises:
        ValueError: it says neither or both what it gives and raises, or ``gives`` is no Python literal.
    """
    if ("gives" in case) == ("raises" in case):
        raise ValueError(f"a case needs either gives or raises: {dict(case)!r}")
    if "raises" in case:
        return Outcome("raised", name=case["raises"])
    try:
        return Outcome("value", json.loads(encoded(ast.literal_eval(case["gives"]))))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"what a case gives must be a Python literal: {case['gives']!r}") from error


def passes(outcome: Outcome, right: Outcome) -> bool:
    """Whether a case came to what it must."""
    if outcome.kind != right.kind:
        return False
    return outcome.name == right.name if right.kind == "raised" else same(outcome.value, right.value, TOLERANCE)


def _share(passed: Sequence[bool]) -> float:
    return sum(passed) / len(passed) if passed else 1.0


def _can_be_laid(files: Any, limits: PythonLimits) -> bool:
    """Whether the agent's files are files: what is wrong with them must fail the agent, not the rollout."""
    if not isinstance(files, Mapping) or not files or len(files) > limits.folder_files // 2:
        return False
    for path, text in files.items():
        if not isinstance(path, str) or not re.fullmatch(r"(?!__runner__)[\w-]+(/[\w-]+)*(\.\w+)?", path, re.ASCII):
            return False
        if not isinstance(text, str) or len(path) > 200 or len(text) > 100_000 or re.search("[\ud800-\udfff]", text):
            return False
    return not any(path.startswith(f"{other}/") for path in files for other in files)


def _read(said: str) -> Outcome:
    """One outcome, as the code under test, or whoever speaks in its place, wrote it."""
    try:
        outcome = json.loads(said)
        kind, value, name, text = outcome
    except (ValueError, TypeError, RecursionError):
        return Outcome("ended", text="ended without a result")
    if kind not in ("value", "raised", "ended") or not isinstance(outcome, list):
        return Outcome("ended", text="ended without a result")
    return Outcome(kind, value, str(name), str(text))


def last_apart(code: str) -> tuple[str, str]:
    """A code's statements but the last, and its last expression; "" where the last is no expression.

    Raises:
        SyntaxError: it is not Python.
    """
    body = ast.parse(code).body
    if not body or not isinstance(body[-1], ast.Expr):
        return code, ""
    last = ast.Module([body.pop()], [])
    return ast.unparse(ast.Module(body, [])), ast.unparse(last)


def runner() -> str:
    """The program that runs inside: reads the cases on standard input, prints a line for each.

    It imports little, because importing takes longer than most cases.
    """
    parts = [inspect.getsource(function) for function in (encoded, value_of, _play, _said, _case, _inside)]
    imports = "import math, os, resource, select, sys, time\nfrom _json import encode_basestring_ascii"
    return "\n\n".join([f"from __future__ import annotations\n{imports}\nLONGEST = {LONGEST}\n", *parts, "_inside()\n"])


# From here on: what runs inside. The text of these functions is the runner.


def encoded(value: Any, depth: int = 0) -> str:
    """A value as JSON that tells lists from tuples and sets, and True from 1; of other objects only the class."""
    kind = type(value)
    shown = ""
    if value is None or kind is bool:
        shown = {None: "null", True: "true", False: "false"}[value]
    elif kind is str:
        shown = encode_basestring_ascii(value)
    elif (kind is int and abs(value) < 1 << 53) or (kind is float and math.isfinite(value)):
        shown = repr(value)
    elif kind is int or kind is float:
        shown = f'{{"{kind.__name__}": "{hex(value) if kind is int else value}"}}'
    elif kind is bytes:
        shown = f'{{"bytes": "{value.hex()}"}}'
    elif kind in (list, tuple, set, frozenset) and depth < 20:
        items = [encoded(item, depth + 1) for item in value]
        items = sorted(items) if kind in (set, frozenset) else items
        shown = f'{{"{kind.__name__}": [{", ".join(items)}]}}'
    elif kind is dict and depth < 20:
        pairs = [f"[{encoded(key, depth + 1)}, {encoded(item, depth + 1)}]" for key, item in value.items()]
        shown = f'{{"dict": [{", ".join(sorted(pairs))}]}}'
    return shown or f'{{"object": {encode_basestring_ascii(kind.__name__)}}}'


def value_of(setup: str, code: str, last: str) -> Any:
    """What ``last`` comes to after ``setup`` and ``code``."""
    space: dict[str, Any] = {"__name__": "__case__"}
    exec(compile(setup, "<setup>", "exec"), space)
    if "random" in sys.modules:
        sys.modules["random"].seed(0)
    exec(compile(code, "<case>", "exec"), space)
    return eval(compile(last, "<case>", "eval"), space) if last else None


def _play(setup: str, code: str, last: str, writer: int) -> None:
    """Run one case in this process, and write what came of it: kind, value, name, text."""
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (1, 2))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    try:
        said = f'["value", {encoded(value_of(setup, code, last))}, "", ""]'
    except BaseException as error:
        name, text = encode_basestring_ascii(type(error).__name__), encode_basestring_ascii(str(error)[:300])
        said = f'["raised", null, {name}, {text}]'
    data = (said if len(said) <= LONGEST else '["ended", null, "", "the result is too large"]').encode() + b"\n"
    while data:
        data = data[os.write(writer, data) :]


def _said(reader: int, seconds: float) -> tuple[str, bool]:
    """The first line that comes through a pipe, and whether it took too long."""
    data, end = b"", time.monotonic() + seconds
    while b"\n" not in data and len(data) <= LONGEST:
        ready, _, _ = select.select([reader], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return "", True
        more = os.read(reader, 65536)
        if not more:
            return "", False
        data += more
    return data.partition(b"\n")[0][: LONGEST + 1].decode("ascii", "replace"), False


def _case(setup: str, code: str, last: str, seconds: float) -> tuple[str, bool]:
    """What came of a case, played in a fork, and whether it took too long."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            _play(setup, code, last, writer)
        finally:
            os._exit(0)
    os.close(writer)
    line, late = _said(reader, seconds)
    os.close(reader)
    for kill in (os.killpg, os.kill):
        try:
            kill(child, 9)
        except OSError:  # gone already
            continue
    ended = os.waitpid(child, 0)[1]
    late = late or (not line and os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == 24)  # SIGXCPU
    return line or f'["ended", null, "", "{"took too long" if late else "ended without a result"}"]', late


def _inside() -> None:
    """Play every case, until too many have taken too long."""
    order = eval(sys.stdin.read())  # written by repr, outside
    # The agent's files lie beside this one's folder; from here on they can be imported.
    sys.path.insert(0, sys.path[0].rpartition("/")[0])
    patience = order["patience"]
    for number, (code, last) in enumerate(order["codes"]):
        line, late = _case(order["setup"], code, last, order["seconds"])
        os.write(1, f"{number} {line}\n".encode())
        patience -= late
        if not patience:
            return
