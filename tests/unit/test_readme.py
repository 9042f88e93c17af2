"""The code in README and guide runs as it stands there, and the README's table is complete."""

from __future__ import annotations

import ast
import importlib
import math
import re
from pathlib import Path

import pytest
import torch

import invkit
from invkit import registry
from invkit.recipe import check_parameters, parse_recipe
from invkit.result import Result

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


def python_blocks(text):
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


BLOCKS = python_blocks(README)
GUIDE = [block for page in sorted((ROOT / "docs").rglob("*.md")) for block in python_blocks(page.read_text("utf-8"))]


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


def test_the_table_of_recipes_is_complete():
    listed = re.findall(r"^\| `([a-z-]+)` \|", README, flags=re.MULTILINE)
    built_in = {entry.name for entry in registry.entries("recipes") if entry.distribution == "invkit"}
    assert sorted(listed) == sorted(built_in)
