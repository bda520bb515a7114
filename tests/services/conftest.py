"""The desk service, on a port of its own; and the shop of the bridges' tests."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def desk_module() -> ModuleType:
    return _load("recording_desk", Path(__file__).with_name("desk_service.py"))


@pytest.fixture(scope="session")
def shop() -> ModuleType:
    """The module of ``shop.py``."""
    return _load("services_shop", Path(__file__).parents[1] / "bridges" / "shop.py")


@pytest.fixture
def desk(desk_module: ModuleType) -> Iterator[SimpleNamespace]:
    """A running desk: ``url``, ``headers`` that it lets in, and its ``state``."""
    app = desk_module.desk()
    with desk_module.serving(app) as url:
        yield SimpleNamespace(url=url, headers={"Authorization": f"Bearer {desk_module.KEY}"}, state=app.state)
