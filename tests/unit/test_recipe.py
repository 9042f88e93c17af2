"""A recipe is checked twice, its form first, and each error says where it is."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
import torch
from pydantic import Field

from invkit import registry
from invkit.assembly import assemble
from invkit.errors import AssemblyError, InputError, InvkitError, PluginError, RecipeError, UnknownNameError
from invkit.fidelities.schedule import Schedule
from invkit.interfaces import LatentPrior, Regularizer
from invkit.parameters import validated
from invkit.recipe import check_parameters, check_recipe, load_recipe, parse_recipe, recipe_text
from invkit.solver import Solver

SMALL = """
name = "small"
image_prior = "pixels"
kernel_prior = {name = "softmax-fcn", params = {hidden = 20}}
solver = {name = "joint-adam", params = {iterations = 5}}

[[regularizers]]
name = "tv"
weight = 0.5
"""
DATA = torch.rand(1, 1, 16, 18, generator=torch.Generator().manual_seed(0))


def small(extra: str = ""):
    return parse_recipe(SMALL + extra, "small.toml")


def assembled(recipe, **options):
    return assemble(recipe, DATA, (3, 5), **options)


# Form: the first phase, which needs no component.


def test_the_form_is_read_without_loading_a_component():
    recipe = parse_recipe('name = "x"\nimage_prior = "no-such-prior"\nsolver = "nor-this"\n')
    assert [(place, spec.name) for place, _, spec in recipe.components()] == [
        ("operator", "convolution"),
        ("image_prior", "no-such-prior"),
        ("kernel_prior", "known"),
        ("solver", "nor-this"),
        ("fidelity.0", "mse"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 3\n" + SMALL.replace('name = "small"', ""), "name: input should be a valid string, got 3"),
        (SMALL.replace('image_prior = "pixels"', ""), "image_prior: field required"),
        (SMALL.replace("weight = 0.5", "weight = -1"), "regularizers.0.weight: .*greater than or equal to 0, got -1"),
        (SMALL.replace("weight = 0.5", "weight = nan"), "regularizers.0.weight: .*finite"),
        (SMALL.replace("weight = 0.5", "wieght = 0.5"), "regularizers.0.wieght is not known; did you mean 'weight'"),
        (SMALL.replace("hidden = 20}", "hidden = 20}, parms = 3"), "kernel_prior.parms is not known; .*'params'"),
        (SMALL.replace("image_prior =", "image_piror ="), "image_piror is not known; did you mean 'image_prior'"),
        (SMALL.replace('"pixels"', "4"), "image_prior: .*got 4"),
        (SMALL + 'on = "both"\n', "regularizers.0.on: input should be 'image' or 'kernel', got 'both'"),
        ("fidelity = []\n" + SMALL, "fidelity: list should have at least 1 item"),
        ("fidelity = {name = 'mse', until = 0}\n" + SMALL, "fidelity.0.until: .*greater than 0, got 0"),
    ],
)
def test_a_wrong_form_is_refused_with_its_place(text, said):
    with pytest.raises(RecipeError, match=f"small.toml: .*{said}"):
        parse_recipe(text, "small.toml")


def test_text_that_is_no_toml_is_refused_with_its_line():
    with pytest.raises(RecipeError, match=r"small.toml is not valid TOML: .*line 2"):
        parse_recipe("name = 'x'\nimage_prior = = 'pixels'\n", "small.toml")


# Parameters: the second phase.


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("kernel_prior.params.hiden=3", "kernel_prior.params.hiden is not known; did you mean 'hidden'"),
        ("kernel_prior.params.hidden=many", "kernel_prior.params.hidden: .*valid integer.*, got 'many'"),
        ("kernel_prior.params.hidden=0", "kernel_prior.params.hidden: .*greater than 0, got 0"),
        ("solver.params.iterations=2.5", "solver.params.iterations: .*valid integer.*, got 2.5"),
        ("regularizers.tv.params.colour=1", "regularizers.0.params.colour is not known"),
        ("kernel_prior.params.shape=[1, 1, 2, 2]", "kernel_prior.params.shape is not known"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_place(setting, said):
    with pytest.raises(RecipeError, match=f"small: {said}"):
        check_recipe(small().with_overrides([setting]))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("image_prior=pixel", "nothing named 'pixel' in image_priors; did you mean 'pixels'"),
        ("solver=joint-adm", "nothing named 'joint-adm' in solvers; did you mean 'joint-adam'"),
        ("fidelity=ssin", "nothing named 'ssin' in fidelities; did you mean 'ssim'"),
    ],
)
def test_an_unknown_component_is_refused_with_the_nearest(setting, said):
    with pytest.raises(UnknownNameError, match=said):
        check_recipe(small().with_overrides([setting]))


def test_a_component_with_kwargs_is_refused_as_a_broken_one():
    class Careless(Regularizer):
        """Swallows what it is given."""

        def __init__(self, **options: int) -> None:
            super().__init__()

        def forward(self, value):
            return value.flatten(1).sum(1)

    registry.register("regularizers", "careless", Careless)
    try:
        with pytest.raises(PluginError, match=r"Careless takes \*\*options"):
            check_recipe(small().with_overrides(["regularizers.tv.name=careless"]))
    finally:
        registry.unregister("regularizers", "careless")


def test_the_seed_goes_to_every_component_that_has_one_and_names_none():
    recipe = small().with_overrides(["solver.params.seed=3"])
    checked = check_parameters(recipe, seed=7)
    assert checked["solver"].values.seed == 3
    assert checked["kernel_prior"].values.seed == 7
    assert "seed" not in type(checked["regularizers.0"].values).model_fields


# Overrides.


def test_one_word_swaps_a_prior_and_drops_the_parameters_of_the_old_one():
    recipe = load_recipe("selfdeblur").with_overrides(["image_prior=pixels", "kernel_prior.name=simplex"])
    assert (recipe.image_prior.name, recipe.image_prior.params) == ("pixels", {})
    assert (recipe.kernel_prior.name, recipe.kernel_prior.params) == ("simplex", {})
    check_recipe(recipe)


def test_naming_the_same_component_again_keeps_its_parameters():
    recipe = small().with_overrides(["kernel_prior.name=softmax-fcn"])
    assert recipe.kernel_prior.params == {"hidden": 20}


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("solver.params.iterations=500", lambda r: r.solver.params["iterations"] == 500),
        ("solver.params.rate = 1e-3", lambda r: r.solver.params["rate"] == 1e-3),
        ("solver.params.milestones=[1, 2]", lambda r: r.solver.params["milestones"] == [1, 2]),
        ("solver.params.flag=true", lambda r: r.solver.params["flag"] is True),
        ("solver.params.word=valid", lambda r: r.solver.params["word"] == "valid"),
        ("solver.params.word='500'", lambda r: r.solver.params["word"] == "500"),
        ("solver.params.word=a=b", lambda r: r.solver.params["word"] == "a=b"),
        ("regularizers.tv.weight=0", lambda r: r.regularizers[0].weight == 0),
        ("regularizers.0.times=sigma", lambda r: r.regularizers[0].times == "sigma"),
        ("regularizers=[]", lambda r: r.regularizers == []),
        ("fidelity=l1", lambda r: [f.name for f in r.fidelity] == ["l1"]),
        ("fidelity.mse.until=7", lambda r: r.fidelity[0].until == 7),
        ("measurement.kernel_size=[3, 5]", lambda r: r.measurement.kernel_size == (3, 5)),
    ],
)
def test_a_setting_changes_its_place(setting, read):
    assert read(small().with_overrides([setting]))


def test_settings_are_applied_in_order_and_leave_the_recipe_unchanged():
    recipe = small()
    changed = recipe.with_overrides(["solver.params.iterations=6", "solver.params.iterations=7"])
    assert changed.solver.params["iterations"] == 7
    assert recipe.solver.params["iterations"] == 5


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("solver.params.iterations", "not of the form place=value"),
        ("=3", "not of the form place=value"),
        ("sovler.params.iterations=3", "no place 'sovler' here; there are name, .*solver"),
        ("regularizers.tx.weight=3", "no place 'tx' here; there are tv"),
        ("solver.params.iterations.most=3", "a recipe has no place 'solver.params.iterations.most'"),
        ("regularizers.weight=3", "no place|no place 'regularizers.weight'"),
        ("solvr=joint-adam", "solvr is not known; did you mean 'solver'"),
        ("image_prior=", "image_prior"),
    ],
)
def test_a_setting_without_a_place_is_refused(setting, said):
    with pytest.raises(RecipeError, match=said):
        small().with_overrides([setting])


# Files and names.


def test_a_recipe_is_read_from_a_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(SMALL)
    assert load_recipe(file) == small() == load_recipe(str(file))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"], ids=["missing", "not text"])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path, content):
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"mine\.toml cannot be read"):
        load_recipe(file)


def test_an_unknown_recipe_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="'selfdeblurr' in recipes; did you mean 'selfdeblur'"):
        load_recipe("selfdeblurr")


def test_a_recipe_can_be_registered_as_text():
    registry.register("recipes", "mine", SMALL)
    try:
        assert load_recipe("mine") == small()
    finally:
        registry.unregister("recipes", "mine")


@pytest.mark.parametrize("name", registry.names("recipes"))
def test_every_registered_recipe_is_valid_names_its_source_and_is_called_what_it_is(name):
    recipe = load_recipe(name)
    check_recipe(recipe)
    assert recipe.name == name
    assert recipe.title
    assert recipe.source
    assert recipe_text(name).strip()


# Assembly: where names become objects.


def test_a_recipe_becomes_a_problem_and_a_solver_that_solves_it():
    made = assembled(small())
    result = made.solver.solve(made.problem)
    assert tuple(result.image.shape) == (1, 1, 18, 22)  # 16 + 3 - 1, 18 + 5 - 1
    assert tuple(result.kernel.shape) == (1, 1, 3, 5)
    assert result.iterations == 5


def test_the_resolved_recipe_writes_out_every_default_and_is_itself_a_recipe():
    resolved = assembled(small(), seed=11).recipe
    text = json.dumps(resolved)
    assert resolved["kernel_prior"]["params"]["hidden"] == 20
    assert resolved["kernel_prior"]["params"]["seed"] == 11
    again = type(small()).model_validate(json.loads(text))
    assert assembled(again, seed=5).recipe == resolved


def test_a_recipe_without_a_kernel_prior_has_no_unknown_but_the_image():
    recipe = parse_recipe('name = "denoise"\noperator = "identity"\nimage_prior = "pixels"\nsolver = "joint-adam"\n')
    problem = assemble(recipe, DATA, (1, 1)).problem
    assert list(problem.kernel_prior.parameters()) == []
    assert torch.equal(problem.kernel_prior(), torch.ones(1, 1, 1, 1))
    assert problem.image_prior().shape == DATA.shape


def test_several_fidelities_make_a_schedule():
    stages = "\nfidelity = [{name = 'mse', until = 2}, {name = 'l1'}]\n"
    fidelity = assembled(parse_recipe(stages + SMALL)).problem.fidelity
    assert isinstance(fidelity, Schedule)
    assert [type(fidelity.at(i)).__name__ for i in range(4)] == ["MSE", "MSE", "L1", "L1"]


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ([], [0.5]),
        (["regularizers.tv.times=sigma"], [0.01]),
        (["regularizers.tv.weight=0"], []),
    ],
)
def test_a_term_has_its_weight_or_is_left_out(settings, weights):
    made = assembled(small().with_overrides(settings), sigma=0.02)
    assert [term.weight for term in made.problem.regularizers] == pytest.approx(weights)


def test_a_solver_that_lacks_an_ability_is_refused_with_the_components_that_have_it():
    class NeedsLatent(Solver):
        """Perturbs the input of a network."""

        iterations = 1
        needs = {"image_prior": LatentPrior}  # noqa: RUF012 - a ClassVar in the base class

        @validated
        def __init__(self, *, eagerness: Annotated[int, Field(gt=0)] = 1) -> None:
            self.eagerness = eagerness

        def start(self, problem):
            raise AssertionError("started")

        step = start

    registry.register("solvers", "needs-latent", NeedsLatent)
    try:
        with pytest.raises(AssemblyError, match=r"image_prior: NeedsLatent needs a LatentPrior.*would do: .*dip-skip"):
            assembled(small().with_overrides(["solver=needs-latent"]))
    finally:
        registry.unregister("solvers", "needs-latent")


def test_every_error_of_a_recipe_is_one_the_command_line_can_show():
    assert all(issubclass(e, InvkitError) for e in (RecipeError, UnknownNameError, PluginError, AssemblyError))
