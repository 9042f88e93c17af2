"""Recipes with candidates: the forms of `candidates` and `selection`, their settings, checks and descriptions."""

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
from invkit.core.errors import AssemblyError, InputError, InvkitError, RecipeError, UnknownNameError
from invkit.pipeline.api import restore
from invkit.pipeline.assemble import Assembly, assemble
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
BOTH = 'candidates = ["one", "two"]\nselection = "log-gradient"\n'
TABLE = "{name = 'mine', image_prior = 'pixels', kernel_prior = 'simplex', solver = 'joint-adam'}"


@pytest.fixture(autouse=True)
def names() -> Iterator[Callable[..., None]]:
    """Registers texts as recipes for one test."""
    with registered(one=ONE, two=TWO) as put:
        yield put


def main(*settings: str, head: str = BOTH) -> Recipe:
    return parse_recipe(head + MAIN, "main.toml").with_overrides(settings)


# The forms.


@pytest.mark.parametrize(
    ("candidates", "found"),
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
def test_one_or_several_by_name_or_as_whole_recipes(candidates: str, found: list[str]) -> None:
    recipe = parse_recipe(f"candidates = {candidates}\n{MAIN}")
    assert [one.name for one in recipe.candidates] == found
    assert all(one == load_recipe(one.name) for one in recipe.candidates if one.name != "mine")
    assert all(one.fidelity[0].name == "mse" for one in recipe.candidates)


def test_a_registered_recipe_with_settings_is_a_candidate() -> None:
    changed = "{recipe = 'two', name = 'short', overrides = ['solver.iterations=2', 'regularizers.tv.weight=1']}"
    short, two = main(f"candidates=[{changed}, 'two']").candidates
    assert (short.name, short.solver.params["iterations"], short.regularizers[0].weight) == ("short", 2, 1)
    assert two == load_recipe("two")
    assert main(f"candidates=[{changed}]", "candidates.short.solver.iterations=3").candidates[0].name == "short"
    assert main("candidates={recipe = 'two', overrides = 'solver.iterations=2'}").candidates[0].name == "two"


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (
            "recipe = 'two', overides = []",
            r"candidates\.0\.overides is not known beside 'recipe'; did you mean 'overrides'",
        ),
        ("recipe = 3", r"candidates\.0: should be \{recipe = NAME, overrides = .*got \{'recipe': 3\}"),
        ("recipe = 'two', overrides = [3]", r"candidates\.0: should be \{recipe = NAME"),
        ("recipe = 'tvo'", r"candidates\.0: nothing named 'tvo' in recipes; did you mean 'two'"),
        (
            "recipe = 'two', overrides = 'solvr=x'",
            r"candidates\.0: the setting 'solvr=x': there is no place 'solvr'; did you mean 'solver'",
        ),
    ],
)
def test_a_recipe_with_settings_of_a_wrong_form_is_refused_with_its_place(candidate: str, expected: str) -> None:
    with pytest.raises(InvkitError, match=expected):
        main(head=f"candidates = {{{candidate}}}\n")


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        ("'log-gradient'", [("log-gradient", 1)]),
        ("['log-gradient', 'kernel-agreement']", [("log-gradient", 1), ("kernel-agreement", 1)]),
        ("{name = 'log-gradient', weight = 0.5}", [("log-gradient", 0.5)]),
        ("['kernel-agreement', {name = 'log-gradient', weight = 2}]", [("kernel-agreement", 1), ("log-gradient", 2)]),
    ],
)
def test_the_selection_is_of_names_or_tables_with_a_weight(selection: str, found: list[tuple[str, float]]) -> None:
    recipe = parse_recipe(f"candidates = ['one', 'two']\nselection = {selection}\n{MAIN}")
    assert [(term.name, term.weight) for term in recipe.selection] == found
    check_recipe(recipe)


def test_in_python_candidates_are_recipes_or_names() -> None:
    parts: dict[str, Any] = {"name": "x", "image_prior": "pixels", "solver": "joint-adam"}
    whole = [load_recipe("one"), load_recipe("two")]
    one: Any = "one"  # a validator reads the recipes of these names
    two: Any = "two"
    assert Recipe(**parts, candidates=[one, two]) == Recipe(**parts, candidates=whole)
    assert Recipe(**parts, candidates=one).candidates == whole[:1]


