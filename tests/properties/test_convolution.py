"""Properties of the convolution operator, for every padding and both algorithms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from invkit.numerics.geometry import centre, shape_of, size_of
from invkit.operators.convolution import Convolution
from invkit.testing.operators import assert_adjoint, assert_gradients, assert_linear, assert_shape_law, assert_stateless

PADDINGS: list[Any] = ["valid", "circular", "replicate", "reflect"]
METHODS: list[Any] = ["fft", "direct"]
KERNEL_SIZES = [(1, 1), (3, 3), (4, 4), (1, 5), (6, 1), (2, 5), (5, 4)]  # odd, even, flat and tall

# The error of an FFT of a few hundred numbers of size one is a few rounding units times log2 of their count.
TIGHT = 1e-12
SINGLE = 5e-6

operators = st.builds(Convolution, padding=st.sampled_from(PADDINGS), method=st.sampled_from(METHODS))
sizes = st.tuples(st.integers(7, 13), st.integers(7, 13))
kernel_sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))
seeds = st.integers(0, 2**31)


def normal(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def kernels(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn / drawn.sum(dim=(-2, -1), keepdim=True)).to(dtype)


def delta(size: tuple[int, int]) -> torch.Tensor:
    kernel = torch.zeros(1, 1, *size, dtype=torch.float64)
    row, column = centre(size)
    kernel[..., row, column] = 1
    return kernel


def plain(image: np.ndarray, kernel: np.ndarray, padding: Any) -> np.ndarray:
    """The definition, y[n] = sum_m k[m] x[n + centre - m], as loops; NumPy pads x beyond its border."""
    (h, w), (row, column) = kernel.shape, centre(kernel.shape)
    if padding != "valid":
        mode: Any = {"circular": "wrap", "replicate": "edge", "reflect": "reflect"}[padding]
        image = np.pad(image, ((h - 1 - row, row), (w - 1 - column, column)), mode=mode)
    data = np.zeros((image.shape[0] - h + 1, image.shape[1] - w + 1))
    for i in range(data.shape[0]):
        for j in range(data.shape[1]):
            for a in range(h):
                for b in range(w):
                    data[i, j] += kernel[a, b] * image[i + h - 1 - a, j + w - 1 - b]
    return data


def assert_equal(value: torch.Tensor, expected: torch.Tensor, tolerance: float = TIGHT) -> None:
    torch.testing.assert_close(value, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("size", KERNEL_SIZES, ids=str)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("method", METHODS)
class TestEverySize:
    data_shape = (2, 3, 8, 9)

    def test_agrees_with_the_definition(self, padding: Any, method: Any, size: tuple[int, int]) -> None:
        image, kernel = normal((2, 3, 9, 11), 0), kernels((2, 1, *size), 1)
        data = Convolution(padding=padding, method=method)(image, kernel)
        for b, c in np.ndindex(2, 3):
            expected = plain(image[b, c].numpy(), kernel[b, 0].numpy(), padding)
            assert_equal(data[b, c], torch.tensor(expected))

    def test_agrees_with_the_definition_in_single_precision(
        self, padding: Any, method: Any, size: tuple[int, int]
    ) -> None:
        image, kernel = normal((1, 1, 9, 11), 0, torch.float32), kernels((1, 1, *size), 1, torch.float32)
        data = Convolution(padding=padding, method=method)(image, kernel)
        assert data.dtype == torch.float32
        expected = plain(image[0, 0].double().numpy(), kernel[0, 0].double().numpy(), padding)
        assert_equal(data[0, 0].double(), torch.tensor(expected), SINGLE)

    def test_a_delta_at_the_centre_is_the_identity(self, padding: Any, method: Any, size: tuple[int, int]) -> None:
        operator = Convolution(padding=padding, method=method)
        image = normal(operator.image_shape(self.data_shape, (1, 1, *size)), 0)
        data = operator(image, delta(size))
        (h, w), (row, column) = size, centre(size)
        inside = image[..., h - 1 - row :, w - 1 - column :][..., :8, :9] if padding == "valid" else image
        assert_equal(data, inside)

    def test_shapes(self, padding: Any, method: Any, size: tuple[int, int]) -> None:
        assert_shape_law(Convolution(padding=padding, method=method), self.data_shape, (2, 1, *size))

    def test_adjoint(self, padding: Any, method: Any, size: tuple[int, int]) -> None:
        assert_adjoint(Convolution(padding=padding, method=method), self.data_shape, (2, 1, *size), tolerance=TIGHT)

    def test_stateless(self, padding: Any, method: Any, size: tuple[int, int]) -> None:
        assert_stateless(Convolution(padding=padding, method=method), self.data_shape, (2, 1, *size), tolerance=TIGHT)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 4), (3, 3)], ids=str)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("method", METHODS)
def test_gradients_in_image_and_kernel(padding: Any, method: Any, size: tuple[int, int]) -> None:
    assert_gradients(Convolution(padding=padding, method=method), (2, 1, 4, 5), (2, 1, *size))


@pytest.mark.parametrize("method", METHODS)
def test_one_kernel_for_a_batch_has_the_summed_gradient(method: Any) -> None:
    assert_gradients(Convolution(method=method), (2, 2, 3, 3), (1, 1, 3, 2))


@given(operators, sizes, kernel_sizes, seeds)
def test_linear_in_the_image(
    operator: Convolution, size: tuple[int, int], kernel_size: tuple[int, int], seed: int
) -> None:
    assert_linear(operator, (1, 2, *size), (1, 1, *kernel_size), seed=seed, tolerance=TIGHT)


@given(operators, sizes, kernel_sizes, seeds)
def test_linear_in_the_kernel(
    operator: Convolution, size: tuple[int, int], kernel_size: tuple[int, int], seed: int
) -> None:
    image = normal(operator.image_shape((1, 1, *size), (1, 1, *kernel_size)), seed)
    first, second = kernels((1, 1, *kernel_size), seed + 1), kernels((1, 1, *kernel_size), seed + 2)
    combined = operator(image, 2 * first - 3 * second)
    assert_equal(combined, 2 * operator(image, first) - 3 * operator(image, second))


@given(operators, sizes, kernel_sizes, seeds)
def test_adjoint_of_any_size(
    operator: Convolution, size: tuple[int, int], kernel_size: tuple[int, int], seed: int
) -> None:
    assert_adjoint(operator, (1, 2, *size), (1, 1, *kernel_size), seed=seed, tolerance=TIGHT)


@given(st.sampled_from(PADDINGS), sizes, kernel_sizes, seeds)
def test_fft_and_direct_agree(padding: Any, size: tuple[int, int], kernel_size: tuple[int, int], seed: int) -> None:
    fft, direct = Convolution(padding=padding), Convolution(padding=padding, method="direct")
    kernel, data = kernels((2, 1, *kernel_size), seed), normal((2, 2, *size), seed + 1)
    image = normal(fft.image_shape(shape_of(data), shape_of(kernel)), seed + 2)
    assert_equal(fft(image, kernel), direct(image, kernel))
    assert_equal(fft.adjoint(data, kernel), direct.adjoint(data, kernel))


@given(st.sampled_from(METHODS), sizes, seeds)
def test_circular_convolution_commutes(method: Any, size: tuple[int, int], seed: int) -> None:
    operator = Convolution(padding="circular", method=method)
    first, second = normal((1, 1, *size), seed), normal((1, 1, *size), seed + 1)
    # sums of up to 169 products of normal numbers: errors grow with their root
    assert_equal(operator(first, second), operator(second, first), 20 * TIGHT)


@given(st.sampled_from(METHODS), sizes, kernel_sizes, kernel_sizes, seeds)
def test_circular_convolution_is_associative(
    method: Any, size: tuple[int, int], first_size: tuple[int, int], second_size: tuple[int, int], seed: int
) -> None:
    operator = Convolution(padding="circular", method=method)
    image = normal((1, 1, *size), seed)
    first, second = kernels((1, 1, *first_size), seed + 1), kernels((1, 1, *second_size), seed + 2)
    both = operator(on_canvas(second, size), on_canvas(first, size))
    assert_equal(operator(operator(image, first), second), operator(image, both))


def on_canvas(kernel: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The kernel surrounded by zeros, with the same centre."""
    canvas = torch.zeros(1, 1, *size, dtype=kernel.dtype)
    (row, column), (r, c), (h, w) = centre(size), centre(size_of(kernel)), kernel.shape[-2:]
    canvas[..., row - r : row - r + h, column - c : column - c + w] = kernel
    return canvas


