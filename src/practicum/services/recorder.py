"""Recording a live service once, to replay it ever after.

    with Recorder(OpenApiSource("https://crm.example/openapi.json"), "fixtures/crm.json") as record:
        record.calls([("get_ticket", {"ticket_id": "T1"}), ("get_ticket", {"ticket_id": "T2"})])
        record.play(Crm(record), Crm(record).tasks("train"))       # whatever the oracle asks for

A ``Recorder`` answers like a ``Recording``, so that an environment can be played live by anything (an oracle, an
agent that is trained elsewhere) and is recorded while it is. Leaving the block writes the file. Ctrl-C and errors
keep what was recorded in ``NAME.partial.json`` beside it; a whole file is never replaced by a partial one.
"""

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jsonschema

from practicum.digests import canonical_json, digest
from practicum.environment.base import Call, Environment
from practicum.environment.play import OracleSteps
from practicum.environment.tool import ToolError
from practicum.errors import EnvironmentFault
from practicum.services.production import ProductionTool, Tools
from practicum.services.recording import SHOWN, Answer, Recording, call_key
from practicum.services.redaction import Redactor, default_rules
from practicum.services.rule import Rule
from practicum.services.sources import Source
from practicum.services.suspicion import Suspect, masked, suspects
from practicum.tasks import Task

KEEP_S = 10.0
"""Seconds between two saves of what was recorded so far, against a crash."""

AnyCall = Call | tuple[str, Mapping[str, Any]] | Mapping[str, Any]
"""A call: ``Call``, a pair, or ``{"tool": name, "arguments": {…}}``."""


@dataclass(frozen=True)
class Saved:
    """What was written.

    Attributes:
        unreachable: Recorded calls that no agent can repeat, because their arguments break the tool's own schema
            (the service was asked anyway, or a placeholder is longer than the schema allows).
    """

    path: Path
    calls: int
    tools: int
    unreachable: tuple[str, ...]


