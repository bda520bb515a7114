"""One seed, many independent streams: every random number of a run comes from a named child of the run's seed."""

import hashlib


def derive(seed: int, *path: str | int) -> int:
    """A 63-bit seed for the stream named by ``path``; equal names give equal seeds on every machine."""
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
