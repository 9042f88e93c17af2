"""Recipes that begin from several: what may stand in `starts` and `scores`, and how it is named, set, checked, told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from registered import registered

from invkit.core import registry
from invkit.core.errors import AssemblyError, InputError, InvkitError, RecipeError, UnknownNameError
from invkit.pipeline.api import restore
from invkit.pipeline.assemble import assemble
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
STILL = torch.ones(1, 1, 1, 1)
ONE = """
name = "one"
image_prior = "pixels"
kernel_prior = {name = "softmax-fcn", params = {hidden = 20}}
solver = {name = "joint-adam", params = {iterations = 5}}
"""
TWO = """
name = "two"
image_prior = "pixels"
kernel_prior = "simplex"
solver = {name = "joint-adam", params = {iterations = 7}}
regularizers = {name = "tv", weight = 0.5}
"""
MAIN = """
name = "main"
image_prior = "pixels"
kernel_prior = "known"
solver = {name = "joint-adam", params = {iterations = 3}}
"""
BOTH = 'starts = ["one", "two"]\nscores = "log-gradient"\n'
TABLE = "{name = 'mine', image_prior = 'pixels', kernel_prior = 'simplex', solver = 'joint-adam'}"


@pytest.fixture(autouse=True)
def names():
    """Registers texts as recipes for one test."""
    with registered(one=ONE, two=TWO) as put:
        yield put


def main(*settings: str, head: str = BOTH) -> Recipe:
    return parse_recipe(head + MAIN, "main.toml").with_overrides(settings)


# What may stand there.


@pytest.mark.parametrize(
    ("starts", "found"),
    [
        ("'one'", ["one"]),
        ("['one']", ["one"]),
        ("['one', 'two', 'one']", ["one", "two", "one"]),
        (TABLE, ["mine"]),
        (f"[{TABLE}]", ["mine"]),
        (f"['two', {TABLE}]", ["two", "mine"]),
        ("[]", []),
    ],
)
def test_one_or_several_by_name_or_whole(starts, found):
    recipe = parse_recipe(f"starts = {starts}\n{MAIN}")
    assert [start.name for start in recipe.starts] == found
    assert all(start == load_recipe(start.name) for start in recipe.starts if start.name != "mine")
    assert all(start.fidelity[0].name == "mse" for start in recipe.starts)


def test_a_registered_recipe_with_settings_may_stand_there():
    changed = "{recipe = 'two', name = 'short', overrides = ['solver.params.iterations=2', 'regularizers.tv.weight=1']}"
    short, two = main(f"starts=[{changed}, 'two']").starts
    assert (short.name, short.solver.params["iterations"], short.regularizers[0].weight) == ("short", 2, 1)
    assert two == load_recipe("two")
    assert main(f"starts=[{changed}]", "starts.short.solver.params.iterations=3").starts[0].name == "short"
    assert main("starts={recipe = 'two', overrides = 'solver.params.iterations=2'}").starts[0].name == "two"


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (
            "recipe = 'two', overides = []",
            r"starts\.0\.overides is not known beside 'recipe'; did you mean 'overrides'",
        ),
        ("recipe = 3", r"starts\.0: should be \{recipe = NAME, overrides = .*got \{'recipe': 3\}"),
        ("recipe = 'two', overrides = [3]", r"starts\.0: should be \{recipe = NAME"),
        ("recipe = 'tvo'", r"starts\.0: nothing named 'tvo' in recipes; did you mean 'two'"),
        ("recipe = 'two', overrides = 'solvr.params.x=1'", r"starts\.0: the setting 'solvr.params.x=1': .*'solver'"),
    ],
)
def test_one_with_settings_of_a_wrong_form_is_refused_with_its_place(start, said):
    with pytest.raises(InvkitError, match=said):
        main(head=f"starts = {{{start}}}\n")


@pytest.mark.parametrize(
    ("scores", "found"),
    [
        ("'log-gradient'", [("log-gradient", 1)]),
        ("['log-gradient', 'kernel-agreement']", [("log-gradient", 1), ("kernel-agreement", 1)]),
        ("{name = 'log-gradient', weight = 0.5}", [("log-gradient", 0.5)]),
        ("['kernel-agreement', {name = 'log-gradient', weight = 2}]", [("kernel-agreement", 1), ("log-gradient", 2)]),
    ],
)
def test_scores_are_names_or_tables_with_a_weight(scores, found):
    recipe = parse_recipe(f"starts = ['one', 'two']\nscores = {scores}\n{MAIN}")
    assert [(score.name, score.weight) for score in recipe.scores] == found
    check_recipe(recipe)


def test_from_python_they_are_recipes_or_names():
    parts = {"name": "x", "image_prior": "pixels", "solver": "joint-adam"}
    whole = [load_recipe("one"), load_recipe("two")]
    assert Recipe(**parts, starts=["one", "two"]) == Recipe(**parts, starts=whole)
    assert Recipe(**parts, starts="one").starts == whole[:1]


def test_starts_stand_beside_the_links_of_a_recipe(names):
    names(last=MAIN.replace("main", "last"))
    recipe = main("then=last", "starts.two.then=last")
    assert [link.name for link in recipe.links()] == ["main", "last"]
    assert [(place, one.name) for place, one in recipe.tree()] == [
        ("", "main"),
        ("starts.0.", "one"),
        ("starts.1.", "two"),
        ("starts.1.then.", "last"),
        ("then.", "last"),
    ]


def test_starts_may_have_starts(names):
    names(inner=BOTH + MAIN.replace("main", "inner"))
    recipe = main("starts=['inner', 'one']", "starts.inner.starts.two.solver.params.iterations=2")
    check_recipe(recipe)
    assert [place for place, _ in recipe.tree()][1:4] == ["starts.0.", "starts.0.starts.0.", "starts.0.starts.1."]
    assert recipe.starts[0].starts[1].solver.params["iterations"] == 2


def test_all_components_have_their_places():
    there = {place: family for place, family, _ in main().components()}
    assert there["scores.0"] == "scores"
    assert there["starts.1.regularizers.0"] == "regularizers"
    assert {"solver", "starts.0.solver", "starts.1.solver"} < set(there)
    assert "starts.0.scores.0" not in there


@pytest.mark.parametrize(
    ("head", "error", "said"),
    [
        ("starts = ['one', 'tvo']\n", UnknownNameError, r"starts\.1: nothing named 'tvo' in recipes; did you .* 'two'"),
        ("starts = 'mine.toml'\n", UnknownNameError, r"starts\.0: nothing named 'mine.toml' in recipes"),
        ("starts = 3\n", RecipeError, r"main.toml: starts: should be a list, got 3"),
        ("starts = [3]\n", RecipeError, r"main.toml: starts\.0: should be a table, got 3"),
        ("starts = [{name = 'x'}]\n", RecipeError, r"starts\.0\.image_prior is missing .*; starts\.0\.solver is miss"),
        (f"starts = ['one', {TABLE[:-1]}, solvr = 1}}]\n", RecipeError, r"starts\.1\.solvr is not known; .*'solver'"),
        (
            f"starts = {TABLE[:-1]}, regularizers = {{name = 'tv', weight = -1}}}}\n",
            RecipeError,
            r"main.toml: starts\.0\.regularizers\.0\.weight: .*greater than or equal to 0, got -1",
        ),
        (f"starts = {TABLE[:-1]}, measurement.colour = 'rgb'}}\n", RecipeError, r"starts\.0\.measurement\.colour is n"),
        ("starts = 'one'\nscores = {name = 'log-gradient', wait = 1}\n", RecipeError, r"scores\.0\.wait is .*'weight'"),
        (
            "starts = 'one'\nscores = {name = 'log-gradient', weight = 0}\n",
            RecipeError,
            r"scores\.0\.weight: .*greater than 0, got 0",
        ),
        ("starts = 'one'\nscores = {weight = 1}\n", RecipeError, r"scores\.0\.name is missing"),
    ],
)
def test_a_wrong_form_is_refused_with_its_place(head, error, said):
    with pytest.raises(error, match=said):
        main(head=head)


def test_a_registered_recipe_that_is_no_toml_is_named(names):
    names(broken="name = = 3")
    with pytest.raises(RecipeError, match=r"starts\.1: broken is not valid TOML"):
        main(head="starts = ['one', 'broken']\n")


@pytest.mark.parametrize("begun", ["alpha", "beta", "gamma"])
def test_a_circle_is_refused(names, begun):
    names(
        alpha="starts = 'beta'\n" + TWO,
        beta="then = 'gamma'\n" + TWO,
        gamma="starts = ['one', 'alpha']\n" + MAIN,
        own="starts = 'own'\n" + TWO,
    )
    with pytest.raises(
        RecipeError, match=rf"(starts\.[01]|then): the recipe '.*' .* with itself \(.*{begun}, then .*\)"
    ):
        load_recipe(begun)
    with pytest.raises(RecipeError, match=r"starts\.0: the recipe 'own' .* with itself \(own, then own\)"):
        main("starts=own")


# The second phase.


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        (["starts.0.solver.params.iteratons=3"], RecipeError, r"main: starts\.0\.solver\.params\.iteratons .*'iterat"),
        (["starts.two.solver.params.iterations=0"], RecipeError, r"main: starts\.1\.solver\.params\.iterations: .* 0"),
        (
            ["starts.two.solver=joint-adm"],
            UnknownNameError,
            r"starts\.two\.solver: nothing named 'joint-adm' in solvers",
        ),
        (["starts.1.regularizers.tv.params.x=0"], RecipeError, r"starts\.1\.regularizers\.0\.params\.x is not known"),
        (["scores.0.params.flor=1"], RecipeError, r"main: scores\.0\.params\.flor is not known; .*'floor'"),
        (["scores.0.params.floor=0"], RecipeError, r"main: scores\.0\.params\.floor: .*greater than 0"),
        (["scores=log-gradeint"], UnknownNameError, r"scores\.0: nothing named 'log-gradeint' in scores; .*'log-gra"),
        (["scores=[]"], RecipeError, r"^scores is missing \(tables .* chooses one of the starts, .*\)"),
        (["starts=[]"], RecipeError, r"^scores: there is nothing to choose from; name the recipes .* in 'starts'"),
        (["starts.0.scores=log-gradient"], RecipeError, r"^starts\.0\.scores: there is nothing to choose from"),
        (["starts.0.starts=['one', 'two']"], RecipeError, r"^starts\.0\.scores is missing"),
        (["then=two", "then.starts=one"], RecipeError, r"^then\.starts: two goes on from the kernel .* no starts"),
        (["starts.1.then=two", "starts.1.then.starts=one"], RecipeError, r"^starts\.1\.then\.starts: two goes on"),
        (["starts.0.kernel_prior=known"], RecipeError, r"^starts\.0: one finds no kernel; name a blind recipe"),
        (["starts.0.kernel_prior=invkit:known"], RecipeError, r"^starts\.0: one finds no kernel"),
        (
            ["kernel_prior=softmax-fcn"],
            RecipeError,
            r"main: kernel_prior: SoftmaxFCN starts from no kernel, but 'starts' goes on from .*as known",
        ),
        (
            ["starts.two.starts=one", "starts.two.kernel_prior=softmax-fcn"],
            RecipeError,
            r"main: starts\.1\.kernel_prior: SoftmaxFCN starts from no kernel, but 'starts'",
        ),
        (
            ["starts.two.then=one"],
            RecipeError,
            r"main: starts\.1\.then\.kernel_prior: SoftmaxFCN starts from no kernel, but 'then'",
        ),
    ],
)
def test_what_cannot_be_begun_from_is_refused_with_its_place(settings, error, said):
    with pytest.raises(error, match=said):
        check_recipe(main(*settings))


@pytest.mark.parametrize(
    "settings",
    [
        ["starts=one", "scores=[]"],  # nothing to choose
        ["starts=one"],
        ["kernel_prior=simplex"],  # what goes on may refine the kernel
        ["starts.0.kernel_prior=known", "starts.0.starts=['one', 'two']", "starts.0.scores=kernel-agreement"],
        ["starts.two.then=two", "starts.two.then.kernel_prior=known"],
        ["starts=[]", "scores=[]"],
    ],
)
def test_what_can_be_begun_from_passes(settings):
    check_recipe(main(*settings))


def test_the_seed_reaches_every_start():
    checked = check_parameters(main("starts.1.solver.params.seed=3"), seed=7)
    assert [checked[place].values.seed for place in ("starts.0.solver", "starts.1.solver", "solver")] == [7, 3, 7]


# Settings.


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        (["starts.0.solver.params.iterations=20"], lambda r: r.starts[0].solver.params["iterations"] == 20),
        (["starts.two.regularizers.0.weight=2"], lambda r: r.starts[1].regularizers[0].weight == 2),
        (["starts.two.regularizers.tv.times=variance"], lambda r: r.starts[1].regularizers[0].times == "variance"),
        (
            ["starts.1.solver=alternating-adam"],
            lambda r: (r.starts[1].solver.name, r.starts[1].solver.params) == ("alternating-adam", {"iterations": 7}),
        ),
        (["scores.log-gradient.weight=2"], lambda r: r.scores[0].weight == 2),
        (["scores.0.params.floor=0.1"], lambda r: r.scores[0].params == {"floor": 0.1}),
        (["scores=kernel-agreement"], lambda r: [score.name for score in r.scores] == ["kernel-agreement"]),
        (
            ["scores=['kernel-agreement', {name = 'log-gradient', weight = 3}]", "scores.kernel-agreement.weight=2"],
            lambda r: (
                [(score.name, score.weight) for score in r.scores] == [("kernel-agreement", 2), ("log-gradient", 3)]
            ),
        ),
        (
            ["scores.0.weight=2", "scores.0=kernel-agreement"],
            lambda r: (r.scores[0].name, r.scores[0].weight) == ("kernel-agreement", 2),
        ),
        (["starts=two"], lambda r: r.starts == [load_recipe("two")]),
        (["starts=['two', 'one']"], lambda r: [start.name for start in r.starts] == ["two", "one"]),
        ([f"starts=['two', {TABLE}]"], lambda r: [start.name for start in r.starts] == ["two", "mine"]),
        (["starts=[]"], lambda r: r.starts == []),
        (["starts.0=two"], lambda r: [start.name for start in r.starts] == ["two", "two"]),
        (["starts.one.name=other"], lambda r: [start.name for start in r.starts] == ["other", "two"]),
        (
            ["starts=['two']", "starts.two.solver.params.iterations=2"],
            lambda r: [start.solver.params["iterations"] for start in r.starts] == [2],
        ),
        (
            ["starts.0.then=two", "starts.0.then.kernel_prior=known"],
            lambda r: r.starts[0].then.is_nonblind and not r.starts[0].is_nonblind,
        ),
        (["solver.params.iterations=1"], lambda r: r.starts[0].solver.params["iterations"] == 5),
    ],
)
def test_settings_reach_the_starts_and_scores_in_any_order(settings, read):
    assert read(main(*settings))
    assert main(*settings) == main(*settings[::-1])


def test_settings_can_give_a_recipe_starts_and_leave_the_registered_ones_as_they_are():
    plain = parse_recipe(MAIN)
    settings = ["starts=['one', 'two']", "scores=log-gradient", "starts.one.solver.params.iterations=20"]
    changed = plain.with_overrides(settings)
    assert (plain.starts, plain.scores) == ([], [])
    assert [start.name for start in changed.starts] == ["one", "two"]
    assert changed.starts[0].solver.params["iterations"] == 20
    assert load_recipe("one").solver.params["iterations"] == 5


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("starts.three.solver=joint-adam", "there is no 'three' in starts; .*one, two"),
        ("starts.2.solver=joint-adam", "there is no '2' in starts"),
        ("starts.solver.params.iterations=2", "there is no 'solver' in starts"),
        ("starts=tvo", r"starts\.0: nothing named 'tvo' in recipes; did you mean 'two'"),
        ("starts.0=tvo", "nothing named 'tvo' in recipes; did you mean 'two'"),
        ("starts=3", "starts: should be a list, got 3"),
        ("scores.kernel-agreement.weight=2", "there is no 'kernel-agreement' in scores; .*log-gradient"),
        ("scores.0.wait=2", r"scores\.0\.wait is not known; did you mean 'weight'"),
    ],
)
def test_a_setting_without_a_place_is_refused(setting, said):
    with pytest.raises(InvkitError, match=said):
        main(setting)


def test_of_two_starts_of_one_name_the_place_says_which():
    twice = main("starts=['two', 'two']", "starts.1.solver.params.iterations=2")
    assert [start.solver.params["iterations"] for start in twice.starts] == [7, 2]
    with pytest.raises(RecipeError, match=r"2 items are named 'two'; say which by position: \[0, 1\]"):
        main("starts=['two', 'two']", "starts.two.solver.params.iterations=2")


# Assembly.


def assembled(*settings: str, **options: Any):
    return assemble(main(*settings), DATA, (1, 1), kernel=STILL, **options)


def test_the_resolved_recipe_holds_the_resolved_starts_and_is_itself_a_recipe(tmp_path):
    made = assembled(
        "scores.log-gradient.weight=2", "starts.two.then=one", "starts.two.then.kernel_prior=known", seed=4
    )
    starts, scores = made.recipe["starts"], made.recipe["scores"]
    assert [start["name"] for start in starts] == ["one", "two"]
    assert starts[0] == resolved(load_recipe("one"), check_parameters(load_recipe("one"), 4))
    assert starts[1]["regularizers"][0]["params"]["isotropic"] is True
    assert starts[1]["then"]["solver"]["params"]["seed"] == 4
    assert scores == [{"name": "log-gradient", "params": {"floor": 1e-3, "border": 8}, "weight": 2.0}]
    assert (starts[0]["starts"], starts[0]["scores"]) == ([], [])
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"recipe": made.recipe}))
    assert assemble(load_recipe(file), DATA, (1, 1), kernel=STILL, seed=9).recipe == made.recipe
    assert validate_recipe(made.recipe, "again").starts[1].then.name == "one"


def test_an_ability_missing_in_a_start_is_refused_before_anything_begins():
    lacking = ["starts.two.solver=demanding", "starts.two.regularizers=[]"]
    check_recipe(main(*lacking))
    with pytest.raises(AssemblyError, match=r"^starts\.1\.regularizers: Demanding needs a TotalVariation, .*none of a"):
        assembled(*lacking)
    with pytest.raises(AssemblyError, match=r"^starts\.1\.regularizers\.0: Demanding needs .*KernelL2 is none; .*: tv"):
        assembled("starts.two.solver=demanding", "starts.two.regularizers.0=kernel-l2")
    assert assembled("starts.two.solver=demanding").problem


# What is told of them.


def test_a_recipe_is_described_with_its_starts_and_scores(names):
    names(main=BOTH + MAIN)
    facts = json.loads(json.dumps(describe("recipes", "main")))
    assert [start["name"] for start in facts["starts"]] == ["one", "two"]
    assert facts["starts"][1]["solver"]["params"]["iterations"] == 7
    assert facts["components"]["scores"][0]["params"]["border"] == 8
    assert describe("recipes", "one")["starts"] == []


def test_a_problem_of_a_start_is_a_problem_of_the_recipe(names):
    names(main=BOTH + MAIN, two=TWO.replace("iterations = 7", "iterations = -7"))
    [entry] = [entry for entry in registry.entries("recipes") if entry.name == "main"]
    assert "starts.1.solver.params.iterations" in problem_of(entry)


def test_the_schema_knows_starts_and_scores():
    schema = recipe_schema()
    (one, names, changed, several), scores = (
        schema["properties"]["starts"]["anyOf"],
        json.dumps(schema["properties"]["scores"]),
    )
    assert one == {"$ref": "#"}
    assert "one" in names["enum"]
    assert changed["required"] == ["recipe"]
    assert several["items"]["anyOf"] == [one, names, changed]
    assert '"weight"' in scores
    assert '"const": "kernel-agreement"' in scores
    assert '"enum": ["kernel-agreement", "log-gradient"]' in scores
    assert "scores" in schema["$defs"]


def test_a_circle_through_settings_is_refused(names):
    registry.register("recipes", "alpha", LEADS.format(name="alpha", other="beta"))
    registry.register("recipes", "beta", LEADS.format(name="beta", other="alpha"))
    try:
        with pytest.raises(RecipeError, match=r"goes on with itself"):
            load_recipe("alpha")
    finally:
        for name in ("alpha", "beta"):
            registry.unregister("recipes", name)


LEADS = """name = '{name}'
then = {{recipe = 'sparse-admm', overrides = ["then={other}"]}}
image_prior = 'pixels'
kernel_prior = 'simplex'
solver = 'joint-adam'
"""


def test_a_kernel_is_refused_where_the_starts_find_their_own():
    recipe = main()
    with pytest.raises(InputError, match="begins from kernels that its starts find, and would not look at"):
        restore(torch.rand(1, 1, 24, 24), recipe, kernel=torch.full((5, 5), 0.04), progress=False)
