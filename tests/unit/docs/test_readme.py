"""The code in README and guide runs as it stands there, and the README's table is complete."""

from __future__ import annotations

import ast
import importlib
import math
import re
import shlex
from pathlib import Path

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

MEASURED = {"kspace.npy": np.ones((4, 16, 16)), "projections.npy": np.ones((1, 6, 16))}
"""What the guide's files of that name would hold; other arrays are kernels."""


def blocks(language, text):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def python_blocks(text):
    return blocks("python", text)


def solving(text):
    """The commands that restore something, a continued line as one."""
    lines = [line for block in blocks("bash", text) for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if re.match(r"invkit (deblur|deconvolve|solve) ", line) and "--resume" not in line]


BLOCKS = python_blocks(README)
PAGES = [page.read_text("utf-8") for folder in ("", "howto") for page in sorted((ROOT / "docs" / folder).glob("*.md"))]
GUIDE = [block for page in PAGES for block in python_blocks(page)]
COMMANDS = sorted({command for page in (README, *PAGES) for command in solving(page)})
COMMANDS = [c for c in COMMANDS if "mine.toml --set" not in c]  # about the recipe of its page: test_howto_map.py


def test_the_assembled_form_solves_its_problem():
    (code,) = [block for block in BLOCKS if "Problem(" in block]
    quick, count = re.subn(r"iterations=\d+", "iterations=2", code)
    assert count == 1
    names = {"blurry": torch.rand(1, 1, 40, 44, generator=torch.Generator().manual_seed(0))}
    exec(quick, names)
    assert isinstance(names["result"], Result)
    assert tuple(names["result"].image.shape) == (1, 1, 66, 70)  # 40 + 27 - 1, 44 + 27 - 1
    assert tuple(names["result"].kernel.shape) == (1, 1, 27, 27)


@pytest.mark.parametrize("block", [*BLOCKS, *GUIDE])
def test_every_python_block_is_python_and_imports_what_exists(block):
    imports = [node for node in ast.parse(block).body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), "block", "exec"), {})
    assert compile(block, "block", "exec").co_names


def test_the_component_of_the_guide_works_in_a_recipe(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "howto" / "component.md").read_text(encoding="utf-8")
    (tmp_path / "mean_gradient_of_the_guide.py").write_text(python_blocks(page)[0])
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
def given(tmp_path, monkeypatch):
    """Make the files that a command is given; nothing is computed in this folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(restore, "compute", lambda job, *_: job)
    monkeypatch.setattr(restore, "summarize", lambda *_, **__: None)
    picture = np.random.default_rng(0).integers(0, 256, (96, 112, 3), dtype=np.uint8)

    def make(words):
        for word in words:
            path = tmp_path / word
            if path.suffix in (".png", ".jpg", ".npy", ".toml") and not word.startswith("--"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_png(picture))
            if path.suffix == ".npy":
                np.save(path, MEASURED.get(path.name, np.full((5, 5), 0.04)))
            if path.suffix == ".toml":
                path.write_text(MINIMAL, encoding="utf-8")

    return make


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_readme_and_guide_passes_the_checks_before_the_solve(given, command):
    words = shlex.split(command, comments=True)[1:]
    given(words[1:])
    outcome = CliRunner().invoke(app, words, catch_exceptions=False)
    assert outcome.exit_code == 0


def test_the_table_of_recipes_is_complete():
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", README, flags=re.MULTILINE)
    built_in = {entry.name for entry in registry.entries("recipes") if entry.distribution == "invkit"}
    assert sorted(listed) == sorted(built_in)


COLLECTIONS = sorted(
    {
        line.partition("#")[0].strip()
        for page in (README, *PAGES)
        for block in blocks("bash", page)
        for line in block.replace("\\\n", " ").splitlines()
        if re.match(r"invkit (bench|data|recipe) ", line)
    }
)


@pytest.mark.parametrize("command", COLLECTIONS)
def test_every_command_about_data_and_benchmarks_exists_with_its_options(command):
    words = shlex.split(command.partition(" > ")[0])[1:]
    reached = typer.main.get_command(app)
    while isinstance(reached, typer.core.TyperGroup):
        command = reached.commands[words.pop(0)]
        reached = command.load() if isinstance(command, LazyCommand) else command
    with reached.make_context(reached.name, words) as context:
        assert context.params
