"""A module beside an environment."""

from shelf import ROWS

KNOWN = {name: f"{row['colour']}, {row['size']}" for name, row in ROWS.items()}
SEEN: list[str] = []


def described(name: str) -> str:
    """A thing in words."""
    return KNOWN[name]
