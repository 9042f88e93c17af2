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
    resolved,
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


def first(*settings: str, then: str = "then = 'later'\n") -> Recipe:
    return parse_recipe(then + FIRST, "first.toml").with_overrides(settings)


TABLE = "then.name = 'mine'\nthen.image_prior = 'pixels'\nthen.solver = 'joint-adam'\n"


# What may stand there.


def test_a_name_stands_for_the_registered_recipe():
    assert first().then == load_recipe("later")
    assert [link.name for link in first().links()] == ["first", "later"]
    assert parse_recipe(FIRST).then is None


def test_a_whole_recipe_may_stand_there():
    then = first(then=TABLE).then
    assert (then.name, then.solver.name, then.fidelity[0].name) == ("mine", "joint-adam", "mse")


def test_from_python_it_is_a_recipe_or_a_name():
    parts = {"name": "x", "image_prior": "pixels", "solver": "joint-adam"}
    assert Recipe(**parts, then="later") == Recipe(**parts, then=load_recipe("later"))


def test_a_chain_may_be_long(names):
    names(middle="then = 'later'\n" + FIRST.replace("softmax-fcn", "simplex").replace("hidden = 20", ""))
    chain = first(then="then = 'middle'\n")
    assert [link.name for link in chain.links()] == ["first", "first", "later"]
    assert chain.then.then == load_recipe("later")
    check_recipe(chain)
    assert first("then=middle", "then.then=none").then.then is None


def test_the_components_of_the_chain_have_their_places():
    places = [place for place, _, _ in first().components()]
    assert places[:5] == ["operator", "image_prior", "kernel_prior", "solver", "fidelity.0"]
    assert places[5:] == [
        "then.operator",
        "then.image_prior",
        "then.kernel_prior",
        "then.solver",
        "then.fidelity.0",
        "then.regularizers.0",
    ]
    assert {place: family for place, family, _ in first().components()}["then.regularizers.0"] == "regularizers"


@pytest.mark.parametrize(
    ("then", "error", "said"),
    [
        ("then = 'latr'\n", UnknownNameError, "then: nothing named 'latr' in recipes; did you mean 'later'"),
        ("then = 'mine.toml'\n", UnknownNameError, r"then: nothing named 'mine.toml' in recipes"),
        ("then = 3\n", RecipeError, r"first.toml: then: should be a table, got 3 \(the recipe that goes on"),
        ("then = []\n", RecipeError, r"first.toml: then: should be a table, got \[\]"),
        ("then.name = 'x'\n", RecipeError, "first.toml: then.image_prior is missing .*; then.solver is missing"),
        (TABLE + "then.solvr = 'x'\n", RecipeError, "then.solvr is not known; did you mean 'solver'"),
        (
            TABLE + "then.regularizers = {name = 'tv', weight = -1}\n",
            RecipeError,
            "first.toml: then.regularizers.0.weight: .*greater than or equal to 0, got -1",
        ),
        (TABLE + "then.fidelity = {name = 'mse', untl = 3}\n", RecipeError, "then.fidelity.0.untl is not .*'until'"),
        (
            TABLE + "then.measurement.kernel_size = 'big'\n",
            RecipeError,
            "then.measurement.kernel_size: should be an int",
        ),
        (TABLE + "then.then = 'latr'\n", UnknownNameError, "nothing named 'latr' in recipes"),
    ],
)
def test_a_wrong_form_is_refused_with_its_place(then, error, said):
    with pytest.raises(error, match=said):
        first(then=then)


def test_a_registered_recipe_that_is_no_toml_is_named(names):
    names(broken="name = = 3")
    with pytest.raises(RecipeError, match="then: broken is not valid TOML"):
        first(then="then = 'broken'\n")


@pytest.mark.parametrize("start", ["alpha", "beta"])
def test_a_circle_is_refused(names, start):
    names(alpha="then = 'beta'\n" + LATER, beta="then = 'alpha'\n" + LATER, self="then = 'self'\n" + LATER)
    with pytest.raises(RecipeError, match=rf"then: the recipe '.*' goes on with itself \(.*{start}, then .*\)"):
        load_recipe(start)
    with pytest.raises(RecipeError, match=r"'self' goes on with itself \(self, then self\)"):
        first("then=self")


# The second phase.


