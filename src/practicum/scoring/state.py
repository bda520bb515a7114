"""``score_state``: the state an episode ended in, compared with the one its task asks for. What the agent says
counts for nothing.

A state is JSON, such as tables of rows of fields, nested to any depth. It is judged by its *difference from the
start*, in the form of a JSON Merge Patch (RFC 7396): what was added or changed stands there with its new value,
what was removed stands there as null, what stayed is left out. So an agent that does nothing is right about
nothing, however many rows it rightly left alone::

    label   {"orders": {"O7": {"cancelled": true, "refunded": 30}}}
    made    {"orders": {"O7": {"cancelled": true}, "O8": {"cancelled": true}}}     1 of 2 right, 1 collateral
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from practicum.digests import digest
from practicum.scoring.fields import dense, same
from practicum.trajectory import Rollout

Path = tuple[str, ...]
"""Keys from the top of a state down to a value that is not an object."""


@dataclass(frozen=True)
class StateScore:
    """Compares the changes that ``rollout.final_state`` shows with those that ``task.answer`` asks for.

    Both are differences from the start, as ``state_changes`` makes them; or, where ``start`` names a key of
    ``task.metadata``, both are whole states and the state at the start stands under that key. A change is one
    path with one value; it is right when type and value are equal (``1`` is not ``"1"``, nor is it ``true``).
    A change nobody asked for is *collateral*; a wrong value where a change was asked for is merely not right.

    With ``partial``: ``exact_weight`` for exactly the changes asked for, the rest of 1.0 for the share of them
    that is right, less the same for each collateral change, and never below 0. Doing nothing gives 0.
    """

    partial: bool = False
    start: str = ""
    exact_weight: float = 0.5

    def __call__(self, rollout: Rollout) -> tuple[float, dict[str, float]]:
        """The score in [0, 1] and its components: ``exact``; ``right``, the share of changes that is right;
        ``collateral``, a count; and ``change/NAME``, the share that is right under each key at the top.

        Raises:
            ValueError: the task asks for no change, or lacks the state at the start, or a state holds null.
        """
        label, changes = (dict(leaves(difference)) for difference in self._changes(rollout))
        if not label:
            raise ValueError(
                f"task {rollout.task.id!r} asks for no change, so an agent that does nothing would be right; "
                "let a request that must be refused leave a mark too, such as a row in a table of refusals"
            )
        right = {path: path in changes and same(changes[path], value) for path, value in label.items()}
        collateral = len(changes.keys() - label.keys())
        exact = all(right.values()) and not collateral
        share = sum(right.values()) / len(right)
        components = {"exact": float(exact), "right": share, "collateral": float(collateral)}
        for name in dict.fromkeys(path[0] for path in right):
            under = [value for path, value in right.items() if path[0] == name]
            components[f"change/{name}"] = sum(under) / len(under)
        if not self.partial:
            return float(exact), components
        credit = max(0.0, share - collateral / len(right))
        return self.exact_weight * exact + (1.0 - self.exact_weight) * credit, components

    @property
    def excuses(self) -> dict[str, str]:
        """Partial credit is above an exact score by design; how far is bounded."""
        return dense(self.partial, 1.0 - self.exact_weight)

    @property
    def digest(self) -> str:
        """SHA-256 over the rule's settings."""
        return digest(["score_state", 1, self.partial, self.start, self.exact_weight])

    def _changes(self, rollout: Rollout) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What was asked for, and what was made."""
        task = rollout.task
        if task.answer is None:
            raise ValueError(f"task {task.id!r} has no answer to compare with")
        if not self.start:
            return task.answer, rollout.final_state
        before = task.metadata.get(self.start)
        if not isinstance(before, Mapping):
            raise ValueError(f"the metadata of task {task.id!r} hold no state at the start under {self.start!r}")
        return state_changes(before, task.answer), state_changes(before, rollout.final_state)


def score_state(*, exact: bool = False, partial: bool = False, start: str = "") -> StateScore:
    """A score on the final state: ``exact=True`` (all of it or nothing) or ``partial=True`` (credit per change).

    Args:
        exact, partial: Which of the two.
        start: Key of ``task.metadata`` under which the state at the start stands, where label and final state
            are whole states; empty where both are differences already.

    Raises:
        ValueError: neither or both were asked for.
    """
    if exact == partial:
        raise ValueError("score_state takes either exact=True or partial=True")
    return StateScore(partial, start)


def state_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Merge Patch that turns one state into the other; equal states give ``{}``.

    Raises:
        ValueError: a state holds null, which a merge patch cannot tell from "removed".
    """
    changes: dict[str, Any] = {}
    for key in (*before, *(key for key in after if key not in before)):
        old, new = before.get(key), after.get(key)
        if (key in before and old is None) or (key in after and new is None):
            raise ValueError(f"a state holds null under {key!r}: leave out what has no value")
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            inner = state_changes(old, new)
            changes |= {key: inner} if inner else {}
        elif key not in after or not same(new, old):
            changes[key] = state_changes({}, new) if isinstance(new, Mapping) else new
    return changes


def leaves(changes: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every path of a difference with its value; an empty object below the top is a value."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value
