import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from practicum.checks.catalogue import CHECKS
from practicum.checks.environment import run_checks
from practicum.checks.findings import Report
from practicum.checks.processes.client import Nursery
from practicum.environment.target import load_target
from practicum.errors import EnvironmentFault
from practicum.services import CallableSource, Recorder

SHELF = Path(__file__).with_name("shelf.py")

Check = Callable[..., Report]


@pytest.fixture(scope="module")
def check() -> Iterator[Check]:
    """``run_checks`` in processes that all tests here share."""
    with Nursery() as nursery:
        yield partial(run_checks, nursery=nursery)


def test_a_suite_passes_without_a_finding(check: Check) -> None:
    report = check(load_target("support_desk", {"level": 4}), tasks_per_split=3)
    assert report.findings == ()
    assert report.checks == tuple(CHECKS)
    assert report.tasks == {"train": 3, "validation": 3, "test": 3}
    assert report.episodes == 18


def test_equal_checks_of_an_equal_environment_have_an_equal_digest(check: Check) -> None:
    target = load_target(f"{SHELF}:Shelf")
    first, again = (check(target, tasks_per_split=1) for _ in range(2))
    assert first.digest == again.digest


def test_an_environment_without_an_oracle_is_only_warned_about(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "mute.py"
    file.write_text(
        "from practicum import Environment, Task\n"
        "class Mute(Environment):\n"
        "    id, version = 'mute', '1'\n"
        "    def tasks(self, split):\n"
        "        return [Task(split, f'Say {split}.', {'word': split})]\n",
        encoding="utf-8",
    )
    report = check(load_target(str(file)))
    assert [(finding.code, finding.severity) for finding in report.findings] == [("ENV-UNSOLVED", "warn")]


def test_an_environment_that_needs_the_working_folder_is_told_why_it_cannot_be_played_elsewhere(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.txt").write_text("K1", encoding="utf-8")
    file = tmp_path / "relative.py"
    file.write_text(
        "from pathlib import Path\nfrom practicum import Environment, Task\n"
        "class Relative(Environment):\n"
        "    id, version = 'relative', '1'\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.rows = Path('rows.txt').read_text()\n"
        "    def tasks(self, split):\n"
        "        return [Task(split, f'Say {split}.')]\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    report = check(load_target("relative.py"))
    found = [finding for finding in report.findings if finding.code == "ENV-PROCESS"]
    assert "rows.txt" in found[0].difference
    assert "relative.py:7" in found[0].difference


def test_an_environment_without_any_tasks_cannot_be_checked(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "empty.py"
    file.write_text(
        "from practicum import Environment\nclass Empty(Environment):\n    id, version = 'empty', '1'\n",
        encoding="utf-8",
    )
    with pytest.raises(EnvironmentFault, match="defines no tasks for split 'train'"):
        check(load_target(str(file)))


def test_an_environment_with_a_test_split_only_is_checked_on_that(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "published.py"
    file.write_text(
        f"import sys\nsys.path.insert(0, {str(SHELF.parent)!r})\n"
        "from shelf import Shelf, score\nfrom practicum.errors import EnvironmentFault\n"
        "class Published(Shelf):\n"
        "    id = 'published'\n"
        "    def tasks(self, split):\n"
        "        if split != 'test':\n"
        "            raise EnvironmentFault(f'there is no split {split!r}')\n"
        "        return super().tasks(split)\n",
        encoding="utf-8",
    )
    report = check(load_target(f"{file}:Published"), tasks_per_split=2)
    assert report.tasks == {"test": 2}
    assert report.findings == ()


def test_the_caller_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "untidy.py"
    file.write_text(
        "import os, warnings\nfrom practicum import Environment, Task\n"
        "class Untidy(Environment):\n"
        "    id, version = 'untidy', '1'\n"
        "    def start(self, task):\n"
        "        os.environ['UNTIDY'] = '1'\n"
        "        os.chdir('/')\n"
        "        warnings.simplefilter('ignore')\n"
        "    def tasks(self, split):\n"
        "        return [Task(split, f'Say {split}.')]\n",
        encoding="utf-8",
    )
    before = Path.cwd(), dict(os.environ), list(warnings.filters)
    report = run_checks(load_target(str(file)))
    assert (Path.cwd(), dict(os.environ), list(warnings.filters)) == before
    assert {finding.where for finding in report.findings if finding.code == "ENV-LEFTOVER"} == {
        f"{file}:{line}" for line in (6, 7, 8)
    }


def test_what_may_be_touched_stands_in_the_report_with_its_reason(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "dated.py"
    file.write_text(
        "import time\nfrom practicum import Environment, Task, tool\n"
        "class Dated(Environment):\n"
        "    id, version = 'dated', '1'\n"
        "    @tool\n"
        "    def ask(self) -> bool:\n"
        "        return time.time() > 0\n"
        "    def tasks(self, split):\n"
        "        return [Task(split, f'Say {split}.')]\n"
        "    def oracle(self, task):\n"
        "        from practicum import Call\n"
        "        yield Call('ask', {})\n"
        "        return 'done'\n",
        encoding="utf-8",
    )
    target = load_target(str(file))
    assert check(target).codes == {"ENV-HERMETIC"}
    report = check(target, allow={"clock": "only whether there is one"})
    assert report.ok
    assert [(note.kind, note.reason) for note in report.allowed] == [("clock", "only whether there is one")]
    assert f"{file}:7" in report.allowed[0].seen[0]
    with pytest.raises(EnvironmentFault, match="without a reason"):
        check(target, allow={"clock": " "})


def test_a_dataset_of_a_recipe_stands_in_for_the_environments_split(check: Check, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    label = '{"colour": "red", "size": 0}'
    rows.write_text(
        f'{{"id": "a", "prompt": "What is K0 like?", "answer": {label}}}\n'
        f'{{"id": "b", "prompt": "what is  K0 like?", "answer": {label}}}\n',
        encoding="utf-8",
    )
    target = replace(load_target(f"{SHELF}:Shelf"), datasets={"validation": rows})
    report = check(target, tasks_per_split=2)
    assert report.tasks == {"train": 2, "validation": 2, "test": 2}
    assert {(finding.code, finding.where) for finding in report.findings} >= {("ENV-DUPLICATE", str(rows))}


def test_a_recording_named_from_the_working_folder_answers_alike_in_other_processes(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stock(shelf: Annotated[str, Field(max_length=2)]) -> int:
        """what is left"""
        return len(shelf)

    monkeypatch.chdir(tmp_path)
    with Recorder(CallableSource([stock]), Path("stock.json")) as record:
        record.calls([("stock", {"shelf": "A"})])
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "How much is left of A?"}\n')
    target = load_target("practicum.services:RecordedEnvironment", {"recording": "stock.json"})
    report = check(replace(target, datasets={"train": rows}), tasks_per_split=1)
    assert "ENV-PROCESS" in report.checks
    assert not {finding.code for finding in report.findings} & {"ENV-PROCESS", "ENV-FAULT"}


def test_a_thread_that_never_ends_does_not_hold_the_check_up(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "stuck.py"
    file.write_text(
        "import threading\nfrom practicum import Environment, Task\n"
        "GATE = threading.Event()\n"
        "class Stuck(Environment):\n"
        "    id, version = 'stuck', '1'\n"
        "    def start(self, task):\n"
        "        threading.Thread(target=GATE.wait).start()\n"
        "    def tasks(self, split):\n"
        "        return [Task(split, f'Say {split}.')]\n",
        encoding="utf-8",
    )
    target = load_target(str(file))
    try:
        report = check(target)
    finally:
        target.module.GATE.set()
    assert "ENV-LEFTOVER" in report.codes
    assert report.seconds < 60
