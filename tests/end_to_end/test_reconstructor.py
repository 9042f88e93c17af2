"""Recipes as reconstructors of deepinv: in deepinv.test, blind and with the physics as operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import invkit
from invkit.core.errors import AssemblyError, InputError, RecipeError, UnknownNameError
from invkit.core.interfaces import KernelPrior
from invkit.numerics.framing import crop_to_data
from invkit.recipes.model import parse_recipe
from invkit.testing.common import drawn

LINEAR = """
name = "tv-linear"
image_prior = "pixels"
operator = "identity"
regularizers = [{name = "tv", weight = 0.3, scale_by = "sigma", min_weight = 1e-4, params = {smoothing = 0.0}}]
solver = {name = "linear-admm", params = {iterations = 40}}
"""
NETWORK = """
name = "small-network"
image_prior = {name = "dip-skip", params = {channels = 4, scales = 2, skip_channels = 2}}
operator = "identity"
solver = {name = "joint-adam", params = {iterations = 2, milestones = []}}
"""
BLIND = """
name = "quick-blind"
image_prior = "pixels"
kernel_prior = "simplex"
regularizers = [{name = "tv", weight = 1e-3}]
solver = {name = "joint-adam", params = {iterations = 3, milestones = []}}
"""


def physics(name: str, noise: float | None = None, **settings: Any) -> Any:
    import deepinv

    model = {} if noise is None else {"noise_model": deepinv.physics.GaussianNoise(noise)}
    return getattr(deepinv.physics, name)(**model, **settings)


@pytest.fixture(scope="module")
def scenes() -> Tensor:
    """Two images of squares, (2, 1, 32, 32)."""
    generator = np.random.default_rng(3)
    blocks = [np.kron(generator.uniform(0.1, 0.9, (4, 4)), np.ones((8, 8))) for _ in range(2)]
    return torch.tensor(np.stack(blocks)[:, None], dtype=torch.float32)


@pytest.fixture(scope="module")
def kernel() -> Tensor:
    """Motion over five pixels, off the centre, (1, 1, 4, 5)."""
    weights = torch.zeros(1, 1, 4, 5)
    weights[0, 0, 1] = torch.tensor([0.1, 0.3, 0.3, 0.2, 0.1])
    return weights


def psnr(image: Tensor, truth: Tensor) -> float:
    return float(-10 * (image - truth).square().mean().log10())


def noisy(known: Any, scenes: Tensor) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return known(scenes)


def test_models_work_in_deepinv_test(scenes: Tensor, kernel: Tensor) -> None:
    import deepinv

    known = physics("BlurFFT", img_size=(1, 32, 32), filter=kernel, noise=0.01)
    pairs = DataLoader(TensorDataset(scenes, noisy(known, scenes)), batch_size=2)
    models = {
        "deepinv": deepinv.models.WienerDeconvolution(lambda_reg=0.01),
        "wiener": invkit.as_reconstructor("wiener"),
        "tv-admm": invkit.as_reconstructor("tv-admm"),
    }
    metrics = [deepinv.metric.PSNR(), deepinv.metric.SSIM()]
    found = {
        name: deepinv.test(model, pairs, known, metrics=metrics, verbose=False, non_blocking_transfers=False)
        for name, model in models.items()
    }
    assert all(one["PSNR"] > one["PSNR no learning"] + 1 for one in found.values())
    assert found["tv-admm"]["PSNR"] > found["wiener"]["PSNR"] + 1  # dB: the scenes are piecewise constant
    assert found["tv-admm"]["SSIM"] > found["wiener"]["SSIM"]


def test_it_is_a_reconstructor_of_deepinv_without_parameters() -> None:
    from deepinv.models import Reconstructor

    model = invkit.as_reconstructor("wiener")
    assert isinstance(model, Reconstructor)
    assert list(model.parameters()) == []
    assert invkit.as_reconstructor("tv-admm").__class__ is model.__class__


@pytest.mark.parametrize(("name", "settings"), [("Blur", {"padding": "valid"}), ("Blur", {"padding": "circular"})])
def test_a_blur_gives_the_result_of_deconvolve(
    scenes: Tensor, kernel: Tensor, name: str, settings: dict[str, Any]
) -> None:
    known = physics(name, filter=kernel, **settings)
    y = known(scenes)
    x = invkit.as_reconstructor("tv-admm", sigma=0.01)(y, known)
    assert x.shape == scenes.shape
    for data, image in zip(y, x, strict=True):
        overrides = [f"operator.padding={settings['padding']}"]
        result = invkit.deconvolve(
            data[0], kernel[0, 0], recipe="tv-admm", sigma=0.01, overrides=overrides, progress=False
        )
        seen = crop_to_data(image, (4, 5), tuple(data.shape[1:]))[0]
        torch.testing.assert_close(seen, result.image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["Blur", "BlurFFT"])
@pytest.mark.parametrize("size", [(3, 5), (4, 3), (2, 6)])
def test_the_given_blur_is_inverted(scenes: Tensor, name: str, size: tuple[int, int]) -> None:
    """Without noise and with the least of penalties, a circular blur is undone; one pixel off would not be."""
    weights = torch.zeros(1, 1, *size)
    weights[0, 0, 0, 0], weights[0, 0, -1, -1] = 0.7, 0.3
    settings = {"padding": "circular"} if name == "Blur" else {"img_size": (1, 32, 32)}
    known = physics(name, filter=weights, **settings)
    x = invkit.as_reconstructor("wiener", sigma=1e-4)(known(scenes), known)
    assert psnr(x, scenes) > 40


SHARPENING = torch.tensor([[[[0.0, -0.3, 0.0], [-0.3, 2.2, -0.3], [0.0, -0.3, 0.0]]]])  # no blur kernel
CASES: dict[str, tuple[dict[str, Any], float, float]] = {
    "Denoising": ({}, 0.1, 2.0),
    "Inpainting": ({"img_size": (1, 32, 32), "mask": (drawn((1, 1, 32, 32)) < 0.6).float()}, 0.02, 10.0),
    "Downsampling": ({"filter": "bicubic", "factor": 2}, 0.01, 10.0),
    "CompressedSensing": ({"m": 400, "img_size": (1, 32, 32), "rng": torch.Generator().manual_seed(0)}, 0.01, 10.0),
    "Tomography": ({"angles": 30, "img_width": 32, "normalize": True}, 0.01, 5.0),
    "Blur": ({"padding": "reflect", "filter": SHARPENING}, 0.05, 2.0),
}
"""Settings, noise level, and the gain of total variation over the adjoint, dB."""


@pytest.mark.parametrize("name", CASES)
def test_any_linear_physics_is_an_operator(scenes: Tensor, name: str) -> None:
    settings, noise, gain = CASES[name]
    known = physics(name, noise, **settings)
    y = noisy(known, scenes[:1])
    x = invkit.as_reconstructor(parse_recipe(LINEAR))(y, known)
    assert x.shape == scenes[:1].shape
    assert psnr(x, scenes[:1]) > psnr(known.A_adjoint(y).clamp(0, 1), scenes[:1]) + gain


@pytest.mark.parametrize("units", [2.0**-14, 2.0**14])
def test_the_units_of_data_that_are_no_pictures_are_those_of_the_image(scenes: Tensor, units: float) -> None:
    settings, noise, _ = CASES["Tomography"]
    known = physics("Tomography", noise, **settings)
    y, model = noisy(known, scenes[:1]), invkit.as_reconstructor(parse_recipe(LINEAR), sigma=0.01)
    scaled = invkit.as_reconstructor(parse_recipe(LINEAR), sigma=0.01 * units)
    torch.testing.assert_close(scaled(units * y, known) / units, model(y, known))


def test_a_dim_picture_comes_back_dim_from_a_blind_recipe(scenes: Tensor, kernel: Tensor) -> None:
    known = physics("Blur", filter=kernel)
    dim = invkit.as_reconstructor(parse_recipe(BLIND), kernel_size=5)(0.1 * known(scenes[:1]), known)
    assert psnr(dim / 0.1, scenes[:1]) > 15


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_networks_are_trained_without_a_gradient_context(scenes: Tensor, mode: Any) -> None:
    known = physics("Denoising")
    with mode():
        x = invkit.as_reconstructor(parse_recipe(NETWORK))(scenes, known)
    assert x.shape == scenes.shape
    assert not x.requires_grad
    assert not torch.equal(x[0], x[1])


def test_an_image_does_not_depend_on_its_batch(scenes: Tensor) -> None:
    known, model = physics("Denoising"), invkit.as_reconstructor(parse_recipe(NETWORK))
    torch.testing.assert_close(model(scenes, known)[1:], model(scenes[1:], known))
    together = invkit.as_reconstructor(parse_recipe(NETWORK), together=True)
    assert not torch.allclose(together(scenes, known)[1:], model(scenes[1:], known))  # one network for both


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("name", ["Blur", "Inpainting"])
def test_each_image_of_a_batch_has_its_own_part_of_the_physics(scenes: Tensor, together: bool, name: str) -> None:
    if name == "Blur":
        kernels = KernelPrior.allowed(drawn((2, 1, 3, 3)))
        several = physics(name, filter=kernels, padding="circular", noise=0.01)
        each = [physics(name, filter=one[None], padding="circular", noise=0.01) for one in kernels]
    else:
        masks = (drawn((2, 1, 32, 32)) < 0.7).float()
        several = physics(name, img_size=(1, 32, 32), mask=masks, noise=0.01)
        each = [physics(name, img_size=(1, 32, 32), mask=one[None], noise=0.01) for one in masks]
    y = noisy(several, scenes)
    recipe = "wiener" if name == "Blur" else parse_recipe(LINEAR)
    x = invkit.as_reconstructor(recipe, together=together)(y, several)
    alone = [invkit.as_reconstructor(recipe)(y[i : i + 1], each[i]) for i in range(2)]
    torch.testing.assert_close(x, torch.cat(alone), atol=1e-4, rtol=0)


def test_neither_the_physics_nor_the_data_are_changed(scenes: Tensor, kernel: Tensor) -> None:
    known = physics("Blur", filter=kernel, padding="circular", noise=0.05)
    y = noisy(known, scenes).double()
    before = y.clone(), {name: value.clone() for name, value in known.state_dict().items()}
    assert before[0].max() > 0.95  # the noise is not clipped
    x = invkit.as_reconstructor("tv-admm")(y, known)
    assert x.dtype == torch.float64
    assert torch.equal(y, before[0])
    assert all(torch.equal(value, known.state_dict()[name]) for name, value in before[1].items())


@pytest.mark.parametrize("padding", ["valid", "circular"])
@pytest.mark.parametrize("kernel_size", [3, (4, 6), 7])
def test_a_blind_recipe_estimates_the_kernel_and_gives_the_size_of_the_physics_image(
    scenes: Tensor, kernel: Tensor, padding: str, kernel_size: tuple[int, int]
) -> None:
    model = invkit.as_reconstructor(parse_recipe(BLIND), kernel_size=kernel_size)
    known = physics("Blur", filter=kernel, padding=padding)
    y = known(scenes[:1])
    x = model(y, known)
    assert x.shape == scenes[:1].shape
    other = physics("Blur", filter=KernelPrior.allowed(drawn((1, 1, 4, 5))), padding=padding)
    assert torch.equal(x, model(y, other))
    inside = crop_to_data(x, (4, 5), tuple(y.shape[2:]))
    result = invkit.deblur(y, recipe=parse_recipe(BLIND), kernel_size=kernel_size, progress=False)
    torch.testing.assert_close(inside, torch.as_tensor(result.image).clamp(0, 1))


@pytest.mark.parametrize("color", ["luma", "rgb"])
def test_a_blind_recipe_restores_colour(scenes: Tensor, kernel: Tensor, color: Any) -> None:
    known = physics("Blur", filter=kernel)
    coloured = torch.cat([scenes[:1], scenes[1:], scenes[:1] / 2], 1)
    x = invkit.as_reconstructor(parse_recipe(BLIND), kernel_size=5, color=color)(known(coloured), known)
    assert x.shape == coloured.shape
    assert psnr(x, coloured) > 15


def test_a_blind_recipe_accepts_noise_above_one_and_a_physics_without_a_filter(scenes: Tensor) -> None:
    y = scenes + 0.3
    x = invkit.as_reconstructor(parse_recipe(BLIND), kernel_size=3)(y, physics("Blur"))
    assert x.shape == scenes.shape
    assert float(x.max()) <= 1


def test_a_blind_recipe_does_not_clip_data_other_than_images(scenes: Tensor) -> None:
    recipe = parse_recipe("""
