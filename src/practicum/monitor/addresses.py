"""Addresses of tracking servers and databases, which may hold a password: on a screen, and in a file."""

import re

_USER = re.compile(r"(://)[^/\s]*@")
_PASSWORD = re.compile(r"(://[^/\s:]*):[^/\s]*(?=@)")
_IN_QUERY = re.compile(r"([?&;][\w-]*(?:passw(?:or)?d|token|secret)=)[^&;\s]*", re.IGNORECASE)


def without_password(address: str) -> str:
    """An address as it may stand on a screen."""
    return _IN_QUERY.sub(r"\1…", _USER.sub(r"\1…@", address))


def storable(address: str) -> str:
    """An address as it may be written down: a server's without user and password, a database's without password.

    Who uses it gives the rest again: in the environment, or with the whole address.
    """
    bare = _USER.sub(r"\1", address) if address.startswith(("http:", "https:")) else _PASSWORD.sub(r"\1", address)
    return _IN_QUERY.sub(r"\1", bare)