@given(st.sampled_from(METHODS), sizes, kernel_sizes, seeds, st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
def test_circular_convolution_is_shift_equivariant(
    method: Any, size: tuple[int, int], kernel_size: tuple[int, int], seed: int, shift: tuple[int, int]
) -> None:
    operator = Convolution(padding="circular", method=method)
    image, kernel = normal((1, 1, *size), seed), kernels((1, 1, *kernel_size), seed + 1)
    shifted = operator(image.roll(shift, (-2, -1)), kernel)
    assert_equal(shifted, operator(image, kernel).roll(shift, (-2, -1)))


@given(st.sampled_from(METHODS), sizes, kernel_sizes, seeds)
def test_circular_convolution_preserves_the_mean(
    method: Any, size: tuple[int, int], kernel_size: tuple[int, int], seed: int
) -> None:
    image, kernel = normal((1, 1, *size), seed), kernels((1, 1, *kernel_size), seed + 1)
    assert_equal(Convolution(padding="circular", method=method)(image, kernel).mean(), image.mean())


@given(operators, sizes, kernel_sizes, seeds, st.floats(0, 1))
def test_a_constant_image_stays_constant(
    operator: Convolution, size: tuple[int, int], kernel_size: tuple[int, int], seed: int, value: float
) -> None:
    image = torch.full(operator.image_shape((1, 1, *size), (1, 1, *kernel_size)), value, dtype=torch.float64)
    data = operator(image, kernels((1, 1, *kernel_size), seed))
    assert_equal(data, torch.full((1, 1, *size), value, dtype=torch.float64))


@given(st.sampled_from(METHODS), sizes, st.tuples(st.integers(1, 20), st.integers(1, 20)), seeds)
def test_a_kernel_may_be_larger_than_the_image(
    method: Any, size: tuple[int, int], kernel_size: tuple[int, int], seed: int
) -> None:
    image, kernel = normal((1, 1, *size), seed), kernels((1, 1, *kernel_size), seed + 1)
    for padding in ("circular", "replicate"):
        expected = torch.tensor(plain(image[0, 0].numpy(), kernel[0, 0].numpy(), padding))
        assert_equal(Convolution(padding=padding, method=method)(image, kernel)[0, 0], expected)
