"""The code and the commands of README and guide work, and the README's tables are complete."""

from __future__ import annotations

import ast
import importlib
import math
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

import invkit
from invkit.apps.cli import restore
from invkit.apps.cli.main import LazyCommand, app
from invkit.core import registry
from invkit.core.result import Result
from invkit.media.images import encode_png
from invkit.media.stacks import encode_stack
from invkit.recipes.model import check_parameters, parse_recipe

ROOT = Path(invkit.__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


RECIPE = """
name = "mine"
image_prior = "pixels"
solver = "joint-adam"
[[regularizers]]
name = "mean-gradient"
params = {smoothing = 0.01}
weight = 1.0
"""

MINIMAL = 'name = "mine"\nimage_prior = "pixels"\nkernel_prior = "simplex"\nsolver = "joint-adam"\n'

MEASURED = {
    "kspace.npy": np.ones((4, 16, 16)),
    "projections.npy": np.ones((1, 6, 16)),
    "patterns.npy": np.ones((3, 16, 16)),
    "masks.npy": np.arange(768.0).reshape(1, 3, 16, 16),
    "coils.npy": np.full((4, 16, 16), 0.5),
    "variance.npy": np.full((96, 112), 1e-4),
}
"""The content of the guide's files of these names; other arrays are kernels."""


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str) -> list[str]:
    """The lines of the shell blocks; continued lines are joined."""
    return [line for block in blocks("bash", text) for line in block.replace("\\\n", " ").splitlines()]


def solving(text: str) -> list[str]:
    """The commands that restore an image and do not resume a run."""
    return [c for c in commands(text) if re.match(r"invkit (deblur|deconvolve|solve) ", c) and "--resume" not in c]


BLOCKS = blocks("python", README)
PAGES = [page.read_text("utf-8") for folder in ("", "howto") for page in sorted((ROOT / "docs" / folder).glob("*.md"))]
GUIDE = [block for page in PAGES for block in blocks("python", page)]
COMMANDS = sorted({command for page in (README, *PAGES) for command in solving(page)})
COMMANDS = [c for c in COMMANDS if "mine.toml --set" not in c]  # they need the recipe of their page: test_howto_map.py


def test_the_long_form_solves_its_problem() -> None:
    (code,) = [block for block in BLOCKS if "Problem(" in block]
    quick, count = re.subn(r"iterations=\d+", "iterations=2", code)
    assert count == 1
    names: dict[str, Any] = {"blurry": torch.rand(1, 1, 40, 44, generator=torch.Generator().manual_seed(0))}
    exec(quick, names)
    assert isinstance(names["result"], Result)
    assert tuple(names["result"].image.shape) == (1, 1, 66, 70)  # 40 + 27 - 1, 44 + 27 - 1
    assert tuple(names["result"].kernel.shape) == (1, 1, 27, 27)


@pytest.mark.parametrize("block", [*BLOCKS, *GUIDE])
def test_every_python_block_compiles_and_its_imports_exist(block: str) -> None:
    imports: list[ast.stmt] = [node for node in ast.parse(block).body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), "block", "exec"), {})
    assert compile(block, "block", "exec").co_names


