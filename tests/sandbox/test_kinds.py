"""Which isolation this machine gives, and what is said where it does not give what is asked for."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from practicum.sandbox import (
    SandboxError,
    __main__,
    cell,
    kinds,
    machine,
    run_python,
    sandbox_kind,
    sandbox_notice,
    sandbox_report,
    sandbox_warning,
)
from practicum.sandbox.inside.filter import program as closed_calls
from practicum.sandbox.limits import KINDS
from practicum.sandbox.machine import Interpreter, layout, this_interpreter
from practicum.sandbox.python import start_ms


@pytest.fixture
def forgotten() -> Iterator[None]:
    """What was found out about this machine is found out again, before and after."""

    def forget() -> None:
        for known in (kinds._tried, machine.bubblewrap_version, machine.is_real_root):
            known.cache_clear()

    forget()
    yield
    forget()


def test_the_strongest_kind_that_works_is_taken_and_said() -> None:
    kind = sandbox_kind()
    assert kind == next(each for each in KINDS if not kinds.missing(each))
    assert run_python({"main.py": ""}).kind == kind
    assert f"{kind}: works" in sandbox_report()
    assert (sandbox_warning() is None) == (kind != "rlimits")


def test_without_bubblewrap_the_next_kind_is_taken_and_a_demand_for_it_is_an_error(
    forgotten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    if sandbox_kind() == "rlimits":
        pytest.skip("no namespaces here")
    assert sandbox_kind() == "namespaces"
    assert run_python({"main.py": "print(1)"}, require="namespaces").kind == "namespaces"
    with pytest.raises(SandboxError) as caught:
        run_python({"main.py": ""}, require="bubblewrap")
    assert caught.value.what == "this machine does not provide a Python sandbox of kind bubblewrap or stronger"
    assert caught.value.where == "bubblewrap: bwrap is not installed"
    assert caught.value.allowed == "without that demand there is: namespaces"
    assert "apt-get install bubblewrap" in caught.value.fix


def test_a_bubblewrap_that_is_refused_or_too_old_is_told_from_one_that_is_not_there(
    forgotten: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "bubblewrap 0.8.0" && exit\necho "bwrap: No permissions" >&2; exit 1\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert kinds.missing("bubblewrap") == "the sandbox did not come up: bwrap: No permissions"
    assert "kernel.unprivileged_userns_clone" in sandbox_report()
    fake.write_text('#!/bin/sh\necho "bubblewrap 0.3.1"\n')
    machine.bubblewrap_version.cache_clear()
    kinds._tried.cache_clear()
    assert kinds.missing("bubblewrap") == "bubblewrap 0.3.1 is too old; 0.5 is needed"


def test_a_machine_that_gives_nothing_is_told_so_for_each_kind(
    forgotten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise SandboxError("the kernel said no", fix="ask it nicely")

    monkeypatch.setattr(kinds, "build", refuse)
    with pytest.raises(SandboxError, match="does not provide a Python sandbox") as caught:
        run_python({"main.py": ""})
    assert [part.split(":")[0] for part in caught.value.where.split("; ")] == list(KINDS)
    assert "ask it nicely" in caught.value.fix


def test_an_unknown_demand_lists_the_known_ones() -> None:
    with pytest.raises(SandboxError, match="docker") as caught:
        run_python({"main.py": ""}, require="docker")  # type: ignore[arg-type]
    assert caught.value.allowed == "bubblewrap, namespaces, rlimits"


def test_limits_alone_come_with_a_warning_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_tried", lambda kind: ("", "") if kind == "rlimits" else ("not today", "wait"))
    warning = sandbox_warning()
    assert warning
    assert warning.startswith("sandbox: limits without namespaces: ")
    assert warning.endswith("For full isolation (not today): wait")
    assert "\n" not in warning


def test_root_does_not_run_a_program_on_a_python_that_only_root_may_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    (closed / "lib").mkdir(parents=True)
    closed.chmod(0o700)
    (closed / "python").touch()
    python = Interpreter(closed / "python", closed, closed / "lib", closed / "lib")
    monkeypatch.setattr(cell, "program_user", lambda: 60_000)
    run = cell.Program({"main.py": b""}, "main.py", (), b"", cell.PythonLimits(), False)
    with pytest.raises(SandboxError, match="is closed to other users") as caught:
        cell.build("rlimits", python, run)
    assert "apt-get install bubblewrap" in caught.value.fix


def test_nothing_of_this_machine_is_shown_but_python_and_the_systems_libraries() -> None:
    shown = layout(this_interpreter(), False)
    python = this_interpreter()
    for outside, inside in shown.binds:
        below_python = Path(outside).is_relative_to(python.prefix) and inside.startswith("/python")
        library = outside.startswith(("/lib", "/usr/lib", "/nix/store")) and "python3" not in outside
        assert below_python or library or inside == "/sandbox/inside", outside
    home = str(Path.home())
    assert home not in [outside for outside, _ in shown.binds]


@pytest.mark.parametrize("name", ["x86_64", "aarch64"])
def test_the_filter_is_a_whole_program_for_each_processor_it_knows(name: str) -> None:
    one, shared = closed_calls(machine=name), closed_calls([1, 2], True, name)
    assert one
    assert shared
    assert len(one) % 8 == 0
    assert len(shared) > len(one)
    assert one[-8:] == b"\x06\x00\x00\x00\x00\x00\xff\x7f"  # all that is not closed is allowed


def test_a_processor_that_is_not_known_has_no_filter() -> None:
    assert closed_calls(machine="vax") is None


def test_a_closed_folder_for_temporary_files_is_passed_over_for_a_program_that_runs_as_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert (cell._roof(for_nobody=True), cell._roof(for_nobody=False)) == ("/tmp", str(tmp_path))


def only_limits(monkeypatch: pytest.MonkeyPatch, landlock_version: int = 4, user: int = 0) -> None:
    """A machine that gives limits alone, to a user who runs programs as ``user`` (0: as itself)."""
    monkeypatch.setattr(kinds, "_tried", lambda kind: ("", "") if kind == "rlimits" else ("not today", "wait"))
    monkeypatch.setattr(kinds.landlock, "version", lambda: landlock_version)
    monkeypatch.setattr(kinds, "program_user", lambda: user)


def test_without_landlock_an_ordinary_user_gets_limits_alone_only_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    only_limits(monkeypatch, landlock_version=0)
    with pytest.raises(SandboxError, match="does not provide a Python sandbox") as caught:
        sandbox_kind()
    assert "rlimits: the kernel has no Landlock: a program could read and change all that" in caught.value.where
    assert "export PRACTICUM_SANDBOX=rlimits" in caught.value.fix
    assert kinds.choose("rlimits") == "rlimits"
    assert "works, where asked for by name (PRACTICUM_SANDBOX=rlimits)" in sandbox_report()
    monkeypatch.setenv("PRACTICUM_SANDBOX", "rlimits")
    assert sandbox_kind() == "rlimits"
    assert "not held: the kernel has no Landlock" in str(sandbox_warning())


def test_a_processor_without_a_filter_leaves_an_ordinary_user_exposed(monkeypatch: pytest.MonkeyPatch) -> None:
    only_limits(monkeypatch)
    monkeypatch.setattr(kinds.closed_calls, "program", lambda: None)
    with pytest.raises(SandboxError) as caught:
        sandbox_kind()
    assert "no filter of system calls is known for this processor" in caught.value.where


@pytest.mark.parametrize(("version", "user"), [(4, 0), (0, 60_000)])
def test_limits_alone_are_taken_where_landlock_or_another_user_stands_before_the_starter(
    monkeypatch: pytest.MonkeyPatch, version: int, user: int
) -> None:
    only_limits(monkeypatch, version, user)
    assert sandbox_kind() == "rlimits"
    assert kinds.exposure() == ""


@pytest.mark.parametrize(("user", "said"), [(0, "programs run as this one"), (60_000, "a user of their own")])
def test_the_start_of_a_run_tells_what_limits_alone_do_not_hold(
    monkeypatch: pytest.MonkeyPatch, user: int, said: str
) -> None:
    only_limits(monkeypatch, user=user)
    notice = sandbox_notice()
    assert notice == sandbox_warning()
    assert said in notice.partition("not held: which files and processes there are")[2]


def test_the_start_of_a_run_names_a_whole_wall_and_what_it_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_tried", lambda kind: ("", ""))
    assert sandbox_notice().startswith("sandbox: bubblewrap: ")
    assert "not held: faults of the kernel" in sandbox_notice()


def test_the_variable_demands_a_kind_where_the_code_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    only_limits(monkeypatch)
    monkeypatch.setenv("PRACTICUM_SANDBOX", "bubblewrap")
    with pytest.raises(SandboxError, match="of kind bubblewrap or stronger"):
        sandbox_kind()
    assert kinds.choose("rlimits") == "rlimits"
    monkeypatch.setenv("PRACTICUM_SANDBOX", "docker")
    with pytest.raises(SandboxError, match="PRACTICUM_SANDBOX is 'docker'"):
        sandbox_kind()


NOSY = """
import os, time
print(os.getuid())
for path in "/new", os.__file__, os.path.dirname(os.__file__) + "/new":
    try: open(path, "a")
    except OSError: print("closed", flush=True)
