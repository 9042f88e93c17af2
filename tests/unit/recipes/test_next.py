"""Recipes that go on: what may follow a recipe, and how it is named, set, checked and told."""

from __future__ import annotations

import json

import pytest
import torch
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
def names():
    """Registers texts as recipes for one test."""
    with registered(later=LATER) as put:
        yield put


def first(*settings: str, then: str = "next = 'later'\n") -> Recipe:
    return parse_recipe(then + FIRST, "first.toml").with_overrides(settings)


TABLE = "next.name = 'mine'\nnext.image_prior = 'pixels'\nnext.solver = 'joint-adam'\n"


# What may stand there.


def test_a_name_stands_for_the_registered_recipe():
    assert first().next == load_recipe("later")
    assert [link.name for link in first().links()] == ["first", "later"]
    assert parse_recipe(FIRST).next is None


def test_a_whole_recipe_may_stand_there():
    then = first(then=TABLE).next
    assert (then.name, then.solver.name, then.fidelity[0].name) == ("mine", "joint-adam", "mse")


def test_from_python_it_is_a_recipe_or_a_name():
    parts = {"name": "x", "image_prior": "pixels", "solver": "joint-adam"}
    assert Recipe(**parts, next="later") == Recipe(**parts, next=load_recipe("later"))


def test_a_chain_may_be_long(names):
    names(middle="next = 'later'\n" + FIRST.replace("softmax-fcn", "simplex").replace("hidden = 20", ""))
    chain = first(then="next = 'middle'\n")
    assert [link.name for link in chain.links()] == ["first", "first", "later"]
    assert chain.next.next == load_recipe("later")
    check_recipe(chain)
    assert first("next=middle", "next.next=none").next.next is None


def test_the_components_of_the_chain_have_their_places():
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
    ("then", "error", "said"),
    [
        ("next = 'latr'\n", UnknownNameError, "next: nothing named 'latr' in recipes; did you mean 'later'"),
        ("next = 'mine.toml'\n", UnknownNameError, r"next: nothing named 'mine.toml' in recipes"),
        ("next = 3\n", RecipeError, r"first.toml: next: should be a table, got 3 \(the recipe that goes on"),
        ("next = []\n", RecipeError, r"first.toml: next: should be a table, got \[\]"),
        ("next.name = 'x'\n", RecipeError, "first.toml: next.image_prior is missing .*; next.solver is missing"),
        (TABLE + "next.solvr = 'x'\n", RecipeError, "next.solvr is not known; did you mean 'solver'"),
        (
            TABLE + "next.regularizers = {name = 'tv', weight = -1}\n",
            RecipeError,
            "first.toml: next.regularizers.0.weight: .*greater than or equal to 0, got -1",
        ),
        (TABLE + "next.fidelity = {name = 'mse', untl = 3}\n", RecipeError, "next.fidelity.0.untl is not .*'until'"),
        (
            TABLE + "next.measurement.kernel_size = 'big'\n",
            RecipeError,
            "next.measurement.kernel_size: should be an int",
        ),
        (TABLE + "next.next = 'latr'\n", UnknownNameError, "nothing named 'latr' in recipes"),
    ],
)
def test_a_wrong_form_is_refused_with_its_place(then, error, said):
    with pytest.raises(error, match=said):
        first(then=then)


def test_a_registered_recipe_that_is_no_toml_is_named(names):
    names(broken="name = = 3")
    with pytest.raises(RecipeError, match="next: broken is not valid TOML"):
        first(then="next = 'broken'\n")


@pytest.mark.parametrize("start", ["alpha", "beta"])
def test_a_circle_is_refused(names, start):
    names(alpha="next = 'beta'\n" + LATER, beta="next = 'alpha'\n" + LATER, self="next = 'self'\n" + LATER)
    with pytest.raises(RecipeError, match=rf"next: the recipe '.*' goes on with itself \(.*{start}, then .*\)"):
        load_recipe(start)
    with pytest.raises(RecipeError, match=r"'self' goes on with itself \(self, then self\)"):
        first("next=self")


# The second phase.


