"""The Makefile: an interrupted installation is not taken for a finished one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here; install GNU make")


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """GNU make with invkit's Makefile in ``folder``, where ``python`` and pip are what the test put there."""
    command = ["make", "--no-print-directory", "-f", str(MAKEFILE), f"PYTHON={folder / 'python'}", *arguments]
    path = {"PATH": os.environ["PATH"]}  # without the variables of a make above us
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60, env=path)


def python(folder: Path, pip: str) -> None:
    """A Python whose ``-m venv`` copies itself into an environment, and whose ``-m pip`` runs the code ``pip``."""
    script = f"""#!/bin/sh
if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo made >>venvs; exit; fi
{pip}
"""
    (folder / "python").write_text(script)
    (folder / "python").chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).touch()


def test_an_interrupted_installation_is_made_anew(tmp_path: Path) -> None:
    python(tmp_path, pip="exit 1")  # as pip does on a full disk, with half a package in place
    assert make(tmp_path, "install").returncode != 0
    assert not (tmp_path / ".venv/.installed").exists()

    python(tmp_path, pip="exit 0")
    again = make(tmp_path, "install")
    assert again.returncode == 0, again.stderr
    assert "made anew" in again.stdout
    assert (tmp_path / "venvs").read_text().split() == ["made", "made"]


def test_a_finished_installation_is_kept(tmp_path: Path) -> None:
    python(tmp_path, pip="exit 0")
    for _ in range(2):
        assert make(tmp_path, "install", "install-test").returncode == 0
    assert (tmp_path / "venvs").read_text().split() == ["made"]