while os.fork(): pass
time.sleep(9)
"""
EACH_KIND = f"""
import sys, types
package = sys.modules["practicum"] = types.ModuleType("practicum")
package.__path__ = [sys.argv[1]]
from practicum.sandbox import kinds, python
for kind in kinds.KINDS:
    if kinds.missing(kind): print(kind, "missing"); continue
    found = python.run_in(kind, python.prepare({{"main.py": {NOSY!r}}}))
    print(kind, found.status, *found.stdout.split(), "BlockingIOError" in found.stderr)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_gets_a_sandbox_too(tmp_path: Path) -> None:
    """As 65534, on the system's Python, which that user may run; the weaker kinds are tried by the escapes."""
    system, recent = Path("/usr/bin/python3"), "import sys; assert sys.version_info >= (3, 11)"
    if not system.exists() or subprocess.run([system, "-c", recent], check=False).returncode:
        pytest.skip("no Python of the system's")
    source = Path(kinds.__file__).parent.parent
    if any(not folder.stat().st_mode & 0o001 for folder in source.parents):
        pytest.skip("this checkout is closed to other users")
    said = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", system, "-B", "-c", EACH_KIND, source],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    for kind, line in zip(KINDS, said.stdout.splitlines(), strict=True):
        if not kinds.missing(kind) or kind == "rlimits":
            assert line == f"{kind} error 65534 closed closed closed True", said


def test_the_time_to_start_can_be_measured() -> None:
    assert 1 < start_ms(sandbox_kind(), runs=3) < 5000


def test_the_command_says_what_works_and_how_fast(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "start_ms", lambda kind: 41.5)
    __main__.main()
    said = capsys.readouterr().out
    assert sandbox_report() in said
    assert f"start, {sandbox_kind()}: 41.5 ms (median of 20)" in said