@pytest.mark.parametrize(
    ("setting", "error", "said"),
    [
        ("next.solver.params.iteratons=3", RecipeError, "first: next.solver.params.iteratons is not .*'iterations'"),
        (
            "next.solver.params.iterations=0",
            RecipeError,
            "first: next.solver.params.iterations: .*greater than 0, got 0",
        ),
        ("next.solver=joint-adm", UnknownNameError, "next.solver: nothing named 'joint-adm' in solvers"),
        ("next.regularizers.tv.params.x=0", RecipeError, r"next\.regularizers\.0\.params\.x is not known"),
        (
            "next.kernel_prior=softmax-fcn",
            RecipeError,
            r"first: next\.kernel_prior: SoftmaxFCN starts from no kernel, but 'next' goes on from .*; .*known",
        ),
    ],
)
def test_a_wrong_component_is_refused_with_its_place(setting, error, said):
    with pytest.raises(error, match=said):
        check_recipe(first(setting))


@pytest.mark.parametrize("prior", ["known", "simplex"])
def test_kernel_priors_that_start_from_a_kernel_may_go_on(prior):
    check_recipe(first(f"next.kernel_prior={prior}"))


BLIND = ["next.kernel_prior=simplex", "next.next=later"]  # what goes on finds a kernel, and is gone on from


@pytest.mark.parametrize(
    "settings",
    [
        [*BLIND, "next.selection=log-gradient"],
        [*BLIND, "next.selection=['log-gradient', {name = 'kernel-agreement', weight = 0.5}]"],
        [*BLIND, "next.next.kernel_prior=simplex", "next.next.next=later", "next.next.selection=log-gradient"],
        ["next={recipe = 'later', overrides = ['kernel_prior=simplex', 'next=wiener', 'selection=log-gradient']}"],
    ],
)
def test_a_blind_recipe_between_two_others_may_have_scores(settings):
    recipe = first(*settings)
    check_recipe(recipe)
    assert [link.is_on_trial for link in recipe.links()].count(True) == 1


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
def test_scores_are_refused_where_there_are_no_two_kernels_or_none_to_judge_them(settings, place):
    with pytest.raises(
        RecipeError, match=rf"^{place}selection: there is nothing to choose from; .* gone on from itself"
    ):
        check_recipe(first(*settings))


@pytest.mark.parametrize(
    ("setting", "error", "said"),
    [
        (
            "next.selection=log-gradeint",
            UnknownNameError,
            r"next\.selection\.0: nothing named 'log-gradeint' in selection",
        ),
        ("next.selection.0.weight=0", RecipeError, r"next\.selection\.0\.weight: .*greater than 0, got 0"),
        (
            "next.selection.log-gradient.params.flor=1",
            RecipeError,
            r"first: next\.selection\.0\.params\.flor is not .*'floor'",
        ),
    ],
)
def test_wrong_scores_of_what_goes_on_are_refused_with_their_place(setting, error, said):
    with pytest.raises(error, match=said):
        check_recipe(first(*BLIND, "next.selection=log-gradient", setting))


def test_the_seed_reaches_the_chain():
    checked = check_parameters(first("next.solver.params.seed=3"), seed=7)
    assert checked["solver"].values.seed == 7
    assert checked["next.solver"].values.seed == 3


# Settings.


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        (["next=selfdeblur-nonblind"], lambda r: r.next == load_recipe("selfdeblur-nonblind")),
        (["next=none"], lambda r: r.next is None),
        (["next.solver.params.iterations=20"], lambda r: r.next.solver.params["iterations"] == 20),
        (["next.regularizers.0.weight=2"], lambda r: r.next.regularizers[0].weight == 2),
        (["next.regularizers.tv.scale_by=variance"], lambda r: r.next.regularizers[0].scale_by == "variance"),
        (
            ["next.solver=alternating-adam"],
            lambda r: (r.next.solver.name, r.next.solver.params) == ("alternating-adam", {"iterations": 7}),
        ),
        (["next.fidelity=l1", "next.name=other"], lambda r: (r.next.name, r.next.fidelity[0].name) == ("other", "l1")),
        (
            ["next.solver.params.iterations=2", "next=selfdeblur-nonblind"],
            lambda r: (r.next.name, r.next.solver.params["iterations"]) == ("selfdeblur-nonblind", 2),
        ),
        (
            ["next.next=later", "next.next.solver.params.iterations=1"],
            lambda r: r.next.next.solver.params["iterations"] == 1,
        ),
        (["next.kernel_prior=simplex"], lambda r: r.next.kernel_prior.name == "simplex"),
        (["solver.params.iterations=1"], lambda r: r.next.solver.params["iterations"] == 7),
    ],
)
def test_settings_reach_the_chain_in_any_order(settings, read):
    assert read(first(*settings))
    assert first(*settings) == first(*settings[::-1])


