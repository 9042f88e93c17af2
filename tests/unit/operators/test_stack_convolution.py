"""Convolution in three dimensions: against SciPy, against the blur of single planes, and its adjoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve
from scipy.signal import convolve as convolve_plainly

from invkit.core.errors import InputError
from invkit.core.operator_parameters import StackKernelPrior
from invkit.operators.convolution import Convolution
from invkit.operators.stack_convolution import StackConvolution

SIDES = st.tuples(*(st.integers(1, 5) for _ in range(3)))


def drawn(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(kernel=SIDES, more=SIDES)
def test_the_valid_blur_is_that_of_scipy(kernel: tuple[int, int, int], more: tuple[int, int, int]) -> None:
    taps, image = drawn((1, *kernel), 1), drawn((1, *(a + b for a, b in zip(kernel, more, strict=True))), 2)
    expected = convolve_plainly(image[0].numpy(), taps[0].numpy(), mode="valid", method="direct")
    np.testing.assert_allclose(StackConvolution()(image, taps)[0].numpy(), expected, atol=1e-12)


@given(kernel=SIDES)
def test_the_circular_blur_is_that_of_scipy(kernel: tuple[int, int, int]) -> None:
    taps, image = drawn((1, *kernel), 1), drawn((1, 6, 7, 5), 2)
    expected = convolve(image[0].numpy(), taps[0].numpy(), mode="wrap")
    found = StackConvolution(padding="circular")(image, taps)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("padding", ["valid", "circular"])
def test_a_kernel_of_one_plane_blurs_each_plane_as_a_picture(padding: str) -> None:
    image, taps = drawn((2, 4, 12, 11)), drawn((2, 1, 4, 3), 1)
    operator = StackConvolution(padding=padding)  # type: ignore[arg-type]
    expected = Convolution(padding=padding)(image, taps)  # type: ignore[arg-type]
    torch.testing.assert_close(operator(image, taps), expected)


@given(kernel=SIDES, data=SIDES)
def test_the_visible_part_is_what_a_kernel_without_blur_shows(
    kernel: tuple[int, int, int], data: tuple[int, int, int]
) -> None:
    operator, point = StackConvolution(), torch.zeros(1, *kernel, dtype=torch.float64)
    point[(0, *(side // 2 for side in kernel))] = 1
    image = drawn(operator.image_shape((1, *data), (1, *kernel)))
    torch.testing.assert_close(operator.visible(image, (1, *data)), operator(image, point))
    shown = drawn((1, *data), 3)
    torch.testing.assert_close(operator.visible(operator.initial_image(shown, point), (1, *data)), shown)


def test_a_kernel_that_is_larger_than_the_image_is_refused() -> None:
    with pytest.raises(InputError, match=r"kernel of \(5, 3, 3\) voxels .* larger than the image of \(4, 8, 8\)"):
        StackConvolution()(torch.rand(1, 4, 8, 8), torch.rand(1, 5, 3, 3))


def test_kernels_of_stacks_sum_to_one_over_all_planes() -> None:
    kernel = StackKernelPrior.allowed(torch.randn(2, 3, 4, 5))
    assert float(kernel.min()) >= 0
    torch.testing.assert_close(kernel.sum((1, 2, 3)), torch.ones(2))
    assert StackKernelPrior.flaw(torch.full((1, 2, 1, 1), 1.0)) is not None
    torch.testing.assert_close(StackKernelPrior.allowed(-torch.ones(1, 2, 1, 1)), torch.full((1, 2, 1, 1), 0.5))
