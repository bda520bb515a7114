"""``score_fields``: a tagged JSON answer compared with the task's label, field by field and type by type."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from practicum.digests import digest
from practicum.scoring.judgement import ABOVE_SCORE
from practicum.trajectory import Rollout

TOLERANCE = 1e-9
"""Largest difference, relative or absolute, between a float that was computed and the number it should be: it covers
the order of a sum and nothing else."""


@dataclass(frozen=True)
class FieldScore:
    """Compares ``<tag>{…}</tag>`` in the final answer with ``task.answer``.

    The answer must hold exactly one such block, with nothing but it, holding one JSON object without repeated
    keys. A field is right when type and value are equal: ``"4"`` is not ``4``, ``"EMEA"`` is not ``"emea"``.
    Fields the label does not have make the answer wrong.

    With ``partial``: ``format_weight`` for a well-formed answer with exactly the label's fields, ``exact_weight``
    for all of them right, the rest of 1.0 in equal parts per right field.
    """

    tag: str
    partial: bool = False
    format_weight: float = 0.1
    exact_weight: float = 0.5

    def __call__(self, rollout: Rollout) -> tuple[float, dict[str, float]]:
        """The score in [0, 1] and its components: ``format``, ``exact`` and ``field/NAME``."""
        label = rollout.task.answer
        if not label:
            raise ValueError(f"task {rollout.task.id!r} has no answer to compare with")
        given = tagged_object(rollout.answer, self.tag)
        well_formed = given is not None and set(given) == set(label)
        right = {name: given is not None and name in given and same(given[name], label[name]) for name in label}
        exact = well_formed and all(right.values())
        components = {"format": float(well_formed), "exact": float(exact)}
        components |= {f"field/{name}": float(value) for name, value in right.items()}
        if not self.partial:
            return float(exact), components
        # Credit for fields only within a well-formed answer: naming every field must not pay.
        share = sum(right.values()) / max(len(right), 1) if well_formed else 0.0
        rest = 1.0 - self.format_weight - self.exact_weight
        return self.format_weight * well_formed + self.exact_weight * exact + rest * share, components

    @property
    def excuses(self) -> dict[str, str]:
        """Partial credit is above an exact score by design; how far is bounded."""
        return dense(self.partial, 1.0 - self.exact_weight)

    @property
    def digest(self) -> str:
        """SHA-256 over the rule's settings."""
        return digest(["score_fields", 1, self.tag, self.partial, self.format_weight, self.exact_weight])


def score_fields(tag: str, *, exact: bool = False, partial: bool = False) -> FieldScore:
    """A field-by-field score: ``exact=True`` (every field or nothing) or ``partial=True`` (credit per field).

    Raises:
        ValueError: neither or both were asked for, or the tag is not a name.
    """
    if exact == partial:
        raise ValueError("score_fields takes either exact=True or partial=True")
    if not re.fullmatch(r"[A-Za-z_]\w*", tag):
        raise ValueError(f"the tag must be a name such as 'final_output', not {tag!r}")
    return FieldScore(tag, partial)


def dense(partial: bool, most: float) -> dict[str, str]:
    """The excuse of a form that pays for parts: ``most`` is what a rollout without success can earn."""
    return {ABOVE_SCORE: f"credit for parts, at most {most:g} without full success"} if partial else {}


def tagged_object(text: str, tag: str) -> dict[str, Any] | None:
    """The JSON object inside the only ``<tag>`` block of ``text``; None if there is not exactly one."""
    match = re.fullmatch(rf"\s*<{tag}>(.*)</{tag}>\s*", text, flags=re.DOTALL)
    if match is None or f"<{tag}>" in match[1]:
        return None
    return strict_object(match[1])


def strict_object(text: str) -> dict[str, Any] | None:
    """A JSON object whose keys stand once each and whose numbers are finite; None for everything else."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def same(value: Any, right: Any, tolerance: float = 0.0) -> bool:
    """Equal in type and value, all the way down; 1 and 1.0 are both numbers, True is not one.

    Args:
        tolerance: Where one of two numbers is a float, their largest difference, relative or absolute.
    """
    if isinstance(value, bool) or isinstance(right, bool):
        return value is right
    if isinstance(value, int | float) and isinstance(right, int | float):
        return value == right or _close(value, right, tolerance)
    if isinstance(value, Mapping) and isinstance(right, Mapping):
        return set(value) == set(right) and all(same(value[key], right[key], tolerance) for key in right)
    if isinstance(value, list | tuple) and isinstance(right, list | tuple):
        return len(value) == len(right) and all(same(*pair, tolerance) for pair in zip(value, right, strict=True))
    return type(value) is type(right) and bool(value == right)


def _close(value: float, right: float, tolerance: float) -> bool:
    if not tolerance or (isinstance(value, int) and isinstance(right, int)):
        return False
    try:
        return math.isclose(value, right, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # an integer that no float can be
        return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("repeated key")
    return dict(pairs)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