class Recorder:
    """Asks a live service, and keeps what it answers.

    Args:
        source: The service.
        out: File to write when the block is left; None to ``save`` by hand.
        rules: What counts as a secret; by default ``DEFAULT_RULES``.
        secrets: Further secrets, replaced wherever they stand; the source's own are known.
        only: Names of the tools to record; by default all.
        overwrite: Replace a file that is there.
        allow: Place → reason: what no rule finds but looks like a secret there (``get_user.licence``, or a member's
            name alone) is none; the reason stands in the recording.

    Raises:
        EnvironmentFault: ``out`` is there already or cannot be written, there is no tool of a name in ``only``, or a
            secret is too short to be told from other text.
    """

    def __init__(
        self,
        source: Source,
        out: Path | str | None = None,
        *,
        rules: Sequence[Rule] | None = None,
        secrets: Iterable[str] = (),
        only: Collection[str] = (),
        overwrite: bool = False,
        allow: Mapping[str, str] | None = None,
    ) -> None:
        rules = default_rules() if rules is None else rules
        self.source, self.out, self.rules = source, None if out is None else Path(out), tuple(rules)
        self._allow = dict(allow or {})
        self.saved: Saved | None = None
        try:
            if self.out is not None:
                _check_place(self.out, overwrite=overwrite)
            self.tools: Tools = _chosen(source.tools, only)
            self._redactor = Redactor(rules, [("secret", secret) for secret in (*source.secrets, *secrets)])
        except BaseException:
            source.close()
            raise
        self._tools = {tool.name: tool for tool in self.tools}
        self._raw: dict[tuple[str, str], Answer] = {}
        self._lock = threading.Lock()
        self._kept = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self._keep()
            elif self.out is not None:
                self.save(self.out)
        finally:
            self.source.close()

    def __len__(self) -> int:
        return len(self._raw)

    @property
    def digest(self) -> str:
        """SHA-256 of the tools; what they answer is not known beforehand."""
        return digest([[tool.name, tool.description, dict(tool.request)] for tool in self.tools])

    @property
    def partial(self) -> Path | None:
        """Where an interrupted recording is kept."""
        return None if self.out is None else self.out.with_name(f"{self.out.stem}.partial.json")

    def answer(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """Ask the service, and record what it answers.

        Raises:
            ToolError: the service says that the call failed; recorded too.
            EnvironmentFault: it did not answer, there is no such tool, or it answered the same call otherwise before.
        """
        if tool not in self._tools:
            raise EnvironmentFault(f"there is no tool {tool!r} to record", allowed=", ".join(self._tools))
        try:
            key = call_key(arguments, self._tools[tool].request)
        except (TypeError, ValueError) as error:
            raise EnvironmentFault(f"the arguments of {tool} are not JSON: {error}") from error
        try:
            answer = Answer(_json(tool, self.source.call(tool, arguments)))
        except ToolError as error:
            answer = Answer(error=str(error))
        self._note(tool, key, answer)
        if answer.error is not None:
            raise ToolError(answer.error)
        return answer.value

    def calls(self, calls: Iterable[AnyCall], *, repeat: int = 1) -> int:
        """Make calls, each ``repeat`` times to see whether it is always answered the same; how many were made.

        Raises:
            EnvironmentFault: as ``answer``.
        """
        count = 0
        for call in calls:
            name, arguments = _pair(call)
            for _ in range(repeat):
                with contextlib.suppress(ToolError):
                    self.answer(name, arguments)
                count += 1
        return count

    def play(self, environment: Environment, tasks: Iterable[Task], seed: int = 0) -> int:
        """Let an environment's oracle play tasks; how many calls it made.

        The environment must be one whose tools ask this recorder: ``Crm(recorder)``.

        Raises:
            EnvironmentFault: as ``answer``; or the oracle's own call failed, or it does not come to an end.
        """
        count = 0
        for task in tasks:
            environment.reset(task, seed)
            try:
                oracle = OracleSteps(environment.oracle(task), task)
                count += sum(isinstance(step, Call) for step, _ in oracle.played_on(environment))
            finally:
                environment.close()
        return count

    def recording(self, *, strict: bool = True) -> Recording:
        """What was recorded so far, without secrets.

        Args:
            strict: Refuse two calls that are the same but for secrets and have different answers; else keep the first.

        Raises:
            EnvironmentFault: such a pair of calls.
        """
        with self._lock:
            raw = [(tool, json.loads(key), answer) for (tool, key), answer in self._raw.items()]
        redactor = self._redactor
        for _, arguments, answer in raw:
            redactor.learn(arguments)
            redactor.learn([answer.value, answer.error])
        # Numbers of placeholders must not depend on the order of calls, nor on the secrets themselves.
        bare = [
            canonical_json([tool, *redactor.bare([args, answer.error is not None, answer.value, answer.error])])
            for tool, args, answer in raw
        ]
        redactor.restart()
        answers: dict[str, dict[str, Answer]] = {}
        for _, (tool, arguments, answer) in sorted(zip(bare, raw, strict=True), key=lambda pair: pair[0]):
            clean = redactor.redacted(arguments)
            value, error = redactor.redacted([answer.value, answer.error])
            key = call_key(clean, self._tools[tool].request)
            known = answers.setdefault(tool, {}).setdefault(key, Answer(value, error))
            if strict and known != Answer(value, error):
                raise _two_ways(tool, key, known, Answer(value, error))
        names = tuple(dict.fromkeys(rule.name for rule in self.rules))
        tools = tuple(ProductionTool(*redactor.redacted_text(list(vars(tool).values()))) for tool in self.tools)
        return Recording(tools, answers, self.source.name, names, allowed=self._allow)

    def save(self, path: Path | str) -> Saved:
        """Write the recording's file.

        Raises:
            EnvironmentFault: as ``recording``, or something in it looks like a secret that no rule finds; what there
                is was then written to ``partial``, without that.
        """
        try:
            recording = self.recording()
            found = suspects(recording, self._allow)
            if found:
                raise _looks_secret(found)
        except EnvironmentFault:
            self._keep()
            raise
        recording.write(path)
        if self.partial is not None:
            self.partial.unlink(missing_ok=True)
        self.saved = Saved(Path(path), len(recording), len(recording.tools), tuple(_unreachable(recording)))
        return self.saved

    def _note(self, tool: str, key: str, answer: Answer) -> None:
        with self._lock:
            earlier = self._raw.setdefault((tool, key), answer)
            if earlier != answer and not self._redactor.unify(_parts(earlier), _parts(answer)):
                bare = self._redactor.bare
                shown = canonical_json(bare(json.loads(key)))
                raise _two_ways(tool, shown, Answer(*bare(_parts(earlier))), Answer(*bare(_parts(answer))))
        if time.monotonic() - self._kept > KEEP_S:
            self._keep()

    def _keep(self) -> None:
        if self.partial is not None and self._raw:
            masked(self.recording(strict=False), self._allow).write(self.partial)
        self._kept = time.monotonic()


def _check_place(out: Path, *, overwrite: bool) -> None:
    """Better before the service was asked for an hour than after."""
    if out.exists() and not (overwrite and out.is_file()):
        raise EnvironmentFault("there is a recording already", where=str(out), fix="remove it, or overwrite")
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise EnvironmentFault("nothing can be written there", where=str(folder), fix="choose another place")


def _chosen(tools: Tools, only: Collection[str]) -> Tools:
    names = [tool.name for tool in tools]
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise EnvironmentFault(f"there is no tool {unknown[0]!r} to record", allowed=", ".join(names))
    return tuple(tool for tool in tools if not only or tool.name in only)


def _pair(call: AnyCall) -> tuple[str, Mapping[str, Any]]:
    if isinstance(call, Call):
        return call.name, call.arguments
    if isinstance(call, Mapping):
        if set(call) != {"tool", "arguments"} or not isinstance(call["arguments"], Mapping):
            raise EnvironmentFault(f"{dict(call)!r} is no call", allowed='{"tool": name, "arguments": {…}}')
        return call["tool"], call["arguments"]
    name, arguments = call
    return name, arguments


def _json(tool: str, value: Any) -> Any:
    try:
        return json.loads(canonical_json(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise EnvironmentFault(f"{tool} answered with something that is not JSON: {error}") from error


def _parts(answer: Answer) -> list[Any]:
    return [answer.value, answer.error]


def _looks_secret(found: Sequence[Suspect]) -> EnvironmentFault:
    listed = "\n    ".join(dict.fromkeys(str(each) for each in found))
    first = found[0]
    key = first.member and re.sub(r"[_\-\s]", "", first.member.lower())
    rule = f"--redact-key 'secret={re.escape(key)}'" if key else "--redact-value 'secret=REGULAR EXPRESSION'"
    return EnvironmentFault(
        f"what no rule finds looks like a secret, and is not written down:\n    {listed}",
        allowed="texts that are replaced by a rule, or that somebody vouches for",
        fix=f"{rule}; or, where it is none: --allow '{first.place}: why it is none'",
    )


def _two_ways(tool: str, key: str, first: Answer, second: Answer) -> EnvironmentFault:
    texts = [canonical_json(each.value if each.error is None else {"error": each.error}) for each in (first, second)]
    at = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    # Around the place where they part, so that a difference deep in a long answer is seen.
    start = max(0, at - SHOWN // 2)
    one, other = (f"{'…' if start else ''}{text[start : start + SHOWN]}" for text in texts)
    return EnvironmentFault(
        f"{tool}({key[:SHOWN]}) was answered in two ways:\n    {one}\n    {other}",
        allowed="the same answer to the same call: a recording can only hold one",
        fix="hide what changes by a rule for its key, record while nothing changes, or leave the tool out",
    )


def _unreachable(recording: Recording) -> Iterable[str]:
    document = recording.document()
    for call in document["calls"]:
        schema = document["tools"][call["tool"]]["request"]
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        if not kind(schema).is_valid(call["arguments"]):
            yield f"{call['tool']}({canonical_json(call['arguments'])[:SHOWN]})"
