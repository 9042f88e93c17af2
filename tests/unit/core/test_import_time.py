"""Start-up is light. The tests check imported modules by name, because a time would depend on the machine."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import invkit
from invkit.apps.cli.restore import without_collection

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


@pytest.mark.parametrize("command", ["deconvolve", "deblur"])
def test_a_restoration_imports_only_the_libraries_that_it_uses(tmp_path: Path, command: str) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)).save(tmp_path / "photo.png")
    np.save(tmp_path / "kernel.npy", np.full((3, 3), 1 / 9))
    # not scipy.sparse, which scipy.ndimage of older versions imports
    others = [f"scipy.{name}" for name in ("interpolate", "optimize", "signal", "spatial", "stats")]
    others += [
        "deepinv",
        "skimage",
        "torchvision",
        "matplotlib.pyplot",
        "matplotlib.animation",
        "pandas",
        "distributed",
    ]
    options = {"deconvolve": ["--kernel", str(tmp_path / "kernel.npy")], "deblur": ["--recipe", "fast"]}[command]
    options += ["--kernel-size", "5"] if command == "deblur" else []
    arguments = [command, str(tmp_path / "photo.png"), "--output", str(tmp_path / "run"), *options]
    assert imported_by("from invkit.apps.cli.main import main; main()", *arguments, heavy=tuple(others)) == []
    assert (tmp_path / "run" / "overview.png").is_file()


def test_a_command_collects_no_garbage_while_it_loads_libraries() -> None:
    gc.unfreeze()
    try:
        with without_collection():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()


def test_a_command_imports_no_other_command() -> None:
    others = tuple(f"invkit.apps.cli.{name}" for name in ("bench", "components", "data", "doctor", "results", "ui"))
    assert imported_by("from invkit.apps.cli.main import main; main()", "deblur", "--help", heavy=others) == []


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "invkit", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"invkit {invkit.__version__}\n"


def test_the_package_lists_its_public_names_only() -> None:
    assert [name for name in dir(invkit) if not name.startswith("__")] == sorted(invkit.__all__)
    assert {"__version__", "__doc__", "__file__"} <= set(dir(invkit))
