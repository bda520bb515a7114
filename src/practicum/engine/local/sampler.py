"""Continuous-batching sampler: many multi-turn rollouts, one forward pass per token of all of them.

A session's cache is kept between its turns, so a turn feeds only what is new; the prefix that rollouts share is
computed once (see ``attention``), and so is all that rollouts of one prompt go on to share, until the first token that
differs (see ``cache``); a finished row's place is taken by the next request.

Determinism: each session draws from its own generator, seeded by its seed, so the randomness of a rollout does not
depend on its neighbours. Rounding in the matrix products does depend on the batch's composition. ``attached``
sessions (agents in this process) are therefore advanced in lock step: a step runs only when every attached session
waits for tokens, and takes them in the order of their ids, whichever came first. Same seed, same machine, same number
of threads: the same trajectories, bit for bit. Requests that come over HTTP arrive when they arrive; for them this
cannot be promised.
"""

import asyncio
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from practicum.engine.local.cache import Lane, PrefixLayout, RowsLayout
from practicum.engine.local.policy import Policy
from practicum.engine.protocol import Sample, SamplingParams
from practicum.errors import ContextFull, ModelError, RolloutError

MIN_SHARED = 16
"""Prompts that agree on fewer tokens than this are not worth a shared prefix."""
KEPT_LANES = 4
BLOCK = 256
PREFILL_TOKENS = 4096
"""Most new tokens in one forward pass, so that long prompts do not exhaust memory."""


@dataclass
class _Request:
    session: str
    prompt: list[int]
    params: SamplingParams
    random: np.random.Generator
    future: "asyncio.Future[Sample]"
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def take(self, token: int, logprob: float, version: int) -> None:
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.versions.append(version)

    def finished(self) -> Sample | None:
        stopped = bool(self.tokens) and self.tokens[-1] in self.params.stop_token_ids
        if not stopped and len(self.tokens) < self.params.max_tokens:
            return None
        reason: Literal["stop", "length"] = "stop" if stopped else "length"
        return Sample(tuple(self.tokens), tuple(self.logprobs), tuple(self.versions), reason)


