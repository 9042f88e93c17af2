"""Start-up is light. The tests check imported modules by name, because a time would depend on the machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

import invkit

HEAVY = ("torch", "deepinv", "scipy", "skimage", "matplotlib", "torchvision")

REPORT = """
import sys
sys.argv = ["invkit", *{arguments!r}]
try:
    {statement}
except SystemExit as stop:
    assert not stop.code, stop.code
print("imported:", *[name for name in {heavy!r} if name in sys.modules])
"""


def imported_by(statement: str, *arguments: str, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    code = REPORT.format(arguments=arguments, statement=statement, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].removeprefix("imported:").split()


def test_the_check_sees_an_import() -> None:
    assert imported_by("import scipy") == ["scipy"]


def test_importing_invkit_is_light() -> None:
    assert imported_by("import invkit") == []


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["deblur", "--help"], ["list"], ["recipe", "show", "selfdeblur"]],
    ids=" ".join,
)
def test_commands_that_compute_nothing_are_light(arguments: list[str]) -> None:
    assert imported_by("from invkit.apps.cli.main import main; main()", *arguments) == []


def test_a_command_imports_no_other_command() -> None:
    others = tuple(f"invkit.apps.cli.{name}" for name in ("bench", "components", "data", "doctor", "results", "ui"))
    assert imported_by("from invkit.apps.cli.main import main; main()", "deblur", "--help", heavy=others) == []


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "invkit", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"invkit {invkit.__version__}\n"


def test_the_package_lists_its_public_names_only() -> None:
    assert [name for name in dir(invkit) if not name.startswith("__")] == sorted(invkit.__all__)
    assert {"__version__", "__doc__", "__file__"} <= set(dir(invkit))
