"""What an episode owns: there when asked for, told by a digest, and gone when it is over."""

import asyncio
import contextlib
import gc
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

import practicum
from practicum.environment import resources as module
from practicum.environment.resources import EPOCH, Resources, VirtualClock
from practicum.errors import EnvironmentFault


@pytest.fixture
def own():
    resources = Resources()
    yield resources
    resources.close()


# Clock and ids -----------------------------------------------------------------------------------------------


def test_time_begins_in_2026_and_passes_when_told():
    clock = VirtualClock()
    assert (clock.now(), clock.time()) == (EPOCH, EPOCH.timestamp())
    clock.advance(3600)
    clock.advance(0.5)
    clock.advance(0)
    assert clock.now() == datetime(2026, 1, 1, 1, 0, 0, 500_000, tzinfo=UTC)
    assert clock.time() == EPOCH.timestamp() + 3600.5


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("inf"), 1e12, 1e300])
def test_time_does_not_run_backwards_nor_past_the_calendar(seconds):
    clock = VirtualClock()
    clock.advance(5)
    with pytest.raises(ValueError, match="time cannot advance by"):
        clock.advance(seconds)
    assert clock.elapsed == 5
    clock.now()


def test_ids_are_counted_by_prefix(own):
    assert [own.new_id(prefix) for prefix in ("T", "A", "T", "T")] == ["T1", "A1", "T2", "T3"]
    assert Resources().new_id("T") == "T1"


# Folder and database -----------------------------------------------------------------------------------------


def test_nothing_is_made_before_it_is_asked_for(own, monkeypatch):
    monkeypatch.setattr(tempfile, "mkdtemp", None)
    monkeypatch.setattr(sqlite3, "connect", None)
    assert own.digest() == [0.0, [], [], ""]
    assert (own.hidden, list(own.named_objects().values())) == ("", ["clock"])


def test_folder_and_database_are_the_episodes_own(own):
    other = Resources()
    assert own.scratch == own.scratch != other.scratch
    (own.scratch / "a").write_text("x")
    own.database.execute("CREATE TABLE t (a)")
    assert list(other.scratch.iterdir()) == []
    assert other.database.execute("SELECT * FROM sqlite_schema").fetchall() == []
    assert not own.database.in_transaction
    place, database = other.scratch, other.database
    other.close()
    assert not place.exists()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database.execute("SELECT 1")
    assert own.scratch.exists()


def test_a_folder_that_a_tool_locked_is_removed_too(own, monkeypatch):
    remove, tried = shutil.rmtree, []

    def refused_once(folder, **settings):  # as it is without root's rights
        tried.append(folder)
        if len(tried) > 1:
            remove(folder, **settings)

    monkeypatch.setattr(shutil, "rmtree", refused_once)
    inner = own.scratch / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "c").write_text("x")
    outside = Path(tempfile.mkdtemp())
    outside.chmod(0o755)
    (own.scratch / "link").symlink_to(outside)
    before, scratch = outside.stat().st_mode, own.scratch
    for folder in (inner, inner.parent, own.scratch):
        folder.chmod(0)
    own.close()
    assert len(tried) == 2
    assert not scratch.exists()
    assert outside.stat().st_mode == before
    outside.rmdir()


def test_the_folder_goes_with_resources_that_nobody_closed():
    resources = Resources()
    scratch = resources.scratch
    (scratch / "a").write_text("x")
    del resources
    gc.collect()
    assert not scratch.exists()


