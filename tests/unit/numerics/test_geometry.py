"""The convention of kernel centring and its consequences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from invkit.core.errors import InputError
from invkit.numerics.framing import (
    Padding,
    centroid,
    crop_to_data,
    extend,
    extend_adjoint,
    extend_to,
    resize_kernel_support,
)
from invkit.numerics.geometry import centre, margins, size_of

NUMPY_MODE: dict[str, Any] = {"circular": "wrap", "replicate": "edge", "reflect": "reflect"}
paddings = st.sampled_from(sorted(NUMPY_MODE))
data_sizes = st.tuples(st.integers(5, 9), st.integers(5, 9))
kernel_sizes = st.tuples(
    st.integers(1, 8), st.integers(1, 8)
)  # margins up to 4, the maximum for a reflection in 5 pixels


def ramp(*shape: int) -> torch.Tensor:
    return torch.arange(float(np.prod(shape)), dtype=torch.float64).reshape(shape)


def spike(size: tuple[int, int], offset: tuple[int, int] = (0, 0)) -> torch.Tensor:
    kernel = torch.zeros(1, 1, *size, dtype=torch.float64)
    kernel[..., centre(size)[0] + offset[0], centre(size)[1] + offset[1]] = 1
    return kernel


@pytest.mark.parametrize(
    ("size", "expected"), [((1, 1), (0, 0)), ((3, 5), (1, 2)), ((4, 6), (2, 3)), ((2, 27), (1, 13))]
)
def test_centre(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert centre(size) == expected


@given(kernel_sizes)
def test_margins_add_up_to_the_kernel_size_minus_one(size: tuple[int, int]) -> None:
    (top, bottom), (left, right) = margins(size)
    assert (top + bottom + 1, left + right + 1) == size
    assert (bottom, right) == centre(size)


@given(data_sizes, kernel_sizes, paddings)
def test_extend_pads_as_numpy_and_crop_undoes_it(
    size: tuple[int, int], kernel_size: tuple[int, int], padding: Padding
) -> None:
    data = ramp(2, 3, *size)
    image = extend(data, kernel_size, padding)
    assert np.array_equal(image, np.pad(data, ((0, 0), (0, 0), *margins(kernel_size)), mode=NUMPY_MODE[padding]))
    assert torch.equal(crop_to_data(image, kernel_size, size), data)


@given(data_sizes, kernel_sizes)
def test_extend_to_gives_the_image_of_a_valid_convolution(size: tuple[int, int], kernel_size: tuple[int, int]) -> None:
    data = ramp(1, 1, *size)
    image = extend_to(data, (size[0] + kernel_size[0] - 1, size[1] + kernel_size[1] - 1))
    assert torch.equal(image, extend(data, kernel_size, "replicate"))


@given(data_sizes, kernel_sizes, paddings, st.integers(0, 2**31))
def test_fold_is_the_adjoint_of_extend(
    size: tuple[int, int], kernel_size: tuple[int, int], padding: Padding, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    data = torch.randn(1, 2, *size, generator=generator, dtype=torch.float64)
    image = torch.randn(extend(data, kernel_size, padding).shape, generator=generator, dtype=torch.float64)
    left, right = (
        (extend(data, kernel_size, padding) * image).sum(),
        (data * extend_adjoint(image, kernel_size, padding)).sum(),
    )
    torch.testing.assert_close(left, right, rtol=0, atol=1e-11)  # a few hundred products of size one


def test_an_image_of_the_datas_size_is_not_cropped() -> None:
    data = ramp(1, 1, 5, 6)
    assert torch.equal(crop_to_data(data, (3, 4), (5, 6)), data)


def test_inconsistent_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="image of 9x9 pixels does not belong to data of 5x6 and a kernel of 3x4"):
        crop_to_data(ramp(1, 1, 9, 9), (3, 4), (5, 6))
    with pytest.raises(InputError, match="cannot be extended to a smaller 9x8"):
        extend_to(ramp(1, 1, 9, 9), (9, 8))
    with pytest.raises(InputError, match="'reflect' needs an image larger than 5 pixels"):
        extend(ramp(1, 1, 5, 9), (10, 1), "reflect")


@given(kernel_sizes, kernel_sizes)
def test_resizing_keeps_the_centre(size: tuple[int, int], new_size: tuple[int, int]) -> None:
    assert torch.equal(resize_kernel_support(spike(size), new_size), spike(new_size))


@given(kernel_sizes, st.tuples(st.integers(0, 3), st.integers(0, 3)), st.integers(0, 2**31))
def test_enlarging_and_cropping_back_changes_nothing(size: tuple[int, int], more: tuple[int, int], seed: int) -> None:
    drawn = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01
    kernel = drawn / drawn.sum(dim=(-2, -1), keepdim=True)
    grown = resize_kernel_support(kernel, (size[0] + more[0], size[1] + more[1]))
    torch.testing.assert_close(centroid(grown), centroid(kernel), rtol=0, atol=1e-12)
    torch.testing.assert_close(resize_kernel_support(grown, size), kernel, rtol=1e-14, atol=0)


def test_cropping_renormalises() -> None:
    cropped = resize_kernel_support(torch.full((1, 1, 5, 5), 0.04), (3, 2))
    torch.testing.assert_close(cropped, torch.full((1, 1, 3, 2), 1 / 6))


def test_resizing_to_an_empty_kernel_is_refused() -> None:
    with pytest.raises(InputError, match="cropped from 7x7 to 3x3 pixels about its centre, the kernel is empty"):
        resize_kernel_support(spike((7, 7), (3, 0)), (3, 3))
    with pytest.raises(InputError, match="at least 1x1, got 0x3"):
        resize_kernel_support(spike((7, 7)), (0, 3))


@given(kernel_sizes, st.data())
def test_the_centroid_of_a_spike_is_its_offset(size: tuple[int, int], data: st.DataObject) -> None:
    row, column = (data.draw(st.integers(-c, n - 1 - c)) for n, c in zip(size, centre(size), strict=True))
    kernel = torch.cat(
        [spike(size, (row, column)), 3 * spike(size)]
    )  # not normalised: the centroid divides by the mass
    assert centroid(kernel).tolist() == [[[row, column]], [[0, 0]]]


def test_size_of_is_height_and_width() -> None:
    assert size_of(torch.zeros(2, 1, 4, 7)) == (4, 7)
