"""A trained model as a plain OpenAI-compatible server, on the same sampler and renderer it was trained with."""

import asyncio
import contextlib
import json
import secrets

from rich.console import Console

from practicum.display import StatusLine, say
from practicum.engine.local.family import family_of
from practicum.engine.local.hardware import choose_device, choose_dtype
from practicum.engine.local.models import find_model
from practicum.engine.local.policy import Policy
from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import SamplingParams
from practicum.rollout.gateway import create_gateway
from practicum.rollout.gateway_registry import Registry
from practicum.rollout.gateway_server import GatewayServer, require_free
from practicum.rollout.renderer import make_renderer
from practicum.rollout.session import Session

MAX_TOKENS = 1024
"""Most tokens of one answer."""


def serve_model(model: str, host: str, port: int, console: Console) -> None:
    """Serve until interrupted.

    Args:
        model: A run's output (a model or a LoRA adapter), another Hugging Face folder, or ``smollm2-135m``.
        host, port: Where to listen; port 0 takes a free one.
        console: Told the address and an example call.

    Raises:
        ModelError: no such model.
        RunError: the port is taken.
    """
    require_free(host, port)
    with StatusLine(console, f"loading {model}"):
        policy = load_policy(model)
    renderer = make_renderer(policy.tokenizer, family_of(model))
    sampler = LocalSampler(policy, max_length=policy.model.config.get_text_config().max_position_embeddings)

    def open_session(id: str) -> Session:
        return Session(id, sampler, renderer, SamplingParams(max_tokens=MAX_TOKENS), secrets.randbits(63), free=True)

    async def serve() -> None:
        async with GatewayServer(create_gateway(Registry(), open_session=open_session), host=host, port=port) as server:
            _announce(model, server.url, console)
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


def _announce(model: str, url: str, console: Console) -> None:
    body = json.dumps({"model": "default", "messages": [{"role": "user", "content": "Hello"}]})
    call = f"curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"
    for line in (f"serving {model} at {url}/v1 (any api key; Ctrl-C stops)", f"  {call}"):
        say(console, line, soft_wrap=True)
