"""``practicum serve`` and ``tools``: a trained model for any OpenAI client, an environment's tools for any MCP client.

A model is served on the same sampler and renderer it was trained with.
"""

import asyncio
import contextlib
import json
import os
import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from practicum.commands.app import Target, app, console
from practicum.display import StatusLine, say, screen
from practicum.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from practicum.engine.local.policy import Policy

MAX_TOKENS = 1024
"""Most tokens of one answer."""


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
    from practicum.environment.target import resolve_target

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


def serve_model(model: str, host: str, port: int, console: "Console", api_key_env: str = "") -> None:
    """Serve until interrupted.

    Args:
        model: A run's output (a model or a LoRA adapter), another Hugging Face folder, or ``smollm2-135m``.
        host, port: Where to listen; port 0 takes a free one.
        console: Told the address and an example call.
        api_key_env: Variable that holds the key which callers must send; empty for none, on this machine alone.

    Raises:
        ModelError: no such model.
        RunError: the port is taken; no key, where other machines can call.
    """
    from practicum.engine.local.models import family_of
    from practicum.engine.local.sampler import LocalSampler
    from practicum.engine.protocol import SamplingParams
    from practicum.rollout.gateway.app import create_gateway
    from practicum.rollout.gateway.http_server import GatewayServer, require_free
    from practicum.rollout.gateway.registry import Registry
    from practicum.rollout.renderer import make_renderer
    from practicum.rollout.session import Session

    key = _key(host, api_key_env)
    require_free(host, port)
    with StatusLine(console, f"loading {model}"):
        policy = load_policy(model)
    renderer = make_renderer(policy.tokenizer, family_of(model))
    sampler = LocalSampler(policy, max_length=policy.model.config.get_text_config().max_position_embeddings)

    def open_session(id: str) -> Session:
        return Session(id, sampler, renderer, SamplingParams(max_tokens=MAX_TOKENS), secrets.randbits(63), free=True)

    async def served() -> None:
        gateway = create_gateway(Registry(), open_session=open_session, tokens=[key] if key else (), host_names=[host])
        async with GatewayServer(gateway, host=host, port=port) as server:
            _announce(model, server.url, api_key_env, console)
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(served())
    say(console, "stopped")


def load_policy(model: str) -> "Policy":
    """The model to serve; a LoRA adapter is merged into the model it was trained on.

    Raises:
        ModelError: no such model, or the adapter's base model is gone.
    """
    from practicum.engine.local.hardware import choose_device, choose_dtype
    from practicum.engine.local.models import find_model
    from practicum.engine.local.policy import Policy

    device = choose_device()
    dtype = choose_dtype("auto", device)
    return Policy.load(find_model(model), dtype=dtype, device=device)


def _key(host: str, variable: str) -> str:
    """The key that callers must send; empty for none."""
    from practicum.rollout.gateway.hosts import is_loopback

    key = os.environ.get(variable, "") if variable else ""
    if key or (not variable and is_loopback(host)):
        return key
    if variable:
        problem, fix = f"the variable {variable} is not set", f"export {variable}=…"
    else:
        problem = "a model that other machines can call needs a key"
        fix = "export MODEL_KEY=… and add --api-key-env MODEL_KEY, or listen on 127.0.0.1"
    raise RunError(problem, where=f"practicum serve --host {host}", fix=fix)


def _announce(model: str, url: str, api_key_env: str, console: "Console") -> None:
    body = json.dumps({"model": "default", "messages": [{"role": "user", "content": "Hello"}]})
    key = f' -H "Authorization: Bearer ${api_key_env}"' if api_key_env else ""
    call = f"curl {url}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{body}'"
    which = f"the key in {api_key_env}" if api_key_env else "any api key"
    for line in (f"serving {model} at {url}/v1 ({which}; Ctrl-C stops)", f"  {call}"):
        say(console, line, soft_wrap=True)
