"""The supported Pythons of this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SUPPORTED = range(10, 14)  # the minor versions of `requires-python` and of the classifiers in pyproject.toml


def pythons() -> dict[int, str]:
    """An interpreter for each supported minor version of Python 3 that is installed, sorted.

    They are looked for on the path, and where pyenv keeps its versions.
    """
    found = {}
    for minor in SUPPORTED:
        kept = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}"))
        for python in [*map(str, reversed(kept)), shutil.which(f"python3.{minor}"), sys.executable]:
            if python and minor_version(python) == minor:
                found[minor] = python
                break
    return found


def minor_version(python: str) -> int | None:
    """The minor version of an interpreter; None if it does not run."""
    code = "import sys, venv, ensurepip; print(sys.version_info[1])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else None


if __name__ == "__main__":
    print("\n".join(f"3.{minor} {python}" for minor, python in pythons().items()))
