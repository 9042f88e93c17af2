"""Settings of recipes: which place a short or full path means, what a setting changes, and what errors suggest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from registered import registered

from invkit.core import registry
from invkit.core.errors import InvkitError, RecipeError
from invkit.core.interfaces import Regularizer
from invkit.core.parameters import validated
from invkit.core.solver import Solver
from invkit.recipes.model import Recipe, check_parameters, check_recipe, load_recipe, parse_recipe

SMALL = """
name = "small"
title = "A small recipe"
image_prior = "pixels"
kernel_prior = {name = "softmax-fcn", params = {hidden = 20}}
solver = {name = "joint-adam", params = {iterations = 5}}

[[regularizers]]
name = "tv"
weight = 0.5
"""
LATER = """
name = "later"
image_prior = "pixels"
solver = {name = "joint-adam", params = {iterations = 7}}
regularizers = {name = "tv", weight = 0.5}
"""


class Tabular(Regularizer):
    """A regularizer with a table as a parameter."""

    @validated
    def __init__(self, *, table: Annotated[dict[str, Any], Field(default_factory=dict)]) -> None:
        super().__init__()
        self.table = table

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value.flatten(1).sum(1)


class Nesting(Solver[Any]):
    """A solver with nested components; it is never started."""

    @validated
    def __init__(
        self,
        *,
        inner: Annotated[Solver[Any], Field(examples=["joint-adam"])],
        other: Solver[Any] | None = None,
        terms: Annotated[list[Regularizer], Field(examples=[["tv"]])],
        rounds: int = 3,
    ) -> None:
        self.iterations = rounds

    def start(self, problem: object) -> Any:
        raise AssertionError("started")

    def step(self, problem: object, state: Any) -> Any:
        raise AssertionError("started")


@pytest.fixture(autouse=True)
def components() -> Iterator[None]:
    registry.register("regularizers", "tabular", Tabular)
    registry.register("solvers", "nesting", Nesting)
    with registered(later=LATER):
        yield
    registry.unregister("regularizers", "tabular")
    registry.unregister("solvers", "nesting")


def small(*settings: str) -> Recipe:
    return parse_recipe(SMALL, "small.toml").with_overrides(settings)


def nesting(*settings: str) -> Recipe:
    """A recipe whose solver holds two solvers and a list of regularizers."""
    inside = "{inner = 'joint-adam', other = 'half-quadratic', terms = ['tv', 'kernel-l2']}"
    return small(f"solver={{name = 'nesting', params = {inside}}}").with_overrides(settings)


def pan(*settings: str) -> Recipe:
    """A recipe whose solver holds a solver, which holds a kernel estimation; both of these have ``iterations``."""
    return load_recipe("pan-l0").with_overrides(settings)


def two_candidates(*settings: str) -> Recipe:
    return small('candidates=["later", "later"]').with_overrides(settings)


# The place that a path means.


@pytest.mark.parametrize(
    "place",
    ["solver.iterations", "solver.params.iterations", "iterations", "params.iterations", " solver . iterations "],
)
def test_a_place_may_be_full_or_short_and_needs_no_params(place: str) -> None:
    recipe = small(f"{place}=9")
    assert recipe.solver.params == {"iterations": 9}
    assert recipe.changes == [f"solver.iterations={9}"]


@pytest.mark.parametrize(
    ("place", "full"),
    [
        ("solver.inner.iterations", "solver.inner.iterations"),
        ("inner.iterations", "solver.inner.iterations"),
        ("solver.iterations", "solver.inner.iterations"),
        ("iterations", "solver.inner.iterations"),
        ("rounds", "solver.rounds"),
        ("beta_max", "solver.other.beta_max"),
        ("terms.tv.isotropic", "solver.terms.tv.isotropic"),
        ("terms.0.isotropic", "solver.terms.tv.isotropic"),
        ("solver.terms.isotropic", "solver.terms.tv.isotropic"),
        ("regularizers.isotropic", "regularizers.tv.isotropic"),
        ("hidden", "kernel_prior.hidden"),
        ("weight", "regularizers.tv.weight"),
    ],
)
def test_a_short_place_means_the_only_place_that_it_fits(place: str, full: str) -> None:
    assert [change.partition("=")[0] for change in nesting(f"{place}=1").changes[1:]] == [full]


def test_a_short_place_of_several_parts_means_the_place_that_ends_with_it() -> None:
    """`inner.iterations` fits `solver.inner.kernel_estimation.iterations` too, which does not end with it."""
    changed = load_recipe("pan-l0").with_overrides(["inner.iterations=2"])
    assert changed.changes == ["solver.inner.iterations=2"]
    assert changed.solver.params["inner"]["params"]["iterations"] == 2


def test_the_recipe_s_own_components_come_before_those_of_its_next_stages_and_candidates() -> None:
    recipe = small("next=later", "candidates=later", "iterations=9", "next.iterations=8", "candidates.iterations=6")
    several = (recipe, *recipe.links()[1:], *recipe.candidates)
    assert [one.solver.params["iterations"] for one in several] == [9, 8, 6]


@pytest.mark.parametrize(
    ("change", "setting", "places"),
    [
        (pan, "iterations=9", {"solver.inner.iterations", "solver.inner.kernel_estimation.iterations"}),
        (pan, "solver.iterations=9", {"solver.inner.iterations", "solver.inner.kernel_estimation.iterations"}),
        (nesting, "isotropic=true", {"regularizers.tv.isotropic", "solver.terms.tv.isotropic"}),
        (nesting, "tv.isotropic=true", {"regularizers.tv.isotropic", "solver.terms.tv.isotropic"}),
        (
            two_candidates,
            "candidates.iterations=2",
            {"candidates.0.solver.iterations", "candidates.1.solver.iterations"},
        ),
    ],
)
def test_an_ambiguous_place_is_refused_with_all_places(
    change: Callable[..., Recipe], setting: str, places: set[str]
) -> None:
    name = setting.partition("=")[0].rpartition(".")[2]
    with pytest.raises(RecipeError) as caught:
        change(setting)
    start, _, end = str(caught.value).partition(" is at ")
    assert start == f"the setting '{setting}': {name}"
    assert set(end.removesuffix("; say which").split(" and at ")) == places
    for place in places:  # each of them is exact
        assert change(f"{place}={setting.partition('=')[2]}").changes[-1].startswith(place)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "kernel_prior.iterations=3",
            "there is no place 'kernel_prior.iterations'; iterations is at solver.iterations",
        ),
        ("inner.iterations=3", "there is no place 'inner.iterations'; iterations is at solver.iterations"),
        ("sovler.iterations=3", "there is no place 'sovler.iterations'; iterations is at solver.iterations"),
        ("solver.params.inner.iterations=3", "there is no place 'solver.inner.iterations'; iterations is at solver.it"),
        ("solver.iteratons=3", "there is no place 'solver.iteratons'; did you mean 'solver.iterations'?"),
        ("iteratons=3", "there is no place 'iteratons'; did you mean 'solver.iterations'?"),
        ("solver.hiden=3", "there is no place 'solver.hiden'; did you mean 'kernel_prior.hidden'?"),
        ("solvr=joint-adam", "there is no place 'solvr'; did you mean 'solver'?"),
        ("solver.xyzzy=3", "there is no place 'solver.xyzzy'; known here: iterations, image_lr, "),
        ("measurment.color=rgb", "there is no place 'measurment.color'; "),
        ("regularizers.tv.wieght=3", "no place 'regularizers.tv.wieght'; did you mean 'regularizers.tv.weight'?"),
    ],
)
def test_a_wrong_place_is_refused_with_the_right_one(setting: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        small(setting)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("solver.iterations", "the setting 'solver.iterations' is not of the form place=value, as solver.iterations=5"),
        ("=3", "the setting '=3' is not of the form place=value"),
        ("params=3", "the setting 'params=3' is not of the form place=value"),
        ("solver..iterations=3", "is not of the form place=value"),
        (
            "solver.iterations.most=3",
            "the setting 'solver.iterations.most=3': solver.iterations is neither a table nor",
        ),
        ("image_prior=", "small, as set: image_prior.name: string should have at least 1 character"),
        ("regularizers=tv", "small, as set: regularizers.0.weight is missing (factor of the regularizer"),
        ("solver=3", "small, as set: solver: should be a table, got 3 (a registered name, or"),
        ("solver.name=3", "small, as set: solver.name: should be a text in quotes, got 3"),
        ("fidelity=3", "small, as set: fidelity: should be a list, got 3"),
        ("operator=none", "small, as set: operator: should be a table, got None"),
        ("solver.params=3", "small, as set: solver.params: should be a table, got 3"),
        ("measurement.colour=rgb", "small, as set: measurement.colour is not known; did you mean 'color'?"),
        ("image_prior=pixel", "image_prior: nothing named 'pixel' in image_priors; did you mean 'pixels'?"),
        ("next=latr", "next: nothing named 'latr' in recipes; did you mean 'later'"),
    ],
)
def test_a_setting_of_a_wrong_form_or_value_is_refused(setting: str, expected: str) -> None:
    with pytest.raises(InvkitError) as caught:
        small(setting)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "holder"),
    [
        ("next.solver.iterations=3", "next"),
        ("solver.other.iterations=3", "solver.other"),
        ("kernel_prior.hidden=3", "kernel_prior"),
    ],
)
def test_parts_of_an_absent_component_are_refused_with_the_setting_that_chooses_one(setting: str, holder: str) -> None:
    with pytest.raises(RecipeError) as caught:
        nesting("solver.other=none", "kernel_prior=none", setting)
    assert (
        str(caught.value) == f"the setting '{setting}': nothing is at {holder} yet; choose it first, as {holder}=NAME"
    )


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "regularizers.kernel-l2.weight=2",
            "there is no 'kernel-l2' in regularizers (it has tv); to add one, set "
            "\"regularizers=[{name = 'tv', weight = 0.5, ",
        ),
        ("regularizers.l0.weight=2", "}, {name = 'l0-gradient', weight = 2}]"),
        ("regularizers.l0=1e-4", "}, {name = 'l0-gradient', weight = 0.0001}]"),
        ("regularizers.l0.target=kernel", "}, {name = 'l0-gradient', weight = 0.001}]"),
        ("regularizers.tv=1e-4", "regularizers.tv is a component; its weight is regularizers.tv.weight=0.0001"),
        ("regularizers.1.weight=2", "there is no '1' in regularizers (it has tv); to add one"),
        (
            "fidelity.ssim.until_iteration=2",
            "no 'ssim' in fidelity (it has mse); to add one, set \"fidelity=[{name = 'mse'}, {name = 'ssim'}]",
        ),
        (
            "solver.terms.l0-gradient.isotropic=true",
            "no 'l0-gradient' in solver.terms (it has tv, kernel-l2); to add one, set "
            "\"solver.terms=[{name = 'tv'}, {name = 'kernel-l2'}, {name = 'l0-gradient'}]",
        ),
        (
            "selection.log-gradient.weight=2",
            "no 'log-gradient' in selection (it is empty); to add one, set \"selection=[{name = 'log-gradient'}]",
        ),
        (
            "candidates.later.solver=joint-adam",
            "there is no 'later' in candidates (it is empty); to add one, write candidates=[NAME, ...]",
        ),
    ],
)
def test_a_missing_item_of_a_list_is_refused_with_the_setting_that_adds_it(setting: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        nesting(setting)
    assert expected in str(caught.value)


def test_the_regularizer_that_the_error_writes_out_can_be_added() -> None:
    with pytest.raises(RecipeError) as caught:
        small("regularizers.kernel-l2=2")
    _, setting, _ = str(caught.value).split('"')
    before = [(term.name, term.weight, term.params) for term in small().regularizers]
    after = [(term.name, term.weight, term.params) for term in small(setting).regularizers]
    assert after == [*before, ("kernel-l2", 2, {})]


# What a setting changes.


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("solver.iterations=500", lambda r: r.solver.params["iterations"] == 500),
        ("solver.image_lr = 1e-3", lambda r: r.solver.params["image_lr"] == 1e-3),
        ("solver.milestones=[1, 2]", lambda r: r.solver.params["milestones"] == [1, 2]),
        ("tv.isotropic=true", lambda r: r.regularizers[0].params["isotropic"] is True),
        ("image_prior.initial=grey", lambda r: r.image_prior.params["initial"] == "grey"),
        ("image_prior.initial='500'", lambda r: r.image_prior.params["initial"] == "500"),
        ("title=a=b", lambda r: r.title == "a=b"),
        ("solver.ema=none", lambda r: r.solver.params["ema"] is None),
        ("kernel_prior=none", lambda r: r.kernel_prior is None),
        ("regularizers.tv.weight=0", lambda r: r.regularizers[0].weight == 0),
        ("regularizers.0.scale_by=sigma", lambda r: r.regularizers[0].scale_by == "sigma"),
        ("regularizers=[]", lambda r: r.regularizers == []),
        (
            "regularizers.tv.name=kernel-l2",
            lambda r: [(t.name, t.weight) for t in r.regularizers] == [("kernel-l2", 0.5)],
        ),
        ("regularizers.tv=kernel-l2", lambda r: [(t.name, t.weight) for t in r.regularizers] == [("kernel-l2", 0.5)]),
        ("fidelity=l1", lambda r: [f.name for f in r.fidelity] == ["l1"]),
        ("fidelity.mse.name=l1", lambda r: [f.name for f in r.fidelity] == ["l1"]),
        ("fidelity.mse.until_iteration=7", lambda r: r.fidelity[0].until_iteration == 7),
        ("measurement.kernel_size=[3, 5]", lambda r: r.measurement.kernel_size == (3, 5)),
        ("measurement.image=blurry.png", lambda r: r.measurement.image == "blurry.png"),
        ("measurement={color = 'rgb'}", lambda r: r.measurement.color == "rgb"),
        ("name=mine", lambda r: r.name == "mine" and r.solver.params == {"iterations": 5}),
        (
            "solver.params={image_lr = 0.5}",
            lambda r: (r.solver.name, r.solver.params) == ("joint-adam", {"image_lr": 0.5}),
        ),
        ("regularizers.tv.params={isotropic = true}", lambda r: r.regularizers[0].weight == 0.5),
    ],
)
def test_a_setting_changes_its_place(setting: str, read: Callable[[Recipe], bool]) -> None:
    assert read(small(setting))


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        (
            ["image_prior=pixels", "image_prior.initial=grey"],
            lambda r: (r.image_prior.name, r.image_prior.params) == ("pixels", {"initial": "grey"}),
        ),
        (
            ['fidelity=["mse"]', "fidelity.mse.until_iteration=3"],
            lambda r: (r.fidelity[0].name, r.fidelity[0].until_iteration) == ("mse", 3),
        ),
        (
            ["fidelity=ssim", "ssim.until_iteration=3"],
            lambda r: (r.fidelity[0].name, r.fidelity[0].until_iteration) == ("ssim", 3),
        ),
        (["fidelity={name = 'l1'}", "until_iteration=3"], lambda r: r.fidelity[0].until_iteration == 3),
        (
            ["regularizers=tv", "regularizers.tv.weight=0.1", "tv.target=kernel"],
            lambda r: [(t.name, t.weight, t.target) for t in r.regularizers] == [("tv", 0.1, "kernel")],
        ),
        (['regularizers=["tv"]', "regularizers.0.weight=2"], lambda r: r.regularizers[0].weight == 2),
        (
            ["fidelity.mse=l1", "fidelity.l1.until_iteration=4"],
            lambda r: [(f.name, f.until_iteration) for f in r.fidelity] == [("l1", 4)],
        ),
        (
            ["solver.params={iterations = 9}", "solver.seed=1"],
            lambda r: r.solver.params == {"iterations": 9, "seed": 1},
        ),
        (
            ["solver=nesting", "inner=half-quadratic", "beta_max=8.0", "solver.terms=['tv', 'kernel-l2']"],
            lambda r: r.solver.params["inner"] == {"name": "half-quadratic", "params": {"beta_max": 8.0}},
        ),
        (
            ["solver=nesting", "solver.inner=nesting", "inner.inner=joint-adam", "inner.inner.iterations=2"],
            lambda r: r.solver.params["inner"]["params"]["inner"]["params"] == {"iterations": 2},
        ),
        (
            ["next=later", "next.name=other", "next.solver.iterations=2", "next.measurement.color=rgb"],
            lambda r: (
                (r.next.name, r.next.solver.params, r.next.measurement.color) == ("other", {"iterations": 2}, "rgb")
            ),
        ),
    ],
)
def test_settings_work_together_in_any_order(settings: list[str], read: Callable[[Recipe], bool]) -> None:
    assert read(small(*settings))
    assert small(*settings) == small(*settings[::-1])


@pytest.mark.parametrize(
    ("first", "second", "read"),
    [
        ("solver.iterations=6", "solver.iterations=7", lambda r: r.solver.params["iterations"] == 7),
        ("solver.iterations=6", "iterations=7", lambda r: r.solver.params["iterations"] == 7),
        ("iterations=6", "solver.iterations=7", lambda r: r.solver.params["iterations"] == 7),
        ("solver.name=half-quadratic", "solver=alternating-adam", lambda r: r.solver.name == "alternating-adam"),
        ("solver=half-quadratic", "solver.name=alternating-adam", lambda r: r.solver.name == "alternating-adam"),
        ("regularizers=[]", "regularizers={name = 'tv', weight = 3}", lambda r: r.regularizers[0].weight == 3),
        ("tv.weight=1", "regularizers.0.weight=3", lambda r: r.regularizers[0].weight == 3),
    ],
)
def test_of_two_settings_of_one_place_the_last_one_counts(
    first: str, second: str, read: Callable[[Recipe], bool]
) -> None:
    assert read(small(first, second))
    assert len(small(first, second).changes) == 1


def test_a_chosen_component_drops_the_parameters_that_it_has_not() -> None:
    recipe = load_recipe("selfdeblur").with_overrides(["image_prior=pixels", "kernel_prior.name=simplex"])
    assert (recipe.image_prior.name, recipe.image_prior.params) == ("pixels", {})
    assert recipe.kernel_prior is not None
    assert (recipe.kernel_prior.name, recipe.kernel_prior.params) == ("simplex", {})
    check_recipe(recipe)


@pytest.mark.parametrize("setting", ["solver=alternating-adam", "solver.name=alternating-adam"])
def test_a_chosen_component_keeps_the_parameters_that_both_have(setting: str) -> None:
    before = load_recipe("selfdeblur-small")
    after = before.with_overrides([setting])
    assert after.solver.name == "alternating-adam"
    assert after.solver.params == before.solver.params
    assert after.solver.params["iterations"] == 800


def test_a_table_with_parameters_replaces_all_of_them() -> None:
    assert small("solver={name = 'alternating-adam', params = {seed = 2}}").solver.params == {"seed": 2}
    assert small("solver={name = 'alternating-adam'}").solver.params == {"iterations": 5}


@pytest.mark.parametrize("setting", ["kernel_prior.name=softmax-fcn", "kernel_prior=softmax-fcn"])
def test_choosing_the_same_component_keeps_its_parameters(setting: str) -> None:
    kernel_prior = small(setting).kernel_prior
    assert kernel_prior is not None
    assert kernel_prior.params == {"hidden": 20}


@pytest.mark.parametrize("setting", ["kernel_prior.name=simplex", "kernel_prior=simplex"])
def test_a_kernel_prior_can_be_chosen_for_a_recipe_without_one(setting: str) -> None:
    recipe = parse_recipe('name = "denoise"\nimage_prior = "pixels"\nsolver = "joint-adam"\n')
    chosen = recipe.with_overrides([setting, "kernel_prior.parametrization=projection"]).kernel_prior
    assert chosen is not None
    assert (chosen.name, chosen.params) == ("simplex", {"parametrization": "projection"})
    with pytest.raises(RecipeError, match="nothing is at kernel_prior yet; choose it first, as kernel_prior=NAME"):
        recipe.with_overrides(["kernel_prior.parametrization=projection"])


def test_none_is_the_parameter_s_none() -> None:
    values = check_parameters(small("solver.early_stop=none", "solver.ema=none"), 0)["solver"].values
    assert [getattr(values, name) for name in ("early_stop", "ema")] == [None, None]


def test_of_two_items_of_one_name_the_position_says_which() -> None:
    recipe = small('fidelity=["mse", "l1", "mse"]', "fidelity.0.until_iteration=2")
    assert [part.until_iteration for part in recipe.fidelity] == [2, None, None]
    assert recipe.changes == ['fidelity=["mse", "l1", "mse"]', "fidelity.0.until_iteration=2"]
    with pytest.raises(RecipeError, match=r"2 items are called that; use a position, as fidelity\.0\.until_iteration"):
        recipe.with_overrides(["fidelity.mse.until_iteration=2"])


@pytest.mark.parametrize(
    ("settings", "table"),
    [
        (["table={a = 1}"], {"a": 1}),
        (["regularizers.tabular.table.a=1"], {"a": 1}),
        (["regularizers.tabular.table.a.b=1", "regularizers.tabular.table.a.c=2"], {"a": {"b": 1, "c": 2}}),
        (["regularizers.0.table.b=2", "table={a = 1}"], {"a": 1, "b": 2}),
    ],
)
def test_a_parameter_that_is_a_table_has_any_parts(settings: list[str], table: dict[str, Any]) -> None:
    for order in (settings, settings[::-1]):
        recipe = small("regularizers={name = 'tabular', weight = 1.0}", *order)
        assert recipe.regularizers[0].params == {"table": table}
        check_recipe(recipe)


def test_settings_leave_the_recipe_unchanged() -> None:
    recipe = nesting("next=later")
    before = recipe.model_dump_json()
    recipe.with_overrides(["inner.iterations=6", "next.solver.iterations=2", "regularizers=[]"])
    assert recipe.model_dump_json() == before


CHOICES = (
    ["solver=alternating-adam"],
    ["solver.iterations=7"],
    ["image_lr=0.5"],
    ["solver.params={seed = 3}"],
    ["image_prior=dip-skip", "image_prior.name=constant"],
    ["channels=8"],
    ["kernel_prior=simplex", "kernel_prior=none"],
    ["parametrization=projection"],
    ["fidelity=ssim", "fidelity=['mse', 'l1']"],
    ["until_iteration=3"],
    ["fidelity.1.until_iteration=4"],
    ["regularizers=[{name = 'tv', weight = 3}, {name = 'kernel-l2', weight = 1}]", "regularizers=[]"],
    ["regularizers.0=l0-gradient"],
    ["regularizers.tv.weight=2", "kernel-l2.weight=4"],
    ["next=later", "next={recipe = 'later', overrides = ['iterations=2'], name = 'changed'}"],
    ["next.solver.iterations=9"],
    ["next.name=other"],
    ["next.next=later"],
    ["candidates=['later', 'later']", "candidates=later"],
    ["candidates.0.solver.iterations=2", "candidates.later.iterations=2"],
    ["candidates.0.name=first"],
    ["measurement.color=rgb"],
    ["title=Another title"],
    ["name=mine"],
)
"""Settings of different places, with alternatives for one place."""


def outcome(settings: list[str]) -> dict[str, Any] | None:
    """The changed document; None if the settings are refused."""
    try:
        return small(*settings).model_dump()
    except InvkitError:
        return None


@given(st.data())
def test_any_order_of_settings_gives_the_same_recipe(data: st.DataObject) -> None:
    """Or the settings are refused in any order."""
    places = data.draw(st.lists(st.integers(0, len(CHOICES) - 1), unique=True, max_size=8))
    settings = [data.draw(st.sampled_from(CHOICES[place])) for place in places]
    assert outcome(data.draw(st.permutations(settings))) == outcome(settings)


# What a changed recipe says of itself.


def test_a_recipe_without_settings_keeps_its_title() -> None:
    assert (small().title, small().changes) == ("A small recipe", [])


def test_title_and_changes_say_what_was_set_by_full_places() -> None:
    recipe = load_recipe("selfdeblur-small").with_overrides(["iterations=40", "image_prior.params.channels = 8"])
    assert recipe.changes == ["image_prior.channels=8", "solver.iterations=40"]
    assert recipe.title == "selfdeblur-small, changed: image_prior.channels=8, solver.iterations=40"
    assert recipe.name == "selfdeblur-small"
    assert recipe.notes == load_recipe("selfdeblur-small").notes


def test_settings_of_a_changed_recipe_are_added_to_its_changes() -> None:
    recipe = small("iterations=40", "tv.weight=1").with_overrides(["kernel_prior=simplex", "iterations=50"])
    assert recipe.changes == ["solver.iterations=50", "regularizers.tv.weight=1", "kernel_prior=simplex"]
    assert recipe.title == f"small, changed: {', '.join(recipe.changes)}"
    assert recipe.solver.params == {"iterations": 50}


def test_a_title_and_a_name_that_the_user_sets_are_no_changes() -> None:
    titled = small("title=Mine", "iterations=40")
    assert (titled.title, titled.changes) == ("Mine", ["solver.iterations=40"])
    named = small("name=mine", "iterations=40")
    assert (named.name, named.title) == ("mine", "small, changed: solver.iterations=40")
    assert named.with_overrides(["tv.weight=2"]).title.startswith("small, changed: solver.iterations=40, reg")
    assert small("notes=mine").title == "A small recipe"


def test_the_settings_of_recipes_inside_a_recipe_are_changes_of_the_outer_one() -> None:
    recipe = small("next=later", "candidates=['later']", "next.iterations=2", "candidates.later.tv.weight=3")
    assert recipe.changes == [
        "candidates=['later']",
        "next=later",
        "next.solver.iterations=2",
        "candidates.later.regularizers.tv.weight=3",
    ]
    assert recipe.title == f"small, changed: {', '.join(recipe.changes)}"
    for inner in (recipe.next, *recipe.candidates):
        assert inner is not None
        assert (inner.title, inner.changes) == (load_recipe("later").title, [])


def test_a_recipe_inside_a_recipe_with_settings_says_what_was_set() -> None:
    changed = "{recipe = 'later', name = 'short', overrides = ['iterations=2', 'tv.weight=3']}"
    text = f"candidates = [{changed}]\nnext = {{recipe = 'later', overrides = 'iterations=4'}}\n{SMALL}"
    recipe = parse_recipe(text)
    assert (recipe.title, recipe.changes) == ("A small recipe", [])
    [short] = recipe.candidates
    assert short.name == "short"
    assert short.changes == ["solver.iterations=2", "regularizers.tv.weight=3"]
    assert short.title == "later, changed: solver.iterations=2, regularizers.tv.weight=3"
    assert recipe.next is not None
    assert (recipe.next.name, recipe.next.title) == ("later", "later, changed: solver.iterations=4")


def test_a_recipe_from_a_file_of_its_own_document_keeps_its_changes(tmp_path: Any) -> None:
    file = tmp_path / "result.json"
    first = small("iterations=40", "next=later", "next.iterations=2")
    file.write_text(json.dumps({"recipe": first.model_dump()}))
    again = load_recipe(file)
    assert again == first
    assert again.with_overrides(["iterations=41"]).changes == [
        "next=later",
        "solver.iterations=41",
        "next.solver.iterations=2",
    ]


# Settings beyond all measure.


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("regularizers=[" + "{name = 'tv', weight = 1}, " * 51 + "]", "should be a shorter list"),
        ("candidates=[" + "'fast', " * 51 + "]", "51 candidates are too many"),
        ("regularizers.0.weight=1e300", "less than or equal to 1000000000000"),
        ("solver.inner.iterations=" + "9" * 5000, "is not valid TOML"),
        ("solver.inner.iterations=99999999999999999999", "beyond 64 bits"),
        ("solver.inner={" + ", ".join(f"k{number} = 1" for number in range(9000)) + "}", "and 8996 more"),
        ("solver.inner=" + "a" * 10**6, "nothing named 'aaa"),
        ("a." * 10**5 + "b=1", "there is no place"),
        ("b" * 10**6, "is not of the form"),
    ],
    ids=lambda text: text[:30],
)
def test_what_is_too_much_is_refused_soon_in_one_line(setting: str, words: str) -> None:
    started = time.perf_counter()
    with pytest.raises(InvkitError) as refused:
        check_parameters(load_recipe("fast-map").with_overrides([setting]), 0)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 4000
    assert "\n" not in str(refused.value)
    assert time.perf_counter() - started < 10  # minutes before; a second now


@pytest.mark.parametrize("setting", ["regularizers=\udcff", "name=a\udcff", "solver.iterations=\udcff", "notes=\udcff"])
def test_a_value_that_is_no_unicode_is_refused_in_a_sentence(setting: str) -> None:
    """A command line in another encoding gives such letters."""
    with pytest.raises(RecipeError, match=r"'\\udcff' is no Unicode text"):
        check_recipe(parse_recipe(SMALL).with_overrides([setting]))
