"""Grids and settings of single recipes: which recipes a suite tries."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invkit.benchmark.grid import MAX_COMBINATIONS, combinations, read_axis
from invkit.benchmark.plan import make_plan
from invkit.benchmark.suite import LABEL, Suite, parse_suite, selected, swept
from invkit.core.errors import InputError
from invkit.recipes.model import load_recipe

BOTH = """
datasets = ["synthetic"]
metrics = ["psnr"]
recipes = [
    { name = "wiener", grid = { "regularizers.0.weight" = [1e-3, 2e-3] } },
    { name = "tv-admm", overrides = ["solver.tile_size=128"] },
]
"""


def settings(suite: Suite) -> dict[str, list[str]]:
    return {spec.label: spec.overrides for spec in swept(suite).recipes}


def test_each_combination_is_a_recipe_with_its_own_label() -> None:
    assert settings(parse_suite(BOTH)) == {
        "wiener.weight-0.001": ["regularizers.0.weight=0.001"],
        "wiener.weight-0.002": ["regularizers.0.weight=0.002"],
        "tv-admm": ["solver.tile_size=128"],
    }


def test_the_suite_s_grid_is_for_every_recipe_and_the_recipe_s_own_values_replace_it() -> None:
    found = settings(parse_suite(BOTH + '[grid]\n"regularizers.0.weight" = [5, 6, 7]\n'))
    assert list(found) == [
        "wiener.weight-0.001",
        "wiener.weight-0.002",
        "tv-admm.weight-5",
        "tv-admm.weight-6",
        "tv-admm.weight-7",
    ]
    assert found["tv-admm.weight-6"] == ["solver.tile_size=128", "regularizers.0.weight=6"]


def test_options_add_values_and_settings_of_one_recipe() -> None:
    suite = selected(
        parse_suite(BOTH),
        recipes=["tv-admm"],
        overrides=["name=x", "tv-admm:name=y"],
        grid=["seed=64,96", "solver.relaxation=1"],
    )
    assert settings(suite) == {
        f"tv-admm.seed-{seed}": ["solver.tile_size=128", "name=x", "name=y", f"seed={seed}", "solver.relaxation=1"]
        for seed in (64, 96)
    }


def test_values_of_an_option_replace_those_of_the_suite_and_of_a_recipe() -> None:
    text = BOTH + '[grid]\n"regularizers.0.weight" = [5, 6]\n'
    found = settings(selected(parse_suite(text), grid=["regularizers.0.weight=8,9"]))
    assert list(found) == ["wiener.weight-8", "wiener.weight-9", "tv-admm.weight-8", "tv-admm.weight-9"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"overrides": ["regularizers.0.weight=1"]}, "'regularizers.0.weight=1' sets what a grid varies"),
        ({"grid": ["seed=1", "seed=2"]}, "gives one place twice"),
    ],
)
def test_values_that_would_have_no_effect_are_refused(options: dict[str, list[str]], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        swept(selected(parse_suite(BOTH), **options))  # type: ignore[arg-type]


def test_two_names_of_one_place_are_refused() -> None:
    text = BOTH.replace('"regularizers.0.weight" = [1e-3, 2e-3]', '"weight" = [5, 6], "regularizers.0.weight" = [5, 6]')
    with pytest.raises(InputError, match="which are the same recipe; name each place once"):
        make_plan(parse_suite(text), None)


def test_settings_of_the_suite_may_name_the_recipe_they_are_for() -> None:
    text = BOTH + 'overrides = ["seed=1", "wiener:seed=2"]\n'
    found = settings(parse_suite(text))
    assert found["tv-admm"] == ["seed=1", "solver.tile_size=128"]
    assert found["wiener.weight-0.001"] == ["seed=1", "seed=2", "regularizers.0.weight=0.001"]


@pytest.mark.parametrize("where", ["tv-admm", "pan-l0"])
def test_a_setting_for_a_recipe_that_is_left_out_is_no_error(where: str) -> None:
    suite = selected(parse_suite(BOTH + 'overrides = ["wiener:seed=2", "name=x"]'), recipes=[where])
    assert settings(suite)[where] == {"tv-admm": ["name=x", "solver.tile_size=128"], "pan-l0": ["name=x"]}[where]


@pytest.mark.parametrize("where", ["suite", "option"])
def test_a_setting_for_a_recipe_that_is_not_there_is_refused(where: str) -> None:
    suite = parse_suite(BOTH + ('overrides = ["winer:seed=2"]' if where == "suite" else ""))
    with pytest.raises(InputError, match=r"'winer:seed=2' is for a recipe 'winer'; did you mean 'wiener'\?"):
        swept(selected(suite, overrides=["winer:seed=2"] if where == "option" else []))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("[grid]\nseed = []", r"grid\.seed: should be a longer list"),
        ("[grid]\nseed = [1, 1]", r"grid\.seed: should hold each value once"),
        ("[grid]\nseed = 3", r"grid\.seed"),
    ],
)
def test_values_that_are_no_grid_are_refused_with_their_place(change: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse_suite(BOTH + change)


def test_a_combination_with_the_label_of_another_recipe_is_refused() -> None:
    text = BOTH.replace('{ name = "tv-admm"', '{ name = "tv-admm", label = "wiener.weight-0.001"')
    with pytest.raises(InputError, match=r"the suite's grid: two are labelled 'wiener\.weight-0\.001'"):
        swept(parse_suite(text))


def test_too_many_combinations_are_refused() -> None:
    many = {f"place.{index}": list(range(10)) for index in range(3)}
    with pytest.raises(InputError, match=f"1000 combinations are too many; give at most {MAX_COMBINATIONS}"):
        combinations("a", many)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, "should be PLACE=VALUE,VALUE") for text in ("solver.iterations", "=1,2", "solver.iterations=")),
        *((text, "are not a list; write texts in quotes") for text in ("a=1,,2", "fidelity={name='huber'},mse")),
    ],
)
def test_an_axis_of_another_form_is_refused(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        read_axis(text)


def test_an_axis_may_hold_tables() -> None:
    assert read_axis("fidelity={name='huber'},'mse'") == ("fidelity", [{"name": "huber"}, "mse"])


values = st.lists(
    st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9), st.text(max_size=40), st.booleans()),
    min_size=1,
    max_size=4,
    unique_by=repr,
)


@given(grid=st.dictionaries(st.sampled_from(["solver.iterations", "regularizers.0.weight", "next"]), values))
def test_labels_are_allowed_and_different(grid: dict[str, list[object]]) -> None:
    labels = [label for label, _ in combinations("some-recipe", grid)]
    assert all(LABEL.fullmatch(label) for label in labels)
    assert len(set(labels)) == len(labels)


def test_the_settings_are_those_that_a_recipe_takes() -> None:
    grid: dict[str, list[Any]] = {
        "regularizers.0.weight": [1e-5],
        "next": ["none", "wiener"],
        "solver.inner.iterations": [3],
    }
    for label, each in combinations("pan-l0", grid):
        recipe = load_recipe("pan-l0").with_overrides(each)
        assert recipe.regularizers[0].weight == 1e-5
        assert (recipe.next is None) == bool(re.search("next-none", label))
        assert recipe.solver.params["inner"]["params"]["iterations"] == 3
