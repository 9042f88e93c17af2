"""The formulas of the paper, checked on small arrays by hand or by brute force."""

from __future__ import annotations

import math

import pytest
import torch
from invkit_vdip.derivative_mse import DerivativeMSE
from invkit_vdip.extreme_channels import ExtremeChannels
from invkit_vdip.sparse_gradient import SparseGradient
from torch import Tensor

from invkit.core.errors import InputError

SHAPE = (2, 3, 9, 7)


def drawn(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convolve(image: Tensor, *filters: Tensor) -> Tensor:
    """Differences by explicit convolution, one filter after the other."""
    for kernel in filters:
        convolved = torch.nn.functional.conv2d(image.flatten(0, 1)[:, None], kernel)
        image = convolved.view(*image.shape[:2], *convolved.shape[2:])
    return image


DOWN = torch.tensor([-1.0, 1.0], dtype=torch.float64).view(1, 1, 2, 1)
ALONG = DOWN.mT


def test_a_single_wrong_pixel_counts_in_every_derivative_that_sees_it() -> None:
    residual = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    residual[0, 0, 2, 2] = 1
    # two of 20 first differences; second differences: 1, -2, 1 of 15 straight and 1, -1, -1, 1 of 16 mixed ones
    first, second = 2 * 2 / 20, 2 * 6 / 15 + 2 * 4 / 16
    found = DerivativeMSE()(residual, torch.zeros_like(residual))
    assert float(found) == pytest.approx(0.5 / 25 + 0.5 * first + 0.125 * second)


def test_derivatives_of_the_residual_are_those_of_the_blurred_derivatives() -> None:
    """d(k * x) - d y is k * (d x) - d y, so the two terms of the released code are one with twice the weight."""
    image, kernel, data = drawn((1, 1, 11, 10)), drawn((1, 1, 3, 4), 1), drawn((1, 1, 9, 7), 2)
    for d in (DOWN, ALONG):
        residual = convolve(convolve(image, kernel) - data, d)
        torch.testing.assert_close(residual, convolve(convolve(image, d), kernel) - convolve(data, d))


def test_derivative_mse_is_its_formula() -> None:
    predicted, data = drawn(SHAPE, 1), drawn(SHAPE, 2)
    residual = predicted - data
    squares = [
        (weight, convolve(residual, *filters).square().mean((1, 2, 3)))
        for weight, filters in [
            (0.5, ()),
            (0.5, (DOWN,)),
            (0.5, (ALONG,)),
            (0.125, (DOWN, DOWN)),
            (0.125, (DOWN, ALONG)),
            (0.125, (ALONG, DOWN)),
            (0.125, (ALONG, ALONG)),
        ]
    ]
    torch.testing.assert_close(DerivativeMSE()(predicted, data), sum(w * s for w, s in squares))


def test_derivative_mse_refuses_what_has_no_second_differences() -> None:
    with pytest.raises(InputError, match="at least 3x3 pixels, got 2x5"):
        DerivativeMSE()(torch.zeros(1, 1, 2, 5), torch.zeros(1, 1, 2, 5))


def test_sparse_gradient_of_two_pixels() -> None:
    mean, std = torch.tensor([[0.1, 0.4]]).double(), torch.tensor([[0.2, 0.3]]).double()
    found = SparseGradient(floor=1e-2).expected(mean[None, None], std[None, None])
    assert float(found) == pytest.approx(math.log(1 + (0.3**2 + 0.2**2 + 0.3**2) / 1e-2) / 4)


def test_the_gradient_is_that_of_the_reweighted_squares() -> None:
    """The released code's ``w E d^2 / 4``, with ``w = 1 / (E d^2 + floor)`` held, has the same gradient."""
    mean, std, floor = drawn(SHAPE, 3).requires_grad_(), (0.1 * drawn(SHAPE, 4)).requires_grad_(), 1e-6
    variance = std.square()
    total = torch.zeros(len(mean), dtype=mean.dtype)
    for d in (DOWN, ALONG):
        expected = convolve(mean, d).square() + convolve(variance, d.abs())
        total = total + (expected / (expected + floor).detach()).mean((1, 2, 3)) / 4
    published = torch.autograd.grad(total.sum(), (mean, std))
    ours = torch.autograd.grad(SparseGradient(floor=floor).expected(mean, std).sum(), (mean, std))
    torch.testing.assert_close(ours, published)


def test_the_expectation_is_bounded_from_above() -> None:
    mean, std = drawn((1, 1, 6, 6), 5), 0.3 * drawn((1, 1, 6, 6), 6)
    noise = torch.randn((20000, 1, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    penalty = SparseGradient(floor=1e-3)
    samples = penalty(mean + std * noise)
    bound = float(penalty.expected(mean, std))
    assert bound > float(samples.mean()) + 5 * float(samples.std()) / 20000**0.5
    torch.testing.assert_close(penalty.expected(mean, torch.zeros_like(std)), penalty(mean))


def test_extreme_channels_are_their_formula() -> None:
    value, patch, floor = drawn(SHAPE, 7), 4, 1e-2
    windows = value.unfold(2, patch, 1).unfold(3, patch, 1)
    dark, bright = (w.square().amin((1, 4, 5)) for w in (windows, 1 - windows))
    expected = sum((1 + channel / floor).log().mean((1, 2)) / 4 for channel in (dark, bright))
    torch.testing.assert_close(ExtremeChannels(patch=patch, floor=floor)(value), expected)


def test_extreme_channels_are_content_with_black_and_white_everywhere() -> None:
    board = (torch.arange(12)[:, None] + torch.arange(10)).remainder(2).float()[None, None]
    assert float(ExtremeChannels(patch=2)(board)) == 0
    grey = torch.full_like(board, 0.5)
    assert float(ExtremeChannels(patch=99)(grey)) == pytest.approx(math.log1p(0.25e6) / 2)