name = "coils"
operator = {name = "multi-coil-mri", params = {acceleration = 1.0}}
image_prior = "pixels"
kernel_prior = "smooth-maps"
solver = {name = "joint-adam", params = {iterations = 2, milestones = []}}
""")
    maps = torch.complex(drawn((1, 3, 32, 32)), drawn((1, 3, 32, 32), seed=1))
    known = physics("MultiCoilMRI", img_size=(32, 32), coil_maps=maps)
    y = known(torch.cat([scenes[:1], torch.zeros(1, 1, 32, 32)], 1))
    assert y.shape == (1, 2, 3, 32, 32)
    x = invkit.as_reconstructor(recipe)(y, known)
    torch.testing.assert_close(x, invkit.restore(y.flatten(1, 2), recipe, progress=False).image)


def test_a_blind_recipe_can_use_the_physics(scenes: Tensor, kernel: Tensor) -> None:
    known = physics("Blur", filter=kernel, padding="circular")
    y = known(scenes)
    recipe = parse_recipe(BLIND.replace("= 3", "= 200"))
    informed = invkit.as_reconstructor(recipe, blind=False)(y, known)
    assert psnr(informed, scenes) > psnr(y, scenes) + 3
    chain = invkit.as_reconstructor("fast-map", blind=False, sigma=0.01)  # its last stage is sparse-admm
    torch.testing.assert_close(chain(y, known), invkit.as_reconstructor("sparse-admm", sigma=0.01)(y, known))


def test_the_noise_level_is_that_of_the_physics_or_the_given_one(scenes: Tensor, kernel: Tensor) -> None:
    def restored(noise: float | None, **options: Any) -> Any:
        known = physics("Blur", noise, filter=kernel, padding="circular")
        return invkit.as_reconstructor("tv-admm", **options)(y, known)

    y = physics("Blur", filter=kernel, padding="circular")(scenes)
    assert torch.equal(restored(0.1), restored(None, sigma=0.1))
    assert torch.equal(restored(0.02, sigma=0.1), restored(0.1))
    assert not torch.allclose(restored(0.1), restored(None))  # estimated


def test_a_blind_operator_with_another_image_size_is_refused(scenes: Tensor) -> None:
    recipe = parse_recipe(BLIND.replace('image_prior = "pixels"', 'image_prior = "pixels"\noperator = "downsampling"'))
    known = physics("Blur", filter=torch.ones(1, 1, 3, 3) / 9, padding="circular")
    with pytest.raises(InputError, match=r"gives images of 64x64 pixels, but the physics. image has 32x32"):
        invkit.as_reconstructor(recipe, kernel_size=3)(scenes[:1], known)


def test_a_solver_that_needs_a_blur_names_suitable_solvers(scenes: Tensor) -> None:
    known = physics("Downsampling", filter="bicubic", factor=2)
    with pytest.raises(AssemblyError, match=r"with deepinv's Downsampling as its operator the recipe tv-admm .*linear"):
        invkit.as_reconstructor("tv-admm", sigma=0.01)(known(scenes), known)


def test_an_unknown_noise_level_is_requested(scenes: Tensor) -> None:
    known = physics("Tomography", angles=4, img_width=32, normalize=True)
    with pytest.raises(InputError, match=r"from the data of deepinv.s Tomography; give sigma"):
        invkit.as_reconstructor(parse_recipe(LINEAR))(known(scenes), known)


def test_only_linear_physics_are_accepted(scenes: Tensor) -> None:
    model = invkit.as_reconstructor("wiener")
    with pytest.raises(InputError, match="must be one of deepinv's LinearPhysics, got Haze"):
        model(scenes, physics("Haze"))
    with pytest.raises(InputError, match="got str"):
        model(scenes, "Blur")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"recipe": "wienr"}, UnknownNameError, "did you mean 'wiener'"),
        ({"recipe": "wiener", "blind": True}, InputError, "wiener estimates no kernel; choose a blind recipe"),
        ({"recipe": "wiener", "kernel_size": 5}, InputError, "the physics has a kernel; leave kernel_size out"),
        ({"recipe": "wiener", "sigma": -1}, InputError, "sigma must be"),
        (
            {"recipe": "tv-admm", "overrides": ["solver.iteratons=3"]},
            RecipeError,
            "there is no place .solver.iteratons.",
        ),
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        invkit.as_reconstructor(**options)
