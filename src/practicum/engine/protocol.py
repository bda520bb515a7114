"""The one small protocol between training and whatever holds the weights.

Its shape and its loss names are Tinker's (https://tinker-docs.thinkingmachines.ai): ``sample``,
``forward_backward``, ``optim_step``, ``save``, ``load``. ``engine.local`` implements it with PyTorch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from practicum.algorithms.losses import TrainingSequence


@dataclass(frozen=True)
class SamplingParams:
    """How one model call samples. Temperature 0 is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop_token_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sample:
    """Tokens of one model call. ``logprobs`` are those of the tempered, untruncated distribution."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    versions: tuple[int, ...]
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True)
class AdamParams:
    """One optimizer step's settings."""

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.0
    grad_clip_norm: float = 1.0
    """The gradient is scaled down to this norm; 0: never."""


@dataclass(frozen=True)
class StepStats:
    """What a gradient computation saw; sums over tokens are already divided by the number of tokens."""

    loss: float
    tokens: int
    metrics: Mapping[str, float] = field(default_factory=dict)


class Sampler(Protocol):
    """Samples from the current policy."""

    @property
    def version(self) -> int:
        """Number of optimizer steps behind the weights sampled from."""
        ...

    async def sample(self, session: str, prompt_ids: Sequence[int], params: SamplingParams, seed: int) -> Sample:
        """Continue ``prompt_ids``. Calls with one ``session`` reuse what they share with its previous call."""
        ...

    def release(self, session: str) -> None:
        """Forget a session's cached state."""
        ...


class Learner(Protocol):
    """Holds weights and optimizer."""

    def forward_backward(self, data: Sequence[TrainingSequence], loss: str, config: Mapping[str, float]) -> StepStats:
        """Add the gradient of Σ weight · loss over the trained tokens of ``data``.

        ``loss`` and ``config`` are those of ``algorithms.losses.policy_loss``.
        """
        ...

    def optim_step(self, params: AdamParams) -> Mapping[str, float]:
        """One optimizer step on what was added; returns ``grad_norm`` before clipping, and where it is measured
        ``publish_s``, the seconds it took to bring the weights to the sampler."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights and optimizer into an existing folder."""
        ...

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote; the next step is as if nothing had happened."""
        ...
