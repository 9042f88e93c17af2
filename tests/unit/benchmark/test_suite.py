"""Suites: what a file may say, where an error is placed, presets, and parts of a suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from invkit.benchmark.suite import bundled, load_suite, parse_suite, selected
from invkit.core.errors import InputError, RecipeError

SMALL = """
datasets = ["toy"]
recipes = ["wiener", { name = "wiener", label = "strong", overrides = ["regularizers.0.weight=0.1"] }]
metrics = "toy-error"
overrides = ["name=small"]
"""


def test_short_forms_are_written_out() -> None:
    suite = parse_suite(SMALL)
    assert [(r.name, r.label) for r in suite.recipes] == [("wiener", "wiener"), ("wiener", "strong")]
    assert suite.metrics[0].label == "toy-error"
    assert (suite.seeds, suite.limit, suite.keep) == ([0], None, "images")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ("seedz = [1]", r"seedz is not known; did you mean 'seeds'\?"),
        ("seeds = [1.5]", "seeds.0: should be an integer, got 1.5"),
        ("seeds = [1, 1]", "seeds: should hold each number once"),
        ("seeds = []", "seeds: should be a longer list"),
        ("limit = 0", "limit: should be greater than or equal to 1, got 0"),
        ("snapshots = [0]", "snapshots.0"),
        ("time_limit = inf", "time_limit"),
        ("keep = 'all'", "keep: should be 'images' or 'figures', got 'all'"),
        ("[[datasets]]\nnmae = 'x'", r"datasets.0.name is missing.*datasets.0.nmae is not known"),
        ("[presets]\ncpu = 3", r"presets: should be tables \[presets.NAME\]"),
        ("[presets.cpu]\nseedz = [1]", "preset cpu: seedz is not known"),
        ("[[presets.cpu.recipes]]\nname = 'wiener'\noverides = ['a=1']", "preset cpu: recipes.0.overides"),
    ],
)
def test_an_error_names_its_place(change: str, place: str) -> None:
    text = SMALL.replace('datasets = ["toy"]\n', "") if change.startswith("[[datasets") else SMALL
    with pytest.raises(InputError, match=place):
        parse_suite(text + change, "mine.toml")


@pytest.mark.parametrize("label", ["a b", "a/b", "a--b", "..", "", "x" * 61])
def test_a_label_becomes_part_of_a_file_name(label: str) -> None:
    with pytest.raises(InputError, match=r"recipes\.0\.label: should be at most 60 letters"):
        parse_suite(f"datasets = ['a']\nmetrics = ['b']\nrecipes = [{{ name = 'wiener', label = '{label}' }}]")


def test_two_of_one_label_are_refused() -> None:
    with pytest.raises(InputError, match="two are labelled 'wiener'"):
        parse_suite("datasets = ['a']\nmetrics = ['b']\nrecipes = ['wiener', 'wiener']")


def test_a_file_that_is_no_toml_is_refused() -> None:
    with pytest.raises(RecipeError, match="is not valid TOML"):
        parse_suite("datasets = [")


def test_a_preset_changes_what_bears_its_label_and_adds_the_rest() -> None:
    text = (
        SMALL
        + """
    [presets.cpu]
    seeds = [3]
    overrides = ["title=quick"]
    datasets = [{ name = "toy", params = { number = 2 } }]
    recipes = [{ label = "strong", overrides = ["regularizers.0.weight=1"] }, "tv-admm"]
    """
    )
    plain, quick = parse_suite(text), parse_suite(text, preset="cpu")
    assert plain.seeds == [0]
    assert len(plain.recipes) == 2
    assert quick.seeds == [3]
    assert quick.overrides == ["name=small", "title=quick"]
    assert quick.datasets[0].params == {"number": 2}
    assert [recipe.label for recipe in quick.recipes] == ["wiener", "strong", "tv-admm"]
    assert quick.recipes[1].overrides == ["regularizers.0.weight=0.1", "regularizers.0.weight=1"]


def test_an_unknown_preset_or_suite_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no preset 'cpo'; did you mean 'cpu'"):
        parse_suite(SMALL + "[presets.cpu]\nlimit = 1", preset="cpo")
    with pytest.raises(InputError, match=r"no suite 'levine'; did you mean 'levin'"):
        load_suite("levine")
    with pytest.raises(InputError, match=r"no file nowhere\.toml"):
        load_suite("nowhere.toml")


@pytest.mark.parametrize("name", bundled())
def test_a_bundled_suite_is_valid(name: str) -> None:
    assert load_suite(name).title


def test_the_suites_that_the_documentation_names_are_there() -> None:
    assert {"levin", "lai", "quick"} <= set(bundled())


def test_recipes_of_files_are_looked_for_beside_the_suite(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text("datasets = ['a']\nmetrics = ['b']\nrecipes = ['sub/mine.toml']")
    recipe = load_suite(tmp_path / "suite.toml").recipes[0]
    assert (recipe.name, recipe.label) == (str(tmp_path / "sub/mine.toml"), "mine")


def test_a_part_of_a_suite_keeps_its_settings_and_may_name_others() -> None:
    part = selected(parse_suite(SMALL), recipes=["strong", "tv-admm"], seeds=[1, 2], limit=3, overrides=["a=1"])
    assert [recipe.name for recipe in part.recipes] == ["wiener", "tv-admm"]
    assert part.recipes[0].overrides == ["name=small", "regularizers.0.weight=0.1", "a=1"]
    assert part.recipes[1].overrides == ["name=small", "a=1"]
    assert part.overrides == []
    assert (part.seeds, part.limit, part.metrics[0].name) == ([1, 2], 3, "toy-error")
