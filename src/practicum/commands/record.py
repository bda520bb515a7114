"""What ``practicum record`` does."""

import importlib
import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from practicum.bridges.mcp_session import McpServer
from practicum.errors import EnvironmentFault, PracticumError
from practicum.services.openapi_source import OpenApiSource
from practicum.services.recorder import Recorder, Saved
from practicum.services.redaction import default_rules
from practicum.services.rule import EMAILS, Rule
from practicum.services.sources import CallableSource, McpSource, Source


def record_command(
    kind: Literal["openapi", "mcp", "python"],
    target: str,
    calls: Path,
    out: Path,
    *,
    headers: Sequence[str] = (),
    base_url: str = "",
    inherit: Sequence[str] = (),
    only: Sequence[str] = (),
    repeat: int = 1,
    keys: Sequence[str] = (),
    values: Sequence[str] = (),
    emails: bool = False,
    allow: Sequence[str] = (),
    force: bool = False,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> Saved:
    """Make the calls of a file against a live service, and write what it answers.

    Args:
        kind: What is recorded.
        target: Address or file of an OpenAPI document; command or address of an MCP server; or ``module:function``,
            or ``module`` for all of its public functions.
        calls: JSON lines, each ``{"tool": name, "arguments": {…}}``.
        out: File to write.
        headers: ``Name: value``; ``${VARIABLE}`` in a value is read from the environment.
        base_url: Where the service is, if not where its document says.
        inherit: Names of environment variables that an MCP server's process is given (its keys); kept out too.
        only: Tools to record; by default all.
        repeat: How often each call is made; more than once shows whether the answers stay the same.
        keys, values: Further rules for secrets, each ``NAME=REGULAR EXPRESSION``: over members' names (lower case,
            without dashes) and over texts.
        emails: Keep mail addresses out too.
        allow: ``PLACE: reason``: what looks like a secret there is none; see ``Recorder``.
        force: Replace ``out``.
        progress: Is told calls made, and calls to make.

    Raises:
        EnvironmentFault: any of it is wrong, with the line of ``calls`` where that is the place; or the service
            did not answer, or Ctrl-C was pressed. What was recorded by then is in ``NAME.partial.json`` beside ``out``.
    """
    rules = [*(_rule("key", text) for text in keys), *(_rule("value", text) for text in values), *default_rules()]
    given = dict(_header(text) for text in headers)
    reasons = dict(_reason(text) for text in allow)
    listed = read_calls(calls)
    if out.exists() and not force:
        raise EnvironmentFault("there is a recording already", where=str(out), fix="remove it, or use --force")
    source = _source(kind, target, given, base_url, {name: _variable(name, "an MCP server") for name in inherit})
    chosen = [*rules, EMAILS] if emails else rules
    record = Recorder(source, out, rules=chosen, only=only, overwrite=force, allow=reasons)
    try:
        with record:
            for number, call in enumerate(listed, start=1):
                record.calls([call], repeat=repeat)
                progress(number, len(listed))
    except KeyboardInterrupt:
        raise EnvironmentFault("interrupted", fix=_kept(record) or "nothing was recorded yet") from None
    except PracticumError as error:
        fix = "\n    ".join(text for text in (error.fix, _kept(record)) if text)
        raise EnvironmentFault(error.what, where=error.where, allowed=error.allowed, fix=fix) from error
    assert record.saved is not None
    return record.saved


def _kept(record: Recorder) -> str:
    return f"{len(record)} calls are kept in {record.partial}" if len(record) else ""


def read_calls(path: Path) -> list[dict[str, Any]]:
    """Calls from a file of JSON lines.

    Raises:
        EnvironmentFault: no such file, or a line that is no call; names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault(f"the calls cannot be read: {error}", where=str(path)) from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            call = json.loads(line)
        except ValueError as error:
            raise EnvironmentFault(f"broken JSON: {error}", where=f"{path}:{number}") from error
        if not isinstance(call, dict) or set(call) != {"tool", "arguments"} or not isinstance(call["arguments"], dict):
            raise EnvironmentFault(
                "this line is no call", where=f"{path}:{number}", allowed='{"tool": name, "arguments": {…}}'
            )
        found.append(call)
    if not found:
        raise EnvironmentFault("there are no calls to record", where=str(path), fix="write one a line")
    return found


def _source(kind: str, target: str, headers: dict[str, str], base_url: str, variables: dict[str, str]) -> Source:
    if kind == "openapi":
        return OpenApiSource(target, base_url=base_url, headers=headers)
    if kind == "mcp":
        if target.startswith(("http://", "https://")):
            return McpSource(McpServer(url=target, headers=tuple(headers.items())))
        return McpSource(McpServer(command=tuple(shlex.split(target)), variables=tuple(variables.items())))
    if kind == "python":
        return CallableSource(_functions(target), name=f"python: {target}")
    raise EnvironmentFault(f"{kind!r} cannot be recorded", allowed="openapi, mcp, python")


def _functions(target: str) -> dict[str, Callable[..., Any]]:
    name, _, wanted = target.partition(":")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise EnvironmentFault(f"{name} cannot be imported: {error}", allowed="module, or module:function") from error
    own = {
        each: value
        for each, value in vars(module).items()
        if callable(value) and not isinstance(value, type) and getattr(value, "__module__", "") == name
    }
    if wanted and wanted not in own:
        raise EnvironmentFault(f"{name} has no function {wanted!r}", allowed=", ".join(own) or "none")
    return {each: value for each, value in own.items() if each == (wanted or each) and not each.startswith("_")}


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        # What was given may be the secret itself.
        raise EnvironmentFault("a header has no name", allowed="Name: value")

    def filled(match: re.Match[str]) -> str:
        return _variable(match[1], f"the header {name.strip()}")

    return name.strip(), re.sub(r"\$\{(\w+)\}", filled, value.strip())


def _variable(name: str, who: str) -> str:
    if name not in os.environ:
        raise EnvironmentFault(f"{who} needs the environment variable {name}, which is not set", fix=f"export {name}")
    return os.environ[name]


def _reason(text: str) -> tuple[str, str]:
    place, colon, reason = text.partition(":")
    if not colon or not place.strip() or not reason.strip():
        raise EnvironmentFault(
            f"--allow {text!r} gives no reason", allowed="PLACE: reason", fix="say why it is no secret; it is recorded"
        )
    return place.strip(), reason.strip()


def _rule(kind: str, text: str) -> Rule:
    name, equals, expression = text.partition("=")
    if not equals:
        raise EnvironmentFault(f"{text!r} is no rule", allowed="NAME=REGULAR EXPRESSION")
    return Rule(name, key=expression) if kind == "key" else Rule(name, value=expression)
