"""Python that a command runs first, so that it ends itself at a chosen moment."""

KILL = "import os, signal; kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"

AFTER_CALLS = """
from {module} import {owner} as owner
original, count = owner.{name}, 0
def counted(*args, **kwargs):
    global count
    count += 1
    if count == {n} and {before}:
        kill()
    result = original(*args, **kwargs)
    if count == {n}:
        kill()
    return result
owner.{name} = counted
"""


def killed_at(module: str, owner: str, name: str, n: int, *, before: bool = False) -> str:
    """Python that makes its process kill -9 itself at the n-th call, just before it or just after it."""
    return KILL + AFTER_CALLS.format(module=module, owner=owner, name=name, n=n, before=before)
