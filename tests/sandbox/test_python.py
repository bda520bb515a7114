"""Python programs that behave: what they see, what comes back, and that it is the same each time."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from practicum.sandbox import PythonLimits, SandboxError, arun_python, run_python
from practicum.sandbox.inside.tidy import remove
from practicum.sandbox.machine import WORK
from practicum.sandbox.python import prepare
from practicum.sandbox.supervise import netstrings

STEADY = """
import sys, os, random, socket, tempfile, time
class Thing: pass
print(object(), Thing(), hash("text"), {"b", "a", "c"}, id(Thing))
print(os.getcwd(), os.getpid(), os.getuid(), sorted(os.environ.items()), sys.argv, sys.executable)
print(sys.flags, sys.stdout.encoding, sys.getfilesystemencoding(), time.tzname, tempfile.gettempdir())
print(sys.stdin.read(), os.listdir())
raise RuntimeError("where am I?")
"""


def test_the_same_program_gives_the_same_result_to_the_byte(wall: Any) -> None:
    code = STEADY
    if wall.kind == "rlimits":  # there the numbers are the machine's
        code = code.replace("os.getpid(), os.getuid()", "0")
    one, other = (wall.run(code, "x", stdin="in") for _ in range(2))
    assert one == other
    assert one.status == "error"
    assert one.stdout.splitlines()[1].startswith(WORK)
    assert f'File "{WORK}/main.py", line 8, in <module>' in one.stderr
    for place in ("practicum", "/root", f"{Path.home()}/"):
        assert place not in one.stdout + one.stderr


def test_a_traceback_through_the_standard_library_names_no_place_of_this_machine(wall: Any) -> None:
    result = wall.run("import json\njson.loads('{')")
    assert 'File "/python/lib/python3.' in result.stderr
    assert result.stderr.endswith("(char 1)\n")
    assert str(wall.python.library) not in result.stderr


def test_a_program_gets_its_files_arguments_and_input() -> None:
    files = {
        "main.py": "import sys, pkg.part\nprint(pkg.part.f(), sys.argv[1:], input())",
        "pkg/part.py": "def f(): return 5",
    }
    result = run_python(files, argv=["a b", "ü"], stdin="line\n")
    assert (result.status, result.exit_code, result.stdout, result.stderr) == ("ok", 0, "5 ['a b', 'ü'] line\n", "")
    assert result.ok
    assert result.reason == "ended with exit code 0"
    assert result.files == {}


def test_another_file_can_be_the_one_to_start() -> None:
    result = run_python({"tests/run.py": "import os; print(__file__, os.listdir())"}, main="tests/run.py")
    assert result.stdout == f"{WORK}/tests/run.py ['tests']\n"


def test_text_files_that_are_new_or_changed_come_back(wall: Any) -> None:
    result = wall.run(
        "import os\nos.makedirs('a/b')\nopen('a/b/new.txt', 'w').write('grüße')\nopen('main.py', 'a').write('# more')\n"
        "open('data.bin', 'wb').write(b'\\xff\\x00')\nopen('/tmp/scratch', 'w').write('not mine')\nos.mkdir('empty')"
    )
    assert sorted(result.files) == ["a/b/new.txt", "main.py"]
    assert result.files["a/b/new.txt"] == "grüße"
    assert result.files["main.py"].endswith("# more")
    assert result.left_out == ("data.bin: not text",)


def test_what_is_no_text_file_is_named_and_not_followed(wall: Any, outside: Any) -> None:
    result = wall.run(f"import os\nos.symlink('{outside.secret}', 'a')\nos.mkfifo('b')\nopen('c', 'wb').write(b'\\0')")
    assert result.files == {}
    assert result.left_out == ("a: a symbolic link", "b: not a regular file", "c: not text")


def test_what_is_too_much_to_hand_back_is_named() -> None:
    code = (
        "import os\nfor n in range(3): open(f'{n}.txt', 'w').write('x' * 700)\n"
        "open('locked', 'w').close(); os.chmod('locked', 0)"
    )
    result = run_python({"main.py": code}, limits=PythonLimits(returned_kb=1))
    assert list(result.files) == ["0.txt"]
    assert result.left_out == (
        "1.txt: more than the limit of what is handed back",
        "2.txt: more than the limit of what is handed back",
        "locked: not readable",
    )


def test_the_usual_tools_of_a_program_work(wall: Any) -> None:
    code = """
