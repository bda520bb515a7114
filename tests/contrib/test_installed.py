"""Benchmarks that are somebody else's packages, found or missed; and calls read from messages."""

import pytest

from practicum.errors import EnvironmentFault
from practicum_benchmarks.installed import Benchmark
from practicum_benchmarks.messages import asked_calls


def test_calls_are_read_from_messages_however_they_are_written():
    def asked(arguments):
        return {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}

    texts = ['{"a": 1}', "", None, "[1]", "{"]
    calls = asked_calls([{"role": "user", "content": "f"}, *map(asked, texts), {"role": "assistant", "content": "ok"}])
    assert [dict(call.arguments) for call in calls] == [{"a": 1}, {}, {}, {"": [1]}, {"": None}]


MISSING = Benchmark("no-such-benchmark", "no_such_benchmark", "pip install no-such-benchmark")
PRESENT = Benchmark("pytest", "pytest", "pip install pytest")


def test_a_benchmark_that_is_not_installed_is_a_one_line_hint():
    assert MISSING.version == "absent"
    with pytest.raises(EnvironmentFault, match="no-such-benchmark is not installed") as told:
        _ = MISSING.folder
    assert str(told.value).splitlines() == [
        "no-such-benchmark is not installed",
        "  what to do: pip install no-such-benchmark",
    ]
    with pytest.raises(EnvironmentFault, match="is not installed"), MISSING.importing():
        raise AssertionError("not reached")


@pytest.mark.parametrize("line", ["import no_such_dependency", "from pytest import no_such_name"])
def test_a_benchmark_that_lacks_a_part_is_a_hint_too(line):
    said = rf"pytest {PRESENT.version} cannot be imported: .*no_such"
    with pytest.raises(EnvironmentFault, match=said) as told, PRESENT.importing():
        exec(line)
    assert told.value.fix == "pip install pytest"


def test_a_benchmarks_digest_is_over_the_files_named(tmp_path, monkeypatch):
    folder = tmp_path / "some_benchmark"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    some = Benchmark("some-benchmark", "some_benchmark", "pip install some-benchmark")
    (folder / "data" / "a.json").write_text("1")
    first = some.digest("data/*.json")
    (folder / "data" / "b.txt").write_text("not named")
    assert some.digest("data/*.json", "*.py") != first
    with pytest.raises(EnvironmentFault, match=r"holds no data/\*\.csv"):
        some.digest("data/*.csv")