def test_the_folder_goes_when_the_process_ends_but_not_when_a_forked_child_does():
    code = """
import os, sys
from practicum.environment.resources import Resources
resources = Resources()
scratch = resources.scratch
if os.fork() == 0:
    sys.exit(0)
os.wait()
print(scratch.exists(), scratch)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(practicum.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    there, scratch = done.stdout.split()
    assert there == "True"
    assert not Path(scratch).exists()


# Teardown ----------------------------------------------------------------------------------------------------


def test_what_was_registered_last_is_torn_down_first_while_folder_and_database_are_there(own):
    log = []

    @contextlib.contextmanager
    def service(name):
        log.append(f"open {name}")
        yield name.upper()
        log.append(f"close {name}")

    own.register(log.append, "first")
    assert own.enter(service("a")) == "A"
    own.register(lambda path, database: log.append((path.exists(), database.total_changes)), own.scratch, own.database)
    own.register(log.append, "last")
    own.close()
    own.close()
    assert log == ["open a", "last", (True, 0), "close a", "first"]


def test_every_part_is_torn_down_even_where_one_fails(own):
    log, scratch, database = [], own.scratch, own.database

    def fail(text):
        raise OSError(text)

    own.register(log.append, "a")
    own.register(fail, "first")
    own.register(log.append, "b")
    own.register(fail, "second")
    with pytest.raises(OSError, match="first"):
        own.close()
    assert log == ["b", "a"]
    assert not scratch.exists()
    with pytest.raises(sqlite3.ProgrammingError):
        database.execute("SELECT 1")


def test_what_is_registered_while_tearing_down_still_runs(own):
    log = []
    own.register(lambda: own.register(log.append, "late"))
    own.close()
    assert log == ["late"]


def test_an_async_function_cannot_be_registered(own):
    async def leave():
        await asyncio.sleep(0)

    with pytest.raises(EnvironmentFault, match=r"leave is async, and cannot be registered"):
        own.register(leave)


# Digest ------------------------------------------------------------------------------------------------------


def write(name, text):
    return lambda own: (own.scratch / name).write_text(text)


def sql(statements):
    # Not executescript, which commits first.
    return lambda own: [own.database.execute(statement) for statement in statements.split(";")]


CHANGES = {
    "clock": lambda own: own.clock.advance(1),
    "id": lambda own: own.new_id("T"),
    "other id": lambda own: own.new_id("U"),
    "file": write("a", "x"),
    "content of the same size": write("a", "y"),
    "folder": lambda own: (own.scratch / "b").mkdir(),
    "file in it": write("b/a", "y"),
    "file gone": lambda own: (own.scratch / "a").unlink(),
    "link": lambda own: (own.scratch / "a").symlink_to("b"),
    "other link": lambda own: [(own.scratch / "a").unlink(), (own.scratch / "a").symlink_to("c")],
    "pipe": lambda own: os.mkfifo(own.scratch / "p"),
    "a name that is no UTF-8": lambda own: Path(os.fsdecode(os.fsencode(own.scratch) + b"/\xff")).write_text(""),
    "table": sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)"),
    "row": sql("INSERT INTO t VALUES (1, x'00')"),
    "update": sql("UPDATE t SET a = 'text'"),
    "open transaction": sql("BEGIN; INSERT INTO t VALUES (2, 3)"),
    "more in it": sql("INSERT INTO t VALUES (3, 3)"),
    "commit": sql("COMMIT"),
    "user_version": sql("PRAGMA user_version = 7"),
    "temporary table": sql("CREATE TEMP TABLE x (a); INSERT INTO x VALUES (1)"),
    "row of it": sql("INSERT INTO x VALUES (2)"),
    "all rows": sql("DELETE FROM t"),
}


def test_every_change_is_seen_and_a_repetition_gives_the_same_digests():
    def digests():
        own = Resources()
        found = [own.digest()]
        for change in CHANGES.values():
            change(own)
            assert own.digest() == own.digest()
            found.append(own.digest())
        own.close()
        return found

    first = digests()
    assert [name for name, a, b in zip(CHANGES, first, first[1:], strict=False) if a == b] == []
    assert digests() == first


def test_a_link_into_the_folder_itself_does_not_tell_where_that_lies():
    found = []
    for _ in range(2):
        own = Resources()
        (own.scratch / "link").symlink_to(own.scratch / "target")
        found.append(own.digest())
        own.close()
    assert found[0] == found[1]


def test_a_rollback_in_a_later_call_is_seen(own):
    sql("CREATE TABLE t (a); INSERT INTO t VALUES (1)")(own)
    before = own.digest()
    sql("BEGIN; INSERT INTO t VALUES (2)")(own)
    assert own.digest() != before
    sql("ROLLBACK")(own)
    assert own.digest() == before
    sql("SAVEPOINT s; INSERT INTO t VALUES (2); SAVEPOINT u; INSERT INTO t VALUES (3)")(own)
    three = own.digest()
    sql("ROLLBACK TO u")(own)
    assert own.digest() not in (three, before)


def test_content_that_no_statement_changed_is_seen_to_change(own):
    sql("CREATE TABLE t (a); INSERT INTO t VALUES (x'0000')")(own)
    image, before = own.database.serialize(), own.digest()
    sql("UPDATE t SET a = x'1111'")(own)
    after = own.digest()
    own.database.deserialize(image)
    assert own.digest() == before
    with own.database.blobopen("t", "a", 1) as blob:
        blob.write(b"\x22")
        once = own.digest()
        blob.write(b"\x33")
    assert len({str(each) for each in (before, after, once, own.digest())}) == 4


def test_an_open_transaction_is_seen_in_a_database_that_came_from_an_image(own):
    sql("CREATE TABLE t (a)")(own)
    own.database.deserialize(own.database.serialize())
    before = own.digest()
    found = [str(before)]
    for statement in ("BEGIN", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "CREATE TABLE u (a)"):
        sql(statement)(own)
        found.append(str(own.digest()))
    assert len(set(found)) == 5
    sql("ROLLBACK")(own)
    assert own.digest() == before


def test_what_a_library_counts_in_an_image_is_no_content(own, tmp_path):
    file = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    file.execute("CREATE TABLE t (a)")
    file.execute("INSERT INTO t VALUES (1)")
    file.close()
    own.database.deserialize((tmp_path / "a.db").read_bytes())
    before, image = own.digest(), own.database.serialize()
    sql("UPDATE t SET a = 2; UPDATE t SET a = 1")(own)
    assert own.database.serialize() != image
    assert own.digest() == before


def test_statements_that_change_nothing_are_no_change(own):
    sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 'x')")(own)
    before = own.digest()
    sql("UPDATE t SET a = a; DELETE FROM t WHERE id = 2; BEGIN; INSERT INTO t VALUES (2, 'y'); ROLLBACK")(own)
    assert own.digest() == before


def test_the_connections_own_settings_do_not_confuse_the_digest(own):
    sql("CREATE TABLE t (a)")(own)
    plain = own.digest()
    own.database.row_factory = lambda cursor, row: {"a": 1}
    own.database.text_factory = bytes
    assert own.digest() == plain
    sql("CREATE TABLE u (a)")(own)
    assert own.digest() != plain
    own.database.set_authorizer(lambda *asked: sqlite3.SQLITE_DENY)
    assert own.digest() == own.digest()
    own.database.set_authorizer(None)


def test_a_call_that_only_reads_does_not_hash_the_database_again(own, monkeypatch):
    hashed = []
    monkeypatch.setattr(module, "image_digest", lambda database, settled: hashed.append(1) or "digest")
    sql("CREATE TABLE t (a); INSERT INTO t VALUES (1)")(own)
    for _ in range(3):
        own.database.execute("SELECT * FROM t").fetchall()
        own.digest()
    assert len(hashed) == 1
    sql("INSERT INTO t VALUES (1)")(own)
    own.digest()
    assert len(hashed) == 2


def test_a_file_that_nobody_touched_is_not_read_again(own, monkeypatch):
    monkeypatch.setattr(module, "SETTLED_NS", -1)
    for name in "abc":
        write(name, name)(own)
    first = own.digest()
    with monkeypatch.context() as patch:
        patch.setattr(module.hashlib, "file_digest", None)
        assert own.digest() == first
    time.sleep(0.05)
    write("a", "z")(own)  # as long as it was
    assert own.digest() != first


def test_a_file_that_was_just_written_is_read_again_as_its_time_tells_nothing_yet(own, monkeypatch):
    read = []
    hashed = hashlib.file_digest
    monkeypatch.setattr(module, "SETTLED_NS", 10**18)
    monkeypatch.setattr(module.hashlib, "file_digest", lambda *args: read.append(1) or hashed(*args))
    write("a", "x")(own)
    own.digest()
    own.digest()
    assert len(read) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_no_exception(own):
    write("a", "x")(own)
    (own.scratch / "a").chmod(0)
    (own.scratch / "b").mkdir()
    (own.scratch / "b").chmod(0)
    assert own.digest()[2] == [["a", "unreadable"], ["b/", "folder"], ["b/", "folder: PermissionError"]]


def test_a_folder_that_a_tool_removed_is_no_exception(own):
    shutil.rmtree(own.scratch)
    assert own.digest()[2] == [["", "folder: FileNotFoundError"]]
    own.close()


def test_a_hundred_episodes_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for number in range(100):
        own = Resources()
        write("a", str(number))(own)
        own.database.execute("SELECT 1")
        own.close()
    assert list(tmp_path.iterdir()) == []
