"""The frame of an unknown kernel: it grows until the kernel fits, and is then reduced to the kernel."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from invkit.numerics.framing import centroid
from invkit.pipeline.kernel_frame import MAX_EDGE_MASS, KernelFrame, edge_mass, fitted


def line(frame: int, reach: int) -> torch.Tensor:
    """A diagonal line of 2 * reach + 1 pixels in the middle of a square frame."""
    kernel = torch.zeros(1, 1, frame, frame)
    places = torch.arange(frame // 2 - reach, frame // 2 + reach + 1)
    kernel[..., places, places] = 1 / len(places)
    return kernel


def test_a_frame_starts_at_an_eighth_of_the_shorter_side_and_ends_at_a_third() -> None:
    frame = KernelFrame.found_for(torch.zeros(1, 3, 400, 800))
    assert (frame.size, frame.limit) == ((51, 51), (131, 131))
    assert KernelFrame.found_for(torch.zeros(1, 1, 2000, 2000)).limit == (665, 665)


def test_the_frame_of_a_small_picture_does_not_change() -> None:
    frame = KernelFrame.found_for(torch.zeros(1, 1, 20, 40))
    assert frame.is_fixed
    assert frame.size == (15, 15)


def test_a_frame_grows_while_it_cuts_its_kernel_off_three_times_at_most() -> None:
    frame, sizes = KernelFrame.found_for(torch.zeros(1, 1, 800, 800)), []
    for _ in range(6):
        sizes.append(frame.size[0])
        frame = frame.grown(torch.full((1, 1, *frame.size), 1 / frame.size[0] ** 2))
    assert sizes == [65, 97, 145, 217, 217, 217]
    assert not frame.is_fixed


def test_a_frame_grows_to_its_limit_at_most() -> None:
    frame = KernelFrame((31, 31), (39, 39))
    grown = frame.grown(line(31, 15))
    assert grown.size == (39, 39)
    assert grown.grown(line(39, 19)) == grown


def test_the_largest_frame_neither_grows_nor_is_that_of_a_given_size() -> None:
    frame = KernelFrame((31, 31), (99, 99)).largest()
    assert frame.size == (99, 99)
    assert frame.grown(line(99, 49)) == frame
    assert not frame.is_fixed  # its kernel is fitted in a smaller frame
    given = KernelFrame.of_size((31, 31))
    assert given.largest() == given


def test_a_kernel_that_fits_keeps_its_frame() -> None:
    frame = KernelFrame((31, 31), (99, 99))
    assert frame.grown(line(31, 12)) == frame
    assert frame.grown(line(31, 14)) != frame


@pytest.mark.parametrize(
    ("reach", "stopped_at", "tried", "kept"),
    [
        pytest.param(20, None, [31, 47], 47, id="cut off once"),
        pytest.param(500, None, [31, 47, 71, 99], 31, id="noise in every frame"),
        pytest.param(30, 47, [31, 47], 31, id="stopped while cut off"),
        pytest.param(30, 31, [31], 31, id="stopped at once"),
    ],
)
def test_the_kernel_is_estimated_until_it_fits(reach: int, stopped_at: int | None, tried: list[int], kept: int) -> None:
    sizes = []

    def estimate(size: tuple[int, int]) -> tuple[torch.Tensor, bool]:
        sizes.append(size[0])
        return line(size[0], min(reach, size[0] // 2)), size[0] == stopped_at

    assert KernelFrame((31, 31), (99, 99)).fitting(estimate).size[0] == kept
    assert sizes == tried


def test_a_given_size_is_fixed() -> None:
    frame = KernelFrame.of_size((31, 21))
    assert frame.is_fixed
    assert frame.grown(torch.full((1, 1, 31, 21), 1 / 651)) == frame


@given(reach=st.integers(0, 20), side=st.integers(20, 24))
def test_a_fitted_kernel_keeps_its_blur_and_does_not_touch_its_frame(reach: int, side: int) -> None:
    kernel = line(2 * side + 1, reach)
    reduced = fitted(kernel, (49, 49))
    assert all(size % 2 for size in reduced.shape[-2:])
    assert max(reduced.shape[-2:]) <= 2 * (reach + 2 + int(0.12 * reach)) + 1
    assert edge_mass(reduced) <= MAX_EDGE_MASS
    middle = (reduced.shape[-1] // 2 - reach, reduced.shape[-1] // 2 + reach + 1)
    assert reduced[..., slice(*middle), slice(*middle)].sum() == pytest.approx(1)
    assert centroid(reduced).abs().max() < 1e-4


def test_a_kernel_off_the_centre_is_held_whole() -> None:
    kernel = torch.zeros(1, 1, 31, 31)
    kernel[..., 3, 15], kernel[..., 20, 15] = 0.5, 0.5
    reduced = fitted(kernel, (31, 31))
    assert reduced.shape[-2:] == (31, 5)
    assert int((reduced > 0).sum()) == 2


def test_faint_entries_do_not_count() -> None:
    kernel = line(31, 4)
    kernel[..., 0, 0] = 0.01 * kernel.max()
    assert fitted(kernel, (31, 31)).shape[-2:] == (13, 13)