import asyncio, concurrent.futures, json, multiprocessing, sqlite3, subprocess, sys, tempfile, threading, unittest
def double(x): return 2 * x
if __name__ == "__main__":
    print(asyncio.run(asyncio.sleep(0, "async")))
    print(list(concurrent.futures.ThreadPoolExecutor(4).map(double, [1, 2])))
    with multiprocessing.Pool(2) as pool: print(pool.map(double, [3, 4]))
    print(subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True, text=True).stdout)
    print(sqlite3.connect(":memory:").execute("select 1").fetchall())
    with tempfile.NamedTemporaryFile("w+") as f: f.write("x"); print("temp")
    exit(4)
"""
    result = wall.run(code)
    if wall.kind == "rlimits":  # semaphores live in /dev/shm, which is not to be had there
        code = code.replace("with multiprocessing", "pass  #")
        result = wall.run(code)
        assert result.stdout == "async\n[2, 4]\nchild\n\n[(1,)]\ntemp\n", result.stderr
    else:
        assert result.stdout == "async\n[2, 4]\n[6, 8]\nchild\n\n[(1,)]\ntemp\n", result.stderr
    assert (result.status, result.exit_code) == ("error", 4)


def test_the_packages_of_the_installation_are_out_of_sight(wall: Any) -> None:
    code = "import os, sys\nprint([os.listdir(path) for path in sys.path if path.endswith('-packages')])"
    assert wall.run(code).stdout in ("[]\n", "[[]]\n")
    assert "ModuleNotFoundError" in wall.run("import pip").stderr


def test_packages_can_be_shown_where_asked() -> None:
    code = "import hypothesis; print(hypothesis.__name__)"
    assert run_python({"main.py": code}).stderr.endswith("ModuleNotFoundError: No module named 'hypothesis'\n")
    assert run_python({"main.py": code}, packages=True, limits=PythonLimits(memory_mb=1024)).stdout == "hypothesis\n"


def test_eight_at_once_from_threads_do_not_meet(open_descriptors: Callable[[], list[str]]) -> None:
    run_python({"main.py": ""})
    before = open_descriptors()

    def work(number: int) -> str:
        code = f"import os, time\nopen('mine', 'w').write('{number}')\ntime.sleep(0.2)\n"
        code += "print(open('mine').read(), len(os.listdir()))"
        return run_python({"main.py": code}).stdout

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [f"{number} 2\n" for number in range(8)]
    assert open_descriptors() == before


def test_many_can_be_awaited() -> None:
    async def work() -> list[str]:
        runs = (arun_python({"main.py": f"print({number})"}) for number in range(8))
        return [result.stdout for result in await asyncio.gather(*runs)]

    assert asyncio.run(work()) == [f"{number}\n" for number in range(8)]


def test_a_cancelled_run_is_over_when_the_cancellation_arrives(outside: Any) -> None:
    async def work() -> float:
        code = "import time\ntime.sleep(60)"
        task = asyncio.create_task(
            arun_python({"main.py": code}, argv=[outside.marker], limits=PythonLimits(wall_s=60))
        )
        while not outside.processes():
            await asyncio.sleep(0.02)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert outside.processes() == []
        return time.monotonic() - begun

    assert asyncio.run(work()) < 10


CALLER = """
import sys, tempfile
from pathlib import PosixPath
from practicum.sandbox import PythonLimits
from practicum.sandbox.machine import Interpreter
from practicum.sandbox.python import prepare, run_in
tempfile.tempdir = sys.argv[2]
code = "import os, time\\nos.fork() or os.setsid()\\ntime.sleep(60)"
run_in({kind!r}, prepare({{"main.py": code}}, argv=[sys.argv[1]], limits=PythonLimits(wall_s=60)), python={python!r})
"""


def test_a_run_is_over_when_its_caller_is_killed(wall: Any, outside: Any) -> None:
    outside.secret.unlink()
    command = [sys.executable, "-c", CALLER.format(kind=wall.kind, python=wall.python), outside.marker, outside.folder]
    caller, deadline = subprocess.Popen(command), time.monotonic() + 60
    while len(outside.processes()) < 3 and time.monotonic() < deadline:  # the caller and two of its program's
        time.sleep(0.05)
    assert len(outside.processes()) >= 3
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    while (outside.processes() or list(outside.folder.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert outside.processes() == []
    assert list(outside.folder.iterdir()) == []


def test_time_and_kind_do_not_make_a_result_another_one() -> None:
    result = run_python({"main.py": "print(1)"})
    assert result == replace(result, seconds=99, kind="rlimits")
    assert result != replace(result, stdout="2\n")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no such main": ({"main": "other.py"}, "there is no file 'other.py' to start"),
    "an absolute path": ({"files": {"/etc/x": "", "main.py": ""}}, "'/etc/x' cannot be a file's path"),
    "a way out": ({"files": {"a/../../x": "", "main.py": ""}}, "cannot be a file's path"),
    "an empty part": ({"files": {"a//b": "", "main.py": ""}}, "cannot be a file's path"),
    "a control character": ({"files": {"a\nb": "", "main.py": ""}}, "cannot be a file's path"),
    "a long name": ({"files": {"x" * 256: "", "main.py": ""}}, "cannot be a file's path"),
    "a name that is no text": ({"files": {5: "", "main.py": ""}}, "cannot be a file's path"),
    "bytes for text": ({"files": {"main.py": b""}}, "bytes .* is not text"),
    "a lone surrogate": ({"files": {"main.py": "\ud800"}}, "is not text that UTF-8 can hold"),
    "a file that is a folder": ({"files": {"main.py": "", "main.py/x": ""}}, "'main.py' is a file and a folder"),
    "too many files": ({"files": {f"{n}": "" for n in range(2000)} | {"main.py": ""}}, "do not fit"),
    "too large a file": ({"files": {"main.py": "#" * (33 << 20)}}, "do not fit"),
    "an argument with NUL": ({"argv": ["a\0b"]}, "cannot be an argument"),
    "an argument that is no text": ({"argv": [5]}, "cannot be an argument"),
    "input that is no text": ({"stdin": b"x"}, "bytes .* is not text"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_call_that_makes_no_sense_is_told_why(case: str) -> None:
    settings, message = BAD[case]
    settings = {"files": {"main.py": ""}, **settings}
    with pytest.raises(SandboxError, match=message) as caught:
        run_python(settings.pop("files"), **settings)
    assert caught.value.where


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cpu_s", 0),
        ("wall_s", "10"),
        ("memory_mb", 63),
        ("memory_mb", 100.5),
        ("processes", True),
        ("output_kb", 10**9),
    ],
)
def test_a_limit_out_of_range_is_named_with_its_range(name: str, value: Any) -> None:
    with pytest.raises(SandboxError, match=f"{name} is .*\n.*PythonLimits.{name}\n.*from .* to"):
        PythonLimits(**{name: value})


@given(st.text(alphabet="ab/.\\ \n\0", max_size=12))
def test_a_path_that_is_accepted_stays_in_the_folder(path: str) -> None:
    try:
        program = prepare({path: "", "main.py": ""})
    except SandboxError:
        return
    for name in program.files:
        assert os.path.normpath(f"{WORK}/{name}") == f"{WORK}/{name}"
        assert "\0" not in name


@given(st.lists(st.binary(max_size=20)), st.binary(max_size=5))
def test_words_over_the_socket_are_read_as_they_were_said(words: list[bytes], torn: bytes) -> None:
    data = b"".join(b"%d:%s," % (len(word), word) for word in words)
    assert netstrings(data) == words
    assert netstrings(data + b"12:" + torn) == words


def test_threads_are_not_left_over() -> None:
    before = threading.active_count()
    for _ in range(3):
        run_python({"main.py": "print('x' * 100000)"})
    assert threading.active_count() == before


def test_a_folder_of_any_depth_and_mode_is_removed_without_following_links(tmp_path: Path) -> None:
    root, kept = tmp_path / "root", tmp_path / "kept"
    for folder in (root, kept, root / "closed"):
        folder.mkdir()
    (kept / "file").touch()
    (root / "link").symlink_to(kept)
    here = Path.cwd()
    try:
        os.chdir(root)
        for _ in range(300):
            Path("d" * 30).mkdir()
            os.chdir("d" * 30)
        Path("file").touch()
    finally:
        os.chdir(here)
    (root / "closed").chmod(0)
    remove(str(root))
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]
