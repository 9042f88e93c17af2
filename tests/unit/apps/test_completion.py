"""The shell completes commands, options and names, and imports nothing heavy for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from invkit.apps.cli.shared import complete_families, complete_recipes, complete_suites
from invkit.core import registry

HEAVY = ("torch", "deepinv", "scipy", "skimage", "matplotlib", "invkit.benchmark")

OFFER = """
import sys
from invkit.apps.cli.main import main
try:
    main()
except SystemExit:
    pass
print("imported:", *[name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


def offered(line: str, *light: str) -> tuple[list[str], list[str]]:
    """The completions of a line's last word in Bash, and which of the heavy or named modules were imported."""
    words = line.split(" ")
    variables = {"_INVKIT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    code = OFFER.format(heavy=(*HEAVY, *light))
    command = [sys.executable, "-c", f"import sys; sys.argv = ['invkit']\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | variables)
    return done.stdout.split(), done.stderr.splitlines()[-1].removeprefix("imported:").split()


@pytest.mark.parametrize(
    ("line", "family", "prefix"),
    [
        ("invkit deblur photo.jpg --recipe pan", "recipes", "pan"),
        ("invkit describe kernel_priors s", "kernel_priors", "s"),
        ("invkit data fetch l", "datasets", "l"),
        ("invkit recipe show self", "recipes", "self"),
    ],
)
def test_the_shell_completes_names(line: str, family: str, prefix: str) -> None:
    names, imported = offered(line)
    assert names == [name for name in registry.names(family) if name.startswith(prefix)] != []
    assert imported == []


def test_completing_a_command_loads_none() -> None:
    names, imported = offered("invkit d", "invkit.apps.cli.restore", "invkit.apps.cli.data")
    assert names == ["deblur", "deconvolve", "describe", "data", "doctor"]
    assert imported == []


def test_the_shell_completes_options() -> None:
    names, _ = offered("invkit deblur photo.jpg --kernel")
    assert names == ["--kernel-size", "--kernel"]


def test_a_list_is_completed_at_its_last_name() -> None:
    names, imported = offered("invkit bench run quick --recipes fast,wie")
    assert names == ["fast,wiener"]
    assert imported == []


def test_families_and_suites() -> None:
    assert complete_families("kernel_") == ["kernel_priors", "kernel_estimation", "kernel_postprocessing"]
    assert complete_families("") == list(registry.FAMILIES)
    assert {"quick", "levin", "lai"} <= set(complete_suites(""))


def test_files_are_completed_like_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fastest.toml").touch()
    (tmp_path / "fast.txt").touch()
    (tmp_path / "fasten").mkdir()
    (tmp_path / "fasten" / "mine.toml").touch()
    assert complete_recipes("fast")[-2:] == ["fasten/", "fastest.toml"]
    assert complete_recipes("fasten/") == ["fasten/mine.toml"]
    assert complete_recipes(f"{tmp_path}/fastest")[-1] == f"{tmp_path}/fastest.toml"
    assert complete_recipes("") == registry.names("recipes")
    assert complete_recipes("no/such/folder") == []
