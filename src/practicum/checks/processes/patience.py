"""Whether a process that takes long still works, or waits for what will never come."""

import os
from pathlib import Path

LONGEST_S = 300.0
"""Seconds of processor time after which work is held to go on for ever."""


class Patience:
    """Waits for a process group for a while, and then on as long as it works.

    A machine under load may not let it run; then it is ready to, and that is work. What sleeps for as long again as
    it was given waits for what will never come, however often it looks.
    """

    def __init__(self, group: int, seconds: float) -> None:
        self.step_s = seconds
        """How long to wait before asking ``is_over`` for the first time, and then again."""
        self._group, self._left = group, seconds

    def is_over(self) -> bool:
        """Whether to give up."""
        asleep, spent_s = _state(self._group)
        # The first time, the time given is up, and counting begins.
        self._left -= self.step_s if asleep and self.step_s == _LOOK_S else 0.0
        self.step_s = _LOOK_S
        return self._left <= 0 or spent_s > LONGEST_S


_LOOK_S = 0.1


def is_dead(pid: int) -> bool:
    """Whether a process ended; one that nobody has fetched yet, too."""
    return _fields(Path(f"/proc/{pid}"))[:1] in ([], ["Z"], ["X"])


def _state(group: int) -> tuple[bool, float]:
    """Whether all threads of a group sleep, and the seconds of processor time it has had."""
    ticks, asleep = 0, True
    for entry in Path("/proc").iterdir():
        fields = _fields(entry) if entry.name.isdigit() else []
        if len(fields) > 12 and fields[2] == str(group):
            asleep = asleep and not any(_fields(task)[:1] in (["R"], ["D"]) for task in (entry / "task").glob("*"))
            ticks += int(fields[11]) + int(fields[12])
    return asleep, ticks / os.sysconf("SC_CLK_TCK")


def _fields(folder: Path) -> list[str]:
    """State, parent, group and so on, as proc(5) counts them from the third field."""
    try:
        return (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