def test_the_component_of_the_guide_works_in_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "howto" / "component.md").read_text(encoding="utf-8")
    (tmp_path / "mean_gradient_of_the_guide.py").write_text(blocks("python", page)[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    component = importlib.import_module("mean_gradient_of_the_guide").MeanGradient
    registry.register("regularizers", "mean-gradient", component)
    try:
        built = check_parameters(parse_recipe(RECIPE), seed=0)["regularizers.0"].build({})
    finally:
        registry.unregister("regularizers", "mean-gradient")
    ramp = torch.arange(6.0).expand(2, 1, 5, 6)
    # a slope of 1 across and of 0 down, where the root of the smoothing of 0.01 stays
    torch.testing.assert_close(built(ramp), torch.full((2,), math.sqrt(1.01) + 0.1))


@pytest.fixture
def make_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str]], None]:
    """Writes the input files of a command; commands compute nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(restore, "compute", lambda *_: SimpleNamespace(stopped="finished", details={}))
    monkeypatch.setattr(restore, "save", lambda *_, **__: None)
    monkeypatch.setattr(restore, "summarize", lambda *_, **__: None)
    picture = np.random.default_rng(0).integers(0, 256, (96, 112, 3), dtype=np.uint8)
    grey_mask = np.where(picture[..., 0] > 50, 255, 0).astype(np.uint8)

    def make(words: Sequence[str]) -> None:
        for word in words:
            path = tmp_path / word
            if path.suffix in (".png", ".jpg", ".npy", ".toml") and not word.startswith("--"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_png(grey_mask if path.stem == "mask" else picture))
            if path.suffix == ".npy":
                np.save(path, MEASURED.get(path.name, np.full((5, 5), 0.04)))
            if path.suffix == ".tif":
                path.write_bytes(encode_stack((np.full((6, 7, 7), 2.0) + np.eye(7)) / 630, {}, None))
            if path.suffix == ".toml":
                path.write_text(MINIMAL, encoding="utf-8")

    return make


@pytest.mark.parametrize("command", COMMANDS)
def test_every_restoring_command_passes_the_checks_before_the_solve(
    make_files: Callable[[Sequence[str]], None], command: str
) -> None:
    words = shlex.split(command, comments=True)[1:]
    make_files(words[1:])
    outcome = CliRunner().invoke(app, words, catch_exceptions=False)
    assert outcome.exit_code == 0


def test_the_tables_of_recipes_are_complete() -> None:
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", README, flags=re.MULTILINE)
    built_in = {entry.name for entry in registry.entries("recipes") if entry.distribution == "invkit"}
    assert sorted(listed) == sorted(built_in)


COMMAND = r"(?:\w+=\S+ )*(invkit [a-z].*)"  # variables of the environment may precede it
OTHER_PROGRAMS = (". ", "make ", "pip ", "pytest ", "python ", "python3 ")
PLACEHOLDERS = re.compile(r"\b[A-Z]{3,}\b|\.\.\.|[{*<]")  # in a command that a sentence mentions


def invkit_commands(page: str) -> list[str]:
    """The commands of a page, in blocks and in sentences, without comments and redirections."""
    shown = [match[1] for line in commands(page) if (match := re.match(COMMAND, line))]
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    mentioned = [" ".join(one.split()) for one in re.findall(r"`(invkit [a-z][^`]*)`", prose)]
    whole = [re.split(r" (?:#|>|&&|\|) ?", one)[0].strip() for one in (*shown, *mentioned)]
    return [one for one in whole if one not in GROUPS and not PLACEHOLDERS.search(one)]


GROUPS = ("invkit bench", "invkit data", "invkit plugin", "invkit recipe")
ALL_COMMANDS = sorted({command for page in (README, *PAGES) for command in invkit_commands(page)})
READING = r"invkit (describe \S+ \S|list|recipe show|schema|data list|data where)\b"
OF_THE_PAGES = "straight-motion|mean-gradient"  # components that a page writes
READING_COMMANDS = [c for c in ALL_COMMANDS if re.match(READING, c) and not re.search(OF_THE_PAGES, c)]


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_every_command_exists_with_its_options(command: str) -> None:
    words = shlex.split(command)[1:]
    reached: Any = typer.main.get_command(app)
    while isinstance(reached, typer.core.TyperGroup):
        inner = reached.commands[words.pop(0)]
        reached = inner.load() if isinstance(inner, LazyCommand) else inner
    with reached.make_context(reached.name, words, resilient_parsing=len(words) == 0) as context:
        assert context.command is reached


@pytest.mark.parametrize("command", READING_COMMANDS)
def test_every_command_that_only_reads_runs(command: str) -> None:
    outcome = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert outcome.output.strip()


def test_no_line_of_a_block_is_left_unchecked() -> None:
    lines = [line.strip() for page in (README, *PAGES) for line in commands(page)]
    strange = [
        one for one in lines if one and not re.match(rf"{COMMAND}|#", one) and not one.startswith(OTHER_PROGRAMS)
    ]
    assert strange == []


def test_the_folders_of_the_code_are_listed() -> None:
    listed = {name for row in re.findall(r"^\| (`\w+/`.*?) \|", README, flags=re.MULTILINE) for name in row.split(", ")}
    folders = {f"`{path.parent.name}/`" for path in Path(invkit.__file__).parent.glob("*/__init__.py")}
    assert listed == folders
