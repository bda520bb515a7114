"""Programs of this installation, named as the user would type them."""

import os
import shlex
import shutil
import sys
from pathlib import Path


def program(name: str) -> str:
    """How the user's shell finds a program installed beside this interpreter."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if found and Path(found).resolve() == beside.resolve():
        return name
    if os.path.isfile(beside):  # noqa: PTH113 (False where this user may not look, instead of an error)
        here = Path.cwd()
        return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))
    return f"{shlex.quote(sys.executable)} -m practicum" if name == "practicum" else name
