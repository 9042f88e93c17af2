"""Recipes that begin from several: what may stand in `starts` and `selection`, and how it is named, set, checked, told."""

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
BOTH = 'candidates = ["one", "two"]\nscores = "log-gradient"\n'
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
    recipe = parse_recipe(f"candidates = {starts}\n{MAIN}")
    assert [start.name for start in recipe.candidates] == found
    assert all(start == load_recipe(start.name) for start in recipe.candidates if start.name != "mine")
    assert all(start.fidelity[0].name == "mse" for start in recipe.candidates)


def test_a_registered_recipe_with_settings_may_stand_there():
    changed = "{recipe = 'two', name = 'short', overrides = ['solver.params.iterations=2', 'regularizers.tv.weight=1']}"
    short, two = main(f"candidates=[{changed}, 'two']").candidates
    assert (short.name, short.solver.params["iterations"], short.regularizers[0].weight) == ("short", 2, 1)
    assert two == load_recipe("two")
    assert main(f"candidates=[{changed}]", "candidates.short.solver.params.iterations=3").candidates[0].name == "short"
    assert main("candidates={recipe = 'two', overrides = 'solver.params.iterations=2'}").candidates[0].name == "two"


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (
            "recipe = 'two', overides = []",
            r"candidates\.0\.overides is not known beside 'recipe'; did you mean 'overrides'",
        ),
        ("recipe = 3", r"candidates\.0: should be \{recipe = NAME, overrides = .*got \{'recipe': 3\}"),
        ("recipe = 'two', overrides = [3]", r"candidates\.0: should be \{recipe = NAME"),
        ("recipe = 'tvo'", r"candidates\.0: nothing named 'tvo' in recipes; did you mean 'two'"),
        (
            "recipe = 'two', overrides = 'solvr.params.x=1'",
            r"candidates\.0: the setting 'solvr.params.x=1': .*'solver'",
        ),
    ],
)
def test_one_with_settings_of_a_wrong_form_is_refused_with_its_place(start, said):
    with pytest.raises(InvkitError, match=said):
        main(head=f"candidates = {{{start}}}\n")


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        ("'log-gradient'", [("log-gradient", 1)]),
        ("['log-gradient', 'kernel-agreement']", [("log-gradient", 1), ("kernel-agreement", 1)]),
        ("{name = 'log-gradient', weight = 0.5}", [("log-gradient", 0.5)]),
        ("['kernel-agreement', {name = 'log-gradient', weight = 2}]", [("kernel-agreement", 1), ("log-gradient", 2)]),
    ],
)
def test_scores_are_names_or_tables_with_a_weight(selection, found):
    recipe = parse_recipe(f"candidates = ['one', 'two']\nscores = {selection}\n{MAIN}")
    assert [(score.name, score.weight) for score in recipe.selection] == found
    check_recipe(recipe)


def test_from_python_they_are_recipes_or_names():
    parts = {"name": "x", "image_prior": "pixels", "solver": "joint-adam"}
    whole = [load_recipe("one"), load_recipe("two")]
    assert Recipe(**parts, candidates=["one", "two"]) == Recipe(**parts, candidates=whole)
    assert Recipe(**parts, candidates="one").candidates == whole[:1]


def test_starts_stand_beside_the_links_of_a_recipe(names):
    names(last=MAIN.replace("main", "last"))
    recipe = main("next=last", "candidates.two.next=last")
    assert [link.name for link in recipe.links()] == ["main", "last"]
    assert [(place, one.name) for place, one in recipe.tree()] == [
        ("", "main"),
        ("candidates.0.", "one"),
        ("candidates.1.", "two"),
        ("candidates.1.next.", "last"),
        ("next.", "last"),
    ]


def test_starts_may_have_starts(names):
    names(inner=BOTH + MAIN.replace("main", "inner"))
    recipe = main("candidates=['inner', 'one']", "candidates.inner.candidates.two.solver.params.iterations=2")
    check_recipe(recipe)
    assert [place for place, _ in recipe.tree()][1:4] == [
        "candidates.0.",
        "candidates.0.candidates.0.",
        "candidates.0.candidates.1.",
    ]
    assert recipe.candidates[0].candidates[1].solver.params["iterations"] == 2


