"""The gallery's scripts: every problem has one, and they need nothing but what is public."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import invkit
from invkit.core import registry
from invkit.recipes.model import load_recipe

PACKAGE = Path(invkit.__file__).parent
GALLERY = PACKAGE.parent / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.rglob("*.py"))
OFFLINE = {"astronaut", "camera", "chelsea", "coffee", "coins", "shepp_logan_phantom"}  # in scikit-image's own wheel
ALLOWED = {"invkit", "matplotlib", "numpy", "skimage", "time", "torch"}


def tree_of(script: Path) -> ast.Module:
    return ast.parse(script.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> list[tuple[str, str]]:
    """Each import as (module, name), with an empty name where it is of the module itself."""
    nodes = list(ast.walk(tree))
    modules = [(alias.name, "") for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names = [(n.module or "", alias.name) for n in nodes if isinstance(n, ast.ImportFrom) for alias in n.names]
    return modules + names


def public(module: str) -> set[str]:
    """What a module of invkit gives out, read without importing it."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in tree_of(file).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return set()


def name_of(script: Path) -> str:
    return script.stem


def test_there_is_an_example_of_every_problem_beside_deblurring():
    recipes = [load_recipe(entry.name) for entry in registry.entries("recipes") if entry.distribution == "invkit"]
    operators = {recipe.operator.name for recipe in recipes} - {"convolution"}
    text = "".join(script.read_text(encoding="utf-8") for script in GALLERY.glob("problems/*.py"))
    assert {recipe.operator.name for recipe in recipes if f'"{recipe.name}"' in text} >= operators


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_imports_only_what_is_public(script):
    for module, name in imported(tree_of(script)):
        assert module.split(".")[0] in ALLOWED
        if module.startswith("invkit") and name:
            assert name in public(module), f"{module} does not give out {name}"


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_fetches_nothing_and_draws_what_it_made(script):
    text = script.read_text(encoding="utf-8")
    assert set(re.findall(r"\bdata\.(\w+)\(", text)) <= OFFLINE
    assert "invkit." in text
    assert text.count("plt.show()") == 1


def test_the_front_page_and_the_headers_of_the_gallery_name_what_there_is():
    front = (GALLERY.parent / "index.md").read_text(encoding="utf-8")
    shown = re.findall(r"gallery/\w+/plot_\w+\.py", front)
    assert 4 <= len(shown) <= 6
    assert all((GALLERY.parent / place).exists() for place in shown)
    assert all((folder / "GALLERY_HEADER.rst").exists() for folder in {script.parent for script in SCRIPTS} | {GALLERY})
