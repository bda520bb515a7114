"""What docs/environments.md says of public suites: each name can be given to ``practicum check``, each extra exists."""

import re
import tomllib
from pathlib import Path

import pytest

from practicum.environment.target import load_target

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| `([\w.]+:\w+)`.*?\| (.*?) \|", (ROOT / "docs/environments.md").read_text(), re.MULTILINE)
"""Name and installation of every public suite."""
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
OURS = tomllib.loads((ROOT / "contrib/pyproject.toml").read_text())["project"]


def test_three_public_suites_are_named():
    assert [name.rpartition(".")[2] for name, _ in ROWS] == [
        "bfcl:BfclMultiTurn",
        "tau2:TelecomSolo",
        "sop_bench:SopBench",
    ]


@pytest.mark.parametrize(("name", "installation"), ROWS)
def test_a_public_suite_loads_by_the_name_that_is_documented(name, installation):
    target = load_target(name)
    assert target.environment.__module__ == name.partition(":")[0]
    assert target.score is not None
    assert target.reward is not None
    assert target.has_oracle


@pytest.mark.parametrize(("name", "installation"), [row for row in ROWS if "pip install" in row[1]])
def test_its_installation_names_an_extra_the_loaders_and_the_version_the_makefile_pins(name, installation):
    (extra,) = re.findall(r"'\.\[(\w+)\]'", installation)
    assert extra in EXTRAS
    assert OURS["optional-dependencies"][extra] == [f"practicum[{extra}]"]
    assert "-e contrib" in installation
    assert re.search(r"--no-deps (\S+)`", installation).group(1) in (ROOT / "Makefile").read_text()
    assert load_target(name).make().tasks("test")
