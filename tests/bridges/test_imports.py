"""Nothing that only some users need is imported before it is used."""

import os
import subprocess
import sys
from pathlib import Path

import practicum


def test_the_faces_and_the_recorder_import_none_of_the_optional_packages():
    script = (
        "import sys, practicum.bridges, practicum.services\n"
        "print(*sorted({'mcp', 'gymnasium', 'httpx', 'httpx2', 'uvicorn', 'starlette', 'numpy'} & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(practicum.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
