"""deepinv's physics and priors as components: the same data, no stored state, clear refusals."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from invkit import deblur
from invkit.apps.deepinv.physics import PhysicsOperator
from invkit.core import registry
from invkit.core.errors import AssemblyError, InputError, PluginError, RecipeError, UnknownNameError
from invkit.core.interfaces import Blur, KernelPrior
from invkit.core.operator_parameters import MaskPrior
from invkit.core.parameters import parameters_of, parameters_schema
from invkit.operators.convolution import Convolution
from invkit.recipes.model import check_parameters, load_recipe, parse_recipe
from invkit.recipes.overrides import apply_settings
from invkit.recipes.schema import describe
from invkit.testing import check_component, check_operator, check_regularizer
from invkit.testing.common import drawn
from invkit.testing.operators import assert_adjoint

ROUNDING: dict[str, Any] = {"rtol": 0, "atol": 2e-6}  # of float32 sums of a hundred values below one
HATS = "hats.npy"

pytestmark = pytest.mark.filterwarnings("ignore:You're using padding")  # deepinv's, of kernels of one pixel


def operator(name: str) -> Any:
    return registry.load("operators", f"deepinv:{name}")


def physics(name: str, **settings: Any) -> Any:
    import deepinv

    return getattr(deepinv.physics, name)(**settings)


@pytest.fixture
def hats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """A file with weights of four kernels over an image of 8x7 pixels; they sum to one in each pixel."""
    weights = drawn((1, 1, 4, 8, 7), seed=5)
    weights = weights / weights.sum(2, keepdim=True)
    np.save(tmp_path / HATS, weights.numpy())
    monkeypatch.chdir(tmp_path)
    return weights


CASES: dict[str, tuple[str, dict[str, Any], Any, Any]] = {
    "blur": ("Blur", {}, (2, 1, 5, 4), (2, 1, 2, 3)),
    "blur by FFT": ("Blur", {"use_fft": True, "padding": "replicate"}, (2, 1, 5, 6), (1, 1, 2, 3)),
    "blur of one pixel": ("Blur", {"padding": "replicate"}, (1, 1, 5, 6), (1, 1, 1, 1)),
    "blur of two pixels": ("Blur", {"padding": "circular"}, (1, 1, 5, 6), (1, 1, 2, 2)),
    "circular blur": ("BlurFFT", {"img_size": [2, 5, 6]}, (1, 2, 5, 6), (1, 1, 2, 3)),
    "subsampling": ("Downsampling", {"parameter": "filter", "padding": "reflect"}, (2, 1, 3, 4), (2, 1, 4, 3)),
    "bicubic subsampling": ("Downsampling", {"parameter": "", "filter": "bicubic"}, (1, 1, 4, 5), None),
    "resizing": ("DownsamplingMatlab", {}, (1, 1, 4, 5), None),
    "upsampling": ("Upsampling", {"img_size": [1, 6, 8]}, (1, 1, 6, 8), (1, 1, 3, 3)),
    "varying blur": ("SpaceVaryingBlur", {"multipliers": HATS}, (1, 1, 6, 6), (4, 1, 3, 2)),
    "tiled blur": ("TiledSpaceVaryingBlur", {"patch_size": 4, "stride": 2}, (1, 1, 5, 4), None),
    "inpainting": ("Inpainting", {"img_size": [2, 5, 4]}, (2, 2, 5, 4), None),
    "demosaicing": ("Demosaicing", {"img_size": [4, 4]}, (1, 3, 4, 4), None),
    "denoising": ("Denoising", {}, (2, 1, 5, 4), None),
    "grey": ("Decolorize", {"srf": [0.5, 0.25, 0.25]}, (2, 1, 4, 3), None),
    "random numbers": ("CompressedSensing", {"m": 7, "img_size": [1, 4, 3]}, (1, 1, 1, 7), None),
    "of each channel": ("CompressedSensing", {"m": 7, "img_size": [2, 4, 3], "channelwise": True}, (1, 1, 2, 7), None),
    "single pixel": ("SinglePixelCamera", {"m": 5, "img_size": [1, 4, 4]}, (1, 1, 4, 4), None),
    "tomography": ("Tomography", {"angles": [0.0, 40.0], "img_width": 5, "normalize": False}, (1, 1, 8, 2), None),
    "MRI": ("MRI", {"img_size": [4, 5]}, (1, 2, 4, 5), None),
    "several coils": ("MultiCoilMRI", {"img_size": [4, 5]}, (1, 2, 4, 5), None),
}
"""Class, parameters, shapes of data and operator parameter (None: the operator's own choice)."""


@pytest.mark.parametrize("case", CASES)
def test_physics_conform(case: str, hats: Tensor) -> None:
    name, params, data_shape, kernel_shape = CASES[case]
    if name == "TiledSpaceVaryingBlur":
        kernel_shape = operator(name)(**params).parameter_shape(data_shape, (2, 2))
    check_operator(operator(name), params, data_shape=data_shape, kernel_shape=kernel_shape)


@pytest.mark.parametrize("case", [case for case, (name, *_) in CASES.items() if name != "Tomography"])
def test_data_equal_those_of_deepinv(case: str, hats: Tensor) -> None:
    name, params, data_shape, kernel_shape = CASES[case]
    made = operator(name)(**params)
    kernel_shape = kernel_shape or made.parameter_shape(data_shape, (2, 2))
    image = drawn(made.image_shape(data_shape, kernel_shape), seed=1)
    kernel = made.parameter_prior.allowed(drawn(kernel_shape, seed=2))
    own = {
        key: tuple(value) if isinstance(value, list) else value for key, value in params.items() if key != "parameter"
    }
    own |= {"multipliers": hats} if "multipliers" in own else {}
    own |= {"rng": torch.Generator().manual_seed(0)} if name in ("CompressedSensing", "SinglePixelCamera") else {}
    own |= {"filter": None} if name == "Downsampling" and "filter" not in own else {}
    called = {made.parameter: kernel.transpose(0, 1)[None] if made.parameter == "filters" else kernel}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Downsampling without a filter warns about devices
        expected = physics(name, **own).A(image, **(called if made.parameter else {}))
    torch.testing.assert_close(made(image, kernel), expected.reshape(data_shape), **ROUNDING)


def test_random_physics_use_a_generator_with_the_given_seed() -> None:
    image = drawn((1, 1, 4, 4))
    known = physics("CompressedSensing", m=5, img_size=(1, 4, 4), rng=torch.Generator().manual_seed(3))
    made = operator("CompressedSensing")(m=5, img_size=[1, 4, 4], rng=3)
    torch.testing.assert_close(made(image, torch.ones(1, 1, 1, 1))[:, 0, 0], known.A(image))


@pytest.mark.parametrize("padding", ["valid", "circular", "replicate", "reflect"])
def test_a_blur_is_a_convolution_for_every_solver(padding: Any) -> None:
    made, own = operator("Blur")(padding=padding), Convolution(padding=padding)
    assert isinstance(made, Blur)
    assert made.padding == padding
    image, kernel = drawn((2, 3, 12, 11)), KernelPrior.allowed(drawn((2, 1, 4, 5), seed=1))
    torch.testing.assert_close(made(image, kernel), own(image, kernel), **ROUNDING)
    torch.testing.assert_close(made.initial_image(image, kernel), image)


def test_a_blur_replaces_the_convolution_in_a_classical_recipe() -> None:
    rows = np.repeat(np.random.default_rng(0).uniform(0.1, 0.9, (8, 8)), 5, axis=0).repeat(5, axis=1)
    blurry = np.mean([rows[:, shift : shift + 34] for shift in range(5)], axis=0)
    found = [
        deblur(blurry, recipe="pan-l0", kernel_size=7, overrides=settings, progress=False)
        for settings in ([], ["operator=deepinv:Blur"])
    ]
    np.testing.assert_allclose(found[0].image, found[1].image, atol=1e-3)  # kernel estimation amplifies rounding
    assert found[1].details["recipe"]["operator"]["name"] == "deepinv:Blur"


def test_operator_parameters_are_estimated_by_gradients() -> None:
    """Blind: the width of the Gaussian filter of Downsampling, through deepinv's code."""
    recipe = parse_recipe("""
name = "blind"
operator = {name = "deepinv:Downsampling", params = { parameter = "filter", factor = 2, padding = "circular"}}
image_prior = "pixels"
kernel_prior = "gaussian"
solver = {name = "joint-adam", params = {iterations = 2, milestones = []}}
""")
    result = deblur(np.random.default_rng(1).uniform(size=(9, 8)), recipe=recipe, kernel_size=5, progress=False)
    assert result.image.shape == (18, 16)
    assert result.kernel.shape == (5, 5)
    assert result.history[1] < result.history[0]


def test_calls_do_not_change_the_physics() -> None:
    whole = physics("BlurFFT", img_size=(1, 6, 5), filter=torch.ones(1, 1, 1, 1))
    before = {name: value.clone() for name, value in whole.named_buffers()}
    made = PhysicsOperator(whole, "filter")
    kernel = KernelPrior.allowed(drawn((1, 1, 3, 3))).requires_grad_()
    made(drawn((1, 1, 6, 5)), kernel).square().sum().backward()  # torch 2.6 cannot transform the gradient of a sum
    assert kernel.grad is not None
    assert kernel.grad.abs().sum() > 0
    after = dict(whole.named_buffers())
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(value.requires_grad for value in after.values())


def test_a_wrong_adjoint_is_replaced() -> None:
    whole = physics("Blur", padding="replicate")
    kernel, image, data = torch.ones(1, 1, 1, 1), drawn((1, 1, 6, 5)), drawn((1, 1, 6, 5), seed=1)
    own = whole.A_adjoint(data, filter=kernel)
    assert (whole.A(image, filter=kernel) * data).sum() < (
        image * own
    ).sum() / 3  # all but one are wrong in deepinv 0.5
    assert_adjoint(PhysicsOperator(whole, "filter"), (1, 1, 6, 5), (1, 1, 1, 1))


def test_a_physics_whose_gradient_is_wrong_too_is_refused() -> None:
    made = operator("Tomography")(angles=3, img_width=5, normalize=False, adjoint_via_backprop=False)
    with pytest.raises(InputError, match="neither the adjoint of deepinv's Tomography nor the gradient"):
        made.image_shape((1, 1, 8, 3), (1, 1, 1, 1))


def test_a_physics_that_ignores_its_parameter_is_refused() -> None:
    from deepinv.physics import Blur as Own

    class Stale(Own):  # type: ignore[misc]
        """Uses the filter of its construction."""

        def A(self, x: Tensor, filter: Any = None, **kwargs: Any) -> Any:  # noqa: N802, A002 - deepinv's names
            return x * self.filter.sum()

        def A_adjoint(self, y: Tensor, filter: Any = None, **kwargs: Any) -> Any:  # noqa: N802, A002
            return y * self.filter.sum()

    with pytest.raises(InputError, match="Stale ignores the filter"):
        PhysicsOperator(Stale(filter=torch.ones(1, 1, 1, 1)), "filter").image_shape((1, 1, 6, 6), (1, 1, 3, 3))


@pytest.mark.parametrize(
    ("name", "kind"), [("Blur", KernelPrior), ("Inpainting", MaskPrior), ("Tomography", KernelPrior)]
)
def test_a_class_names_the_kind_of_its_parameter(name: str, kind: type[Any]) -> None:
    assert operator(name).parameter_prior is kind
    assert operator(name) is operator(name)


def test_images_have_a_range_and_other_data_have_none() -> None:
    assert operator("Downsampling").data_range == (0.0, 1.0)
    assert operator("Tomography").data_range is None


def test_the_parameters_are_those_of_the_constructor_of_deepinv() -> None:
    facts = describe("operators", "deepinv:Downsampling")
    assert (facts["name"], facts["distribution"].split()[0]) == ("Downsampling", "deepinv")
    assert set(facts["parameters"]) == {"parameter", "img_size", "filter", "factor", "padding"}
    assert facts["parameters"]["factor"] == {
        "default": 2,
        "description": "downsampling factor",
        "title": "Factor",
        "type": "integer",
    }
    assert describe("operators", "deepinv:CompressedSensing")["required"] == ["m", "img_size"]
    assert "mask" not in parameters_schema(operator("Inpainting"))["properties"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("Blurr", UnknownNameError, r"'deepinv:Blurr' in operators; did you mean 'deepinv:Blur'"),
        ("Haze", PluginError, "Haze is not linear in the image"),
        ("Pansharpen", PluginError, "gives two images of different sizes; a recipe cannot describe it"),
        ("LinearPhysics", PluginError, "is made of functions or physics"),
        ("BlurMultiScaler", PluginError, "it requires 'physics', which is no number"),
    ],
)
def test_physics_that_cannot_be_operators_are_refused(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        operator(name)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            "name = 'deepinv:Blur', params = { parameter = 'kernel'}",
            RecipeError,
            "parameter: should be 'filter', got 'ker",
        ),
        ("name = 'deepinv:Blur', params = {pading = 'valid'}", RecipeError, "did you mean 'padding'"),
        ("name = 'deepinv:Blur', params = {padding = 'moebius'}", InputError, "Blur has no image for .*'moebius' not"),
        (
            "name = 'deepinv:Downsampling', params = {filter = 'bicubic'}",
            RecipeError,
            "is given, but it is also the operator.s parameter",
        ),
        ("name = 'deepinv:BlurFFT'", RecipeError, "img_size is missing"),
        ("name = 'deepinv:BlurFFT', params = {img_size = [1, 4, 4]}", InputError, r"an image of \(1, 1, 4, 4\) gives"),
        ("name = 'deepinv:Inpainting', params = {img_size = [1, 9, 8]}", AssemblyError, "that is a MaskPrior"),
        ("name = 'deepinv:SpaceVaryingBlur'", InputError, "needs its multipliers"),
        (
            "name = 'deepinv:SpaceVaryingBlur', params = {multipliers = 'no.npy'}",
            InputError,
            "multipliers cannot be read as a tensor: there is no file no.npy",
        ),
        (
            "name = 'deepinv:SpaceVaryingBlur', params = {multipliers = [[1.0], ['a']]}",
            InputError,
            "give nested lists of numbers",
        ),
        ("name = 'deepinv:Decolorize', params = {srf = 'pink'}", RecipeError, "cannot be built with .*Invalid srf"),
    ],
)
def test_inconsistent_settings_are_refused_before_the_solve(
    settings: str, error: type[Exception], message: str
) -> None:
    recipe = parse_recipe(f"""
name = "mine"
operator = {{{settings}}}
image_prior = "pixels"
kernel_prior = "simplex"
solver = "joint-adam"
""")
    with pytest.raises(error, match=message):
        deblur(drawn((9, 8)).numpy(), recipe=recipe, kernel_size=3, progress=False)


