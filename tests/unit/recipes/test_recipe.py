"""A recipe is checked twice, its form first, and each error says where it is."""

from __future__ import annotations

import pytest

from invkit.core import registry
from invkit.core.errors import AssemblyError, InputError, InvkitError, PluginError, RecipeError, UnknownNameError
from invkit.core.interfaces import Regularizer
from invkit.recipes.model import check_parameters, check_recipe, load_recipe, parse_recipe, recipe_text

SMALL = """
name = "small"
image_prior = "pixels"
kernel_prior = {name = "softmax-fcn", params = {hidden = 20}}
solver = {name = "joint-adam", params = {iterations = 5}}

[[regularizers]]
name = "tv"
weight = 0.5
"""


def small(extra: str = ""):
    return parse_recipe(SMALL + extra, "small.toml")


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
            "measurement.kernel_size: should be an integer or a list or 'auto', got 'big'",
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
            "small.toml holds a value that no recipe can: .* is a date",
        ),
        (
            "fidelity = {name = 'mse', until_iteration = 0}\n" + SMALL,
            "fidelity.0.until_iteration: .*greater than 0, got 0",
        ),
    ],
)
def test_a_wrong_form_is_refused_with_its_place(text, said):
    with pytest.raises(RecipeError, match=f"(small.toml: .*)?{said}"):
        parse_recipe(text, "small.toml")


def test_text_that_is_no_toml_is_refused_with_its_line():
    with pytest.raises(RecipeError, match=r"small.toml is not valid TOML: .*line 2"):
        parse_recipe("name = 'x'\nimage_prior = = 'pixels'\n", "small.toml")


# Parameters: the second phase.


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("kernel_prior.params.hiden=3", "kernel_prior.params.hiden is not known; did you mean 'hidden'"),
        ("kernel_prior.params.hidden=many", "kernel_prior.params.hidden: should be an integer, got 'many'"),
        ("kernel_prior.params.hidden=0", "kernel_prior.params.hidden: .*greater than 0, got 0"),
        ("solver.params.iterations=2.5", "solver.params.iterations: should be an integer, got 2.5"),
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


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["solver.params.iterations='2'"], "solver.params.iterations: should be an integer, got '2'"),
        (["solver.params.iterations=2.0"], "solver.params.iterations: should be an integer, got 2.0"),
        (["solver.params.iterations=true"], "solver.params.iterations: should be an integer, got True"),
        (["solver.params.decay='0.5'"], "solver.params.decay: should be a number, got '0.5'"),
        (["solver.params.decay=true"], "solver.params.decay: should be a number, got True"),
        (["solver.params.milestones=['1']"], "solver.params.milestones.0: should be an integer, got '1'"),
        (["solver.params.milestones=3"], "solver.params.milestones: should be a list, got 3"),
        (
            ["regularizers.tv.params.isotropic='off'"],
            "regularizers.0.params.isotropic: should be true or false, got 'off'",
        ),
        (["image_prior.params.initial=gray"], "image_prior.params.initial: should be 'data' or 'grey', got 'gray'"),
    ],
)
def test_a_parameter_of_the_wrong_type_is_refused_and_never_guessed(settings, said):
    with pytest.raises(RecipeError, match=f"small: {said}"):
        check_recipe(small().with_overrides(settings))


def test_whole_numbers_may_stand_for_others_and_lists_for_tuples():
    values = check_parameters(small().with_overrides(["solver.params.decay=1", "solver.params.milestones=[1, 2]"]), 0)
    assert values["solver"].values.decay == 1.0
    assert values["solver"].values.milestones == (1, 2)


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


def test_one_word_swaps_a_prior_and_drops_the_parameters_that_the_new_one_has_not():
    recipe = load_recipe("selfdeblur").with_overrides(["image_prior=pixels", "kernel_prior.name=simplex"])
    assert (recipe.image_prior.name, recipe.image_prior.params) == ("pixels", {})
    assert (recipe.kernel_prior.name, recipe.kernel_prior.params) == ("simplex", {})
    check_recipe(recipe)


@pytest.mark.parametrize("setting", ["solver=alternating-adam", "solver.name=alternating-adam"])
def test_a_swapped_component_keeps_the_parameters_that_both_have(setting):
    before = load_recipe("selfdeblur-small")
    after = before.with_overrides([setting])
    assert after.solver.name == "alternating-adam"
    assert after.solver.params == before.solver.params
    assert after.solver.params["iterations"] == 800


def test_a_table_with_parameters_replaces_them_all():
    recipe = small().with_overrides(["solver={name = 'alternating-adam', params = {seed = 2}}"])
    assert recipe.solver.params == {"seed": 2}
    assert small().with_overrides(["solver={name = 'alternating-adam'}"]).solver.params == {"iterations": 5}