def test_candidates_belong_to_the_tree_and_not_to_the_links_of_a_recipe(names: Callable[..., None]) -> None:
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


def test_candidates_may_have_candidates(names: Callable[..., None]) -> None:
    names(inner=BOTH + MAIN.replace("main", "inner"))
    recipe = main("candidates=['inner', 'one']", "inner.two.iterations=2")
    check_recipe(recipe)
    assert [place for place, _ in recipe.tree()][1:4] == [
        "candidates.0.",
        "candidates.0.candidates.0.",
        "candidates.0.candidates.1.",
    ]
    assert recipe.candidates[0].candidates[1].solver.params["iterations"] == 2


def test_all_components_have_their_places() -> None:
    there = {place: family for place, family, _ in main().components()}
    assert there["selection.0"] == "no_reference_metrics"
    assert there["candidates.1.regularizers.0"] == "regularizers"
    assert {"solver", "candidates.0.solver", "candidates.1.solver"} < set(there)
    assert "candidates.0.selection.0" not in there


@pytest.mark.parametrize(
    ("head", "error", "expected"),
    [
        (
            "candidates = ['one', 'tvo']\n",
            UnknownNameError,
            r"candidates\.1: nothing named 'tvo' in recipes; did you mean 'two'",
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
            "candidates = 'one'\nselection = {name = 'log-gradient', wait = 1}\n",
            RecipeError,
            r"selection\.0\.wait is .*'weight'",
        ),
        (
            "candidates = 'one'\nselection = {name = 'log-gradient', weight = 0}\n",
            RecipeError,
            r"selection\.0\.weight: .*greater than 0, got 0",
        ),
        ("candidates = 'one'\nselection = {weight = 1}\n", RecipeError, r"selection\.0\.name is missing"),
    ],
)
def test_a_wrong_form_is_refused_with_its_place(head: str, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        main(head=head)


def test_a_registered_recipe_that_is_not_toml_is_named(names: Callable[..., None]) -> None:
    names(broken="name = = 3")
    with pytest.raises(RecipeError, match=r"candidates\.1: broken is not valid TOML"):
        main(head="candidates = ['one', 'broken']\n")


@pytest.mark.parametrize("first", ["alpha", "beta", "gamma"])
def test_a_recipe_that_contains_itself_is_refused(names: Callable[..., None], first: str) -> None:
    names(
        alpha="candidates = 'beta'\n" + TWO,
        beta="next = 'gamma'\n" + TWO,
        gamma="candidates = ['one', 'alpha']\n" + MAIN,
        own="candidates = 'own'\n" + TWO,
    )
    with pytest.raises(
        RecipeError, match=rf"(candidates\.[01]|next): the recipe '.*' contains itself \(.*{first} > .*\)"
    ):
        load_recipe(first)
    with pytest.raises(RecipeError, match=r"candidates\.0: the recipe 'own' contains itself \(own > own\)"):
        main("candidates=own")


# The second phase.


@pytest.mark.parametrize(
    ("settings", "error", "expected"),
    [
        (
            ["candidates.0.solver.iteratons=3"],
            RecipeError,
            r"no place 'candidates\.0\.solver\.iteratons'; did you mean 'candidates\.one\.solver\.iterations'",
        ),
        (
            ["candidates.two.solver.iterations=0"],
            RecipeError,
            r"main: candidates\.1\.solver\.iterations: .* 0",
        ),
        (
            ["candidates.two.solver=joint-adm"],
            UnknownNameError,
            r"candidates\.two\.solver: nothing named 'joint-adm' in solvers",
        ),
        (
            ["candidates.1.regularizers.tv.x=0"],
            RecipeError,
            r"no place 'candidates\.1\.regularizers\.tv\.x'; known here: weight, .*isotropic",
        ),
        (
            ["selection.0.flor=1"],
            RecipeError,
            r"no place 'selection\.0\.flor'; did you mean 'selection\.log-gradient\.floor'",
        ),
        (["selection.0.floor=0"], RecipeError, r"main: selection\.0\.floor: .*greater than 0"),
        (
            ["selection=log-gradeint"],
            UnknownNameError,
            r"selection\.0: nothing named 'log-gradeint' in no_reference_metrics; .*'log-gra",
        ),
        (
            ["selection=[]"],
            RecipeError,
            r"^selection is missing \(no-reference metrics .*; the candidate .* of the lowest sum is taken\)",
        ),
        (
            ["candidates=[]"],
            RecipeError,
            r"^selection: there is nothing to select from; name recipes in 'candidates'",
        ),
        (
            ["candidates.0.selection=log-gradient"],
            RecipeError,
            r"^candidates\.0\.selection: there is nothing to select from",
        ),
        (["candidates.0.candidates=['one', 'two']"], RecipeError, r"^candidates\.0\.selection is missing"),
        (
            ["next=two", "next.candidates=one"],
            RecipeError,
            r"^next\.candidates: two starts from the kernel found and cannot have candidates",
        ),
        (
            ["candidates.1.next=two", "candidates.1.next.candidates=one"],
            RecipeError,
            r"^candidates\.1\.next\.candidates: two starts from the kernel found and cannot",
        ),
        (["candidates.0.kernel_prior=known"], RecipeError, r"^candidates\.0: one finds no kernel; name a blind recipe"),
        (["candidates.0.kernel_prior=invkit:known"], RecipeError, r"^candidates\.0: one finds no kernel"),
        (
            ["kernel_prior=softmax-fcn"],
            RecipeError,
            r"main: kernel_prior: SoftmaxFCN cannot start from the kernel of its candidates; use .* as 'known'",
        ),
        (
            ["candidates.two.candidates=one", "candidates.two.kernel_prior=softmax-fcn"],
            RecipeError,
            r"main: candidates\.1\.kernel_prior: SoftmaxFCN cannot start from the kernel of its candidates",
        ),
        (
            ["candidates.two.next=one"],
            RecipeError,
            r"main: candidates\.1\.next\.kernel_prior: SoftmaxFCN cannot start from the kernel of the stage before",
        ),
    ],
)
def test_candidates_that_cannot_be_used_are_refused_with_their_place(
    settings: list[str], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        check_recipe(main(*settings))


@pytest.mark.parametrize(
    "settings",
    [
        ["candidates=one", "selection=[]"],  # nothing to select
        ["candidates=one"],
        ["kernel_prior=simplex"],  # the recipe may refine the kernel of its candidates
        [
            "candidates.0.kernel_prior=known",
            "candidates.0.candidates=['one', 'two']",
            "candidates.0.selection=kernel-agreement",
        ],
        ["candidates.two.next=two", "candidates.two.next.kernel_prior=known"],
        ["candidates=[]", "selection=[]"],
    ],
)
def test_candidates_that_can_be_used_pass(settings: list[str]) -> None:
    check_recipe(main(*settings))


def test_the_seed_reaches_every_candidate() -> None:
    checked = check_parameters(main("candidates.1.solver.seed=3"), seed=7)
    places = ("candidates.0.solver", "candidates.1.solver", "solver")
    assert [dict(checked[place].values)["seed"] for place in places] == [7, 3, 7]


# Settings.


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        (["candidates.0.solver.iterations=20"], lambda r: r.candidates[0].solver.params["iterations"] == 20),
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
        (["selection.0.floor=0.1"], lambda r: r.selection[0].params == {"floor": 0.1}),
        (["selection=kernel-agreement"], lambda r: [term.name for term in r.selection] == ["kernel-agreement"]),
        (
            [
                "selection=['kernel-agreement', {name = 'log-gradient', weight = 3}]",
                "selection.kernel-agreement.weight=2",
            ],
            lambda r: (
                [(term.name, term.weight) for term in r.selection] == [("kernel-agreement", 2), ("log-gradient", 3)]
            ),
        ),
        (
            ["selection.0.weight=2", "selection.0=kernel-agreement"],
            lambda r: (r.selection[0].name, r.selection[0].weight) == ("kernel-agreement", 2),
        ),
        (["candidates=two"], lambda r: r.candidates == [load_recipe("two")]),
        (["candidates=['two', 'one']"], lambda r: [one.name for one in r.candidates] == ["two", "one"]),
        ([f"candidates=['two', {TABLE}]"], lambda r: [one.name for one in r.candidates] == ["two", "mine"]),
        (["candidates=[]"], lambda r: r.candidates == []),
        (["candidates.0=two"], lambda r: [one.name for one in r.candidates] == ["two", "two"]),
        (["candidates.one.name=other"], lambda r: [one.name for one in r.candidates] == ["other", "two"]),
        (
            ["candidates=['two']", "candidates.two.solver.iterations=2"],
            lambda r: [one.solver.params["iterations"] for one in r.candidates] == [2],
        ),
        (
            ["candidates.0.next=two", "candidates.0.next.kernel_prior=known"],
            lambda r: r.candidates[0].next.is_nonblind and not r.candidates[0].is_nonblind,
        ),
        (["solver.iterations=1"], lambda r: r.candidates[0].solver.params["iterations"] == 5),
        (
            ["iterations=1"],
            lambda r: (r.solver.params["iterations"], r.candidates[0].solver.params["iterations"]) == (1, 5),
        ),
        (
            ["one.iterations=1", "hidden=7"],
            lambda r: (
                (r.candidates[0].solver.params["iterations"], r.candidates[0].kernel_prior.params["hidden"]) == (1, 7)
            ),
        ),
        (["two.tv.weight=2"], lambda r: r.candidates[1].regularizers[0].weight == 2),
        (
            ["candidates.one.name=other", "candidates.one.solver.iterations=2"],
            lambda r: (r.candidates[0].name, r.candidates[0].solver.params["iterations"]) == ("other", 2),
        ),
        (["candidates.0.measurement.color=rgb"], lambda r: r.candidates[0].measurement.color == "rgb"),
    ],
)
def test_settings_reach_candidates_and_selection_in_any_order(settings: list[str], read: Callable[[Any], bool]) -> None:
    assert read(main(*settings))
    assert main(*settings) == main(*settings[::-1])


