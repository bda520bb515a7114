"""Where the answer is one plain word, without tag or JSON, a strict score passes, and it is attacked all the same."""

from pathlib import Path

from practicum.checks.scores.check_judges import check_judges
from practicum.environment.target import load_target

COLOURS = str(Path(__file__).parent / "colours.py")


def test_a_strict_score_of_a_plain_word_passes() -> None:
    report = check_judges(load_target(f"{COLOURS}:Colours"), tasks=6)
    assert report.findings == ()
    assert {"constant", "all-labels", "one-letter", "echo-results", "injection"} <= set(report.families)
