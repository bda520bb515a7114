"""What the README shows to be pasted is what lies in examples/, and what is tested."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_environment_shown_is_the_example() -> None:
    example = (ROOT / "examples/library_desk.py").read_text(encoding="utf-8")
    (shown,) = blocks("python")
    assert example.partition('"""\n\n')[2] == shown


def test_the_recipe_shown_is_the_examples() -> None:
    assert blocks("yaml") == [(ROOT / "examples/library_desk.yaml").read_text(encoding="utf-8")]