@pytest.mark.parametrize("setting", ["kernel_prior.name=softmax-fcn", "kernel_prior=softmax-fcn"])
def test_naming_the_same_component_again_keeps_its_parameters(setting):
    recipe = small().with_overrides([setting])
    assert recipe.kernel_prior.params == {"hidden": 20}


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        (
            ["image_prior=pixels", "image_prior.params.initial=grey"],
            lambda r: (r.image_prior.name, r.image_prior.params) == ("pixels", {"initial": "grey"}),
        ),
        (
            ['fidelity=["mse"]', "fidelity.mse.until_iteration=3"],
            lambda r: (r.fidelity[0].name, r.fidelity[0].until_iteration) == ("mse", 3),
        ),
        (
            ["fidelity=ssim", "fidelity.ssim.until_iteration=3"],
            lambda r: (r.fidelity[0].name, r.fidelity[0].until_iteration) == ("ssim", 3),
        ),
        (["fidelity={name = 'l1'}", "fidelity.l1.until_iteration=3"], lambda r: r.fidelity[0].until_iteration == 3),
        (
            ["regularizers=tv", "regularizers.tv.weight=0.1", "regularizers.tv.target=kernel"],
            lambda r: [(t.name, t.weight, t.target) for t in r.regularizers] == [("tv", 0.1, "kernel")],
        ),
        (['regularizers=["tv"]', "regularizers.0.weight=2"], lambda r: r.regularizers[0].weight == 2),
        (
            ["regularizers=[]", "regularizers={name = 'tv', weight = 3}"],
            lambda r: [t.weight for t in r.regularizers] == [3],
        ),
        (
            ["regularizers.tv.name=kernel-l2"],
            lambda r: [(t.name, t.weight) for t in r.regularizers] == [("kernel-l2", 0.5)],
        ),
        (
            ["fidelity.mse=l1", "fidelity.l1.until_iteration=4"],
            lambda r: [(f.name, f.until_iteration) for f in r.fidelity] == [("l1", 4)],
        ),
        (["regularizers.tv.params.a.b=1"], lambda r: r.regularizers[0].params == {"a": {"b": 1}}),
        (
            ["solver.params={iterations = 9}", "solver.params.seed=1"],
            lambda r: r.solver.params == {"iterations": 9, "seed": 1},
        ),
        (["name=mine"], lambda r: r.name == "mine" and r.solver.params == {"iterations": 5}),
        (["solver.params.ema=none"], lambda r: r.solver.params["ema"] is None),
        (["kernel_prior=none"], lambda r: r.kernel_prior is None),
        (["measurement.image=blurry.png"], lambda r: r.measurement.image == "blurry.png"),
    ],
)
def test_settings_work_together_in_any_order(settings, read):
    assert read(small().with_overrides(settings))
    if not settings[0].endswith("[]"):  # of two that replace the same, the later counts
        assert small().with_overrides(settings) == small().with_overrides(settings[::-1])


@pytest.mark.parametrize("setting", ["kernel_prior.name=simplex", "kernel_prior=simplex"])
def test_a_kernel_prior_can_be_chosen_where_there_was_none(setting):
    recipe = parse_recipe('name = "denoise"\nimage_prior = "pixels"\nsolver = "joint-adam"\n')
    chosen = recipe.with_overrides([setting, "kernel_prior.params.parametrization=projection"])
    assert (chosen.kernel_prior.name, chosen.kernel_prior.params) == ("simplex", {"parametrization": "projection"})
    with pytest.raises(RecipeError, match="nothing stands there yet; choose it first, as kernel_prior=NAME"):
        recipe.with_overrides(["kernel_prior.params.parametrization=projection"])


def test_none_as_a_setting_means_the_parameter_s_none():
    checked = check_parameters(small().with_overrides(["solver.params.early_stop=none", "solver.params.ema=none"]), 0)
    assert checked["solver"].values.early_stop is None
    assert checked["solver"].values.ema is None


def test_of_two_items_of_one_name_the_position_says_which():
    recipe = small().with_overrides(['fidelity=["mse", "l1", "mse"]', "fidelity.0.until_iteration=2"])
    assert [stage.until_iteration for stage in recipe.fidelity] == [2, None, None]
    with pytest.raises(RecipeError, match=r"2 items are named 'mse'; say which by position: \[0, 2\]"):
        recipe.with_overrides(["fidelity.mse.until_iteration=2"])


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
        ("regularizers.0.scale_by=sigma", lambda r: r.regularizers[0].scale_by == "sigma"),
        ("regularizers=[]", lambda r: r.regularizers == []),
        ("fidelity=l1", lambda r: [f.name for f in r.fidelity] == ["l1"]),
        ("fidelity.mse.until_iteration=7", lambda r: r.fidelity[0].until_iteration == 7),
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
        ("sovler.params.iterations=3", "no place 'sovler'; did you mean 'solver'"),
        ("regularizers.tx.weight=3", "no 'tx' in regularizers; known here: tv"),
        ("solver.params.iterations.most=3", "a recipe has no place 'solver.params.iterations.most'"),
        ("regularizers.weight=3", "no 'weight' in regularizers; known here: tv"),
        ("solvr=joint-adam", "solvr is not known; did you mean 'solver'"),
        ("image_prior=", "image_prior.name: .*at least 1 character"),
        ("regularizers=tv", "small, as set: regularizers.0.weight is missing"),
        ("solver=3", r"solver: should be a table, got 3 \(a registered name, or"),
        ("solver.name=3", "solver.name: should be a text in quotes, got 3"),
        ("fidelity=3", "fidelity: should be a list, got 3"),
        ("fidelity.name=l1", "there is no 'name' in fidelity; known here: mse"),
        ("params.iterations=3", "params is not known"),
        ("operator=none", "operator: should be a table, got None"),
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


def test_every_error_of_a_recipe_is_one_the_command_line_can_show():
    assert all(issubclass(e, InvkitError) for e in (RecipeError, UnknownNameError, PluginError, AssemblyError))
