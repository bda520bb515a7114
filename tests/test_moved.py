"""Files that import Practicum's modules by the names of before go on, and are told the new name."""

import importlib
import subprocess
import sys

import pytest

from practicum.moved import MOVED, OUTSIDE, RENAMED, present_name


@pytest.mark.parametrize("old", sorted(set(MOVED) - {"cli.__main__"}))
def test_every_old_name_is_the_module_of_its_new_name(old):
    with pytest.warns(DeprecationWarning, match=f"practicum.{old} is now practicum.{MOVED[old]}"):
        sys.modules.pop(f"practicum.{old}", None)
        module = importlib.import_module(f"practicum.{old}")
    assert module is importlib.import_module(f"practicum.{MOVED[old]}")
    assert module.__name__ == module.__spec__.name == f"practicum.{MOVED[old]}"


def test_a_module_within_a_package_that_moved_has_moved_with_it():
    assert present_name("practicum.viewer.charts") == "practicum.report.charts"
    assert present_name("practicum.ledger") == "practicum.runs"
    assert present_name("other.viewer.charts") is None
    with pytest.warns(DeprecationWarning):
        from practicum.viewer.charts import success_chart  # noqa: F401


@pytest.mark.parametrize("old", sorted(OUTSIDE))
def test_what_left_the_wheel_is_found_where_contrib_is_installed(old):
    with pytest.warns(DeprecationWarning, match=f"practicum.{old} is now {OUTSIDE[old]}"):
        sys.modules.pop(f"practicum.{old}", None)
        module = importlib.import_module(f"practicum.{old}")
    assert module is importlib.import_module(OUTSIDE[old])


def test_what_left_the_wheel_says_how_to_install_it_where_it_is_missing(tmp_path):
    code = "import sys; sys.modules['practicum_benchmarks'] = None; import practicum.suites.public.tau2"
    missing = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "practicum.suites.public.tau2 is now practicum_benchmarks.tau2" in missing.stderr
    assert "pip install ./contrib" in missing.stderr.splitlines()[-1]


def test_a_name_that_never_was_is_not_answered():
    with pytest.raises(ModuleNotFoundError, match=r"practicum\.viewer\.nothing"):
        importlib.import_module("practicum.viewer.nothing")
    with pytest.raises(ModuleNotFoundError, match=r"practicum\.nothing"):
        importlib.import_module("practicum.nothing")


@pytest.mark.parametrize("name", ["practicum", "practicum.cli"])
def test_the_command_line_runs_as_a_module_by_both_names(name):
    ran = subprocess.run([sys.executable, "-m", name, "--help"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "recipe" in ran.stdout


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in RENAMED for name in RENAMED[module]])
def test_what_is_called_otherwise_now_answers_in_its_old_module(module, name):
    with pytest.warns(DeprecationWarning):
        sys.modules.pop(f"practicum.{module}", None)
        old = importlib.import_module(f"practicum.{module}")
    place, _, present = RENAMED[module][name].rpartition(".")
    assert getattr(old, name) is getattr(importlib.import_module(f"practicum.{place}"), present)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        old.nothing_like_it  # noqa: B018
