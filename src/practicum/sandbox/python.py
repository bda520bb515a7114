"""Runs a Python program that nobody trusts, and says what came of it."""

import asyncio
import math
import signal
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from practicum.sandbox import kinds
from practicum.sandbox.cell import MIB, Cell, Program, build
from practicum.sandbox.limits import Kind, PythonLimits, PythonResult, SandboxError, Status
from practicum.sandbox.machine import Interpreter, this_interpreter
from practicum.sandbox.supervise import CellRun, supervise

DEFAULT = PythonLimits()


def run_python(
    files: Mapping[str, str],
    *,
    main: str | None = None,
    argv: Sequence[str] = (),
    stdin: str = "",
    limits: PythonLimits = DEFAULT,
    packages: bool = False,
    require: Kind | None = None,
    cancelled: threading.Event | None = None,
) -> PythonResult:
    """Runs ``python main`` in a fresh folder, isolated and limited. Safe to call from any number of threads.

    The program sees its folder as ``/work``, the standard library, and an environment that is always the same
    (UTC, UTF-8, hash seed 0, user "nobody"); no other file of this machine, no network, no other process.
    Equal programs give equal results as far as they do not ask the clock or the random device. Under ``rlimits`` the
    folder's real path is elsewhere (it reads ``/work`` in all that comes back), and process and user ids vary.

    Args:
        files: Text by relative path; laid in the folder before the start.
        main: Which of them to start; ``main.py`` if not given. Its folder is on the module path, as always.
        argv: Arguments for ``sys.argv[1:]``.
        stdin: Text on standard input; at its end the program reads "".
        limits: What it may use.
        packages: Whether the packages installed beside Practicum can be imported too.
        require: Weakest kind of isolation to accept; None accepts what the machine gives (``sandbox_kind()``).
        cancelled: Set it to end the run early (for ``arun_python``).

    Raises:
        SandboxError: a path, argument or limit makes no sense, or the machine provides no such sandbox.
    """
    program = prepare(files, main or "main.py", argv, stdin, limits, packages)
    return run_in(kinds.choose(require), program, cancelled)


async def arun_python(
    files: Mapping[str, str],
    *,
    main: str | None = None,
    argv: Sequence[str] = (),
    stdin: str = "",
    limits: PythonLimits = DEFAULT,
    packages: bool = False,
    require: Kind | None = None,
) -> PythonResult:
    """``run_python`` without blocking the event loop. Cancelled, it ends the program before it returns."""
    cancelled = threading.Event()

    def work() -> PythonResult:
        return run_python(
            files,
            main=main,
            argv=argv,
            stdin=stdin,
            limits=limits,
            packages=packages,
            require=require,
            cancelled=cancelled,
        )

    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([task])
        raise


def run_in(
    kind: Kind, program: Program, cancelled: threading.Event | None = None, python: Interpreter | None = None
) -> PythonResult:
    """Runs a program in one kind of isolation, whether stronger ones are there or not."""
    cell = build(kind, python or this_interpreter(), program)
    return _result(supervise(cell, program, cancelled), kind, cell, program.limits)


def prepare(
    files: Mapping[str, str],
    main: str = "main.py",
    argv: Sequence[str] = (),
    stdin: str = "",
    limits: PythonLimits = DEFAULT,
    packages: bool = False,
) -> Program:
    """What to run, checked.

    Raises:
        SandboxError: a path, text or argument makes no sense.
    """
    laid = {_path(name): _encoded(text, name) for name, text in files.items()}
    if main not in laid:
        raise SandboxError(
            f"there is no file {main!r} to start",
            where="main",
            allowed=", ".join(map(repr, laid)) or "the path of a given file",
            fix="give the file, or name another one as main=",
        )
    inner = {folder for name in laid for folder in map(str, PurePosixPath(name).parents)}
    if clash := sorted(inner & set(laid)):
        raise SandboxError(f"{clash[0]!r} is a file and a folder", where="files", fix="rename one of them")
    size, count = sum(map(len, laid.values())), len(laid) + len(inner)
    if size > limits.folder_mb * MIB or count > limits.folder_files:
        raise SandboxError(
            f"{count} files and folders of {size} bytes do not fit into the working folder",
            where="files",
            allowed=f"{limits.folder_files} of {limits.folder_mb} MiB",
            fix="raise PythonLimits.folder_mb or folder_files",
        )
    for word in argv:
        if not isinstance(word, str) or "\0" in word:
            raise SandboxError(f"{word!r} cannot be an argument", where="argv", allowed="text without NUL")
        _encoded(word, "argv")
    return Program(laid, main, tuple(argv), _encoded(stdin, "stdin"), limits, packages)