@pytest.mark.parametrize(
    ("setting", "error", "said"),
    [
        ("then.solver.params.iteratons=3", RecipeError, "first: then.solver.params.iteratons is not .*'iterations'"),
        (
            "then.solver.params.iterations=0",
            RecipeError,
            "first: then.solver.params.iterations: .*greater than 0, got 0",
        ),
        ("then.solver=joint-adm", UnknownNameError, "then.solver: nothing named 'joint-adm' in solvers"),
        ("then.regularizers.tv.params.x=0", RecipeError, r"then\.regularizers\.0\.params\.x is not known"),
        (
            "then.kernel_prior=softmax-fcn",
            RecipeError,
            r"first: then\.kernel_prior: SoftmaxFCN starts from no kernel, but 'then' goes on from .*; .*known",
        ),
    ],
)
def test_a_wrong_component_is_refused_with_its_place(setting, error, said):
    with pytest.raises(error, match=said):
        check_recipe(first(setting))


@pytest.mark.parametrize("prior", ["known", "simplex"])
def test_kernel_priors_that_start_from_a_kernel_may_go_on(prior):
    check_recipe(first(f"then.kernel_prior={prior}"))


BLIND = ["then.kernel_prior=simplex", "then.then=later"]  # what goes on finds a kernel, and is gone on from


@pytest.mark.parametrize(
    "settings",
    [
        [*BLIND, "then.scores=log-gradient"],
        [*BLIND, "then.scores=['log-gradient', {name = 'kernel-agreement', weight = 0.5}]"],
        [*BLIND, "then.then.kernel_prior=simplex", "then.then.then=later", "then.then.scores=log-gradient"],
        ["then={recipe = 'later', overrides = ['kernel_prior=simplex', 'then=wiener', 'scores=log-gradient']}"],
    ],
)
def test_a_blind_recipe_between_two_others_may_have_scores(settings):
    recipe = first(*settings)
    check_recipe(recipe)
    assert [link.is_on_trial for link in recipe.links()].count(True) == 1


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        (["scores=log-gradient"], ""),
        ([*BLIND, "scores=log-gradient"], ""),
        (["then.kernel_prior=simplex", "then.scores=log-gradient"], r"then\."),
        (["then.kernel_prior=known", "then.then=later", "then.scores=log-gradient"], r"then\."),
        ([*BLIND, "then.then.kernel_prior=simplex", "then.then.scores=log-gradient"], r"then\.then\."),
    ],
    ids=["alone", "the first", "the last", "one that finds no kernel", "the last of three"],
)
def test_scores_are_refused_where_there_are_no_two_kernels_or_none_to_judge_them(settings, place):
    with pytest.raises(RecipeError, match=rf"^{place}scores: there is nothing to choose from; .* gone on from itself"):
        check_recipe(first(*settings))


@pytest.mark.parametrize(
    ("setting", "error", "said"),
    [
        ("then.scores=log-gradeint", UnknownNameError, r"then\.scores\.0: nothing named 'log-gradeint' in scores"),
        ("then.scores.0.weight=0", RecipeError, r"then\.scores\.0\.weight: .*greater than 0, got 0"),
        (
            "then.scores.log-gradient.params.flor=1",
            RecipeError,
            r"first: then\.scores\.0\.params\.flor is not .*'floor'",
        ),
    ],
)
def test_wrong_scores_of_what_goes_on_are_refused_with_their_place(setting, error, said):
    with pytest.raises(error, match=said):
        check_recipe(first(*BLIND, "then.scores=log-gradient", setting))


def test_the_seed_reaches_the_chain():
    checked = check_parameters(first("then.solver.params.seed=3"), seed=7)
    assert checked["solver"].values.seed == 7
    assert checked["then.solver"].values.seed == 3


# Settings.


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        (["then=selfdeblur-nonblind"], lambda r: r.then == load_recipe("selfdeblur-nonblind")),
        (["then=none"], lambda r: r.then is None),
        (["then.solver.params.iterations=20"], lambda r: r.then.solver.params["iterations"] == 20),
        (["then.regularizers.0.weight=2"], lambda r: r.then.regularizers[0].weight == 2),
        (["then.regularizers.tv.times=variance"], lambda r: r.then.regularizers[0].times == "variance"),
        (
            ["then.solver=alternating-adam"],
            lambda r: (r.then.solver.name, r.then.solver.params) == ("alternating-adam", {"iterations": 7}),
        ),
        (["then.fidelity=l1", "then.name=other"], lambda r: (r.then.name, r.then.fidelity[0].name) == ("other", "l1")),
        (
            ["then.solver.params.iterations=2", "then=selfdeblur-nonblind"],
            lambda r: (r.then.name, r.then.solver.params["iterations"]) == ("selfdeblur-nonblind", 2),
        ),
        (
            ["then.then=later", "then.then.solver.params.iterations=1"],
            lambda r: r.then.then.solver.params["iterations"] == 1,
        ),
        (["then.kernel_prior=simplex"], lambda r: r.then.kernel_prior.name == "simplex"),
        (["solver.params.iterations=1"], lambda r: r.then.solver.params["iterations"] == 7),
    ],
)
def test_settings_reach_the_chain_in_any_order(settings, read):
    assert read(first(*settings))
    assert first(*settings) == first(*settings[::-1])