def test_all_components_have_their_places():
    there = {place: family for place, family, _ in main().components()}
    assert there["selection.0"] == "no_reference_metrics"
    assert there["candidates.1.regularizers.0"] == "regularizers"
    assert {"solver", "candidates.0.solver", "candidates.1.solver"} < set(there)
    assert "candidates.0.selection.0" not in there


@pytest.mark.parametrize(
    ("head", "error", "said"),
    [
        (
            "candidates = ['one', 'tvo']\n",
            UnknownNameError,
            r"candidates\.1: nothing named 'tvo' in recipes; did you .* 'two'",
        ),
        ("candidates = 'mine.toml'\n", UnknownNameError, r"candidates\.0: nothing named 'mine.toml' in recipes"),
        ("candidates = 3\n", RecipeError, r"main.toml: candidates: should be a list, got 3"),
        ("candidates = [3]\n", RecipeError, r"main.toml: candidates\.0: should be a table, got 3"),
        (
            "candidates = [{name = 'x'}]\n",
            RecipeError,
            r"candidates\.0\.image_prior is missing .*; candidates\.0\.solver is miss",
        ),
        (
            f"candidates = ['one', {TABLE[:-1]}, solvr = 1}}]\n",
            RecipeError,
            r"candidates\.1\.solvr is not known; .*'solver'",
        ),
        (
            f"candidates = {TABLE[:-1]}, regularizers = {{name = 'tv', weight = -1}}}}\n",
            RecipeError,
            r"main.toml: candidates\.0\.regularizers\.0\.weight: .*greater than or equal to 0, got -1",
        ),
        (
            f"candidates = {TABLE[:-1]}, measurement.colour = 'rgb'}}\n",
            RecipeError,
            r"candidates\.0\.measurement\.colour is n",
        ),
        (
            "candidates = 'one'\nscores = {name = 'log-gradient', wait = 1}\n",
            RecipeError,
            r"selection\.0\.wait is .*'weight'",
        ),
        (
            "candidates = 'one'\nscores = {name = 'log-gradient', weight = 0}\n",
            RecipeError,
            r"selection\.0\.weight: .*greater than 0, got 0",
        ),
        ("candidates = 'one'\nscores = {weight = 1}\n", RecipeError, r"selection\.0\.name is missing"),
    ],
)
def test_a_wrong_form_is_refused_with_its_place(head, error, said):
    with pytest.raises(error, match=said):
        main(head=head)


def test_a_registered_recipe_that_is_no_toml_is_named(names):
    names(broken="name = = 3")
    with pytest.raises(RecipeError, match=r"candidates\.1: broken is not valid TOML"):
        main(head="candidates = ['one', 'broken']\n")


@pytest.mark.parametrize("begun", ["alpha", "beta", "gamma"])
def test_a_circle_is_refused(names, begun):
    names(
        alpha="candidates = 'beta'\n" + TWO,
        beta="next = 'gamma'\n" + TWO,
        gamma="candidates = ['one', 'alpha']\n" + MAIN,
        own="candidates = 'own'\n" + TWO,
    )
    with pytest.raises(
        RecipeError, match=rf"(candidates\.[01]|next): the recipe '.*' .* with itself \(.*{begun}, then .*\)"
    ):
        load_recipe(begun)
    with pytest.raises(RecipeError, match=r"candidates\.0: the recipe 'own' .* with itself \(own, then own\)"):
        main("candidates=own")


