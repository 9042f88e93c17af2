"""The scripts of the gallery: every problem has one, and they use only public names."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

import invkit
from invkit.core import registry
from invkit.recipes.model import load_recipe

GALLERY = Path(invkit.__file__).parents[1] / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.rglob("*.py"))
OFFLINE = {"astronaut", "camera", "chelsea", "coffee", "coins", "shepp_logan_phantom"}  # in scikit-image's own wheel
ALLOWED = {"invkit", "matplotlib", "numpy", "skimage", "time", "torch"}


def imports_of(script: Path) -> list[tuple[str, str]]:
    """Each import as (module, name); the name is empty if the module itself is imported."""
    nodes = list(ast.walk(ast.parse(script.read_text(encoding="utf-8"))))
    modules = [(alias.name, "") for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names = [(n.module or "", alias.name) for n in nodes if isinstance(n, ast.ImportFrom) for alias in n.names]
    return modules + names


def public_names(module: str) -> set[str]:
    """``__all__`` of a module, and the components that a family's package imports when they are used."""
    imported = import_module(module)
    return {*vars(imported).get("__all__", ()), *(dir(imported) if "__dir__" in vars(imported) else ())}


def name_of(script: Path) -> str:
    return script.stem


def test_every_problem_other_than_deblurring_has_an_example() -> None:
    recipes = [load_recipe(entry.name) for entry in registry.entries("recipes") if entry.distribution == "invkit"]
    operators = {recipe.operator.name for recipe in recipes} - {"convolution"}
    text = "".join(script.read_text(encoding="utf-8") for script in GALLERY.glob("problems/*.py"))
    assert {recipe.operator.name for recipe in recipes if f'"{recipe.name}"' in text} >= operators


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_imports_only_public_names(script: Path) -> None:
    for module, name in imports_of(script):
        assert module.split(".")[0] in ALLOWED
        if module.startswith("invkit") and name:
            assert name in public_names(module), f"{name} is not public in {module}"


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_downloads_nothing_and_shows_its_results(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert set(re.findall(r"\bdata\.(\w+)\(", text)) <= OFFLINE
    assert "invkit." in text
    assert text.count("plt.show()") == 1


def test_the_front_page_shows_existing_scripts_and_every_folder_has_a_header() -> None:
    front = (GALLERY.parent / "index.md").read_text(encoding="utf-8")
    shown = re.findall(r"gallery/\w+/plot_\w+\.py", front)
    assert 4 <= len(shown) <= 6
    assert all((GALLERY.parent / place).exists() for place in shown)
    assert all((folder / "GALLERY_HEADER.rst").exists() for folder in {script.parent for script in SCRIPTS} | {GALLERY})
