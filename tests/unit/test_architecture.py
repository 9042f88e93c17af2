"""House rules that no linter checks; `lint-imports` checks the direction of imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import invkit
import invkit.core.registry

PACKAGE = Path(invkit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
COMPONENT_FOLDERS = (
    "operators",
    "image_priors",
    "kernel_priors",
    "regularizers",
    "fidelities",
    "solvers",
    "metrics",
    "datasets",
)
COMPONENTS = [m for m in MODULES if m.relative_to(PACKAGE).parts[0] in COMPONENT_FOLDERS and m.name != "__init__.py"]
MAX_LINES = 400
HEAVY = {"deepinv", "skimage", "matplotlib"}  # each takes a second or more to import
RESERVED_BY_DEEPINV = {"docs", "examples"}  # deepinv installs top-level packages of these names


def name_of(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def functions_of(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def top_level(name: str) -> str:
    return name.split(".")[0]


def imported_names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Import):
        return {top_level(alias.name) for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return {top_level(node.module)}
    return set()


def test_the_rules_are_applied_to_the_package() -> None:
    assert {"core/registry.py", "core/solver.py", "operators/convolution.py"} <= {name_of(m) for m in MODULES}
    assert len(COMPONENTS) > 15


@pytest.mark.parametrize("module", COMPONENTS, ids=name_of)
def test_a_component_names_each_of_its_parameters(module: Path) -> None:
    assert [f.name for f in functions_of(tree_of(module)) if f.args.kwarg is not None] == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_file_is_long(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_an_ability_is_a_type_and_is_never_found_with_hasattr(module: Path) -> None:
    calls = [n for n in ast.walk(tree_of(module)) if isinstance(n, ast.Call)]
    named = [(call.lineno, call.func.id) for call in calls if isinstance(call.func, ast.Name)]
    assert [line for line, name in named if name == "hasattr"] == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_slow_imports_wait_until_they_are_needed(module: Path) -> None:
    at_import = {name for node in tree_of(module).body for name in imported_names(node)}
    assert at_import & HEAVY == set()


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_import_clashes_with_a_top_level_package_of_deepinv(module: Path) -> None:
    everywhere = {n for node in ast.walk(tree_of(module)) if isinstance(node, ast.stmt) for n in imported_names(node)}
    assert everywhere & RESERVED_BY_DEEPINV == set()


@pytest.mark.parametrize("module", COMPONENTS, ids=name_of)
def test_every_public_class_of_a_component_has_a_docstring(module: Path) -> None:
    classes = [n for n in tree_of(module).body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    assert [c.name for c in classes if not ast.get_docstring(c)] == []


def test_functions_are_short() -> None:
    lengths = sorted(length(f) for m in MODULES for f in functions_of(tree_of(m)))
    median, ninetieth = lengths[len(lengths) // 2], lengths[len(lengths) * 9 // 10]
    assert median <= 8
    assert ninetieth <= 25


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring not counted."""
    last = function.end_lineno or function.lineno
    body = function.body[0]
    documented = ast.get_docstring(function) is not None
    return last - function.lineno + 1 - (((body.end_lineno or 0) - body.lineno + 1) if documented else 0)


def test_the_lowest_versions_that_are_tested_are_those_that_are_declared() -> None:
    """Continuous integration installs lowest.txt, so that the declared ranges are tested at their lower ends."""
    root = PACKAGE.parent
    declared = dict(re.findall(r'"([a-z-]+)>=([0-9.]+)[",]', (root / "pyproject.toml").read_text(encoding="utf-8")))
    tested = dict(re.findall(r"^([a-z-]+)==([0-9.]+)$", (root / "lowest.txt").read_text(encoding="utf-8"), re.M))
    assert set(tested) == {"deepinv", "numpy", "pydantic", "torch"}
    for name, version in tested.items():
        assert [*map(int, version.split("."))][:2] == [*map(int, declared[name].split("."))][:2], name
