"""What a sandboxed Python program may use, and what came of it."""

from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from practicum.errors import EnvironmentFault


class SandboxError(EnvironmentFault):
    """The machine cannot provide the sandbox, or the call makes no sense (a path, a limit, a missing file)."""


Kind = Literal["bubblewrap", "namespaces", "rlimits"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # strongest first

Status = Literal["ok", "error", "timeout", "memory", "output", "files", "killed"]

_RANGES: dict[str, tuple[float, float]] = {
    "cpu_s": (0.1, 86_400),
    "wall_s": (0.1, 86_400),
    "memory_mb": (64, 1_048_576),
    "file_mb": (1, 65_536),
    "folder_mb": (1, 65_536),
    "folder_files": (16, 1_000_000),
    "processes": (1, 4_096),
    "output_kb": (1, 65_536),
    "returned_kb": (1, 65_536),
}


@dataclass(frozen=True)
class PythonLimits:
    """Bounds of one run. All of them hold for the program and whatever it starts, together or each as said.

    Attributes:
        cpu_s: Seconds of processor time, all processes together.
        wall_s: Seconds by the clock, from the program's first instruction.
        memory_mb: MiB of address space of each process, and of resident memory of all of them together.
        file_mb: MiB of a single file.
        folder_mb: MiB of the working folder; and as much again of ``/tmp``.
        folder_files: Files and folders in the working folder; and as many again in ``/tmp``.
        processes: Processes and threads alive at once, the program itself included.
        output_kb: KiB of standard output; and as much again of standard error.
        returned_kb: KiB of written files that are handed back.

    Raises:
        SandboxError: a value is not a number or out of range.
    """

    cpu_s: float = 5.0
    wall_s: float = 10.0
    memory_mb: int = 256
    file_mb: int = 8
    folder_mb: int = 32
    folder_files: int = 1024
    processes: int = 16
    output_kb: int = 64
    returned_kb: int = 1024

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, (low, high) = getattr(self, entry.name), _RANGES[entry.name]
            whole = entry.type in (int, "int")
            right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not right_type or not low <= value <= high:
                raise SandboxError(
                    f"{entry.name} is {value!r}",
                    where=f"PythonLimits.{entry.name}",
                    allowed=f"{'a whole number' if whole else 'a number'} from {low:g} to {high:g}",
                    fix="give a value in that range",
                )


@dataclass(frozen=True)
class PythonResult:
    """What a sandboxed program did. Equal programs on equal input give equal results; time and kind do not count.

    Attributes:
        status: ``ok`` (exit code 0), ``error`` (another exit code), ``timeout`` (processor or clock), ``memory``,
            ``output`` (printed too much), ``files`` (wrote too many files), ``killed`` (ended by a signal).
        exit_code: As the shell's, negative for a signal; None where the sandbox put an end to it.
        stdout: What it printed, cut at the limit; bytes that are not UTF-8 are replaced.
        stderr: The same of standard error.
        files: Text files it made or changed, by path relative to its folder; only if it ended by itself.
        left_out: "path: why" for each file that is not among ``files`` although it was written.
        reason: The status in a sentence.
        seconds: Time by the clock from the program's start.
        kind: How it was isolated.
    """

    status: Status
    exit_code: int | None
    stdout: str
    stderr: str
    files: dict[str, str]
    left_out: tuple[str, ...]
    reason: str
    seconds: float = field(compare=False)
    kind: Kind = field(compare=False)

    @property
    def ok(self) -> bool:
        """Whether the program ended by itself with exit code 0."""
        return self.status == "ok"
