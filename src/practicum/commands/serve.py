"""A trained model as a plain OpenAI-compatible server, on the same sampler and renderer it was trained with."""

import asyncio
import contextlib
import json
import os
import secrets

from rich.console import Console

from practicum.display import StatusLine, say
from practicum.engine.local.hardware import choose_device, choose_dtype
from practicum.engine.local.models import family_of, find_model
from practicum.engine.local.policy import Policy
from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import SamplingParams
from practicum.errors import RunError
from practicum.rollout.gateway.app import create_gateway
from practicum.rollout.gateway.hosts import is_loopback
from practicum.rollout.gateway.http_server import GatewayServer, require_free
from practicum.rollout.gateway.registry import Registry
from practicum.rollout.renderer import make_renderer
from practicum.rollout.session import Session

MAX_TOKENS = 1024
"""Most tokens of one answer."""


def serve_model(model: str, host: str, port: int, console: Console, api_key_env: str = "") -> None:
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
    key = _key(host, api_key_env)
    require_free(host, port)
    with StatusLine(console, f"loading {model}"):
        policy = load_policy(model)
    renderer = make_renderer(policy.tokenizer, family_of(model))
    sampler = LocalSampler(policy, max_length=policy.model.config.get_text_config().max_position_embeddings)

    def open_session(id: str) -> Session:
        return Session(id, sampler, renderer, SamplingParams(max_tokens=MAX_TOKENS), secrets.randbits(63), free=True)

    async def serve() -> None:
        app = create_gateway(Registry(), open_session=open_session, tokens=[key] if key else (), host_names=[host])
        async with GatewayServer(app, host=host, port=port) as server:
            _announce(model, server.url, api_key_env, console)
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
    say(console, "stopped")


def load_policy(model: str) -> Policy:
    """The model to serve; a LoRA adapter is merged into the model it was trained on.

    Raises:
        ModelError: no such model, or the adapter's base model is gone.
    """
    device = choose_device()
    dtype = choose_dtype("auto", device)
    return Policy.load(find_model(model), dtype=dtype, device=device)


def _key(host: str, variable: str) -> str:
    """The key that callers must send; empty for none."""
    key = os.environ.get(variable, "") if variable else ""
    if key or (not variable and is_loopback(host)):
        return key
    if variable:
        what, fix = f"the variable {variable} is not set", f"export {variable}=…"
    else:
        what = "a model that other machines can call needs a key"
        fix = "export MODEL_KEY=… and add --api-key-env MODEL_KEY, or listen on 127.0.0.1"
    raise RunError(what, where=f"practicum serve --host {host}", fix=fix)


def _announce(model: str, url: str, api_key_env: str, console: Console) -> None:
    body = json.dumps({"model": "default", "messages": [{"role": "user", "content": "Hello"}]})
    key = f' -H "Authorization: Bearer ${api_key_env}"' if api_key_env else ""
    call = f"curl {url}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{body}'"
    which = f"the key in {api_key_env}" if api_key_env else "any api key"
    for line in (f"serving {model} at {url}/v1 ({which}; Ctrl-C stops)", f"  {call}"):
        say(console, line, soft_wrap=True)
