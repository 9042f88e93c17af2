"""Finite differences and Fourier transforms: adjoints, transfer functions, periodic extension."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from invkit.numerics.finite_differences import (
    GRADIENT,
    IDENTITY,
    SECOND_DIFFERENCES,
    apply_filters,
    apply_filters_adjoint,
    power_spectrum,
)
from invkit.numerics.fourier import (
    extend_periodically,
    fast_size,
    grid_size,
    irfft2_rows,
    otf,
    rfft2_padded,
    to_grid,
    to_image,
)
from invkit.numerics.framing import crop_to_data
from invkit.numerics.geometry import size_of
from invkit.operators.convolution import Convolution
from invkit.testing.common import drawn

offsets = st.integers(-2, 2)
taps = st.tuples(offsets, offsets, st.floats(-2, 2, width=32))
filters = st.lists(st.lists(taps, min_size=1, max_size=4).map(tuple), min_size=1, max_size=3).map(tuple)
known = st.sampled_from([GRADIENT, SECOND_DIFFERENCES, GRADIENT + SECOND_DIFFERENCES, (IDENTITY,)])
sides = st.integers(3, 9)
small = st.integers(1, 5)


def random(*shape: int, seed: int = 0) -> Tensor:
    return drawn(shape, seed, torch.float64)


@given(filters | known, sides, sides)
def test_filters_pass_the_dot_test(filters: Any, height: int, width: int) -> None:
    """``<D u, z> = <u, D^T z>`` (the dot test), up to the rounding of some thousand sums in float64."""
    value, other = random(2, 2, height, width), random(len(filters), 2, 2, height, width, seed=1)
    forward, backward = apply_filters(value, filters), apply_filters_adjoint(other, filters)
    assert float((forward * other).sum()) == pytest.approx(float((value * backward).sum()), abs=1e-9)


@given(filters | known, sides, sides)
def test_the_power_spectrum_is_that_of_the_filtered_delta(filters: Any, height: int, width: int) -> None:
    delta = torch.zeros(1, 1, height, width, dtype=torch.float64)
    delta[..., height // 2, width // 2] = 1
    expected = torch.fft.rfft2(apply_filters(delta, filters)).abs().square().sum((0, 1, 2))
    assert torch.allclose(power_spectrum(filters, (height, width), delta), expected, atol=1e-9)


taps_of_stacks = st.tuples(*[st.integers(-2, 2)] * 3, st.floats(-2, 2))
filters_of_stacks = st.lists(st.lists(taps_of_stacks, min_size=1, max_size=4).map(tuple), min_size=1, max_size=3)
volumes = st.tuples(*[st.integers(3, 6)] * 3)


@given(filters_of_stacks, volumes)
def test_filters_of_stacks_pass_the_dot_test(filters: Any, volume: tuple[int, int, int]) -> None:
    value, other = random(2, *volume), random(len(filters), 2, *volume, seed=1)
    forward, backward = apply_filters(value, filters), apply_filters_adjoint(other, filters)
    assert float((forward * other).sum()) == pytest.approx(float((value * backward).sum()), abs=1e-9)


@given(filters_of_stacks | known, volumes)
def test_the_power_spectrum_of_a_stack_is_that_of_the_filtered_delta(
    filters: Any, volume: tuple[int, int, int]
) -> None:
    delta = torch.zeros(1, *volume, dtype=torch.float64)
    delta[:, 1, 1, 1] = 1
    expected = torch.fft.rfftn(apply_filters(delta, filters), dim=(2, 3, 4)).abs().square().sum((0, 1))
    assert torch.allclose(power_spectrum(filters, volume, delta), expected, atol=1e-9)


@given(filters_of_stacks, volumes)
def test_responses_of_a_stack_that_reach_beyond_the_border_are_zero_and_the_others_the_same(
    filters: Any, volume: tuple[int, int, int]
) -> None:
    value = random(1, *volume)
    inner, round_ = apply_filters(value, filters, wrap=False)[:, 0], apply_filters(value, filters)[:, 0]
    for index, taps in enumerate(filters):
        for place in itertools.product(*map(range, volume)):
            reached = [[at + by for at, by in zip(place, tap[:3], strict=True)] for tap in taps]
            within = all(0 <= at < side for one in reached for at, side in zip(one, volume, strict=True))
            expected = round_[(index, *place)] if within else torch.zeros((), dtype=value.dtype)
            assert torch.allclose(inner[(index, *place)], expected, atol=1e-12)


def test_a_filter_across_planes_has_no_spectrum_of_a_picture() -> None:
    with pytest.raises(ValueError, match="across planes"):
        power_spectrum([((1, 0, 0, 1.0), (0, 0, 0, -1.0))], (4, 4), torch.zeros(1))


@given(known, sides, sides)
def test_without_wrap_responses_across_the_border_are_zero_and_the_others_the_same(
    filters: Any, height: int, width: int
) -> None:
    value = random(1, 2, height, width)
    inner, round_ = apply_filters(value, filters, wrap=False), apply_filters(value, filters)
    ramp = torch.arange(height, dtype=torch.float64)[:, None] + torch.arange(width, dtype=torch.float64)
    for index, taps in enumerate(filters):
        for row in range(height):
            for column in range(width):
                within = all(0 <= row + r < height and 0 <= column + c < width for r, c, _ in taps)
                expected = round_[index, ..., row, column] if within else torch.zeros(1, 2, dtype=torch.float64)
                assert torch.equal(inner[index, ..., row, column], expected)
    assert torch.allclose(apply_filters(ramp[None, None], SECOND_DIFFERENCES, wrap=False), torch.zeros(()).double())


@given(small, small, st.integers(5, 10), st.integers(5, 10))
def test_the_otf_gives_the_circular_convolution(h: int, w: int, height: int, width: int) -> None:
    image, kernel = random(2, 3, height, width), random(2, 1, h, w, seed=1) + 0.1
    kernel = kernel / kernel.sum((2, 3), keepdim=True)
    spectrum = otf(kernel, (height, width))
    blurred = torch.fft.irfft2(spectrum * torch.fft.rfft2(image), (height, width))
    assert torch.allclose(blurred, Convolution(padding="circular")(image, kernel), atol=1e-12)
    assert torch.allclose(spectrum[..., 0, 0].real, torch.ones(2, 1, dtype=torch.float64))  # the kernel's sum


@given(small, small, st.integers(4, 12), st.integers(4, 12), st.integers(0, 5))
def test_periodic_extension_keeps_the_data_in_place_and_has_no_jump(
    h: int, w: int, height: int, width: int, more: int
) -> None:
    """A raised cosine over n pixels is nowhere steeper than pi / 2 / (n + 1) of its rise."""
    data = random(2, 2, height, width)
    grid = (height + h - 1 + more, width + w - 1 + more)
    extended = extend_periodically(data, (h, w), grid)
    assert size_of(extended) == grid
    image = extended[..., : height + h - 1, : width + w - 1]
    assert torch.equal(crop_to_data(image, (h, w), (height, width)), data)
    assert data.min() <= extended.min() <= extended.max() <= data.max()
    for dim, size, old, kernel_side in ((-2, grid[0], height, h), (-1, grid[1], width, w)):
        missing = size - old
        rolled = extended.roll(-(kernel_side - 1 - kernel_side // 2), dim)  # the data first, then the extension
        first, last = rolled.narrow(dim, 0, 1), rolled.narrow(dim, old - 1, 1)
        path = torch.cat([rolled.narrow(dim, old - 1, missing + 1), first], dim)
        steepest = path.diff(dim=dim).abs().amax(dim, keepdim=True)
        if missing:
            assert bool((steepest <= math.pi / 2 / (missing + 1) * (first - last).abs() + 1e-12).all())


@given(sides, sides, st.integers(0, 6))
def test_an_image_comes_back_from_the_grid(height: int, width: int, more: int) -> None:
    image = random(1, 2, height, width)
    assert torch.equal(to_image(to_grid(image, (height + more, width + more)), (height, width)), image)


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_fast_sizes_are_near_and_have_no_large_factor(height: int, width: int) -> None:
    for side, fast in zip((height, width), fast_size((height, width)), strict=True):
        assert side <= fast < 1.3 * side + 16  # four times the next 5-smooth number, which is that near
        assert fast % 4 == 0
        for factor in (2, 3, 5):
            while fast % factor == 0:
                fast //= factor
        assert fast == 1


@given(st.integers(1, 60), st.integers(1, 9))
def test_the_grid_holds_the_image_of_a_valid_convolution(side: int, kernel_side: int) -> None:
    assert min(grid_size((side, side), (kernel_side, kernel_side))) >= side + kernel_side - 1


@given(sides, sides, st.integers(0, 9), st.integers(0, 9))
def test_partial_transforms_equal_parts_of_the_whole(height: int, width: int, down: int, right: int) -> None:
    image, size = random(2, 1, height, width), (height + down, width + right)
    spectrum = torch.fft.rfft2(image, size)
    assert torch.allclose(rfft2_padded(image, size), spectrum)
    assert torch.allclose(irfft2_rows(spectrum, slice(height), size), torch.fft.irfft2(spectrum, size)[..., :height, :])
