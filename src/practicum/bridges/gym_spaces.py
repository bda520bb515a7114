"""Gymnasium spaces as JSON: an action space as a tool's parameter, observations as what a tool returns."""

from collections.abc import Mapping, Sequence
from typing import Any

from practicum.environment.tool import ToolError
from practicum.errors import EnvironmentFault

ACTIONS = "Discrete, Text, MultiDiscrete, MultiBinary, or a Tuple or Dict of these"
OBSERVATIONS = "Text, Discrete, MultiDiscrete, MultiBinary, or a Tuple or Dict of these"


def action_schema(space: Any, names: Sequence[str], where: str) -> dict[str, Any]:
    """JSON Schema of one action.

    A MultiDiscrete or MultiBinary action is a list (of lists, where the space has more axes), a Tuple a list of its
    parts, a Dict an object.

    Args:
        space: The action space.
        names: What the actions of a Discrete space are called, in order; empty for numbers.
        where: The game, for errors.

    Raises:
        EnvironmentFault: a space that text cannot name, or not one name for each action.
    """
    from gymnasium import spaces

    if not names:
        return _schema(space, where)
    if not isinstance(space, spaces.Discrete):
        raise EnvironmentFault(f"actions of {space} have no order to be named in", where=where, fix="leave names out")
    count = int(space.n)
    if len(names) != count or len(set(names)) != count:
        raise EnvironmentFault(f"{list(names)} do not name {count} actions", where=where, fix=f"give {count} names")
    return {"type": "string", "enum": list(names)}


def _schema(space: Any, where: str) -> dict[str, Any]:
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return _whole(int(space.start), int(space.n))
    if isinstance(space, spaces.Text):
        return {"type": "string", "minLength": space.min_length, "maxLength": space.max_length}
    if isinstance(space, spaces.MultiDiscrete):
        return _grid(space.start.tolist(), space.nvec.tolist())
    if isinstance(space, spaces.MultiBinary):
        bit = _whole(0, 2)
        for length in reversed(space.shape):
            bit = _list([bit] * length)
        return bit
    if isinstance(space, spaces.Tuple):
        return _list([_schema(inner, where) for inner in space.spaces])
    if isinstance(space, spaces.Dict):
        parts = {name: _schema(inner, where) for name, inner in space.spaces.items()}
        return {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}
    raise EnvironmentFault(f"actions of {space} are no text", where=where, allowed=ACTIONS)


def _whole(low: int, count: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": low + count - 1}


def _grid(lows: Any, counts: Any) -> dict[str, Any]:
    """A number from ``low``, or a list of such, as deep as the space has axes."""
    if not isinstance(lows, list):
        return _whole(lows, counts)
    return _list([_grid(low, count) for low, count in zip(lows, counts, strict=True)])


def _list(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A list of exactly these parts; said once where all are alike."""
    items: dict[str, Any] = {"prefixItems": list(parts)} if parts else {}
    if parts and all(part == parts[0] for part in parts):
        items = {"items": parts[0]}
    return {"type": "array", **items, "minItems": len(parts), "maxItems": len(parts)}


def action_of(space: Any, names: Sequence[str], given: Any) -> Any:
    """The action that a tool call means; ``given`` keeps to the schema.

    Raises:
        ToolError: the space does not hold it (text of other characters than it allows).
    """
    action = int(space.start) + list(names).index(given) if names else _action(space, given)
    if action not in space:
        raise ToolError(f"{given!r} is no action: {_allowed(space)}")
    return action


def _action(space: Any, given: Any) -> Any:
    import numpy as np
    from gymnasium import spaces

    # JSON Schema calls 2.0 an integer too.
    if isinstance(space, spaces.Discrete):
        return space.dtype.type(int(given))
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return np.array(given).astype(space.dtype)
    if isinstance(space, spaces.Tuple):
        return tuple(_action(inner, item) for inner, item in zip(space.spaces, given, strict=True))
    if isinstance(space, spaces.Dict):
        return {name: _action(inner, given[name]) for name, inner in space.spaces.items()}
    return given


def observation_json(space: Any, value: Any, where: str) -> Any:
    """An observation as JSON data.

    Raises:
        EnvironmentFault: a space that has no exact JSON form.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Text):
        return str(value)
    if isinstance(space, spaces.Discrete):
        return int(value)
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return value.tolist()
    if isinstance(space, spaces.Tuple):
        return [observation_json(inner, item, where) for inner, item in zip(space.spaces, value, strict=True)]
    if isinstance(space, spaces.Dict):
        items: Mapping[str, Any] = value
        return {name: observation_json(inner, items[name], where) for name, inner in space.spaces.items()}
    raise EnvironmentFault(
        f"observations in {space} are no text",
        where=where,
        allowed=OBSERVATIONS,
        fix="wrap the game so that it describes what it shows in words",
    )


def _allowed(space: Any) -> str:
    characters = getattr(space, "characters", "")
    return f"text of these characters: {characters[:200]}" if characters else str(space)
