"""Sessions over real tokens: SmolLM2's tokenizer with a tiny model, or with an engine that says what a test wants."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import transformers as tf

from practicum.engine.local.attention import NAME, register
from practicum.engine.local.policy import Policy
from practicum.engine.local.sampler import LocalSampler
from practicum.engine.protocol import Sample, SamplingParams
from practicum.rollout.renderer import Renderer, make_renderer
from practicum.rollout.session import Session


@pytest.fixture(scope="session")
def pythonic(tokenizer: Any) -> Renderer:
    """Our renderer, calls written ``[name("value")]``."""
    return make_renderer(tokenizer, "smollm2-135m", "pythonic")


@pytest.fixture(scope="session")
def hermes(tokenizer: Any) -> Renderer:
    """Our renderer, calls written ``<tool_call>{…}</tool_call>``."""
    return make_renderer(tokenizer, "smollm2-135m", "hermes")


@pytest.fixture(scope="session")
def tiny_sampler(tokenizer: Any) -> LocalSampler:
    """The real sampler over a tiny random model with SmolLM2's vocabulary."""
    register()
    torch.manual_seed(0)
    config = tf.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, initializer_range=0.2,
    )  # fmt: skip
    model = tf.AutoModelForCausalLM.from_config(config, attn_implementation=NAME).eval()
    return LocalSampler(Policy(model, tokenizer, None))


@dataclass
class Recorder:
    """Passes calls on to a sampler and keeps what it was given and gave."""

    inner: Any
    seen: dict[str, list[tuple[list[int], Sample]]] = field(default_factory=dict)

    @property
    def version(self) -> int:
        return self.inner.version

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        sample = await self.inner.sample(session, prompt_ids, params, seed)
        self.seen.setdefault(session, []).append((list(prompt_ids), sample))
        return sample

    def release(self, session: str) -> None:
        self.inner.release(session)

    def attached(self, session: str) -> Any:
        return self.inner.attached(session)


class Speaker:
    """An engine whose model says ``say(session, turn, prompt text)``: text, token ids, or an error to raise."""

    version = 3

    def __init__(self, tokenizer: Any, say: Callable[[str, int, str], Any]) -> None:
        self.tokenizer, self.say = tokenizer, say
        self.turns: dict[str, int] = {}
        self.released: list[str] = []
        self.running = self.most_at_once = 0
        self.params: list[SamplingParams] = []

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        turn = self.turns.get(session, 0)
        self.turns[session] = turn + 1
        self.params.append(params)
        said = self.say(session, turn, self.tokenizer.decode(list(prompt_ids)))
        if asyncio.iscoroutine(said):
            said = await said
        if isinstance(said, BaseException):
            raise said
        if isinstance(said, str):
            said = [*self.tokenizer.encode(said, add_special_tokens=False, split_special_tokens=True), 2]
        ids = tuple(said[: params.max_tokens])
        ends = bool(ids) and ids[-1] in params.stop_token_ids
        return Sample(ids, (math.log(0.5),) * len(ids), (self.version,) * len(ids), "stop" if ends else "length")

    def release(self, session: str) -> None:
        self.released.append(session)
        self.turns.pop(session, None)

    @contextmanager
    def attached(self, session: str) -> Iterator[None]:
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            yield
        finally:
            self.running -= 1


@pytest.fixture
def recorder() -> type[Recorder]:
    """The recording sampler."""
    return Recorder


@pytest.fixture
def speaker(tokenizer: Any) -> Callable[..., Speaker]:
    """Makes an engine that says texts turn by turn (the last again after that), or what a function says."""

    def make(*texts: Any) -> Speaker:
        if len(texts) == 1 and callable(texts[0]):
            return Speaker(tokenizer, texts[0])
        return Speaker(tokenizer, lambda session, turn, prompt: texts[min(turn, len(texts) - 1)])

    return make


@pytest.fixture(scope="session")
def lookup_tools() -> list[dict[str, Any]]:
    """Two tools as OpenAI schemas."""

    def schema(name: str, *parameters: str) -> dict[str, Any]:
        fields = {parameter: {"type": "string"} for parameter in parameters}
        described = {"type": "object", "properties": fields}
        return {"type": "function", "function": {"name": name, "description": f"the {name}", "parameters": described}}

    return [schema("get_ticket", "ticket_id"), schema("search", "text", "limit")]


@pytest.fixture
def recorded(pythonic: Renderer, speaker: Callable[..., Speaker], recorder: type[Recorder]) -> Callable[..., Any]:
    """A session over a speaking engine, and the record of its calls."""

    def make(*texts: Any, params: SamplingParams | None = None, renderer: Any = None) -> tuple[Session, Recorder]:
        sampler = recorder(speaker(*texts))
        return Session("s", sampler, renderer or pythonic, params or SamplingParams(max_tokens=8), 5), sampler

    return make
