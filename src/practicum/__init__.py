"""Practicum: open, self-hosted multi-turn reinforcement learning for tool-using language-model agents."""

from practicum.environment import Call, Environment, ToolError, Transform, persist, read_only, reset, tool
from practicum.moved import answer_old_names
from practicum.scoring import (
    called,
    hierarchical,
    judge_model,
    score_fields,
    score_format,
    score_rows,
    score_state,
    score_tests,
    tiers,
    weighted,
    with_format,
)
from practicum.tasks import Task, TaskSet
from practicum.trajectory import Rollout

answer_old_names()

__version__ = "0.1.0"

__all__ = [
    "Call",
    "Environment",
    "Rollout",
    "Task",
    "TaskSet",
    "ToolError",
    "Transform",
    "called",
    "hierarchical",
    "judge_model",
    "persist",
    "read_only",
    "reset",
    "score_fields",
    "score_format",
    "score_rows",
    "score_state",
    "score_tests",
    "tiers",
    "tool",
    "weighted",
    "with_format",
]
