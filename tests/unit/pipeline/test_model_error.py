"""How far the data are from what a kernel explains, and the noise level that stages take from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from deconvolution import curve

import invkit
from invkit.operators.convolution import Convolution
from invkit.pipeline.api import restore
from invkit.pipeline.model_error import SIDE, central, model_error
from invkit.pipeline.options import Options
from invkit.pipeline.stages import GRAVER, plan
from invkit.recipes.model import load_recipe, parse_recipe
from invkit.testing.common import drawn


def scene(size=(120, 110)):
    """Blocks from black to white, as photographs have; (1, 1, H, W)."""
    coarse = drawn((1, 1, 12, 11), seed=5).float()
    coarse = ((coarse - coarse.min()) / (coarse.max() - coarse.min())).mul(1.6).sub(0.3).clamp(0, 1)
    return torch.nn.functional.interpolate(coarse, size=size)


def noisy(sigma, kernel=None):
    kernel = curve() if kernel is None else kernel
    clean = Convolution()(scene(), kernel)
    return (clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


@pytest.mark.parametrize("sigma", [0.003, 0.01, 0.03])
def test_with_the_true_kernel_it_is_no_more_than_the_noise(sigma):
    """And no less than a fifth of it: the image that is fitted takes up a part, more where the data are white."""
    assert sigma / 5 < model_error(noisy(sigma), curve()) < sigma


def test_a_wrong_kernel_leaves_more():
    data, wrong = noisy(0.003), curve().transpose(-1, -2)
    assert model_error(data, wrong) > 3 * model_error(data, curve())


def clipped(sigma, white):
    """Data of lamps far above white, as a camera that ends there gives them."""
    image = scene()
    image[..., 15::40, 20::35] = 6.0
    clean = Convolution()(image, curve())
    return (clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, white)


@pytest.mark.parametrize("sigma", [0.003, 0.01])
def test_clipped_data_are_no_misfit_of_the_true_kernel(monkeypatch, sigma):
    """Taken at their word they would be, since no blur of what is at most white has a lamp's bright and sharp trail."""
    data = clipped(sigma, 0.995)
    lenient = model_error(data, curve())
    monkeypatch.setattr(
        "invkit.pipeline.model_error.CLIPPED", 1.0
    )  # above all data, so that none of them count as clipped
    assert lenient < 1.5 * sigma
    assert model_error(data, curve()) > 3 * lenient


def test_a_white_picture_says_nothing_against_any_kernel():
    assert model_error(torch.ones(1, 1, 40, 44), curve()) == 0


def test_colour_counts_as_the_mean_of_its_channels():
    data = noisy(0.01)
    assert model_error(data.expand(1, 3, -1, -1), curve()) == pytest.approx(model_error(data, curve()), rel=1e-4)


def test_only_the_middle_of_a_large_photograph_is_looked_at():
    assert central(torch.zeros(1, 1, 2000, 300), (9, 31)).shape == (1, 1, SIDE + 18, 300)


def told(kernel, **keywords):
    data = noisy(0.003)[0, 0].numpy()
    return invkit.deconvolve(data, kernel[0, 0].numpy(), progress=False, **keywords).details["noise_sigma"]


def test_an_estimated_noise_level_grows_with_a_wrong_kernel_and_a_given_one_does_not():
    wrong = curve().transpose(-1, -2).contiguous()
    assert told(wrong) > 3 * told(curve())
    assert told(wrong, sigma=0.003) == 0.003


STAYS = """
name = "stays"
image_prior = "pixels"
kernel_prior = "simplex"
solver = {name = "joint-adam", params = {iterations = 1}}
"""


def test_a_stage_that_goes_on_from_a_kernel_says_what_it_has_assumed():
    data, wrong = noisy(0.003), curve().transpose(-1, -2).contiguous()
    result = restore(data, parse_recipe(STAYS), kernel=wrong, overrides=["next=sparse-admm"], progress=False)
    first, last = result.details["stages"]
    sigma, left = first["noise_sigma"], model_error(data, torch.as_tensor(result.kernel).float()[None, None])
    assert left > 2 * sigma
    assert last["noise_sigma"] == pytest.approx(np.sqrt(sigma**2 + GRAVER**2 * (left**2 - sigma**2)), rel=1e-3)


def planned(recipe, *settings, **options):
    """The first stage of a recipe."""
    [stage, *_] = plan(load_recipe(recipe).with_overrides(settings), noisy(0.003), Options(**options))
    return stage


@pytest.mark.parametrize(
    ("sigma", "left", "expected"),
    [
        (0.003, 0.005, (0.003**2 + (GRAVER * 0.004) ** 2) ** 0.5),  # 5 is to 3 as noise and 4 are together
        (0.003, 0.003, 0.003),
        (0.003, 0.001, 0.003),  # with the true kernel the image takes up a part of the noise
        (0.0, 0.002, GRAVER * 0.002),
    ],
)
def test_what_the_model_misses_beyond_the_noise_is_added_to_it_with_its_factor(monkeypatch, sigma, left, expected):
    monkeypatch.setattr("invkit.pipeline.stages.model_error", lambda data, kernel: left)
    stage = replace(planned("sparse-admm"), sigma=sigma)
    assert stage.knowing(curve()) == replace(stage, sigma=pytest.approx(expected, rel=1e-12))


@pytest.mark.parametrize(
    "stage",
    [
        lambda: planned("polish"),
        lambda: planned("sparse-admm", sigma=0.003),
        lambda: planned("sparse-admm", "regularizers.0.scale_by=one"),
        lambda: planned("sparse-admm", "regularizers.0.weight=0"),
        lambda: replace(planned("sparse-admm"), sigma=None),
    ],
    ids=["blind", "a given level", "no weight by the level", "a weight of zero", "no level"],
)
def test_a_stage_that_is_blind_or_needs_no_estimate_of_the_level_does_not_measure_the_misfit(monkeypatch, stage):
    monkeypatch.setattr("invkit.pipeline.stages.model_error", lambda data, kernel: pytest.fail("measured"))
    plain = stage()
    assert plain.knowing(curve()) is plain