# The second phase.


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        (
            ["candidates.0.solver.params.iteratons=3"],
            RecipeError,
            r"main: candidates\.0\.solver\.params\.iteratons .*'iterat",
        ),
        (
            ["candidates.two.solver.params.iterations=0"],
            RecipeError,
            r"main: candidates\.1\.solver\.params\.iterations: .* 0",
        ),
        (
            ["candidates.two.solver=joint-adm"],
            UnknownNameError,
            r"candidates\.two\.solver: nothing named 'joint-adm' in solvers",
        ),
        (
            ["candidates.1.regularizers.tv.params.x=0"],
            RecipeError,
            r"candidates\.1\.regularizers\.0\.params\.x is not known",
        ),
        (["selection.0.params.flor=1"], RecipeError, r"main: selection\.0\.params\.flor is not known; .*'floor'"),
        (["selection.0.params.floor=0"], RecipeError, r"main: selection\.0\.params\.floor: .*greater than 0"),
        (
            ["selection=log-gradeint"],
            UnknownNameError,
            r"selection\.0: nothing named 'log-gradeint' in no_reference_metrics; .*'log-gra",
        ),
        (["selection=[]"], RecipeError, r"^selection is missing \(tables .* chooses one of the starts, .*\)"),
        (
            ["candidates=[]"],
            RecipeError,
            r"^selection: there is nothing to choose from; name the recipes .* in 'candidates'",
        ),
        (
            ["candidates.0.selection=log-gradient"],
            RecipeError,
            r"^candidates\.0\.selection: there is nothing to choose from",
        ),
        (["candidates.0.candidates=['one', 'two']"], RecipeError, r"^candidates\.0\.selection is missing"),
        (
            ["next=two", "next.candidates=one"],
            RecipeError,
            r"^next\.candidates: two goes on from the kernel .* no starts",
        ),
        (
            ["candidates.1.next=two", "candidates.1.next.candidates=one"],
            RecipeError,
            r"^candidates\.1\.next\.candidates: two goes on",
        ),
        (["candidates.0.kernel_prior=known"], RecipeError, r"^candidates\.0: one finds no kernel; name a blind recipe"),
        (["candidates.0.kernel_prior=invkit:known"], RecipeError, r"^candidates\.0: one finds no kernel"),
        (
            ["kernel_prior=softmax-fcn"],
            RecipeError,
            r"main: kernel_prior: SoftmaxFCN starts from no kernel, but 'candidates' goes on from .*as known",
        ),
        (
            ["candidates.two.candidates=one", "candidates.two.kernel_prior=softmax-fcn"],
            RecipeError,
            r"main: candidates\.1\.kernel_prior: SoftmaxFCN starts from no kernel, but 'candidates'",
        ),
        (
            ["candidates.two.next=one"],
            RecipeError,
            r"main: candidates\.1\.next\.kernel_prior: SoftmaxFCN starts from no kernel, but 'next'",
        ),
    ],
)
def test_what_cannot_be_begun_from_is_refused_with_its_place(settings, error, said):
    with pytest.raises(error, match=said):
        check_recipe(main(*settings))


@pytest.mark.parametrize(
    "settings",
    [
        ["candidates=one", "selection=[]"],  # nothing to choose
        ["candidates=one"],
        ["kernel_prior=simplex"],  # what goes on may refine the kernel
        [
            "candidates.0.kernel_prior=known",
            "candidates.0.candidates=['one', 'two']",
            "candidates.0.selection=kernel-agreement",
        ],
        ["candidates.two.next=two", "candidates.two.next.kernel_prior=known"],
        ["candidates=[]", "selection=[]"],
    ],
)
def test_what_can_be_begun_from_passes(settings):
    check_recipe(main(*settings))


def test_the_seed_reaches_every_start():
    checked = check_parameters(main("candidates.1.solver.params.seed=3"), seed=7)
    assert [checked[place].values.seed for place in ("candidates.0.solver", "candidates.1.solver", "solver")] == [
        7,
        3,
        7,
    ]