def test_settings_can_give_a_recipe_candidates_and_leave_the_registered_recipes_unchanged() -> None:
    plain = parse_recipe(MAIN)
    settings = ["candidates=['one', 'two']", "selection=log-gradient", "candidates.one.solver.iterations=20"]
    changed = plain.with_overrides(settings)
    assert (plain.candidates, plain.selection) == ([], [])
    assert [one.name for one in changed.candidates] == ["one", "two"]
    assert changed.candidates[0].solver.params["iterations"] == 20
    assert load_recipe("one").solver.params["iterations"] == 5


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "candidates.three.solver=joint-adam",
            r"no 'three' in candidates \(it has one, two\); to add one, write candidates=\[",
        ),
        ("candidates.2.solver=joint-adam", "there is no '2' in candidates"),
        (
            "candidates.solver.iterations=2",
            r"iterations is at candidates\.one\.solver\.iterations and at candidates\.two\.solver\.iterations; say",
        ),
        ("candidates=tvo", r"candidates\.0: nothing named 'tvo' in recipes; did you mean 'two'"),
        ("candidates.0=tvo", "nothing named 'tvo' in recipes; did you mean 'two'"),
        ("candidates=3", "candidates: should be a list, got 3"),
        (
            "selection.kernel-agreement.weight=2",
            r"no 'kernel-agreement' in selection \(it has log-gradient\); to .*=\[.*\{name = 'kernel-agreement'\}\]",
        ),
        ("selection.0.wait=2", r"no place 'selection\.0\.wait'; did you mean 'selection\.log-gradient\.weight'"),
    ],
)
def test_a_setting_of_an_unknown_place_is_refused(setting: str, expected: str) -> None:
    with pytest.raises(InvkitError, match=expected):
        main(setting)


