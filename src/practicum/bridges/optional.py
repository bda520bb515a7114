"""Packages that only some users need, and what to install where one is missing."""

import importlib
from types import ModuleType

from practicum.errors import EnvironmentFault


def require(name: str, extra: str) -> ModuleType:
    """Import ``name``.

    Raises:
        EnvironmentFault: it is not installed; says which extra of Practicum brings it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name.partition(".")[0]:
            raise
        raise EnvironmentFault(f"{name} is not installed", fix=f'pip install "practicum[{extra}]"') from error