def test_settings_can_begin_a_chain_and_leave_the_registered_recipe_as_it_is():
    plain = parse_recipe(FIRST)
    changed = plain.with_overrides(["then=later", "then.solver.params.iterations=20"])
    assert (plain.then, changed.then.solver.params["iterations"]) == (None, 20)
    assert load_recipe("later").solver.params["iterations"] == 7


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("then.solver.params.iterations=20", "nothing stands there yet; choose it first, as then=NAME"),
        ("then.solver=joint-adam", "nothing stands there yet; choose it first, as then=NAME"),
        ("then=latr", "then: nothing named 'latr' in recipes; did you mean 'later'"),
        ("then=3", "then: should be a table, got 3"),
    ],
)
def test_a_setting_without_a_place_is_refused(setting, said):
    with pytest.raises(InvkitError, match=said):
        parse_recipe(FIRST).with_overrides([setting])


# Assembly.


def test_the_resolved_recipe_holds_the_resolved_chain_and_is_itself_a_recipe(tmp_path):
    made = assemble(first(), DATA, (3, 5), seed=4)
    assert made.solver.iterations == 5
    then = made.recipe["then"]
    assert (then["name"], then["then"]) == ("later", None)
    assert then["kernel_prior"]["name"] == "known"
    assert then["solver"]["params"]["seed"] == 4
    assert then["regularizers"][0]["params"]["isotropic"] is True
    assert then == {**resolved(load_recipe("later"), check_parameters(load_recipe("later"), 4))}
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"recipe": made.recipe}))
    assert assemble(load_recipe(file), DATA, (3, 5), seed=9).recipe == made.recipe
    assert validate_recipe(made.recipe, "again").then.name == "later"


def test_a_recipe_that_ends_says_so():
    assert assemble(parse_recipe(FIRST), DATA, (3, 5)).recipe["then"] is None


def test_an_ability_missing_in_the_chain_is_refused_before_the_first_link_begins():
    check_recipe(first("then.solver=demanding", "then.regularizers=[]"))
    with pytest.raises(
        AssemblyError, match=r"^then\.regularizers: Demanding needs a TotalVariation, .*none of a weight"
    ):
        assemble(first("then.solver=demanding", "then.regularizers=[]"), DATA, (3, 5))
    with pytest.raises(
        AssemblyError, match=r"^then\.regularizers\.0: Demanding needs .*, and KernelL2 is none; .*do: tv"
    ):
        assemble(first("then.solver=demanding", "then.regularizers.0=kernel-l2"), DATA, (3, 5))
    with pytest.raises(AssemblyError, match=r"^then\.regularizers: .*none of a weight"):
        assemble(first("then.solver=demanding", "then.regularizers.0.times=variance"), DATA, (3, 5), sigma=0.0)
    assert assemble(first("then.solver=demanding"), DATA, (3, 5)).problem


@pytest.mark.parametrize(("times", "needed"), [("one", False), ("sigma", True), ("variance", True)])
def test_the_noise_level_is_needed_where_a_term_of_the_chain_asks_for_it(monkeypatch, times, needed):
    monkeypatch.setattr("invkit.pipeline.options.estimate_sigma", lambda data: 0.25)
    tiny = DATA[..., :4, :4]  # too small to tell the noise of, so that it is looked at only where it is needed
    assert noise_level(first(f"then.regularizers.tv.times={times}"), tiny) == (0.25 if needed else None)


# What is told of them.


def test_a_recipe_is_described_with_its_chain(names):
    names(first="then = 'later'\n" + FIRST)
    facts = json.loads(json.dumps(describe("recipes", "first")))
    assert facts["then"]["name"] == "later"
    assert facts["then"]["solver"]["params"]["iterations"] == 7


def test_a_problem_of_the_chain_is_a_problem_of_the_recipe(names):
    names(first="then = 'later'\n" + FIRST, later=LATER.replace("iterations = 7", "iterations = -7"))
    [entry] = [entry for entry in registry.entries("recipes") if entry.name == "first"]
    assert "then.solver.params.iterations" in problem_of(entry)


def test_a_recipe_that_cannot_be_read_is_its_distribution_s_fault():
    registry.register("recipes", "package", torch)
    try:
        with pytest.raises(PluginError, match="the recipe 'package' of this session cannot be read"):
            first("then=package")
    finally:
        registry.unregister("recipes", "package")


def test_the_schema_knows_the_chain():
    options = recipe_schema()["properties"]["then"]["anyOf"]
    assert {"$ref": "#"} in options
    assert "later" in options[1]["enum"]