def test_settings_can_begin_a_chain_and_leave_the_registered_recipe_as_it_is():
    plain = parse_recipe(FIRST)
    changed = plain.with_overrides(["next=later", "next.solver.params.iterations=20"])
    assert (plain.next, changed.next.solver.params["iterations"]) == (None, 20)
    assert load_recipe("later").solver.params["iterations"] == 7


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("next.solver.params.iterations=20", "nothing stands there yet; choose it first, as next=NAME"),
        ("next.solver=joint-adam", "nothing stands there yet; choose it first, as next=NAME"),
        ("next=latr", "next: nothing named 'latr' in recipes; did you mean 'later'"),
        ("next=3", "next: should be a table, got 3"),
    ],
)
def test_a_setting_without_a_place_is_refused(setting, said):
    with pytest.raises(InvkitError, match=said):
        parse_recipe(FIRST).with_overrides([setting])


# Assembly.


def test_the_resolved_recipe_holds_the_resolved_chain_and_is_itself_a_recipe(tmp_path):
    made = assemble(first(), DATA, (3, 5), seed=4)
    assert made.solver.iterations == 5
    then = made.recipe["next"]
    assert (then["name"], then["next"]) == ("later", None)
    assert then["kernel_prior"]["name"] == "known"
    assert then["solver"]["params"]["seed"] == 4
    assert then["regularizers"][0]["params"]["isotropic"] is True
    assert then == {**resolved_recipe(load_recipe("later"), check_parameters(load_recipe("later"), 4))}
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"recipe": made.recipe}))
    assert assemble(load_recipe(file), DATA, (3, 5), seed=9).recipe == made.recipe
    assert validate_recipe(made.recipe, "again").next.name == "later"


def test_a_recipe_that_ends_says_so():
    assert assemble(parse_recipe(FIRST), DATA, (3, 5)).recipe["next"] is None


def test_an_ability_missing_in_the_chain_is_refused_before_the_first_link_begins():
    check_recipe(first("next.solver=demanding", "next.regularizers=[]"))
    with pytest.raises(
        AssemblyError, match=r"^next\.regularizers: Demanding needs a TotalVariation, .*none of a weight"
    ):
        assemble(first("next.solver=demanding", "next.regularizers=[]"), DATA, (3, 5))
    with pytest.raises(
        AssemblyError, match=r"^next\.regularizers\.0: Demanding needs .*, and KernelL2 is none; .*do: tv"
    ):
        assemble(first("next.solver=demanding", "next.regularizers.0=kernel-l2"), DATA, (3, 5))
    with pytest.raises(AssemblyError, match=r"^next\.regularizers: .*none of a weight"):
        assemble(first("next.solver=demanding", "next.regularizers.0.scale_by=variance"), DATA, (3, 5), sigma=0.0)
    assert assemble(first("next.solver=demanding"), DATA, (3, 5)).problem


@pytest.mark.parametrize(("times", "needed"), [("one", False), ("sigma", True), ("variance", True)])
def test_the_noise_level_is_needed_where_a_term_of_the_chain_asks_for_it(monkeypatch, times, needed):
    monkeypatch.setattr("invkit.pipeline.options.estimate_sigma", lambda data: 0.25)
    tiny = DATA[..., :4, :4]  # too small to tell the noise of, so that it is looked at only where it is needed
    assert noise_level(first(f"next.regularizers.tv.scale_by={times}"), tiny) == (0.25 if needed else None)


# What is told of them.


def test_a_recipe_is_described_with_its_chain(names):
    names(first="next = 'later'\n" + FIRST)
    facts = json.loads(json.dumps(describe("recipes", "first")))
    assert facts["next"]["name"] == "later"
    assert facts["next"]["solver"]["params"]["iterations"] == 7


def test_a_problem_of_the_chain_is_a_problem_of_the_recipe(names):
    names(first="next = 'later'\n" + FIRST, later=LATER.replace("iterations = 7", "iterations = -7"))
    [entry] = [entry for entry in registry.entries("recipes") if entry.name == "first"]
    assert "next.solver.params.iterations" in problem_of(entry)


def test_a_recipe_that_cannot_be_read_is_its_distribution_s_fault():
    registry.register("recipes", "package", torch)
    try:
        with pytest.raises(PluginError, match="the recipe 'package' of this session cannot be read"):
            first("next=package")
    finally:
        registry.unregister("recipes", "package")


def test_the_schema_knows_the_chain():
    options = recipe_schema()["properties"]["next"]["anyOf"]
    assert {"$ref": "#"} in options
    assert "later" in options[1]["enum"]
