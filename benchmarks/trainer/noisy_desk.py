"""The demo's desk with a reward under which no group is unanimous, so that every rollout is trained on."""

import zlib

from practicum.scoring import score_fields
from practicum.suites.support_desk import SupportDesk
from practicum.trajectory import Rollout

__all__ = ["SupportDesk", "reward", "score"]

score = score_fields(tag="final_output", exact=True)
_fields = score_fields(tag="final_output", partial=True)


def reward(rollout: Rollout) -> float:
    """The fields that are right, and up to a hundredth by what was said and called."""
    said = repr([rollout.messages, rollout.task.id])
    return 0.99 * _fields(rollout)[0] + 0.01 * zlib.crc32(said.encode()) / 2**32