# Settings.


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        (["candidates.0.solver.params.iterations=20"], lambda r: r.candidates[0].solver.params["iterations"] == 20),
        (["candidates.two.regularizers.0.weight=2"], lambda r: r.candidates[1].regularizers[0].weight == 2),
        (
            ["candidates.two.regularizers.tv.scale_by=variance"],
            lambda r: r.candidates[1].regularizers[0].scale_by == "variance",
        ),
        (
            ["candidates.1.solver=alternating-adam"],
            lambda r: (
                (r.candidates[1].solver.name, r.candidates[1].solver.params) == ("alternating-adam", {"iterations": 7})
            ),
        ),
        (["selection.log-gradient.weight=2"], lambda r: r.selection[0].weight == 2),
        (["selection.0.params.floor=0.1"], lambda r: r.selection[0].params == {"floor": 0.1}),
        (["selection=kernel-agreement"], lambda r: [score.name for score in r.selection] == ["kernel-agreement"]),
        (
            [
                "selection=['kernel-agreement', {name = 'log-gradient', weight = 3}]",
                "selection.kernel-agreement.weight=2",
            ],
            lambda r: (
                [(score.name, score.weight) for score in r.selection] == [("kernel-agreement", 2), ("log-gradient", 3)]
            ),
        ),
        (
            ["selection.0.weight=2", "selection.0=kernel-agreement"],
            lambda r: (r.selection[0].name, r.selection[0].weight) == ("kernel-agreement", 2),
        ),
        (["candidates=two"], lambda r: r.candidates == [load_recipe("two")]),
        (["candidates=['two', 'one']"], lambda r: [start.name for start in r.candidates] == ["two", "one"]),
        ([f"candidates=['two', {TABLE}]"], lambda r: [start.name for start in r.candidates] == ["two", "mine"]),
        (["candidates=[]"], lambda r: r.candidates == []),
        (["candidates.0=two"], lambda r: [start.name for start in r.candidates] == ["two", "two"]),
        (["candidates.one.name=other"], lambda r: [start.name for start in r.candidates] == ["other", "two"]),
        (
            ["candidates=['two']", "candidates.two.solver.params.iterations=2"],
            lambda r: [start.solver.params["iterations"] for start in r.candidates] == [2],
        ),
        (
            ["candidates.0.next=two", "candidates.0.next.kernel_prior=known"],
            lambda r: r.candidates[0].next.is_nonblind and not r.candidates[0].is_nonblind,
        ),
        (["solver.params.iterations=1"], lambda r: r.candidates[0].solver.params["iterations"] == 5),
    ],
)
def test_settings_reach_the_starts_and_scores_in_any_order(settings, read):
    assert read(main(*settings))
    assert main(*settings) == main(*settings[::-1])


def test_settings_can_give_a_recipe_starts_and_leave_the_registered_ones_as_they_are():
    plain = parse_recipe(MAIN)
    settings = ["candidates=['one', 'two']", "selection=log-gradient", "candidates.one.solver.params.iterations=20"]
    changed = plain.with_overrides(settings)
    assert (plain.candidates, plain.selection) == ([], [])
    assert [start.name for start in changed.candidates] == ["one", "two"]
    assert changed.candidates[0].solver.params["iterations"] == 20
    assert load_recipe("one").solver.params["iterations"] == 5


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("candidates.three.solver=joint-adam", "there is no 'three' in candidates; .*one, two"),
        ("candidates.2.solver=joint-adam", "there is no '2' in candidates"),
        ("candidates.solver.params.iterations=2", "there is no 'solver' in candidates"),
        ("candidates=tvo", r"candidates\.0: nothing named 'tvo' in recipes; did you mean 'two'"),
        ("candidates.0=tvo", "nothing named 'tvo' in recipes; did you mean 'two'"),
        ("candidates=3", "candidates: should be a list, got 3"),
        (
            "selection.kernel-agreement.weight=2",
            "there is no 'kernel-agreement' in no_reference_metrics; .*log-gradient",
        ),
        ("selection.0.wait=2", r"selection\.0\.wait is not known; did you mean 'weight'"),
    ],
)
def test_a_setting_without_a_place_is_refused(setting, said):
    with pytest.raises(InvkitError, match=said):
        main(setting)


def test_of_two_starts_of_one_name_the_place_says_which():
    twice = main("candidates=['two', 'two']", "candidates.1.solver.params.iterations=2")
    assert [start.solver.params["iterations"] for start in twice.candidates] == [7, 2]
    with pytest.raises(RecipeError, match=r"2 items are named 'two'; say which by position: \[0, 1\]"):
        main("candidates=['two', 'two']", "candidates.two.solver.params.iterations=2")


