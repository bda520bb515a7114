"""Samplers to measure ours beside, under the same dispatcher, agent, environment and renderer: only tokens come from
elsewhere. Neither returns log-probabilities: a trainer would have to compute them again, which is not counted."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import torch

from practicum.engine.protocol import Sample, SamplingParams

Waiting = tuple[list[int], SamplingParams, "asyncio.Future[Sample]"]


class GenerateSampler:
    """Transformers' ``generate``: a batch of whatever rollouts wait, every turn from its first token."""

    version = 0

    def __init__(self, model: Any, pad: int) -> None:
        self._model, self._pad = model, pad
        self._attached: set[str] = set()
        self._waiting: list[Waiting] = []
        self.tokens_sampled = 0

    @contextmanager
    def attached(self, session: str) -> Iterator[None]:
        """See ``LocalSampler``."""
        self._attached.add(session)
        try:
            yield
        finally:
            self._attached.discard(session)
            self._go_if_all_wait()

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        """Continue a prompt when every rollout waits for tokens."""
        future: asyncio.Future[Sample] = asyncio.get_running_loop().create_future()
        self._waiting.append((list(prompt_ids), params, future))
        # Not at once: rollouts that start or go on in this turn of the loop belong to the same batch.
        asyncio.get_running_loop().call_soon(self._go_if_all_wait)
        return await future

    def release(self, session: str) -> None:
        """Nothing is kept."""

    def _go_if_all_wait(self) -> None:
        if self._waiting and len(self._waiting) >= len(self._attached):
            batch, self._waiting = self._waiting, []
            self._generate(batch)

    @torch.inference_mode()
    def _generate(self, batch: list[Waiting]) -> None:
        longest = max(len(prompt) for prompt, _, _ in batch)
        ids = torch.full((len(batch), longest), self._pad)
        mask = torch.zeros_like(ids)
        for row, (prompt, _, _) in enumerate(batch):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        params = batch[0][1]
        stop = set(params.stop_token_ids)
        out = self._model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            temperature=params.temperature,
            top_p=1.0,
            top_k=0,
            max_new_tokens=params.max_tokens,
            eos_token_id=sorted(stop),
            pad_token_id=self._pad,
        )[:, longest:].tolist()
        for row, (_, _, future) in zip(out, batch, strict=True):
            end = next((place + 1 for place, token in enumerate(row) if token in stop), len(row))
            self.tokens_sampled += end
            if not future.done():
                future.set_result(_sample(row[:end], stop))


class ServedSampler:
    """A server with OpenAI's completions interface that takes and returns token ids, as vLLM's does."""

    version = 0

    def __init__(self, url: str, model: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=600, limits=httpx.Limits(max_connections=256))
        self._model = model
        self.tokens_sampled = 0

    @contextmanager
    def attached(self, session: str) -> Iterator[None]:
        """Nobody is waited for."""
        yield

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        """Continue a prompt; the server keeps what it has computed of it.

        The seed is not passed on: on a CPU vLLM 0.32's engine dies of a request with one ("CPU Generator does not use
        offset") as soon as a prompt is read in two parts.
        """
        del session, seed
        stop = set(params.stop_token_ids)
        asked = {
            "model": self._model,
            "prompt": list(prompt_ids),
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "stop_token_ids": sorted(stop),
            "return_token_ids": True,
            "skip_special_tokens": False,
        }
        answer = await self._client.post("/v1/completions", json=asked)
        answer.raise_for_status()
        ids = answer.json()["choices"][0]["token_ids"]
        self.tokens_sampled += len(ids)
        return _sample(ids, stop)

    def release(self, session: str) -> None:
        """The server forgets by itself."""


def _sample(ids: Sequence[int], stop: set[int]) -> Sample:
    ended = bool(ids) and ids[-1] in stop
    zeros, n = (0.0,) * len(ids), len(ids)
    return Sample(tuple(ids), zeros, (0,) * n, "stop" if ended else "length")