def test_wrong_arguments_are_refused_in_python_too() -> None:
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        operator("Blur")(filters=3)


def test_complex_data_are_refused() -> None:
    from deepinv.physics import LinearPhysics

    rotation = LinearPhysics(A=lambda x, **_: 1j * x, A_adjoint=lambda y, **_: y)
    with pytest.raises(InputError, match=r"complex64 of shape .* one tensor of real numbers"):
        PhysicsOperator(rotation)(drawn((1, 1, 4, 4)), torch.ones(1, 1, 1, 1))


def test_a_recipe_accepts_such_names_in_overrides() -> None:
    document = apply_settings(load_recipe("selfdeblur").model_dump(), ["operator=deepinv:Blur"])
    assert document["operator"] == {"name": "deepinv:Blur", "params": {"padding": "valid"}}  # the common parameter


@pytest.mark.parametrize("name", ["TVPrior", "L1Prior", "Tikhonov", "L12Prior"])
def test_priors_conform(name: str) -> None:
    check_regularizer(registry.load("regularizers", f"deepinv:{name}"))


def test_a_named_prior_equals_the_general_component() -> None:
    recipe = parse_recipe("""
name = "both"
image_prior = "pixels"
solver = "joint-adam"
regularizers = [
    {name = "deepinv:SmoothedTVPrior", weight = 1.0, params = {eps = 0.5}},
    {name = "deepinv-prior", weight = 1.0, params = {prior = "SmoothedTVPrior", options = {eps = 0.5}}},
]
""")
    checked = check_parameters(recipe, seed=0)
    named, general = (checked[f"regularizers.{i}"].build({}) for i in range(2))
    image = drawn((2, 1, 9, 8))
    torch.testing.assert_close(named(image), general(image))


def test_a_denoiser_is_a_plug_and_play_prior() -> None:
    component = registry.load("regularizers", "deepinv:TVDenoiser")
    smoothed = component(n_it_max=20, sigma=0.1).prox(drawn((1, 1, 1, 16, 16)), 100.0)
    assert smoothed.std() < drawn((1, 1, 1, 16, 16)).std() / 2  # at a noise level of 0.6
    assert parameters_of(component)(sigma=0.2).model_dump()["sigma"] == 0.2
    assert "in_channels" in parameters_of(registry.load("regularizers", "deepinv:DRUNet")).model_fields


def test_a_prior_without_a_value_is_refused() -> None:
    with pytest.raises(PluginError, match="PnP cannot be used in a recipe: it requires 'denoiser'"):
        registry.load("regularizers", "deepinv:PnP")


def test_the_adapter_conforms() -> None:
    check_component("adapters", "deepinv")
