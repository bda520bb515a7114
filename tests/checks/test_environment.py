import os
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from practicum.checks.catalogue import CHECKS
from practicum.checks.environment import run_checks
from practicum.checks.modules import load_file
from practicum.checks.target import load_target
from practicum.errors import EnvironmentFault

EXPECTED = load_file(Path(__file__).with_name("zoo.py")).EXPECTED


@pytest.mark.parametrize("name", EXPECTED)
def test_each_planted_fault_is_found_under_its_code_and_line_and_nothing_else_is(
    name: str, zoo: Path, confusion: Counter[tuple[str, str]]
) -> None:
    before = Path.cwd(), dict(os.environ), list(warnings.filters)
    report = run_checks(load_target(f"{zoo / 'zoo.py'}:{name}"), tasks_per_split=2)
    assert (Path.cwd(), dict(os.environ), list(warnings.filters)) == before
    confusion.update((EXPECTED[name], code) for code in report.codes or {"none"})
    lines = (zoo / "zoo.py").read_text(encoding="utf-8").splitlines()
    assert report.codes == {EXPECTED[name]}
    for finding in report.findings:
        file, _, line = finding.where.rpartition(":")
        assert Path(file) == zoo / "zoo.py"
        assert lines[int(line) - 1].endswith("# fault")
        assert finding.difference
        assert finding.why
        assert finding.fix


def test_a_suite_passes_without_a_finding() -> None:
    report = run_checks(load_target("support_desk", {"level": 4}), tasks_per_split=3)
    assert report.findings == ()
    assert report.checks == tuple(CHECKS)
    assert report.tasks == {"train": 3, "validation": 3, "test": 3}
    assert report.episodes == 18


@pytest.mark.parametrize(("name", "score"), [("Shelf", "score"), ("Dice", "score"), ("Ledger", "booked")])
def test_sound_environments_pass_without_a_finding(
    name: str, score: str, zoo: Path, confusion: Counter[tuple[str, str]]
) -> None:
    report = run_checks(load_target(f"{zoo / 'sound.py'}:{name}", score=score), tasks_per_split=2)
    confusion.update(("none", code) for code in report.codes or {"none"})
    assert report.findings == ()


def test_equal_checks_of_an_equal_environment_have_an_equal_digest(zoo: Path) -> None:
    target = load_target(f"{zoo / 'sound.py'}:Shelf")
    first, again = (run_checks(target, tasks_per_split=1) for _ in range(2))
    assert first.digest == again.digest


def test_an_environment_without_an_oracle_is_only_warned_about(tmp_path: Path) -> None:
    file = tmp_path / "mute.py"
    file.write_text(
        "from practicum import Environment, Task\n"
        "class Mute(Environment):\n"
        "    id, version = 'mute', '1'\n"
        "    def tasks(self, split):\n"
        "        return [Task(split, f'Say {split}.', {'word': split})]\n",
        encoding="utf-8",
    )
    report = run_checks(load_target(str(file)))
    assert [(finding.code, finding.severity) for finding in report.findings] == [("ENV-UNSOLVED", "warn")]


def test_an_environment_that_needs_the_working_folder_is_told_why_it_cannot_be_played_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    report = run_checks(load_target("relative.py"))
    found = [finding for finding in report.findings if finding.code == "ENV-PROCESS"]
    assert "rows.txt" in found[0].difference
    assert "relative.py:7" in found[0].difference
    assert "ENV-LEFTOVER" not in report.checks


def test_an_environment_without_training_tasks_cannot_be_checked(tmp_path: Path) -> None:
    file = tmp_path / "empty.py"
    file.write_text(
        "from practicum import Environment\nclass Empty(Environment):\n    id, version = 'empty', '1'\n",
        encoding="utf-8",
    )
    with pytest.raises(EnvironmentFault, match="defines no tasks for split 'train'"):
        run_checks(load_target(str(file)))


def test_a_dataset_of_a_recipe_stands_in_for_the_environments_split(zoo: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    label = '{"colour": "red", "size": 0}'
    rows.write_text(
        f'{{"id": "a", "prompt": "What is K0 like?", "answer": {label}}}\n'
        f'{{"id": "b", "prompt": "what is  K0 like?", "answer": {label}}}\n',
        encoding="utf-8",
    )
    target = replace(load_target(f"{zoo / 'sound.py'}:Shelf"), datasets={"validation": rows})
    report = run_checks(target, tasks_per_split=2)
    assert report.tasks == {"train": 2, "validation": 2, "test": 2}
    assert {(finding.code, finding.where) for finding in report.findings} >= {("ENV-DUPLICATE", str(rows))}


def test_a_thread_that_never_ends_does_not_hold_the_check_up(tmp_path: Path) -> None:
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
        report = run_checks(target)
    finally:
        target.module.GATE.set()
    assert "ENV-LEFTOVER" in report.codes
    assert report.seconds < 60