# Assembly.


def assembled(*settings: str, **options: Any):
    return assemble(main(*settings), DATA, (1, 1), kernel=STILL, **options)


def test_the_resolved_recipe_holds_the_resolved_starts_and_is_itself_a_recipe(tmp_path):
    made = assembled(
        "selection.log-gradient.weight=2", "candidates.two.next=one", "candidates.two.next.kernel_prior=known", seed=4
    )
    starts, selection = made.recipe["candidates"], made.recipe["selection"]
    assert [start["name"] for start in starts] == ["one", "two"]
    assert starts[0] == resolved_recipe(load_recipe("one"), check_parameters(load_recipe("one"), 4))
    assert starts[1]["regularizers"][0]["params"]["isotropic"] is True
    assert starts[1]["next"]["solver"]["params"]["seed"] == 4
    assert selection == [{"name": "log-gradient", "params": {"floor": 1e-3, "border": 8}, "weight": 2.0}]
    assert (starts[0]["candidates"], starts[0]["selection"]) == ([], [])
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"recipe": made.recipe}))
    assert assemble(load_recipe(file), DATA, (1, 1), kernel=STILL, seed=9).recipe == made.recipe
    assert validate_recipe(made.recipe, "again").starts[1].next.name == "one"


def test_an_ability_missing_in_a_start_is_refused_before_anything_begins():
    lacking = ["candidates.two.solver=demanding", "candidates.two.regularizers=[]"]
    check_recipe(main(*lacking))
    with pytest.raises(
        AssemblyError, match=r"^candidates\.1\.regularizers: Demanding needs a TotalVariation, .*none of a"
    ):
        assembled(*lacking)
    with pytest.raises(
        AssemblyError, match=r"^candidates\.1\.regularizers\.0: Demanding needs .*KernelL2 is none; .*: tv"
    ):
        assembled("candidates.two.solver=demanding", "candidates.two.regularizers.0=kernel-l2")
    assert assembled("candidates.two.solver=demanding").problem


# What is told of them.


def test_a_recipe_is_described_with_its_starts_and_scores(names):
    names(main=BOTH + MAIN)
    facts = json.loads(json.dumps(describe("recipes", "main")))
    assert [start["name"] for start in facts["candidates"]] == ["one", "two"]
    assert facts["candidates"][1]["solver"]["params"]["iterations"] == 7
    assert facts["components"]["selection"][0]["params"]["border"] == 8
    assert describe("recipes", "one")["candidates"] == []


def test_a_problem_of_a_start_is_a_problem_of_the_recipe(names):
    names(main=BOTH + MAIN, two=TWO.replace("iterations = 7", "iterations = -7"))
    [entry] = [entry for entry in registry.entries("recipes") if entry.name == "main"]
    assert "candidates.1.solver.params.iterations" in problem_of(entry)


def test_the_schema_knows_starts_and_scores():
    schema = recipe_schema()
    (one, names, changed, several), selection = (
        schema["properties"]["candidates"]["anyOf"],
        json.dumps(schema["properties"]["selection"]),
    )
    assert one == {"$ref": "#"}
    assert "one" in names["enum"]
    assert changed["required"] == ["recipe"]
    assert several["items"]["anyOf"] == [one, names, changed]
    assert '"weight"' in selection
    assert '"const": "kernel-agreement"' in selection
    assert '"enum": ["kernel-agreement", "log-gradient"]' in selection
    assert "selection" in schema["$defs"]


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
next = {{recipe = 'sparse-admm', overrides = ["next={other}"]}}
image_prior = 'pixels'
kernel_prior = 'simplex'
solver = 'joint-adam'
"""


def test_a_kernel_is_refused_where_the_starts_find_their_own():
    recipe = main()
    with pytest.raises(InputError, match="begins from kernels that its starts find, and would not look at"):
        restore(torch.rand(1, 1, 24, 24), recipe, kernel=torch.full((5, 5), 0.04), progress=False)