class LocalSampler:
    """Samples from a ``Policy``. All methods belong to one event loop's thread."""

    def __init__(self, policy: Policy, *, max_length: int = 65536) -> None:
        self._policy = policy
        self.max_length = max_length
        self._lanes: list[Lane] = []
        self._rows: dict[str, tuple[Lane, int]] = {}
        self._random: dict[str, np.random.Generator] = {}
        self._active: dict[str, _Request] = {}
        self._attached: set[str] = set()
        self._driver: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "practicum-sampler")
        self._stepping = False
        self._evicted: set[str] = set()
        self._stale = False
        self._cached_version = policy.version
        """Version of the weights that the cached keys and values were computed with."""
        self.tokens_sampled = 0
        self.tokens_fed = 0

    @property
    def version(self) -> int:
        """Version of the weights being sampled from."""
        return self._policy.version

    @contextmanager
    def attached(self, session: str) -> Iterator[None]:
        """Declare a session whose agent runs in this process: steps wait for it (see the module's text)."""
        self._attached.add(session)
        try:
            yield
        finally:
            self._attached.discard(session)
            self.release(session)
            self._arrived.set()

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        """See ``engine.protocol.Sampler``. A session's generator is seeded at its first call.

        Raises:
            ContextFull: the prompt leaves no room to sample.
            RolloutError: the session already has a call under way.
            ModelError: the model computes no probabilities.
        """
        room = self.max_length - len(prompt_ids)
        if not prompt_ids or room < 1:
            raise ContextFull(
                f"a prompt of {len(prompt_ids)} tokens leaves no room in max_sequence_length {self.max_length}",
                fix="raise max_sequence_length, or lower max_turns or sampling_max_tokens",
            )
        if session in self._active:
            raise RolloutError(f"session {session!r} already has a model call under way")
        random = self._random.setdefault(session, np.random.Generator(np.random.Philox(seed)))
        limit = SamplingParams(params.temperature, params.top_p, min(params.max_tokens, room), params.stop_token_ids)
        loop = asyncio.get_running_loop()
        request = _Request(session, list(prompt_ids), limit, random, loop.create_future())
        self._active[session] = request
        self._arrived.set()
        if self._driver is None or self._driver.done():
            self._arrived = asyncio.Event()  # an event belongs to the loop it was first waited on
            self._driver = loop.create_task(self._drive())
        try:
            return await request.future
        finally:
            self._forget(request)

    def release(self, session: str) -> None:
        """Forget a session's cache and generator."""
        self._random.pop(session, None)
        self._evict(session)

    def weights_changed(self) -> None:
        """Drop every cached key and value: they belong to the weights before."""
        if self._stepping:
            self._stale = True
            return
        self._lanes.clear()
        self._rows.clear()

    def _forget(self, request: _Request) -> None:
        """Close a request; a later one of the same session stays."""
        if self._active.get(request.session) is request:
            del self._active[request.session]

    def _evict(self, session: str) -> None:
        """Free a session's row: before the next step, where one is to be expected; never under one."""
        self._evicted.add(session)
        if not self._attached and not self._stepping:
            self._free_evicted()

    def _free_evicted(self) -> None:
        # Freeing moves rows: in a fixed order, not in that in which agents happened to end.
        for session in sorted(self._evicted):
            self._free(session)
        self._evicted.clear()

    def _free(self, session: str) -> None:
        place = self._rows.pop(session, None)
        if place is None:
            return
        lane, row = place
        self._rows |= dict.fromkeys(lane.leave(row, session), place)

    async def _drive(self) -> None:
        """Step while there is work, giving agents time to react between steps."""
        while self._active:
            while any(name not in self._active for name in self._attached):
                self._arrived.clear()
                await self._arrived.wait()
            # Agents' tools run in threads: which request came first is chance.
            batch = sorted((r for r in self._active.values() if not r.future.done()), key=lambda r: r.session)
            if not batch:
                await asyncio.sleep(0)
                continue
            self._free_evicted()
            try:
                if all(request.session in self._attached for request in batch):
                    finished = self._step(batch)
                else:
                    finished = await self._step_in_thread(batch)
            except Exception as error:  # one bad batch must fail its rollouts, not hang the run
                for request in batch:
                    if not request.future.done():
                        request.future.set_exception(error)
                finished = []
            for request, sample in finished:
                self._forget(request)
                if not request.future.done():
                    request.future.set_result(sample)
            await asyncio.sleep(0)

    async def _step_in_thread(self, batch: list[_Request]) -> list[tuple[_Request, Sample]]:
        """One step beside the event loop; what was released meanwhile is freed when it is over."""
        step = asyncio.get_running_loop().run_in_executor(self._thread, self._step, batch)
        self._stepping = True
        try:
            return await step
        finally:
            self._stepping = False
            self._free_evicted()
            if self._stale:
                self._stale = False
                self.weights_changed()

    @torch.no_grad()
    def _step(self, batch: list[_Request]) -> list[tuple[_Request, Sample]]:
        """One forward pass: prompts not yet in the cache first, else one token for every request."""
        with self._policy.lock:
            if self._policy.version != self._cached_version:
                self._lanes.clear()
                self._rows.clear()
                self._cached_version = self._policy.version
            return self._advance(batch)

    def _advance(self, batch: list[_Request]) -> list[tuple[_Request, Sample]]:
        for request in batch:
            if request.session in self._rows and not _fits(self._rows[request.session][0], request):
                self._free(request.session)
        waiting = [request for request in batch if request.session not in self._rows]
        if waiting:
            self._admit(waiting)
        self._part(batch)
        pending = {request.session: self._pending(request) for request in batch}
        fresh = [request for request in batch if len(pending[request.session]) > 1]
        for lane in {id(self._rows[r.session][0]): self._rows[r.session][0] for r in fresh or batch}.values():
            members = [r for r in fresh or batch if self._rows[r.session][0] is lane]
            for part in _by_budget(self._by_row(members), pending):
                self._forward(lane, part, pending)
        return [(request, sample) for request in batch if (sample := request.finished()) is not None]

    def _pending(self, request: _Request) -> list[int]:
        """Tokens of a request that its row has not seen; cuts the row back to what it shares with the request."""
        lane, row = self._rows[request.session]
        tail, cached = _tail(lane, request), lane.rows[row]
        shared = _common(cached, tail[:-1])
        del cached[shared:]
        return tail[shared:]

    def _part(self, batch: list[_Request]) -> None:
        """Give sessions that share a row rows of their own where their tokens differ from here on.

        Who has no request now keeps the row as it is, since it may yet go on with it.
        """
        for members in self._by_row(batch):
            lane, row = self._rows[members[0].session]
            sharing = lane.sessions[row]
            if len(sharing) == 1:
                continue
            alike: dict[tuple[int, ...], list[str]] = {}
            for request in members:
                alike.setdefault(tuple(_tail(lane, request)), []).append(request.session)
            stays = len(members) == len(sharing)
            for sessions in list(alike.values())[stays:]:
                self._rows |= dict.fromkeys(sessions, (lane, lane.fork(row, sessions)))

    def _by_row(self, requests: Sequence[_Request]) -> list[list[_Request]]:
        """Requests by the row that they share, in the order of their first."""
        rows: dict[tuple[int, int], list[_Request]] = {}
        for request in requests:
            lane, row = self._rows[request.session]
            rows.setdefault((id(lane), row), []).append(request)
        return list(rows.values())

    def _admit(self, requests: list[_Request]) -> None:
        """Give requests rows, one for all that have the same prompt, in a lane whose prefix they share; open a lane
        where that saves work."""
        alike: dict[tuple[int, ...], list[_Request]] = {}
        for request in requests:
            alike.setdefault((*request.prompt, *request.tokens), []).append(request)
        groups = list(alike.values())
        homeless = [group for group in groups if not self._join(group, minimum=MIN_SHARED)]
        if not homeless:
            return
        prompts = [request.prompt for group in homeless for request in group]
        shared = _common_prefix(prompts) if len(prompts) > 1 else 0
        prefix = prompts[0][:shared] if shared >= MIN_SHARED else []
        self._open_lane(prefix)
        for group in homeless:
            self._join(group, minimum=0)

    def _join(self, group: Sequence[_Request], minimum: int) -> bool:
        """Give requests of one prompt a row in the lane that they share most with."""
        fitting = [lane for lane in self._lanes if minimum <= len(lane.prefix) and _fits(lane, group[0])]
        if not fitting:
            return False
        lane = max(fitting, key=lambda lane: len(lane.prefix))
        sessions = [request.session for request in group]
        self._rows |= dict.fromkeys(sessions, (lane, lane.add_row(sessions)))
        return True

    def _open_lane(self, prefix: Sequence[int]) -> None:
        if not prefix and any(not lane.prefix for lane in self._lanes):
            return
        lane = Lane(self._policy.shape, prefix)
        if prefix:
            positions = torch.arange(len(prefix), device=self._policy.shape.device)
            self._policy.hidden(list(prefix), positions, PrefixLayout(lane))
            self.tokens_fed += len(prefix)
        empty = [old for old in self._lanes if not old.rows]
        for old in empty[: max(0, len(self._lanes) + 1 - KEPT_LANES)]:
            self._lanes.remove(old)
        self._lanes.append(lane)

    def _forward(self, lane: Lane, rows: list[list[_Request]], pending: dict[str, list[int]]) -> None:
        """One token for every request of some rows; what shares a row is computed once, and drawn each for itself."""
        by_number = {self._rows[members[0].session][1]: members for members in rows}
        numbers = sorted(by_number)
        fresh = [pending[by_number[row][0].session] for row in numbers]
        lane.reserve(max(len(lane.rows[row]) + len(new) for row, new in zip(numbers, fresh, strict=True)))
        layout = RowsLayout(lane, numbers, [len(new) for new in fresh])
        hidden = self._policy.hidden([token for new in fresh for token in new], layout.positions, layout)
        for row, new in zip(numbers, fresh, strict=True):
            lane.rows[row].extend(new)
        requests = [request for row in numbers for request in by_number[row]]
        sharing = torch.tensor([len(by_number[row]) for row in numbers], device=hidden.device)
        logits = self._policy.logits(hidden[layout.last_R]).repeat_interleave(sharing, 0)
        tokens, logprobs = draw(logits, requests, version=self._policy.version)
        for request, token, logprob in zip(requests, tokens, logprobs, strict=True):
            request.take(token, logprob, self._policy.version)
        self.tokens_sampled += len(requests)
        self.tokens_fed += len(hidden)


