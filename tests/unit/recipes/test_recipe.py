"""A recipe is checked in two phases, its form first; each error names the place. Settings change its places."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from invkit.core import registry
from invkit.core.errors import AssemblyError, InputError, InvkitError, PluginError, RecipeError, UnknownNameError
from invkit.core.interfaces import Regularizer
from invkit.recipes.model import Recipe, check_parameters, check_recipe, load_recipe, parse_recipe
from invkit.recipes.toml import recipe_text

SMALL = """
name = "small"
image_prior = "pixels"
kernel_prior = {name = "softmax-fcn", params = {hidden = 20}}
solver = {name = "joint-adam", params = {iterations = 5}}

[[regularizers]]
name = "tv"
weight = 0.5
"""


def small(extra: str = "") -> Recipe:
    return parse_recipe(SMALL + extra, "small.toml")


# The form: the first phase, which loads no component.


def test_the_form_is_read_without_loading_a_component() -> None:
    recipe = parse_recipe('name = "x"\nimage_prior = "no-such-prior"\nsolver = "nor-this"\n')
    assert [(place, spec.name) for place, _, spec in recipe.components()] == [
        ("operator", "convolution"),
        ("image_prior", "no-such-prior"),
        ("kernel_prior", "known"),
        ("solver", "nor-this"),
        ("fidelity.0", "mse"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = 3\n" + SMALL.replace('name = "small"', ""), "name: should be a text in quotes, got 3"),
        (SMALL.replace('image_prior = "pixels"', ""), r"image_prior is missing \(a registered name, or"),
        (SMALL.replace("weight = 0.5", "weight = -1"), "regularizers.0.weight: .*greater than or equal to 0, got -1"),
        (SMALL.replace("weight = 0.5", "weight = nan"), "regularizers.0.weight: .*finite"),
        (SMALL + "min_weight = -1\n", "regularizers.0.min_weight: .*greater than or equal to 0, got -1"),
        (SMALL + "min_weight = inf\n", "regularizers.0.min_weight: .*finite"),
        (SMALL.replace("weight = 0.5", "wieght = 0.5"), "regularizers.0.wieght is not known; did you mean 'weight'"),
        (SMALL.replace("hidden = 20}", "hidden = 20}, parms = 3"), "kernel_prior.parms is not known; .*'params'"),
        (SMALL.replace("image_prior =", "image_piror ="), "image_piror is not known; did you mean 'image_prior'"),
        (SMALL.replace('"pixels"', "4"), "image_prior: .*got 4"),
        (SMALL + 'target = "both"\n', "regularizers.0.target: should be 'image' or 'kernel', got 'both'"),
        ("fidelity = []\n" + SMALL, r"fidelity: should be a longer list, got \[\]"),
        (
            'measurement.kernel_size = "big"\n' + SMALL,
            "measurement.kernel_size: should be an integer or a list or 'auto' or 'largest', got 'big'",
        ),
        (
            "measurement.kernel_size = [3]\n" + SMALL,
            r"kernel_size: should be an integer or .*, got \[3\] \(pixels: N or",
        ),
        ("measurement = 3\n" + SMALL, "measurement: should be a table, got 3"),
        (SMALL.replace("weight = 0.5", ""), "regularizers.0.weight is missing .*factor of the regularizer"),
        (SMALL.replace("weight = 0.5", 'weight = "0.5"'), "regularizers.0.weight: should be a number, got '0.5'"),
        (SMALL.replace("weight = 0.5", "weight = true"), "regularizers.0.weight: should be a number, got True"),
        (
            "fidelity = {name = 'mse', until_iteration = 3.0}\n" + SMALL,
            "fidelity.0.until_iteration: should be an integer, got 3.0",
        ),
        (
            SMALL.replace("hidden = 20", "hidden = 2020-01-01"),
            "small.toml holds a value that no recipe can hold: .* is a date",
        ),
        (
            "fidelity = {name = 'mse', until_iteration = 0}\n" + SMALL,
            "fidelity.0.until_iteration: .*greater than 0, got 0",
        ),
    ],
)
def test_a_wrong_form_is_refused_with_its_place(text: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=f"(small.toml: .*)?{expected}"):
        parse_recipe(text, "small.toml")


def test_a_text_that_is_not_toml_is_refused_with_its_line() -> None:
    with pytest.raises(RecipeError, match=r"small.toml is not valid TOML: .*line 2"):
        parse_recipe("name = 'x'\nimage_prior = = 'pixels'\n", "small.toml")


# Parameters: the second phase.


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("hidden = 20", "hiden = 3", "kernel_prior.hiden is not known; did you mean 'hidden'"),
        ("hidden = 20", "hidden = 'many'", "kernel_prior.hidden: should be an integer, got 'many'"),
        ("hidden = 20", "hidden = 0", "kernel_prior.hidden: .*greater than 0, got 0"),
        ("iterations = 5", "iterations = 2.5", "solver.iterations: should be an integer, got 2.5"),
        ("weight = 0.5", "weight = 0.5\nparams = {colour = 1}", "regularizers.0.colour is not known; known here: iso"),
        ("hidden = 20", "shape = [1, 1, 2, 2]", "kernel_prior.shape is not known"),
        (
            "hidden = 20",
            "iterations = 3",
            "kernel_prior.iterations is not known; .*; iterations is at solver.iterations",
        ),
        ("iterations = 5", "isotropic = true", "solver.isotropic is .*; isotropic is at regularizers.tv.isotropic"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_place(old: str, new: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=f"^small: {expected}"):
        check_recipe(parse_recipe(SMALL.replace(old, new)))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("image_prior=pixel", "nothing named 'pixel' in image_priors; did you mean 'pixels'"),
        ("solver=joint-adm", "nothing named 'joint-adm' in solvers; did you mean 'joint-adam'"),
        ("fidelity=ssin", "nothing named 'ssin' in fidelities; did you mean 'ssim'"),
    ],
)
def test_an_unknown_component_is_refused_with_the_nearest(setting: str, expected: str) -> None:
    with pytest.raises(UnknownNameError, match=expected):
        check_recipe(small().with_overrides([setting]))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["solver.iterations='2'"], "solver.iterations: should be an integer, got '2'"),
        (["solver.iterations=2.0"], "solver.iterations: should be an integer, got 2.0"),
        (["solver.iterations=true"], "solver.iterations: should be an integer, got True"),
        (["solver.decay='0.5'"], "solver.decay: should be a number, got '0.5'"),
        (["solver.decay=true"], "solver.decay: should be a number, got True"),
        (["solver.milestones=['1']"], "solver.milestones.0: should be an integer, got '1'"),
        (["solver.milestones=3"], "solver.milestones: should be a list, got 3"),
        (
            ["regularizers.tv.isotropic='off'"],
            "regularizers.0.isotropic: should be true or false, got 'off'",
        ),
        (["image_prior.initial=gray"], "image_prior.initial: should be 'data' or 'grey', got 'gray'"),
    ],
)
def test_a_parameter_of_the_wrong_type_is_refused_and_not_converted(settings: list[str], expected: str) -> None:
    with pytest.raises(RecipeError, match=f"^small: {expected}"):
        check_recipe(small().with_overrides(settings))


def test_whole_numbers_are_floating_point_numbers_too_and_lists_are_tuples() -> None:
    checked = check_parameters(small().with_overrides(["solver.decay=1", "solver.milestones=[1, 2]"]), 0)
    values = dict(checked["solver"].values)
    assert values["decay"] == 1.0
    assert values["milestones"] == (1, 2)


def test_a_component_with_kwargs_is_refused_as_a_broken_plugin() -> None:
    class Careless(Regularizer):
        """Accepts any keyword."""

        def __init__(self, **options: int) -> None:
            super().__init__()

        def forward(self, value: torch.Tensor) -> torch.Tensor:
            return value.flatten(1).sum(1)

    registry.register("regularizers", "careless", Careless)
    try:
        with pytest.raises(PluginError, match=r"Careless takes \*\*options"):
            check_recipe(small().with_overrides(["regularizers.tv.name=careless"]))
    finally:
        registry.unregister("regularizers", "careless")


def test_the_seed_reaches_every_component_whose_recipe_names_none() -> None:
    recipe = small().with_overrides(["solver.seed=3"])
    checked = check_parameters(recipe, seed=7)
    assert dict(checked["solver"].values)["seed"] == 3
    assert dict(checked["kernel_prior"].values)["seed"] == 7
    assert "seed" not in type(checked["regularizers.0"].values).model_fields


# Files and names.


def test_a_recipe_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(SMALL)
    assert load_recipe(file) == small() == load_recipe(str(file))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"], ids=["missing", "not text"])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"mine\.toml(;| is not a text in UTF-8)"):
        load_recipe(file)


def test_an_unknown_recipe_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'selfdeblurr' in recipes; did you mean 'selfdeblur'"):
        load_recipe("selfdeblurr")


def test_a_recipe_can_be_registered_as_text() -> None:
    registry.register("recipes", "mine", SMALL)
    try:
        assert load_recipe("mine") == small()
    finally:
        registry.unregister("recipes", "mine")


@pytest.mark.parametrize("name", registry.names("recipes"))
def test_every_registered_recipe_is_valid_and_has_its_name_a_title_and_a_source(name: str) -> None:
    recipe = load_recipe(name)
    check_recipe(recipe)
    assert recipe.name == name
    assert recipe.title
    assert recipe.source
    assert recipe_text(name).strip()


def test_every_error_of_a_recipe_can_be_shown_by_the_command_line() -> None:
    assert all(issubclass(e, InvkitError) for e in (RecipeError, UnknownNameError, PluginError, AssemblyError))