def test_of_two_candidates_of_one_name_the_position_says_which() -> None:
    twice = main("candidates=['two', 'two']", "candidates.1.solver.iterations=2")
    assert [one.solver.params["iterations"] for one in twice.candidates] == [7, 2]
    with pytest.raises(
        RecipeError, match=r"2 items are called that; use a position, as candidates\.0\.solver\.iterations"
    ):
        main("candidates=['two', 'two']", "candidates.two.solver.iterations=2")


# Assembly.


def assembled(*settings: str, **options: Any) -> Assembly:
    return assemble(main(*settings), DATA, (1, 1), kernel=STILL, **options)


def test_the_resolved_recipe_holds_the_resolved_candidates_and_is_itself_a_recipe(tmp_path: Path) -> None:
    made = assembled(
        "selection.log-gradient.weight=2", "candidates.two.next=one", "candidates.two.next.kernel_prior=known", seed=4
    )
    candidates, selection = made.recipe["candidates"], made.recipe["selection"]
    assert [one["name"] for one in candidates] == ["one", "two"]
    assert candidates[0] == resolved_recipe(load_recipe("one"), check_parameters(load_recipe("one"), 4))
    assert candidates[1]["regularizers"][0]["params"]["isotropic"] is True
    assert candidates[1]["next"]["solver"]["params"]["seed"] == 4
    assert selection == [{"name": "log-gradient", "params": {"floor": 1e-3, "border": 8}, "weight": 2.0}]
    assert (candidates[0]["candidates"], candidates[0]["selection"]) == ([], [])
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"recipe": made.recipe}))
    assert assemble(load_recipe(file), DATA, (1, 1), kernel=STILL, seed=9).recipe == made.recipe
    assert known(validate_recipe(made.recipe, "again").candidates[1].next).name == "one"