def _tail(lane: Lane, request: _Request) -> list[int]:
    """A request's tokens after its lane's prefix."""
    return (request.prompt + request.tokens)[len(lane.prefix) :]


def _fits(lane: Lane, request: _Request) -> bool:
    """Whether the request begins with the lane's prefix and goes on."""
    length = len(lane.prefix)
    return length < len(request.prompt) and tuple(request.prompt[:length]) == lane.prefix


def draw(logits_NV: Tensor, requests: Sequence[_Request], *, version: int = 0) -> tuple[list[int], list[float]]:
    """One token per row by inverse transform of the row's own uniform number, and its log-probability.

    The log-probability is that of the tempered distribution before top-p (greedy rows: of the plain one).

    Args:
        logits_NV: A row for each request.
        requests: How each samples, and its random numbers.
        version: Of the weights, for the error.

    Raises:
        ModelError: a logit is NaN or +∞. Either makes NaN of its row's every probability, so that of the token drawn
            tells; −∞ is a token that cannot come.
    """
    heat = [request.params.temperature or 1.0 for request in requests]
    if any(value != 1.0 for value in heat):
        logits_NV = logits_NV / torch.tensor(heat, device=logits_NV.device)[:, None]
    probs_NV = torch.softmax(logits_NV, dim=-1)
    greedy = [request.params.temperature == 0 for request in requests]
    if all(greedy):
        chosen_N = logits_NV.argmax(dim=-1)
    else:
        uniform = [0.0 if cold else request.random.random() for cold, request in zip(greedy, requests, strict=True)]
        pool_NV = probs_NV
        if any(request.params.top_p < 1 for request in requests):
            pool_NV = _nucleus(probs_NV, [request.params.top_p for request in requests])
        chosen_N = _invert(pool_NV, uniform)
        if any(greedy):
            cold_N = torch.tensor(greedy, device=logits_NV.device)
            chosen_N = torch.where(cold_N, logits_NV.argmax(dim=-1), chosen_N)
    picked_N = probs_NV.gather(1, chosen_N[:, None])[:, 0].log()
    logprobs = picked_N.tolist()
    if not all(map(math.isfinite, logprobs)):
        raise ModelError(
            "the model's logits are NaN or infinite: there is nothing to sample from",
            where=f"the weights after {version} optimizer steps",
            fix="lower learning_rate, or use dtype: float32; go back to a checkpoint from before, or to a sound model",
        )
    return chosen_N.tolist(), logprobs


