"""Scores and rewards: functions of a finished rollout."""

from practicum.scoring.executed import ExecutedScore, score_tests
from practicum.scoring.fields import FieldScore, score_fields
from practicum.scoring.judgement import Judgement, judge
from practicum.scoring.milestones import Hierarchical, called, hierarchical
from practicum.scoring.model_judge import ModelJudge, judge_model
from practicum.scoring.results import Exam, RowScore, score_rows
from practicum.scoring.state import StateScore, score_state, state_changes
from practicum.scoring.weighted import FormatScore, Tiers, WeightedSum, score_format, tiers, weighted, with_format
from practicum.trajectory import Judge

__all__ = [
    "Exam",
    "ExecutedScore",
    "FieldScore",
    "FormatScore",
    "Hierarchical",
    "Judge",
    "Judgement",
    "ModelJudge",
    "RowScore",
    "StateScore",
    "Tiers",
    "WeightedSum",
    "called",
    "hierarchical",
    "judge",
    "judge_model",
    "score_fields",
    "score_format",
    "score_rows",
    "score_state",
    "score_tests",
    "state_changes",
    "tiers",
    "weighted",
    "with_format",
]