def test_an_ability_missing_in_a_candidate_is_refused_before_any_compute() -> None:
    lacking = ["candidates.two.solver=demanding", "candidates.two.regularizers=[]"]
    check_recipe(main(*lacking))
    with pytest.raises(
        AssemblyError,
        match=r"^candidates\.1\.regularizers: 'demanding' needs .* is a TotalVariation, .*has no such term",
    ):
        assembled(*lacking)
    with pytest.raises(
        AssemblyError,
        match=r"^candidates\.1\.regularizers\.0: 'demanding' needs .*'kernel-l2' does not qualify; these do: tv",
    ):
        assembled("candidates.two.solver=demanding", "candidates.two.regularizers.0=kernel-l2")
    assert assembled("candidates.two.solver=demanding").problem


# Descriptions.


def test_a_recipe_is_described_with_its_candidates_and_selection(names: Callable[..., None]) -> None:
    names(main=BOTH + MAIN)
    facts = json.loads(json.dumps(describe("recipes", "main")))
    assert [one["name"] for one in facts["candidates"]] == ["one", "two"]
    assert facts["candidates"][1]["solver"]["params"]["iterations"] == 7
    assert facts["components"]["selection"][0]["params"]["border"] == 8
    assert describe("recipes", "one")["candidates"] == []


def test_a_problem_of_a_candidate_is_a_problem_of_the_recipe(names: Callable[..., None]) -> None:
    names(main=BOTH + MAIN, two=TWO.replace("iterations = 7", "iterations = -7"))
    [entry] = [entry for entry in registry.entries("recipes") if entry.name == "main"]
    assert "candidates.1.solver.iterations" in problem_of(entry)


def test_the_schema_knows_candidates_and_selection() -> None:
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
    assert f'"enum": {json.dumps(registry.names("no_reference_metrics"))}' in selection
    assert "no_reference_metrics" in schema["$defs"]


def test_a_recipe_that_contains_itself_through_settings_is_refused(names: Callable[..., None]) -> None:
    registry.register("recipes", "alpha", CONTAINS.format(name="alpha", other="beta"))
    registry.register("recipes", "beta", CONTAINS.format(name="beta", other="alpha"))
    try:
        with pytest.raises(
            RecipeError, match=r"the recipe 'sparse-admm' contains itself \(sparse-admm > beta > sparse-admm\)"
        ):
            load_recipe("alpha")
    finally:
        for name in ("alpha", "beta"):
            registry.unregister("recipes", name)


CONTAINS = """name = '{name}'
next = {{recipe = 'sparse-admm', overrides = ["next={other}"]}}
image_prior = 'pixels'
kernel_prior = 'simplex'
solver = 'joint-adam'
"""


def test_a_kernel_is_refused_if_the_candidates_find_their_own() -> None:
    recipe = main()
    with pytest.raises(InputError, match="starts from the kernels of its candidates and would ignore the given one"):
        restore(torch.rand(1, 1, 24, 24), recipe, kernel=torch.full((5, 5), 0.04), progress=False)
