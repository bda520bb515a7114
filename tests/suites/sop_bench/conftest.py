"""Playing SOP-Bench as an agent does, on a domain of our own in its layout."""

import csv
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from played_episode import begun, solved
from practicum.suites.sop_bench import SopBench
from practicum.suites.sop_domain import CASES, DATA

__all__ = ["begun", "solved"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in SOP-Bench's layout with one domain, all of it our own: ``parcel_refunds``."""
    folder = tmp_path / DATA / "parcel_refunds"
    shutil.copytree(Path(__file__).parent / "parcels", folder, ignore=shutil.ignore_patterns("__pycache__"))
    write_cases(folder, [_case(number) for number in range(60)])
    return tmp_path


@pytest.fixture
def folder(checkout: Path) -> Path:
    """The domain's folder."""
    return checkout / DATA / "parcel_refunds"


@pytest.fixture
def recase(folder: Path) -> Callable[[Callable[[list[dict[str, str]]], list[dict[str, str]]]], None]:
    """Rewrites the domain's cases by a function of them."""

    def rewrite(change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
        with (folder / CASES).open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        write_cases(folder, change(rows))

    return rewrite


@pytest.fixture
def made(checkout: Path) -> Callable[..., SopBench]:
    """Makes the domain's environment, the licence's note aside."""

    def make(path: Path = checkout, domain: str = "parcel_refunds", **more: Any) -> SopBench:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return SopBench(str(path), domain, **more)

    return make


def write_cases(folder: Path, rows: Sequence[dict[str, str]]) -> None:
    with (folder / CASES).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _case(number: int) -> dict[str, str]:
    late, zone = number % 7, "AB"[number % 2]
    refund = late > {"A": 1, "B": 3}[zone]
    return {
        "parcel_id": f"P{number:03}",
        "weight": str(number % 9),
        "zone": zone,
        "days_late": str(late),
        "decision": "refund" if refund else "keep",
        "amount": str(10 + late),
        "share": f"{late / 4}",
        "urgent": "TRUE" if late > 5 else "False",
        "notes": json.dumps(["late"] * late),
        "reason": "N/A" if refund else "",
    }
