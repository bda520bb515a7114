"""Objects that name in one member what stands in another: ``{"name": "API_KEY", "value": "…"}``, as lists of variables
and headers have them. The value's own name, "value", says nothing."""

from collections.abc import Mapping
from typing import Any

_NAMING = ("name", "key", "header", "field", "variable", "setting", "parameter")
_VALUES = frozenset({"value", "values", "val", "content", "data", "secret_value"})


def name_beside(key: str, around: Mapping[str, Any]) -> str:
    """What a member's neighbour calls it; "" where there is none that does."""
    if key.lower() not in _VALUES:
        return ""
    names = {str(name).lower(): text for name, text in around.items() if isinstance(text, str)}
    return next((names[name] for name in _NAMING if name in names), "")