def _path(name: object) -> str:
    if isinstance(name, str) and len(name) <= 1024 and name.isprintable():
        parts = name.split("/")
        if all(part not in ("", ".", "..") and len(part.encode("utf-8", "replace")) <= 255 for part in parts):
            return name
    raise SandboxError(
        f"{name!r} cannot be a file's path",
        where="files",
        allowed='relative paths of printable text, such as "pkg/module.py": no "..", no leading "/", no empty part',
        fix="name the file by its place below the working folder",
    )


def _encoded(text: object, where: str) -> bytes:
    try:
        return text.encode() if isinstance(text, str) else _no_text(text, where)
    except UnicodeEncodeError:
        return _no_text(text, where)


def _no_text(text: object, where: str) -> bytes:
    raise SandboxError(
        f"{type(text).__name__} {str(text)[:40]!r} is not text that UTF-8 can hold",
        where=where,
        allowed="str without lone surrogates",
        fix="decode bytes first",
    )


def _result(run: CellRun, kind: Kind, cell: Cell, limits: PythonLimits) -> PythonResult:
    def text(data: bytes | bytearray) -> str:
        printable = bytes(data).decode("utf-8", "replace")
        for actual, alias in cell.aliases:
            printable = printable.replace(actual, alias)
        return printable

    status, reason = _verdict(run, text(run.stderr), limits)
    return PythonResult(
        status=status,
        exit_code=run.exit_code if run.end == "itself" else None,
        stdout=text(run.stdout),
        stderr=text(run.stderr),
        files={text(name): text(content) for name, content in run.files.items()},
        left_out=tuple(map(text, run.left_out)),
        reason=reason,
        seconds=run.seconds,
        kind=kind,
    )


def _verdict(run: CellRun, stderr: str, limits: PythonLimits) -> tuple[Status, str]:
    out_of_time = f"stopped: out of time ({limits.cpu_s:g} s of processor, {limits.wall_s:g} s by the clock)"
    out_of_memory = f"stopped: more than {limits.memory_mb} MiB of memory"
    ends: dict[str, tuple[Status, str]] = {
        "timeout": ("timeout", out_of_time),
        "memory": ("memory", out_of_memory),
        "output": ("output", f"stopped: printed more than {limits.output_kb} KiB"),
        "files": ("files", f"stopped: more than {limits.folder_files} files or {limits.folder_mb} MiB written"),
        "killed": ("killed", "the sandbox was ended from outside, or by the machine for want of memory"),
        "cancelled": ("killed", "cancelled by the caller"),
    }
    if run.end != "itself":
        return ends[run.end]
    code = run.exit_code
    if code == 0:
        return "ok", "ended with exit code 0"
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and run.cpu_s >= math.floor(limits.cpu_s)):
        return "timeout", out_of_time
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return "killed", f"ended by signal {name}"
    if (stderr.rstrip().splitlines() or [""])[-1].startswith("MemoryError"):
        return "memory", f"ran out of memory: {limits.memory_mb} MiB"
    return "error", f"ended with exit code {code}"


def start_ms(kind: Kind, runs: int = 20) -> float:
    """Median of milliseconds from the call until the result of an empty program is there, everything cleared away."""
    program, times = prepare({"main.py": ""}), []
    run_in(kind, program)  # what is found out once
    for _ in range(runs):
        begun = time.perf_counter()
        run_in(kind, program)
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1000
