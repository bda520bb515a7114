"""What isolation this machine gives: tried once, strongest first, by running a program; never guessed."""

import os
from functools import cache

from practicum.errors import PracticumError
from practicum.sandbox.cell import Program, build
from practicum.sandbox.inside import filter as closed_calls
from practicum.sandbox.inside import landlock
from practicum.sandbox.limits import KINDS, Kind, PythonLimits, SandboxError
from practicum.sandbox.machine import bubblewrap_version, kernel_version, program_user, this_interpreter
from practicum.sandbox.supervise import supervise

INSTALL = "apt-get install bubblewrap (its package is named bubblewrap on Debian, Ubuntu, Fedora, Arch and Alpine)"
ALLOW = (
    "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, "
    "or a container that has them)"
)
VARIABLE = "PRACTICUM_SANDBOX"
"""Names the weakest kind to accept, where the code that runs a program names none."""


def missing(kind: Kind) -> str:
    """Why this machine does not give a kind of isolation, in words; "" if it does."""
    return _tried(kind)[0]


@cache
def _tried(kind: Kind) -> tuple[str, str]:
    """(why not, what to do about it); both "" if it works."""
    if kind == "bubblewrap" and not bubblewrap_version():
        return "bwrap is not installed", INSTALL
    if kind == "bubblewrap" and bubblewrap_version() < (0, 5):
        return f"bubblewrap {'.'.join(map(str, bubblewrap_version()))} is too old; 0.5 is needed", INSTALL
    if kind == "namespaces" and kernel_version() < (5, 14):
        return f"Linux {'.'.join(map(str, kernel_version()))} is too old; 5.14 is needed", INSTALL
    probe = Program({"main.py": b"print('up')"}, "main.py", (), b"", PythonLimits(), False)
    try:
        run = supervise(build(kind, this_interpreter(), probe), probe)
    except PracticumError as error:
        return error.what, ALLOW if kind != "rlimits" else error.fix
    if run.exit_code != 0 or bytes(run.stdout) != b"up\n":
        said = [line for line in bytes(run.stderr).decode("utf-8", "replace").splitlines() if "Error" in line]
        return f"a first program did not run: {(said or [run.end])[0]}", INSTALL
    return "", ""


def exposure() -> str:
    """Why ``rlimits`` is taken only where it is asked for by name, in words; "" where it needs not be."""
    if program_user():
        return ""
    if not landlock.version():
        return "the kernel has no Landlock: a program could read and change all that this user can"
    if closed_calls.program() is None:
        return "no filter of system calls is known for this processor: a program could end this user's processes"
    return ""


def sandbox_kind() -> Kind:
    """The strongest isolation this machine gives: ``bubblewrap``, ``namespaces`` or ``rlimits``.

    Raises:
        SandboxError: it gives none, or only limits that leave the user exposed; the message says why for each.
    """
    return choose(None)


def choose(require: Kind | None) -> Kind:
    """The strongest kind there is, at least as strong as required, by the caller or else by ``VARIABLE``.

    Raises:
        SandboxError: there is none; says what is missing and what to install.
    """
    if require is not None and require not in KINDS:
        raise SandboxError(f"require is {require!r}", where="run_python", allowed=", ".join(KINDS))
    require = require or _required_by_variable()
    enough = KINDS[: KINDS.index(require) + 1] if require else KINDS
    for kind in enough:
        if not missing(kind) and (kind != "rlimits" or require == "rlimits" or not exposure()):
            return kind
    weaker = next((kind for kind in KINDS[len(enough) :] if not missing(kind)), None)
    raise SandboxError(
        f"this machine does not provide a Python sandbox{f' of kind {require} or stronger' if require else ''}",
        where="; ".join(f"{kind}: {missing(kind) or exposure()}" for kind in enough),
        allowed=f"without that demand there is: {weaker}" if weaker else "",
        fix="; or ".join(_tried(kind)[1] or f"accept that by name: export {VARIABLE}={kind}" for kind in enough),
    )


def _required_by_variable() -> Kind | None:
    named = os.environ.get(VARIABLE) or None
    for kind in KINDS:
        if named == kind:
            return kind
    if named:
        raise SandboxError(f"{VARIABLE} is {named!r}", where="the environment", allowed=", ".join(KINDS))
    return None


def sandbox_notice() -> str:
    """One line for the start of a run: which kind is used, and what it does not hold."""
    return sandbox_warning() or (
        f"sandbox: {sandbox_kind()}: nothing of this machine is in reach but Python and the system's libraries; "
        "not held: faults of the kernel, which is the machine's own"
    )


def sandbox_warning() -> str | None:
    """One line for the user where the isolation is weak; None where it is complete."""
    if sandbox_kind() != "rlimits":
        return None
    files = "files are confined by Landlock" if landlock.version() else "programs can read what their user can read"
    return (
        f"sandbox: limits without namespaces: {files}; the network and other processes are closed; "
        f"not held: {_unheld()}. For full isolation ({missing('bubblewrap')}): {_tried('bubblewrap')[1]}"
    )


def _unheld() -> str:
    """What limits alone leave open on this machine."""
    open_to_all = "which files and processes there are"
    if program_user():
        return f"{open_to_all}; programs run as a user of their own"
    exposed = exposure()
    counted = "counts that the kernel keeps by user (pipes, watches, processes), as programs run as this one"
    return ", ".join([*([exposed] if exposed else []), open_to_all, counted])


def sandbox_report() -> str:
    """One line for each kind: whether it works here, or why not and what to do."""
    lines = [f"{kind}: {f'no: {missing(kind)}. {_tried(kind)[1]}' if missing(kind) else 'works'}" for kind in KINDS]
    if not missing("rlimits") and (exposed := exposure()):
        lines[-1] += f", where asked for by name ({VARIABLE}=rlimits): {exposed}"
    return "\n".join([*lines, f"landlock: version {landlock.version()}", f"seccomp: {_seccomp()}"])


def _seccomp() -> str:
    from practicum.sandbox.inside.filter import program

    return "works" if program() else "no filter for this processor"
