from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from practicum.checks.catalogue import CHECKS
from practicum.environment.modules import load_file

if TYPE_CHECKING:
    from conftest import Keeper

planted = load_file(Path(__file__).with_name("planted.py")).planted

FAULTY = [*planted("zoo_*.py"), *planted("second_*.py")]
SOUND = planted("sound*.py")

pytestmark = pytest.mark.timeout(1_800)


@pytest.mark.parametrize("each", FAULTY, ids=lambda each: each.key)
def test_a_planted_fault_is_found_under_its_code_at_its_line_and_nothing_else_is(
    each: Any, keeper: "Keeper", confusion: Counter[tuple[str, str]]
) -> None:
    report = keeper.report(each.key)
    findings = report.get("findings", [])
    codes = {finding["code"] for finding in findings}
    confusion.update((each.code, code) for code in codes or {"none"})
    assert codes == {each.code}, report
    for finding in findings:
        file, _, line = finding["where"].rpartition(":")
        assert file == report["file"]
        assert int(line) in each.faulty_lines, finding
        assert finding["difference"]
        assert finding["why"]
        assert finding["fix"]


@pytest.mark.parametrize("each", SOUND, ids=lambda each: each.key)
def test_a_sound_environment_passes_without_a_finding(
    each: Any, keeper: "Keeper", confusion: Counter[tuple[str, str]]
) -> None:
    report = keeper.report(each.key)
    confusion.update(("none", finding["code"]) for finding in report["findings"] or [{"code": "none"}])
    assert report["findings"] == []


def test_the_zoo_holds_every_code_and_the_sound_ones_are_many() -> None:
    assert {each.code for each in FAULTY} | {"ENV-FIDELITY"} == set(CHECKS)
    assert len(FAULTY) >= 150
    assert len(SOUND) >= 15
