"""One kind of secret: how it is found, by the name of a member or in text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from practicum.errors import EnvironmentFault


@dataclass(frozen=True)
class Rule:
    """One kind of secret.

    Attributes:
        name: What its placeholders are called: letters, digits and dashes.
        key: Regular expression that a member's whole name must match, in lower case and without ``_`` and ``-``;
            every text and number below such a member is a secret.
        value: Regular expression to be searched for in text; its first group is the secret, or all it matched.
        shape: With ``key``: regular expression that the whole text or number must match to be one; empty: any.
        spreads: Whether what it finds is replaced elsewhere too.
    """

    name: str
    key: str = ""
    value: str = ""
    spreads: bool = True
    shape: str = ""

    def __post_init__(self) -> None:
        named = re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", self.name)
        if not named or bool(self.key) == bool(self.value) or (self.shape and not self.key):
            raise EnvironmentFault(
                f"{self} is no rule",
                allowed="a name of letters, digits and dashes, and either a key (and perhaps a shape) or a value",
            )
        for expression in (self.key or self.value, self.shape):
            try:
                re.compile(expression)
            except re.error as error:
                raise EnvironmentFault(
                    f"rule {self.name!r} is no regular expression: {error}", where=expression
                ) from error

    def covers(self, value: Any) -> bool:
        """Whether what stands below a member of this name is a secret."""
        return can_be_secret(value) and (not self.shape or re.fullmatch(self.shape, str(value)) is not None)


def can_be_secret(value: Any) -> bool:
    """Whether a value is a text or a number at all."""
    return (isinstance(value, str) and value != "") or (isinstance(value, int | float) and not isinstance(value, bool))


EMAILS = Rule("email", value=r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
"""For those who want mail addresses out of a recording too."""


_NAMING = ("name", "key", "header", "field", "variable", "setting", "parameter")
_VALUES = frozenset({"value", "values", "val", "content", "data", "secret_value"})


def name_beside(key: str, around: Mapping[str, Any]) -> str:
    """What a member's neighbour calls it; "" where there is none that does."""
    if key.lower() not in _VALUES:
        return ""
    names = {str(name).lower(): text for name, text in around.items() if isinstance(text, str)}
    return next((names[name] for name in _NAMING if name in names), "")