def _invert(probs_NV: Tensor, uniform: list[float]) -> Tensor:
    """Smallest token whose cumulative probability exceeds the row's uniform number.

    Two levels, blocks of the vocabulary and then tokens of one block: a cumulative sum over the whole vocabulary
    costs more than the rest of sampling together.
    """
    n, vocabulary = probs_NV.shape
    if vocabulary % BLOCK:
        probs_NV = torch.nn.functional.pad(probs_NV, (0, -vocabulary % BLOCK))
    blocks_NBS = probs_NV.view(n, -1, BLOCK)
    # Blocks are summed in float32: a float64 sum over the vocabulary costs more than the model's own head.
    mass_NB = blocks_NBS.sum(dim=-1).cumsum(dim=-1, dtype=torch.float64)
    aim_N = torch.tensor(uniform, dtype=torch.float64, device=probs_NV.device) * mass_NB[:, -1]
    block_N = _first_above(mass_NB, aim_N)
    row_N = torch.arange(n, device=probs_NV.device)
    inside_NS = blocks_NBS[row_N, block_N].cumsum(dim=-1, dtype=torch.float64)
    below_N = torch.where(block_N > 0, mass_NB[row_N, (block_N - 1).clamp_(min=0)], 0.0)
    # Rounding may leave the aim a hair above the block's own sum: then its last token with any probability.
    aim_inside_N = torch.minimum(aim_N - below_N, inside_NS[:, -1] * (1 - 1e-12))
    # Where nothing is above the aim (NaN), the last place may be one of the padding: no token has that number.
    return (block_N * BLOCK + _first_above(inside_NS, aim_inside_N)).clamp_(max=vocabulary - 1)


def _first_above(cumulative_NM: Tensor, aim_N: Tensor) -> Tensor:
    found_N = torch.searchsorted(cumulative_NM, aim_N[:, None].contiguous(), right=True)[:, 0]
    return found_N.clamp_(max=cumulative_NM.shape[-1] - 1)


def _nucleus(probs_NV: Tensor, top_p: list[float]) -> Tensor:
    """Zero all but the smallest set of tokens whose probability reaches top_p (arXiv 1904.09751)."""
    sorted_NV, order_NV = probs_NV.sort(dim=-1, descending=True, stable=True)
    before_NV = sorted_NV.cumsum(dim=-1) - sorted_NV
    limit = torch.tensor(top_p, device=probs_NV.device)[:, None]
    kept_NV = torch.where(before_NV < limit, sorted_NV, 0.0)
    kept_NV[:, 0] = sorted_NV[:, 0]
    return torch.zeros_like(probs_NV).scatter_(1, order_NV, kept_NV)


def _by_budget(rows: Sequence[list[_Request]], pending: dict[str, list[int]]) -> Iterator[list[list[_Request]]]:
    """Split rows so that no part feeds more than the prefill budget (a single long one goes alone)."""
    part: list[list[_Request]] = []
    size = 0
    for members in rows:
        new = len(pending[members[0].session])
        if part and size + new > PREFILL_TOKENS:
            yield part
            part, size = [], 0
        part.append(members)
        size += new
    if part:
        yield part


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common prefix."""
    length = min(len(a), len(b))
    if list(a[:length]) == list(b[:length]):
        return length
    return next(i for i in range(length) if a[i] != b[i])


def _common_prefix(prompts: list[list[int]]) -> int:
    """Tokens all prompts share, leaving each at least one of its own."""
    shortest, longest = min(prompts), max(prompts)
    return min(_common(shortest, longest), min(len(prompt) for prompt in prompts) - 1)
