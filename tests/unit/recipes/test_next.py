"""Recipes with next stages: the forms of `next`, its settings, checks and descriptions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from narrow import known
from registered import registered

from invkit.core import registry
from invkit.core.errors import AssemblyError, InvkitError, PluginError, RecipeError, UnknownNameError
from invkit.pipeline.assemble import assemble
from invkit.pipeline.options import noise_level
from invkit.recipes.model import (
    Recipe,
    check_parameters,
    check_recipe,
    load_recipe,
    parse_recipe,
    resolved_recipe,
    validate_recipe,
)
from invkit.recipes.schema import describe, problem_of, recipe_schema

DATA = torch.rand(1, 1, 16, 18, generator=torch.Generator().manual_seed(0))
FIRST = """
name = "first"
image_prior = "pixels"
kernel_prior = {name = "softmax-fcn", params = {hidden = 20}}
solver = {name = "joint-adam", params = {iterations = 5}}
"""
LATER = """
name = "later"
image_prior = "pixels"
solver = {name = "joint-adam", params = {iterations = 7}}
regularizers = {name = "tv", weight = 0.5}
"""


@pytest.fixture(autouse=True)
def names() -> Iterator[Callable[..., None]]:
    """Registers texts as recipes for one test."""
    with registered(later=LATER) as put:
        yield put


def first(*settings: str, head: str = "next = 'later'\n") -> Recipe:
    return parse_recipe(head + FIRST, "first.toml").with_overrides(settings)


TABLE = "next.name = 'mine'\nnext.image_prior = 'pixels'\nnext.solver = 'joint-adam'\n"


# The forms.


def test_a_name_means_the_registered_recipe() -> None:
    assert first().next == load_recipe("later")
    assert [link.name for link in first().links()] == ["first", "later"]
    assert parse_recipe(FIRST).next is None


def test_the_next_stage_may_be_a_whole_recipe() -> None:
    stage = known(first(head=TABLE).next)
    assert (stage.name, stage.solver.name, stage.fidelity[0].name) == ("mine", "joint-adam", "mse")


def test_in_python_it_is_a_recipe_or_a_name() -> None:
    parts: dict[str, Any] = {"name": "x", "image_prior": "pixels", "solver": "joint-adam"}
    name: Any = "later"  # a validator reads the recipe of this name
    assert Recipe(**parts, next=name) == Recipe(**parts, next=load_recipe("later"))


def test_there_may_be_many_stages(names: Callable[..., None]) -> None:
    names(middle="next = 'later'\n" + FIRST.replace("softmax-fcn", "simplex").replace("hidden = 20", ""))
    recipe = first(head="next = 'middle'\n")
    assert [link.name for link in recipe.links()] == ["first", "first", "later"]
    assert known(recipe.next).next == load_recipe("later")
    check_recipe(recipe)
    assert known(first("next=middle", "next.next=none").next).next is None


def test_the_components_of_all_stages_have_their_places() -> None:
    places = [place for place, _, _ in first().components()]
    assert places[:5] == ["operator", "image_prior", "kernel_prior", "solver", "fidelity.0"]
    assert places[5:] == [
        "next.operator",
        "next.image_prior",
        "next.kernel_prior",
        "next.solver",
        "next.fidelity.0",
        "next.regularizers.0",
    ]
    assert {place: family for place, family, _ in first().components()}["next.regularizers.0"] == "regularizers"


@pytest.mark.parametrize(
    ("head", "error", "expected"),
    [
        ("next = 'latr'\n", UnknownNameError, "next: nothing named 'latr' in recipes; did you mean 'later'"),
        ("next = 'mine.toml'\n", UnknownNameError, r"next: nothing named 'mine.toml' in recipes"),
        ("next = 3\n", RecipeError, r"first.toml: next: should be a table, got 3 \(the recipe of the next stage"),
        ("next = []\n", RecipeError, r"first.toml: next: should be a table, got \[\]"),
        ("next.name = 'x'\n", RecipeError, "first.toml: next.image_prior is missing .*; next.solver is missing"),
        (TABLE + "next.solvr = 'x'\n", RecipeError, "next.solvr is not known; did you mean 'solver'"),
        (
            TABLE + "next.regularizers = {name = 'tv', weight = -1}\n",
            RecipeError,
            "first.toml: next.regularizers.0.weight: .*greater than or equal to 0, got -1",
        ),
        (
            TABLE + "next.fidelity = {name = 'mse', untl = 3}\n",
            RecipeError,
            "next.fidelity.0.untl is not known; .*until_iteration",
        ),
        (
            TABLE + "next.measurement.kernel_size = 'big'\n",
            RecipeError,
            "next.measurement.kernel_size: should be an int",
        ),
        (TABLE + "next.next = 'latr'\n", UnknownNameError, "nothing named 'latr' in recipes"),
    ],
)
def test_a_wrong_form_is_refused_with_its_place(head: str, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        first(head=head)


def test_a_registered_recipe_that_is_not_toml_is_named(names: Callable[..., None]) -> None:
    names(broken="name = = 3")
    with pytest.raises(RecipeError, match="next: broken is not valid TOML"):
        first(head="next = 'broken'\n")


@pytest.mark.parametrize("start", ["alpha", "beta"])
def test_a_recipe_that_contains_itself_is_refused(names: Callable[..., None], start: str) -> None:
    names(alpha="next = 'beta'\n" + LATER, beta="next = 'alpha'\n" + LATER, self="next = 'self'\n" + LATER)
    with pytest.raises(RecipeError, match=rf"next: the recipe '.*' contains itself \(.*{start} > .*\)"):
        load_recipe(start)
    with pytest.raises(RecipeError, match=r"'self' contains itself \(self > self\)"):
        first("next=self")


# The second phase.


@pytest.mark.parametrize(
    ("setting", "error", "expected"),
    [
        (
            "next.solver.iteratons=3",
            RecipeError,
            r"no place 'next\.solver\.iteratons'; did you mean 'next\.solver\.iterations'",
        ),
        (
            "next.solver.iterations=0",
            RecipeError,
            "first: next.solver.iterations: .*greater than 0, got 0",
        ),
        ("next.solver=joint-adm", UnknownNameError, "next.solver: nothing named 'joint-adm' in solvers"),
        (
            "next.regularizers.tv.x=0",
            RecipeError,
            r"no place 'next\.regularizers\.tv\.x'; known here: weight, .*isotropic",
        ),
        (
            "next.kernel_prior=softmax-fcn",
            RecipeError,
            r"first: next\.kernel_prior: SoftmaxFCN cannot start from the kernel of the stage before; .*'known'",
        ),
    ],
)
def test_a_wrong_component_is_refused_with_its_place(setting: str, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        check_recipe(first(setting))


@pytest.mark.parametrize("prior", ["known", "simplex"])
def test_a_next_stage_may_have_any_kernel_prior_that_starts_from_a_kernel(prior: str) -> None:
    check_recipe(first(f"next.kernel_prior={prior}"))


BLIND = ["next.kernel_prior=simplex", "next.next=later"]  # the next stage refines the kernel, and another one follows


@pytest.mark.parametrize(
    "settings",
    [
        [*BLIND, "next.selection=log-gradient"],
        [*BLIND, "next.selection=['log-gradient', {name = 'kernel-agreement', weight = 0.5}]"],
        [*BLIND, "next.next.kernel_prior=simplex", "next.next.next=later", "next.next.selection=log-gradient"],
        ["next={recipe = 'later', overrides = ['kernel_prior=simplex', 'next=wiener', 'selection=log-gradient']}"],
    ],
)
def test_a_blind_stage_between_two_others_may_have_a_selection(settings: list[str]) -> None:
    recipe = first(*settings)
    check_recipe(recipe)
    assert [link.needs_improvement for link in recipe.links()].count(True) == 1


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        (["selection=log-gradient"], ""),
        ([*BLIND, "selection=log-gradient"], ""),
        (["next.kernel_prior=simplex", "next.selection=log-gradient"], r"next\."),
        (["next.kernel_prior=known", "next.next=later", "next.selection=log-gradient"], r"next\."),
        ([*BLIND, "next.next.kernel_prior=simplex", "next.next.selection=log-gradient"], r"next\.next\."),
    ],
    ids=["alone", "the first", "the last", "one that finds no kernel", "the last of three"],
)
def test_a_selection_without_two_kernels_or_a_stage_to_compare_them_is_refused(settings: list[str], place: str) -> None:
    with pytest.raises(
        RecipeError,
        match=rf"^{place}selection: there is nothing to select from; name recipes in .* is followed by another stage",
    ):
        check_recipe(first(*settings))


@pytest.mark.parametrize(
    ("setting", "error", "expected"),
    [
        (
            "next.selection=log-gradeint",
            UnknownNameError,
            r"next\.selection\.0: nothing named 'log-gradeint' in no_reference_metrics",
        ),
        ("next.selection.0.weight=0", RecipeError, r"next\.selection\.0\.weight: .*greater than 0, got 0"),
        (
            "next.selection.log-gradient.flor=1",
            RecipeError,
            r"no place 'next\.selection\.log-gradient\.flor'; did you mean 'next\.selection\.log-gradient\.floor'",
        ),
    ],
)
def test_a_wrong_selection_of_a_next_stage_is_refused_with_its_place(
    setting: str, error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        check_recipe(first(*BLIND, "next.selection=log-gradient", setting))


def test_the_seed_reaches_all_stages() -> None:
    checked = check_parameters(first("next.solver.seed=3"), seed=7)
    assert dict(checked["solver"].values)["seed"] == 7
    assert dict(checked["next.solver"].values)["seed"] == 3


# Settings.


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        (["next=selfdeblur-nonblind"], lambda r: r.next == load_recipe("selfdeblur-nonblind")),
        (["next=none"], lambda r: r.next is None),
        (["next.solver.iterations=20"], lambda r: r.next.solver.params["iterations"] == 20),
        (["next.regularizers.0.weight=2"], lambda r: r.next.regularizers[0].weight == 2),
        (["next.regularizers.tv.scale_by=variance"], lambda r: r.next.regularizers[0].scale_by == "variance"),
        (
            ["next.solver=alternating-adam"],
            lambda r: (r.next.solver.name, r.next.solver.params) == ("alternating-adam", {"iterations": 7}),
        ),
        (["next.fidelity=l1", "next.name=other"], lambda r: (r.next.name, r.next.fidelity[0].name) == ("other", "l1")),
        (
            ["next.solver.iterations=2", "next=selfdeblur-nonblind"],
            lambda r: (r.next.name, r.next.solver.params["iterations"]) == ("selfdeblur-nonblind", 2),
        ),
        (
            ["next.next=later", "next.next.solver.iterations=1"],
            lambda r: r.next.next.solver.params["iterations"] == 1,
        ),
        (["next.kernel_prior=simplex"], lambda r: r.next.kernel_prior.name == "simplex"),
        (["solver.iterations=1"], lambda r: r.next.solver.params["iterations"] == 7),
    ],
)
def test_settings_reach_next_stages_in_any_order(settings: list[str], read: Callable[[Any], bool]) -> None:
    assert read(first(*settings))
    assert first(*settings) == first(*settings[::-1])


def test_settings_can_add_a_next_stage_and_leave_the_registered_recipe_unchanged() -> None:
    plain = parse_recipe(FIRST)
    changed = plain.with_overrides(["next=later", "next.solver.iterations=20"])
    assert (plain.next, known(changed.next).solver.params["iterations"]) == (None, 20)
    assert load_recipe("later").solver.params["iterations"] == 7


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("next.solver.iterations=20", "nothing is at next yet; choose it first, as next=NAME"),
        ("next.solver=joint-adam", "nothing is at next yet; choose it first, as next=NAME"),
        ("next=latr", "next: nothing named 'latr' in recipes; did you mean 'later'"),
        ("next=3", "next: should be a table, got 3"),
    ],
)
def test_a_setting_of_an_absent_stage_is_refused(setting: str, expected: str) -> None:
    with pytest.raises(InvkitError, match=expected):
        parse_recipe(FIRST).with_overrides([setting])


# Assembly.


def test_the_resolved_recipe_holds_the_resolved_stages_and_is_itself_a_recipe(tmp_path: Path) -> None:
    made = assemble(first(), DATA, (3, 5), seed=4)
    assert made.solver.iterations == 5
    later = made.recipe["next"]
    assert (later["name"], later["next"]) == ("later", None)
    assert later["kernel_prior"]["name"] == "known"
    assert later["solver"]["params"]["seed"] == 4
    assert later["regularizers"][0]["params"]["isotropic"] is True
    assert later == resolved_recipe(load_recipe("later"), check_parameters(load_recipe("later"), 4))
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"recipe": made.recipe}))
    assert assemble(load_recipe(file), DATA, (3, 5), seed=9).recipe == made.recipe
    assert known(validate_recipe(made.recipe, "again").next).name == "later"


def test_the_resolved_recipe_of_a_single_stage_has_no_next() -> None:
    assert assemble(parse_recipe(FIRST), DATA, (3, 5)).recipe["next"] is None


def test_an_ability_missing_in_a_next_stage_is_refused_before_any_compute() -> None:
    check_recipe(first("next.solver=demanding", "next.regularizers=[]"))
    with pytest.raises(
        AssemblyError, match=r"^next\.regularizers: 'demanding' needs .* a TotalVariation, .*no such term of a weight"
    ):
        assemble(first("next.solver=demanding", "next.regularizers=[]"), DATA, (3, 5))
    with pytest.raises(
        AssemblyError, match=r"^next\.regularizers\.0: 'demanding' needs .*, and 'kernel-l2' does not qualify; .*do: tv"
    ):
        assemble(first("next.solver=demanding", "next.regularizers.0=kernel-l2"), DATA, (3, 5))
    with pytest.raises(AssemblyError, match=r"^next\.regularizers: .*no such term of a weight"):
        assemble(first("next.solver=demanding", "next.regularizers.0.scale_by=variance"), DATA, (3, 5), sigma=0.0)
    assert assemble(first("next.solver=demanding"), DATA, (3, 5)).problem


@pytest.mark.parametrize(("scale_by", "needed"), [("one", False), ("sigma", True), ("variance", True)])
def test_the_noise_level_is_needed_if_a_term_of_any_stage_is_scaled_by_it(
    monkeypatch: pytest.MonkeyPatch, scale_by: str, needed: bool
) -> None:
    monkeypatch.setattr("invkit.pipeline.options.estimate_sigma", lambda data: 0.25)
    tiny = DATA[..., :4, :4]  # too small for the estimator, which is called only if the level is needed
    assert noise_level(first(f"next.regularizers.tv.scale_by={scale_by}"), tiny) == (0.25 if needed else None)


# Descriptions.


def test_a_recipe_is_described_with_its_next_stages(names: Callable[..., None]) -> None:
    names(first="next = 'later'\n" + FIRST)
    facts = json.loads(json.dumps(describe("recipes", "first")))
    assert facts["next"]["name"] == "later"
    assert facts["next"]["solver"]["params"]["iterations"] == 7


def test_a_problem_of_a_next_stage_is_a_problem_of_the_recipe(names: Callable[..., None]) -> None:
    names(first="next = 'later'\n" + FIRST, later=LATER.replace("iterations = 7", "iterations = -7"))
    [entry] = [entry for entry in registry.entries("recipes") if entry.name == "first"]
    assert "next.solver.iterations" in problem_of(entry)


def test_a_recipe_that_cannot_be_read_is_the_fault_of_its_distribution() -> None:
    registry.register("recipes", "package", torch)
    try:
        with pytest.raises(PluginError, match="the recipe 'package' of this session cannot be read"):
            first("next=package")
    finally:
        registry.unregister("recipes", "package")


def test_the_schema_knows_next_stages() -> None:
    options = recipe_schema()["properties"]["next"]["anyOf"]
    assert {"$ref": "#"} in options
    assert "later" in options[1]["enum"]
