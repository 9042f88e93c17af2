"""An environment of its own for a plugin: that of the tests lies below it, and nothing comes from a network."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import invkit

__all__ = ["Environment", "make_environment"]

PROGRAMS = {
    "pip": "from pip._internal.cli.main import main; sys.exit(main())",
    "pytest": "import pytest; sys.exit(pytest.main())",
    "invkit": "from invkit.apps.cli.main import main; main()",
}


@dataclass(frozen=True)
class Environment:
    """A virtual environment.

    Attributes:
        root: its folder.
    """

    root: Path

    @property
    def programs(self) -> Path:
        """The folder of its programs."""
        return self.root / ("Scripts" if os.name == "nt" else "bin")

    def run(self, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a line as a shell does, in a folder; the two outputs come as one."""
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(self.programs), os.environ["PATH"]]),
            "COLUMNS": "120",
            "PIP_NO_DEPS": "1",  # they are below, and nothing else may come
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say that there is to be none
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONPATH": "",
            "PYTEST_ADDOPTS": "",
            "VIRTUAL_ENV": str(self.root),
        }
        return subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=environment,
            check=False,
            text=True,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def succeed(self, command: str, folder: Path) -> str:
        """Run a line, and fail with what it said unless it succeeds; gives that."""
        done = self.run(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout


def make_environment(root: Path) -> Environment:
    """A new environment in a folder, with the programs invkit, pytest and pip.

    A venv with ``system_site_packages`` looks below into the system, not into the environment that it is made from;
    hence the line that adds this one's packages, behind its own.
    """
    venv.create(root, with_pip=False, symlinks=os.name != "nt")
    environment = Environment(root)
    python = environment.programs / "python"
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    below = sysconfig.get_path("purelib")
    tested = str(Path(invkit.__file__).parent.parent)  # a checkout, whatever the environment below has installed
    lines = [f"import site; site.addsitedir({below!r})"]
    lines += [] if tested == below else [f"import sys; sys.path.insert(0, {tested!r})"]
    (Path(own) / "below.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, code in PROGRAMS.items():
        program = environment.programs / name
        program.write_text(f"#!{python}\nimport sys\n{code}\n", encoding="utf-8")
        program.chmod(0o755)
    assert sys.prefix != str(root)
    return environment
