"""Commands that serve something, or record what is served."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from practicum.commands.app import Target, app, console
from practicum.display import StatusLine, say, screen


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
    from practicum.commands.record import record_command

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


@app.command(epilog="Example: practicum export runs/demo models/desk")
def export(
    run: Annotated[Path, typer.Argument(help="A run folder, or a model folder or adapter such as runs/demo/output.")],
    folder: Annotated[Path, typer.Argument(help="The Hugging Face folder to write.")],
    base: Annotated[Path | None, typer.Option(help="The adapter's base model, if not where the adapter says.")] = None,
) -> None:
    """Write a run's model as one Hugging Face folder, its adapter merged: for Transformers, vLLM and others."""
    from practicum.errors import RunError
    from practicum.programs import program
    from practicum.rollout.model_export import export_model

    output = run / "output" if (run / "recipe.yaml").is_file() else run
    if not output.is_dir():
        fix = "give the folder of a run, such as runs/demo, or of a model" if output == run else ""
        raise RunError(
            f"no model in {output}", fix=fix or f"let the run come to its end: {program('practicum')} resume {run}"
        )
    if output == run and not any((run / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise RunError(
            f"no model in {run}",
            allowed="a run's folder, or one with config.json (a model) or adapter_config.json (an adapter)",
            fix="give the folder of a run, such as runs/demo, or of a model",
        )
    with StatusLine(screen(stderr=True), "merging"):
        difference = export_model(output, folder, base)
    say(console(), f"wrote {folder}", soft_wrap=True)
    if difference:
        say(console(), f"chat template: {difference}", style="yellow", soft_wrap=True)


@app.command(epilog="Example: practicum serve runs/demo/output --port 8000")
def serve(
    model: Annotated[str, typer.Argument(help="A model folder such as runs/demo/output, or smollm2-135m.")],
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than this machine's needs a key.")
    ] = "127.0.0.1",
    api_key_env: Annotated[str, typer.Option(help="Variable that holds the key callers must send.")] = "",
) -> None:
    """Serve a model on /v1/chat/completions, for any OpenAI client."""
    from practicum.commands.serve import serve_model

    serve_model(model, host, port, console(), api_key_env)


@app.command(epilog="Example: practicum tools examples/library_desk.py --split test --task B350")
def tools(
    target: Target,
    task: Annotated[str | None, typer.Option(help="Id of the task; left out, the seed draws one.")] = None,
    seed: Annotated[int | None, typer.Option(help="The episode's seed; left out, 0.")] = None,
    split: Annotated[str | None, typer.Option(help="Where the task is taken from; left out, train.")] = None,
    http: Annotated[int | None, typer.Option(help="Port for streamable HTTP; left out, stdin and stdout.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve an environment's tools over MCP, one episode per session."""
    from practicum.bridges.mcp_server import serve_http, serve_stdio
    from practicum.checks.target import resolve_target
    from practicum.errors import RunError

    if http is not None and (task, seed, split) != (None, None, None):
        raise RunError(
            "over HTTP each session names its own task, seed and split",
            allowed="--task, --seed and --split without --http",
            fix=f"leave them out, and connect to http://{host}:{http}/mcp?task=…&seed=…&split=…",
        )
    make = resolve_target(target).make
    if http is None:
        serve_stdio(make, split=split or "train", task=task, seed=seed or 0)
        return
    say(screen(stderr=True), f"MCP at http://{host}:{http}/mcp?task=…&seed=…&split=…")
    serve_http(make, host=host, port=http)
