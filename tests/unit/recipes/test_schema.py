"""Descriptions of components and recipes, also if one of them is broken."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from invkit.core import registry
from invkit.core.errors import PluginError, RecipeError, UnknownNameError
from invkit.core.parameters import validated
from invkit.fidelities.norms import MSE
from invkit.recipes.model import load_recipe, validate_recipe
from invkit.recipes.schema import describe, problem_of, recipe_schema

HEAD = """
from __future__ import annotations
from typing import TYPE_CHECKING, Any
from torch import Tensor
from invkit.core.interfaces import Fidelity
if TYPE_CHECKING:
    from decimal import Decimal
class Broken(Fidelity):
    def forward(self, predicted, data): return predicted
"""
BROKEN = {
    "'Decimal' is not defined": HEAD + "    def __init__(self, *, rate: Decimal) -> None: ...",
    "Nowhere": HEAD + "    def __init__(self, *, rate: list['Nowhere']) -> None: ...",
    "'rate' of Broken has no type": HEAD + "    def __init__(self, *, rate=1) -> None: ...",
    "'json' of Broken has a name that pydantic reserves": HEAD
    + "    def __init__(self, *, json: int = 1) -> None: ...",
    "stand after a '*'": HEAD + "    def __init__(self, rate: float = 1.0) -> None: ...",
    "a recipe cannot hold": HEAD + "    def __init__(self, *, rate: Tensor) -> None: ...",
    "takes **rate": HEAD + "    def __init__(self, **rate: float) -> None: ...",
    "abstract; it must define forward": HEAD.replace(
        "def forward(self, predicted, data): return predicted", "rate = 1"
    ),
    "SystemExit: no display": "raise SystemExit('no display')",
}
"""A part of the error, and the module that causes it."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put a distribution of one fidelity on sys.path, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_module", raising=False)

    def put(module: str, entry_points: str = "[invkit.fidelities]\nbroken = broken_module:Broken\n") -> None:
        folder = tmp_path / "broken_plugin-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.2\n")
        (folder / "entry_points.txt").write_text(entry_points)
        (tmp_path / "broken_module.py").write_text(module)
        registry._installed.cache_clear()

    yield put
    registry._installed.cache_clear()


@pytest.mark.parametrize(("expected", "module"), BROKEN.items(), ids=BROKEN)
def test_a_broken_plugin_breaks_neither_the_schema_nor_the_check_of_others(
    install: Callable[..., None], expected: str, module: str
) -> None:
    install(module)
    with pytest.raises(PluginError, match=re.escape(expected)):
        describe("fidelities", "broken")
    assert describe("fidelities", "ssim")["about"]
    tables = recipe_schema()["properties"]["fidelity"]["anyOf"][0]["oneOf"]
    descriptions = {table["properties"]["name"].get("const"): table.get("description", "") for table in tables}
    assert expected in descriptions.pop("broken")
    assert set(descriptions.values()) == {""}
    problems = {entry.name: problem_of(entry) for entry in registry.entries("fidelities")}
    assert expected in problems["broken"]
    assert {name for name, problem in problems.items() if problem} == {"broken"}


def test_all_components_of_invkit_are_sound() -> None:
    entries = [e for family in registry.FAMILIES for e in registry.entries(family) if e.distribution == "invkit"]
    assert len(entries) > 20
    assert {entry.name: problem_of(entry) for entry in entries if problem_of(entry)} == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = 'mine'", "mine: image_prior is missing"),
        ("name = 'mine'\nimage_prior = 'pixel'\nsolver = 'joint-adam'", "did you mean 'pixels'"),
        ("name = 'mine'\nimage_prior = 'pixels'\nsolver = {name = 'joint-adam', params = {ema = 2}}", "ema: should be"),
    ],
)
def test_the_problem_of_a_recipe_is_described(text: str, expected: str) -> None:
    registry.register("recipes", "mine", text)
    try:
        [entry] = [entry for entry in registry.entries("recipes") if entry.name == "mine"]
        assert expected in problem_of(entry)
    finally:
        registry.unregister("recipes", "mine")


@pytest.mark.parametrize("value", ["broken_module:Broken", "broken_module", "invkit.media"])
def test_a_recipe_that_cannot_be_found_is_a_problem_of_its_distribution(
    install: Callable[..., None], value: str
) -> None:
    install("Broken = 3", f"[invkit.recipes]\nbroken = {value}\n")
    problem = problem_of(registry.find("recipes", "broken"))
    assert problem.startswith("the recipe 'broken' of broken-plugin cannot be read from " + value)


def test_a_recipe_is_described_with_its_resolved_components() -> None:
    facts: dict[str, Any] = json.loads(json.dumps(describe("recipes", "selfdeblur-small")))
    recipe = load_recipe("selfdeblur-small")
    assert [facts[key] for key in ("family", "name", "title")] == ["recipes", recipe.name, recipe.title]
    assert (facts["source"], facts["notes"]) == (recipe.source, recipe.notes)
    assert set(facts["components"]) == set(registry.PLACES)
    assert facts["next"] is None
    assert facts["components"]["solver"]["params"]["iterations"] == 800
    assert facts["components"]["solver"]["params"]["early_stop"] is None
    again = validate_recipe({"name": "again", **facts["components"]}, "described")
    assert again.image_prior.params["channels"] == 32


def test_descriptions_of_unknown_and_broken_recipes_are_refused() -> None:
    registry.register("recipes", "mine", "name = 'mine'")
    try:
        with pytest.raises(RecipeError, match="mine: image_prior is missing"):
            describe("recipes", "mine")
    finally:
        registry.unregister("recipes", "mine")
    with pytest.raises(UnknownNameError, match="did you mean 'selfdeblur'"):
        describe("recipes", "selfdeblurr")


def test_the_schema_has_the_short_forms_of_recipe_files() -> None:
    places = recipe_schema()["properties"]
    assert places["solver"] == {"$ref": "#/$defs/solvers"}
    assert {"enum": registry.names("solvers")} in recipe_schema()["$defs"]["solvers"]["anyOf"]
    _, name, qualified, many = places["fidelity"]["anyOf"]
    assert name == {"enum": registry.names("fidelities")}
    assert re.match(qualified["pattern"], "deepinv:Blur")
    assert not re.match(qualified["pattern"], "blur")
    assert name in many["items"]["anyOf"]
    table, several = places["regularizers"]["anyOf"]
    assert several["items"]["anyOf"] == [table]
    assert all(option["required"] == ["name", "weight"] for option in table["oneOf"])


def test_the_description_of_a_component_has_its_parameters() -> None:
    class Plain(MSE):
        """Of this session."""

        @validated
        def __init__(self, *, power: float, rate: float = 2.0) -> None:
            super().__init__()

    registry.register("fidelities", "plain", Plain)
    try:
        facts = describe("fidelities", "plain")
    finally:
        registry.unregister("fidelities", "plain")
    assert facts["distribution"] == "this session"
    assert facts["about"] == "Of this session."
    assert facts["required"] == ["power"]
    assert facts["parameters"]["rate"]["default"] == 2.0
