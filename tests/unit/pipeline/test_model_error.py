"""The error of the model for a kernel, and the noise level that stages derive from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from deconvolution import curve

import invkit
from invkit.numerics.framing import crop_to_data
from invkit.numerics.geometry import size_of
from invkit.operators.convolution import Convolution
from invkit.pipeline.api import restore
from invkit.pipeline.model_error import EXAMINED_SIDE, central_part, contradicting_pixels, model_error
from invkit.pipeline.options import Options
from invkit.pipeline.stages import MODEL_ERROR_FACTOR, REFINING_FACTOR, Stage, plan_stages
from invkit.recipes.model import load_recipe, parse_recipe
from invkit.testing.common import drawn


def scene(size: tuple[int, int] = (120, 110)) -> torch.Tensor:
    """Blocks from black to white, (1, 1, H, W)."""
    coarse = drawn((1, 1, 12, 11), seed=5).float()
    coarse = ((coarse - coarse.min()) / (coarse.max() - coarse.min())).mul(1.6).sub(0.3).clamp(0, 1)
    return torch.nn.functional.interpolate(coarse, size=size)


def noisy(sigma: float, kernel: torch.Tensor | None = None) -> torch.Tensor:
    kernel = curve() if kernel is None else kernel
    clean: torch.Tensor = Convolution()(scene(), kernel)
    return (clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


@pytest.mark.parametrize("sigma", [0.003, 0.01, 0.03])
def test_for_the_true_kernel_it_is_at_most_the_noise(sigma: float) -> None:
    """It is at least a fifth of the noise: the fitted image absorbs a part, more where the data are white."""
    assert sigma / 5 < model_error(noisy(sigma), curve()) < sigma


def test_for_a_wrong_kernel_it_is_larger() -> None:
    data, wrong = noisy(0.003), curve().transpose(-1, -2)
    assert model_error(data, wrong) > 3 * model_error(data, curve())


def saturated(sigma: float, white: float) -> torch.Tensor:
    """Data of lamps far above white, cut at white as by a camera."""
    image = scene()
    image[..., 15::40, 20::35] = 6.0
    clean: torch.Tensor = Convolution()(image, curve())
    return (clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, white)


@pytest.mark.parametrize("sigma", [0.003, 0.01])
def test_saturated_data_do_not_count_for_the_true_kernel(monkeypatch: pytest.MonkeyPatch, sigma: float) -> None:
    """They would count if they were exact: no blur of values up to white has the bright, sharp trail of a lamp."""
    data = saturated(sigma, 0.995)
    lenient = model_error(data, curve())
    monkeypatch.setattr("invkit.pipeline.model_error.SATURATION", 1.0)  # no value of the data counts as saturated
    assert lenient < 1.5 * sigma
    assert model_error(data, curve()) > 3 * lenient


def test_a_white_picture_has_no_error_for_any_kernel() -> None:
    assert model_error(torch.ones(1, 1, 40, 44), curve()) == 0


def test_colour_counts_as_the_mean_of_its_channels() -> None:
    data = noisy(0.01)
    assert model_error(data.expand(1, 3, -1, -1), curve()) == pytest.approx(model_error(data, curve()), rel=1e-4)


def test_only_the_middle_of_a_large_photograph_is_examined() -> None:
    assert central_part(torch.zeros(1, 1, 2000, 300), (9, 31)).shape == (1, 1, EXAMINED_SIDE + 18, 300)


def level_for(kernel: torch.Tensor, **keywords: Any) -> float:
    data = noisy(0.003)[0, 0].numpy()
    result = invkit.deconvolve(data, kernel[0, 0].numpy(), progress=False, **keywords)
    return float(result.details["noise_sigma"])


def test_an_estimated_noise_level_grows_with_a_wrong_kernel_and_a_given_one_does_not() -> None:
    wrong = curve().transpose(-1, -2).contiguous()
    assert level_for(wrong) > 3 * level_for(curve())
    assert level_for(wrong, sigma=0.003) == 0.003


NEARBY = """
name = "nearby"
image_prior = "pixels"
kernel_prior = "simplex"
solver = {name = "joint-adam", params = {iterations = 1}}
"""


def test_a_next_stage_reports_the_noise_level_that_it_uses() -> None:
    data, wrong = noisy(0.003), curve().transpose(-1, -2).contiguous()
    result = restore(data, parse_recipe(NEARBY), kernel=wrong, overrides=["next=sparse-admm"], progress=False)
    first, last = result.details["stages"]
    sigma, error = first["noise_sigma"], model_error(data, torch.as_tensor(result.kernel).float()[None, None])
    assert error > 2 * sigma
    assert last["noise_sigma"] == pytest.approx(
        np.sqrt(sigma**2 + MODEL_ERROR_FACTOR**2 * (error**2 - sigma**2)), rel=1e-3
    )


def planned(recipe: str, *settings: str, **options: Any) -> Stage:
    """The first stage of a recipe."""
    [stage, *_] = plan_stages(load_recipe(recipe).with_overrides(settings), noisy(0.003), Options(**options))
    return stage


@pytest.mark.parametrize(
    ("sigma", "error", "excess"),
    [
        (0.003, 0.005, 0.004),  # 3, 4 and 5 are a Pythagorean triple
        (0.003, 0.003, 0.0),
        (0.003, 0.001, 0.0),  # for the true kernel the image absorbs a part of the noise
        (0.0, 0.002, 0.002),
    ],
)
@pytest.mark.parametrize(("recipe", "factor"), [("sparse-admm", MODEL_ERROR_FACTOR), ("polish", REFINING_FACTOR)])
def test_the_model_error_beyond_the_noise_is_added_to_it_with_its_factor(
    monkeypatch: pytest.MonkeyPatch, recipe: str, factor: float, sigma: float, error: float, excess: float
) -> None:
    monkeypatch.setattr("invkit.pipeline.stages.model_error", lambda data, kernel, measured: error)
    stage = replace(planned(recipe), sigma=sigma)
    sigma_within: Any = pytest.approx((sigma**2 + (factor * excess) ** 2) ** 0.5, rel=1e-12)
    found = stage.knowing(curve())
    assert found.sigma == sigma_within
    others = [field.name for field in fields(stage) if field.name != "sigma"]
    assert all(getattr(found, name) is getattr(stage, name) for name in others)


@pytest.mark.parametrize(
    "stage",
    [
        lambda: planned("sparse-admm", sigma=0.003),
        lambda: planned("sparse-admm", "regularizers.0.scale_by=one"),
        lambda: planned("sparse-admm", "regularizers.0.weight=0"),
        lambda: replace(planned("sparse-admm"), sigma=None),
    ],
    ids=["a given level", "no weight by the level", "a weight of zero", "no level"],
)
def test_the_model_error_is_measured_only_if_it_changes_an_estimated_level(
    monkeypatch: pytest.MonkeyPatch, stage: Callable[[], Stage]
) -> None:
    monkeypatch.setattr("invkit.pipeline.stages.model_error", lambda data, kernel, measured: pytest.fail("measured"))
    plain = stage()
    assert plain.knowing(curve()) is plain


def test_pixels_that_contradict_the_blur_are_found_beside_edges_too() -> None:
    data = noisy(0.003)
    broken = torch.rand(data.shape, generator=torch.Generator().manual_seed(3)) < 0.01
    values = torch.randint(0, 2, data.shape, generator=torch.Generator().manual_seed(4)).float()
    seen = torch.where(broken, values, data)
    found = contradicting_pixels(seen, curve(), torch.ones_like(broken))
    visible = broken & ((seen - data).abs() > 0.1)
    assert float(found[visible].float().mean()) > 0.95
    assert float(found[~broken].float().mean()) < 0.01


def test_hardly_any_pixel_of_a_picture_without_bad_ones_contradicts_its_blur() -> None:
    data = noisy(0.01)
    found = contradicting_pixels(data, curve(), torch.ones(data.shape, dtype=torch.bool))
    assert float(found.float().mean()) < 1e-3


def test_lamps_brighter_than_white_do_not_contradict_the_blur() -> None:
    data = saturated(0.003, 1.0)
    found = contradicting_pixels(data, curve(), torch.ones(data.shape, dtype=torch.bool))
    assert not found[data >= 0.99].any()


def test_bad_pixels_that_only_the_kernel_reveals_cost_nothing() -> None:
    data = noisy(0.003)
    broken = torch.rand(data.shape, generator=torch.Generator().manual_seed(3)) < 0.005
    values = torch.randint(0, 2, data.shape, generator=torch.Generator().manual_seed(4)).float()
    kernel = curve()[0, 0].numpy()
    truth = crop_to_data(scene(), size_of(curve()), size_of(data))[0, 0].numpy()
    pictures = [one[0, 0].numpy() for one in (data, torch.where(broken, values, data))]
    clean, repaired = (np.asarray(invkit.deconvolve(one, kernel, progress=False).image) for one in pictures)
    errors = [float(np.sqrt(np.mean((one - truth) ** 2))) for one in (clean, repaired)]
    assert errors[1] < 1.1 * errors[0], errors
