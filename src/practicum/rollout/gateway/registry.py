"""Which trajectories are running, and how each ends: PENDING → READY → REWARD_RECEIVED, or FAILED.

The dispatcher opens a trajectory, waits, and closes it; the gateway moves it on as the agent calls.
Everything here lives in one event loop.

Whoever knows the id of an open trajectory speaks for its agent. So the id of a rollout is a secret (``secret_id``);
what is written down bears the trajectory's name, which is the same in every run of one seed.
"""

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from practicum.errors import RolloutError, RolloutTimeout
from practicum.rollout.gateway.error_answers import GatewayError
from practicum.rollout.refusals import CallSubject, Refusal, Refusals
from practicum.rollout.session import Session

_ENDED_REMEMBERED = 4096
"""So many ended trajectories are told from ones that never were."""
_SECRET_BYTES = 16


def secret_id(name: str) -> str:
    """An id that nobody can guess who was not told it: the name, and 128 random bits in hexadecimal.

    The bits come from the operating system: no seed decides on them, and they decide on nothing.
    """
    return f"{name}-{secrets.token_hex(_SECRET_BYTES)}"


_CLIENT_TOKENS = 64
"""So many of a trajectory's ``ClientToken`` are known again; what says the same is taken without."""


class State(StrEnum):
    """Where a trajectory stands."""

    PENDING = "PENDING"
    READY = "READY"
    REWARD_RECEIVED = "REWARD_RECEIVED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Reward:
    """What ``/update-reward`` brought. ``values`` is one number, or one per turn."""

    values: tuple[float, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrajectoryOutcome:
    """A trajectory's state at one moment; ``reward`` is None until one was received."""

    state: State
    reward: Reward | None
    calls: int
    """Model calls answered."""
    refusal: Refusal | None = None
    """The last call that was refused, where the agent has not got over it."""


class Entry:
    """One open trajectory. ``model_call`` is held while a model call runs: they come one at a time.

    ``name`` stands for the id in all that is written down. ``report_refused`` is when a report of the rollout's end was
    last refused (monotonic seconds); None again once the agent goes on with model calls.
    """

    def __init__(self, id: str, session: Session, job_arn: str, token: str | None, name: str) -> None:
        self.id, self.session, self.job_arn, self.token, self.name = id, session, job_arn, token, name
        self.state = State.PENDING
        self.reward: Reward | None = None
        self.model_call = asyncio.Lock()
        self.running: set[asyncio.Task[Any]] = set()
        self.calls = 0
        self.opened = time.monotonic()
        self.refusals = Refusals()
        self.report_refused: float | None = None
        self.closed = False
        self.sealed = asyncio.Event()
        self.settled = asyncio.Event()
        self._complete_tokens: deque[str] = deque(maxlen=_CLIENT_TOKENS)
        self._reward_tokens: deque[str] = deque(maxlen=_CLIENT_TOKENS)
        self._news = asyncio.Event()

    @property
    def outcome(self) -> TrajectoryOutcome:
        """How the trajectory stands now."""
        return TrajectoryOutcome(self.state, self.reward, self.calls, self.refusals.last)

    def refuse(self, refusal: Refusal) -> None:
        """Remember that a call of the agent was not served."""
        self.refusals.add(refusal)
        if refusal.subject in (CallSubject.SEAL, CallSubject.REWARD):
            self.report_refused = time.monotonic()
        self._tell()

    def served_model_call(self) -> int:
        """Count a model call that was answered; its number, from 1."""
        self.refusals.got_over(CallSubject.MODEL)
        self.report_refused = None
        self.calls += 1
        self._tell()
        return self.calls

    def named(self, text: str) -> str:
        """A text that may be written down: the trajectory's name in place of its id."""
        return text.replace(self.id, self.name)

    async def news(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds until something happens to the trajectory."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def require_open(self) -> None:
        """Refuse a model call on a trajectory that has ended."""
        if self.closed:
            raise unknown_trajectory(self.id)
        if self.state is not State.PENDING:
            raise self._conflict(State.PENDING, "it is sealed and takes no more model calls")

    async def complete(self, status: Literal["ready", "failed"], client_token: str | None) -> None:
        """Seal as READY or FAILED. A running model call is waited for before READY.

        Raises:
            GatewayError: 409 where the trajectory was sealed otherwise.
        """
        if client_token and client_token in self._complete_tokens:
            return
        if status == "failed":
            self._seal(State.FAILED)
        else:
            async with self.model_call:
                self._seal(State.READY)
        if client_token:
            self._complete_tokens.append(client_token)

    def update_reward(self, reward: Reward, client_token: str | None) -> None:
        """Take the reward of a sealed trajectory.

        A FAILED trajectory keeps its state and records the number: AWS's client sends one after a failure.

        Raises:
            GatewayError: 409 before it is sealed or after another reward; 400 for a wrong length.
        """
        if client_token and client_token in self._reward_tokens:
            return
        if self.state is State.PENDING:
            first = 'call /complete-rollout with Status "ready" first, then send the reward again'
            raise self._conflict(State.REWARD_RECEIVED, first)
        if self.reward is not None and self.reward != reward:
            raise self._conflict(
                State.REWARD_RECEIVED, f"it already has the rewards {list(self.reward.values)} and keeps them"
            )
        self._check_length(reward.values)
        self.reward = reward
        if self.state is State.READY:
            self.state = State.REWARD_RECEIVED
        self.refusals.got_over(CallSubject.REWARD)
        self.settled.set()
        self._tell()
        if client_token:
            self._reward_tokens.append(client_token)

    def _seal(self, target: State) -> None:
        was_ready = self.state in (State.READY, State.REWARD_RECEIVED)
        if self.state is State.PENDING:
            self.state = target
        elif was_ready != (target is State.READY):
            raise self._conflict(target, "a sealed trajectory cannot be sealed otherwise")
        self.sealed.set()
        if self.state is State.FAILED:
            self.settled.set()
        self._tell()

    def _check_length(self, values: Sequence[float]) -> None:
        turns = len(self.session.turns)
        if len(values) not in (1, turns):
            raise GatewayError(
                400,
                f"Rewards has {len(values)} numbers; send one for the trajectory, or {turns}, one per turn",
                "invalid_request",
            )

    def _conflict(self, target: State, why: str) -> GatewayError:
        message = f"Cannot transition trajectory {self.id!r} from {self.state} to {target}: {why}"
        # The OpenAI client would otherwise try the same again, twice.
        return GatewayError(409, message, "conflict", {"x-should-retry": "false"})


class Registry:
    """The trajectories the gateway serves, by id."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._ended: deque[str] = deque(maxlen=_ENDED_REMEMBERED)
        self._stray: tuple[float, Refusal] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def open_ids(self) -> Collection[str]:
        """Ids of the trajectories that are served."""
        return self._entries.keys()

    @property
    def is_guarded(self) -> bool:
        """Whether an open trajectory has a token of its own."""
        return any(entry.token for entry in self._entries.values())

    @property
    def ended_ids(self) -> Collection[str]:
        """Ids of the trajectories closed last."""
        return self._ended

    def refuse_stray(self, refusal: Refusal) -> None:
        """Remember a refused call that named no trajectory at all."""
        self._stray = (time.monotonic(), refusal)

    def lead(self, entry: Entry) -> str:
        """What refusal may explain that a rollout is not over, as a sentence; empty where nothing was refused.

        The trajectory's id is left out: the same cause reads the same in every rollout.
        """
        if entry.refusals.last is not None:
            text = str(entry.refusals.last).replace(f" {entry.id!r}", "")
            return entry.named(text.replace(f"/rollouts/{entry.id}/", "/rollouts/{rolloutId}/"))
        when, stray = self._stray or (0.0, None)
        if stray is None or when < entry.opened or (entry.calls and stray.subject is CallSubject.MODEL):
            return ""
        return f"meanwhile a call came that names no open trajectory, perhaps this agent's: {stray}"

    def open(
        self, trajectory_id: str, session: Session, *, job_arn: str = "", token: str | None = None, name: str = ""
    ) -> None:
        """Serve ``session`` under ``trajectory_id``; with ``token``, only to callers that bear it.

        Args:
            name: Stands for an id that is secret wherever something is written down; left out, the id itself.

        Raises:
            RolloutError: the id is already open.
        """
        if trajectory_id in self._entries:
            raise RolloutError(f"trajectory {trajectory_id!r} is already open", fix="give every attempt its own id")
        self._entries[trajectory_id] = Entry(trajectory_id, session, job_arn, token, name or trajectory_id)

    def find(self, trajectory_id: str) -> Entry | None:
        """The open trajectory, if there is one."""
        return self._entries.get(trajectory_id)

    def get(self, trajectory_id: str) -> Entry:
        """The open trajectory; raises ``GatewayError`` 404 where there is none."""
        entry = self.find(trajectory_id)
        if entry is None:
            raise unknown_trajectory(trajectory_id)
        return entry

    def outcome(self, trajectory_id: str) -> TrajectoryOutcome:
        """How the trajectory stands now."""
        return self.get(trajectory_id).outcome

    async def wait_sealed(self, trajectory_id: str, timeout: float) -> TrajectoryOutcome:
        """Wait at most ``timeout`` seconds until the trajectory is READY or FAILED.

        Raises:
            RolloutTimeout: time is over.
            RolloutError: the trajectory was closed meanwhile.
        """
        entry = self.get(trajectory_id)
        return await self._wait(entry, entry.sealed, timeout, "the agent never called /complete-rollout")

    async def wait_reward(self, trajectory_id: str, timeout: float) -> TrajectoryOutcome:
        """Wait at most ``timeout`` seconds until the trajectory is REWARD_RECEIVED or FAILED.

        Raises:
            RolloutTimeout: time is over.
            RolloutError: the trajectory was closed meanwhile.
        """
        entry = self.get(trajectory_id)
        missing = "the agent never called /update-reward"
        return await self._wait(entry, entry.settled, timeout, missing)

    async def close(self, trajectory_id: str) -> TrajectoryOutcome:
        """Take the trajectory out of service; when this returns nothing touches its session any more."""
        entry = self._entries.pop(trajectory_id, None)
        if entry is None:
            raise RolloutError(f"trajectory {trajectory_id!r} is not open")
        self._ended.append(trajectory_id)
        entry.closed = True
        entry.sealed.set()
        entry.settled.set()
        await asyncio.gather(*entry.running, return_exceptions=True)
        return entry.outcome

    def unfinished(self, entry: Entry, missing: str) -> str:
        """In words, that a rollout is not over: what was refused, or where nothing was, what never came."""
        reason = self.lead(entry) or missing
        took = time.monotonic() - entry.opened
        return f"the rollout was not over after {took:.0f} s: {reason} (state {entry.state}, {entry.calls} model calls)"

    async def _wait(self, entry: Entry, event: asyncio.Event, timeout: float, missing: str) -> TrajectoryOutcome:
        if not event.is_set():
            try:
                await asyncio.wait_for(event.wait(), timeout)
            except TimeoutError:
                raise RolloutTimeout(
                    self.unfinished(entry, missing),
                    where=f"trajectory {entry.name}",
                    fix="look for an exception in the agent's log, or raise rollout_timeout",
                ) from None
        if entry.closed:
            raise RolloutError("the trajectory was closed while it was waited for", where=f"trajectory {entry.name}")
        return entry.outcome


def unknown_trajectory(trajectory_id: str) -> GatewayError:
    """404 for an id that is not, or no longer, open."""
    return GatewayError(
        404,
        f"Unknown trajectory {trajectory_id!r}: it was never opened or has ended; "
        "use the rolloutId of the request's metadata",
        "not_found",
    )
