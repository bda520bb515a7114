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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

from practicum.engine.local.cache import Lane, PrefixLayout, RowsLayout
from practicum.engine.local.drawing import SamplingRequest, draw
from practicum.engine.local.policy import Policy
from practicum.engine.protocol import Sample, SamplingParams
from practicum.errors import ContextFull, RolloutError
from practicum.trajectory import common_prefix

MIN_SHARED = 16
"""Prompts that agree on fewer tokens than this are not worth a shared prefix."""
KEPT_LANES = 4
PREFILL_TOKENS = 4096
"""Most new tokens in one forward pass, so that long prompts do not exhaust memory."""


class LocalSampler:
    """Samples from a ``Policy``. All methods belong to one event loop's thread."""

    def __init__(self, policy: Policy, *, max_length: int = 65536) -> None:
        self._policy = policy
        self.max_length = max_length
        self._lanes: list[Lane] = []
        self._rows: dict[str, tuple[Lane, int]] = {}
        self._random: dict[str, np.random.Generator] = {}
        self._active: dict[str, SamplingRequest] = {}
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
        request = SamplingRequest(session, list(prompt_ids), limit, random, loop.create_future())
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

    def _forget(self, request: SamplingRequest) -> None:
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

    async def _step_in_thread(self, batch: list[SamplingRequest]) -> list[tuple[SamplingRequest, Sample]]:
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
    def _step(self, batch: list[SamplingRequest]) -> list[tuple[SamplingRequest, Sample]]:
        """One forward pass: prompts not yet in the cache first, else one token for every request."""
        with self._policy.lock:
            if self._policy.version != self._cached_version:
                self._lanes.clear()
                self._rows.clear()
                self._cached_version = self._policy.version
            return self._advance(batch)

    def _advance(self, batch: list[SamplingRequest]) -> list[tuple[SamplingRequest, Sample]]:
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

    def _pending(self, request: SamplingRequest) -> list[int]:
        """Tokens of a request that its row has not seen; cuts the row back to what it shares with the request."""
        lane, row = self._rows[request.session]
        tail, cached = _tail(lane, request), lane.rows[row]
        shared = common_prefix(cached, tail[:-1])
        del cached[shared:]
        return tail[shared:]

    def _part(self, batch: list[SamplingRequest]) -> None:
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

    def _by_row(self, requests: Sequence[SamplingRequest]) -> list[list[SamplingRequest]]:
        """Requests by the row that they share, in the order of their first."""
        rows: dict[tuple[int, int], list[SamplingRequest]] = {}
        for request in requests:
            lane, row = self._rows[request.session]
            rows.setdefault((id(lane), row), []).append(request)
        return list(rows.values())

    def _admit(self, requests: list[SamplingRequest]) -> None:
        """Give requests rows, one for all that have the same prompt, in a lane whose prefix they share; open a lane
        where that saves work."""
        alike: dict[tuple[int, ...], list[SamplingRequest]] = {}
        for request in requests:
            alike.setdefault((*request.prompt, *request.tokens), []).append(request)
        groups = list(alike.values())
        homeless = [group for group in groups if not self._join(group, minimum=MIN_SHARED)]
        if not homeless:
            return
        prompts = [request.prompt for group in homeless for request in group]
        shared = _shared_by_all(prompts) if len(prompts) > 1 else 0
        prefix = prompts[0][:shared] if shared >= MIN_SHARED else []
        self._open_lane(prefix)
        for group in homeless:
            self._join(group, minimum=0)

    def _join(self, group: Sequence[SamplingRequest], minimum: int) -> bool:
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

    def _forward(self, lane: Lane, rows: list[list[SamplingRequest]], pending: dict[str, list[int]]) -> None:
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


def _tail(lane: Lane, request: SamplingRequest) -> list[int]:
    """A request's tokens after its lane's prefix."""
    return (request.prompt + request.tokens)[len(lane.prefix) :]


def _fits(lane: Lane, request: SamplingRequest) -> bool:
    """Whether the request begins with the lane's prefix and goes on."""
    length = len(lane.prefix)
    return length < len(request.prompt) and tuple(request.prompt[:length]) == lane.prefix


def _by_budget(
    rows: Sequence[list[SamplingRequest]], pending: dict[str, list[int]]
) -> Iterator[list[list[SamplingRequest]]]:
    """Split rows so that no part feeds more than the prefill budget (a single long one goes alone)."""
    part: list[list[SamplingRequest]] = []
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


def _shared_by_all(prompts: list[list[int]]) -> int:
    """Tokens that all prompts begin with, leaving each at least one of its own."""
    return min(common_prefix(min(prompts), max(prompts)), min(len(prompt) for prompt in prompts) - 1)
