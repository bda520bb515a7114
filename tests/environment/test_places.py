"""Whose code a file is."""

import subprocess
import sys
from pathlib import Path


def test_libraries_that_an_interpreter_shares_with_another_are_nobodys_own_code(tmp_path: Path) -> None:
    shared = tmp_path / "other/lib/python3/site-packages"
    shared.mkdir(parents=True)
    asked = (
        f"import sys; sys.path.append({str(shared)!r})\n"
        "from pathlib import Path\n"
        "from practicum.environment.places import origin\n"
        f"print(origin({str(shared / 'lib.py')!r}, Path('/home/me')), origin('/home/me/desk.py', Path('/home/me')))\n"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["library", "user"]
