"""Scores and rewards: functions of a finished rollout."""

from practicum.scoring.base import Judge, Judgement, judge
from practicum.scoring.fields import FieldScore, score_fields

__all__ = ["FieldScore", "Judge", "Judgement", "judge", "score_fields"]
