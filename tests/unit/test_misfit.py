"""How far the data are from what a kernel explains, and the noise level that stages take from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from deconvolution import curve

import invkit
from invkit.misfit import SIDE, central, misfit
from invkit.operators.convolution import Convolution
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
    assert sigma / 5 < misfit(noisy(sigma), curve()) < sigma


def test_a_wrong_kernel_leaves_more():
    data, wrong = noisy(0.003), curve().transpose(-1, -2)
    assert misfit(data, wrong) > 3 * misfit(data, curve())


def test_colour_counts_as_the_mean_of_its_channels():
    data = noisy(0.01)
    assert misfit(data.expand(1, 3, -1, -1), curve()) == pytest.approx(misfit(data, curve()), rel=1e-4)


def test_only_the_middle_of_a_large_photograph_is_looked_at():
    assert central(torch.zeros(1, 1, 2000, 300), (9, 31)).shape == (1, 1, SIDE + 18, 300)


def told(kernel, **keywords):
    data = noisy(0.003)[0, 0].numpy()
    return invkit.deconvolve(data, kernel[0, 0].numpy(), progress=False, **keywords).details["noise_sigma"]


def test_an_estimated_noise_level_grows_with_a_wrong_kernel_and_a_given_one_does_not():
    wrong = curve().transpose(-1, -2).contiguous()
    assert told(wrong) > 3 * told(curve())
    assert told(wrong, sigma=0.003) == 0.003


def test_a_stage_that_goes_on_from_a_kernel_says_what_it_has_assumed():
    data = np.asarray(noisy(0.003)[0, 0])
    overrides = ["solver.params.solver.params.iterations=1", "then=sparse-admm"]
    result = invkit.deblur(data, recipe="xu-l0", kernel_size=7, overrides=overrides, progress=False)
    first, last = result.details["stages"]
    kernel = torch.as_tensor(result.kernel).float()[None, None]
    expected = max(first["noise_sigma"], misfit(torch.as_tensor(data)[None, None], kernel))
    assert last["noise_sigma"] == pytest.approx(expected, rel=0.05)
