"""``practicum record``: a live service's answers, recorded once."""

import importlib
import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from practicum.commands.app import app, console
from practicum.display import StatusLine, say, screen
from practicum.errors import EnvironmentFault, PracticumError

if TYPE_CHECKING:
    from practicum.services.recorder import Recorder, Saved
    from practicum.services.rule import Rule
    from practicum.services.sources import Source


@app.command(
    epilog="Example: practicum record openapi https://desk.local/openapi.json --calls calls.jsonl --out desk.json"
)
def record(
    kind: Annotated[str, typer.Argument(help="What is recorded: openapi, mcp or python.")],
    target: Annotated[str, typer.Argument(help="OpenAPI address or file; MCP command or address; module:function.")],
    calls: Annotated[Path, typer.Option(help='JSON lines to call: {"tool": name, "arguments": {…}}.')],
    out: Annotated[Path, typer.Option(help="The recording to write.")],
    header: Annotated[list[str] | None, typer.Option(help="Name: value; ${VARIABLE} is read from yours.")] = None,
    base_url: Annotated[str, typer.Option(help="Where the service is, if not where its document says.")] = "",
    pass_: Annotated[list[str] | None, typer.Option("--pass", help="A variable that an MCP server is given.")] = None,
    tool: Annotated[list[str] | None, typer.Option(help="Record this tool only; may be repeated.")] = None,
    repeat: Annotated[int, typer.Option(help="Calls of each; more than one shows answers that change.", min=1)] = 1,
    redact_key: Annotated[list[str] | None, typer.Option(help="NAME=REGEX over members' names.")] = None,
    redact_value: Annotated[list[str] | None, typer.Option(help="NAME=REGEX over texts.")] = None,
    emails: Annotated[bool, typer.Option("--emails", help="Keep mail addresses out too.")] = False,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="PLACE: REASON", help="Looks like a secret there, and is none.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Record a live service once; from then on the recording answers instead of it."""
    with StatusLine(screen(stderr=True), "recording") as status:
        saved = record_command(
            cast(Any, kind),
            target,
            calls,
            out,
            headers=header or (),
            base_url=base_url,
            inherit=pass_ or (),
            only=tool or (),
            repeat=repeat,
            keys=redact_key or (),
            values=redact_value or (),
            emails=emails,
            allow=allow or (),
            force=force,
            progress=lambda done, of: status.update(f"recording: {done} of {of} calls"),
        )
    say(console(), f"wrote {saved.path}: {saved.calls} calls of {saved.tools} tools", soft_wrap=True)
    for call in saved.unreachable:
        say(console(), f"recorded, but no agent can call it: {call}", style="yellow", soft_wrap=True)


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
) -> "Saved":
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
    from practicum.services.recorder import Recorder
    from practicum.services.redaction import default_rules
    from practicum.services.rule import EMAILS

    rules = [*(_rule("key", text) for text in keys), *(_rule("value", text) for text in values), *default_rules()]
    sent = dict(_header(text) for text in headers)
    reasons = dict(_reason(text) for text in allow)
    listed = read_calls(calls)
    if out.exists() and not force:
        raise EnvironmentFault("there is a recording already", where=str(out), fix="remove it, or use --force")
    source = _source(kind, target, sent, base_url, {name: _variable(name, "an MCP server") for name in inherit})
    chosen = [*rules, EMAILS] if emails else rules
    record = Recorder(source, out, rules=chosen, only=only, overwrite=force, allow=reasons)
    try:
        with record:
            for number, call in enumerate(listed, start=1):
                record.calls([call], repeat=repeat)
                progress(number, len(listed))
    except KeyboardInterrupt:
        raise EnvironmentFault("interrupted", fix=_rescued(record) or "nothing was recorded yet") from None
    except PracticumError as error:
        fix = "\n    ".join(text for text in (error.fix, _rescued(record)) if text)
        raise EnvironmentFault(error.what, where=error.where, allowed=error.allowed, fix=fix) from error
    assert record.saved is not None
    return record.saved


def _rescued(record: "Recorder") -> str:
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
    calls = []
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
        calls.append(call)
    if not calls:
        raise EnvironmentFault("there are no calls to record", where=str(path), fix="write one a line")
    return calls


def _source(kind: str, target: str, headers: dict[str, str], base_url: str, variables: dict[str, str]) -> "Source":
    from practicum.bridges.mcp_session import McpServer
    from practicum.services.openapi_source import OpenApiSource
    from practicum.services.sources import CallableSource, McpSource

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
    name, _, chosen = target.partition(":")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise EnvironmentFault(f"{name} cannot be imported: {error}", allowed="module, or module:function") from error
    functions = {
        member: value
        for member, value in vars(module).items()
        if callable(value) and not isinstance(value, type) and getattr(value, "__module__", "") == name
    }
    if chosen and chosen not in functions:
        raise EnvironmentFault(f"{name} has no function {chosen!r}", allowed=", ".join(functions) or "none")
    return {
        member: value
        for member, value in functions.items()
        if member == (chosen or member) and not member.startswith("_")
    }


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


def _rule(kind: str, text: str) -> "Rule":
    from practicum.services.rule import Rule

    name, equals, expression = text.partition("=")
    if not equals:
        raise EnvironmentFault(f"{text!r} is no rule", allowed="NAME=REGULAR EXPRESSION")
    return Rule(name, key=expression) if kind == "key" else Rule(name, value=expression)
