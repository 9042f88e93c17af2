"""What the clean-up of kernels drops, keeps and moves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from narrow import tensor

from invkit.numerics.framing import centroid
from invkit.solvers.map.kernel_postprocessing import ThresholdPostprocessing


def kernel_of(rows: list[list[float]], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    values = torch.tensor(rows, dtype=dtype)[None, None]
    return values / values.sum()


def cleaned(rows: list[list[float]], **settings: Any) -> torch.Tensor:
    kernel = kernel_of(rows)
    return tensor(ThresholdPostprocessing(**settings)(kernel))[0, 0]


def test_entries_under_a_share_of_the_largest_are_dropped_and_the_rest_sums_to_one() -> None:
    found = cleaned([[0.0, 4, 0.4], [4, 100, 6]], threshold=0.05, min_component=0, centre=False)
    assert torch.allclose(found, torch.tensor([[0, 0, 0], [0, 100 / 106, 6 / 106]]))


def test_nothing_is_dropped_without_threshold_and_components() -> None:
    rows = [[0.001, 0.0, 5.0], [0.0, 3.0, 0.002]]
    found = cleaned(rows, threshold=0.0, min_component=0.0, centre=False)
    assert torch.allclose(found, kernel_of(rows)[0, 0])


def test_small_components_are_dropped_and_diagonal_neighbours_are_one() -> None:
    rows: list[list[float]] = [[5.0, 0, 0, 0, 1], [0, 5, 0, 0, 0], [0, 0, 5, 0, 0], [3, 0, 0, 0, 0]]
    found = cleaned(rows, threshold=0.0, min_component=0.1, centre=False)
    expected = torch.tensor([[5.0, 0, 0, 0, 0], [0, 5, 0, 0, 0], [0, 0, 5, 0, 0], [3, 0, 0, 0, 0]]) / 18
    assert torch.allclose(found, expected)


def test_the_heaviest_component_stays_even_if_all_are_small() -> None:
    found = cleaned([[1.0, 0, 1.2, 0, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1]], min_component=0.9, centre=False)
    assert found.tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize("size", [(7, 7), (6, 8)])
def test_the_centroid_moves_to_the_centre_pixel(size: tuple[int, int]) -> None:
    kernel = torch.zeros(1, 1, *size)
    kernel[..., 1, 1:4] = torch.tensor([1.0, 2.0, 1.0]) / 4
    found = ThresholdPostprocessing()(kernel)
    assert centroid(found)[0].abs().max() < 1e-6
    assert found[0, 0, size[0] // 2, size[1] // 2] == 0.5


def test_a_shift_by_less_than_half_a_pixel_is_none() -> None:
    kernel = kernel_of([[0.0, 0, 0], [0, 3, 2], [0, 0, 0]])
    assert torch.equal(ThresholdPostprocessing()(kernel), kernel)


def test_a_kernel_goes_as_near_to_the_centre_as_its_ends_allow() -> None:
    row = torch.zeros(1, 1, 1, 9)
    row[..., 1], row[..., 6:] = 0.19, 0.27  # its centroid asks for a shift by two, its ends allow one
    settings: dict[str, Any] = {"threshold": 0.0, "min_component": 0.0}
    assert torch.allclose(ThresholdPostprocessing(**settings)(row), row.roll(-1, -1))


def test_what_is_little_may_leave_the_frame() -> None:
    row = torch.zeros(1, 1, 1, 9)
    row[..., 0], row[..., 7] = 0.03, 0.97
    found = ThresholdPostprocessing(threshold=0.0, min_component=0.0)(row)
    assert found.flatten().tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_each_kernel_of_a_batch_has_its_own_shift_and_threshold() -> None:
    kernels = torch.zeros(2, 1, 5, 5, dtype=torch.float64)
    kernels[0, 0, 0, 0] = 1
    kernels[1, 0, 4, 2:] = torch.tensor([0.1, 0.8, 0.1])
    found = ThresholdPostprocessing()(kernels)
    assert found[0, 0, 2, 2] == 1
    assert torch.allclose(found[1, 0, 2, 1:4], torch.tensor([0.1, 0.8, 0.1], dtype=torch.float64))


def test_a_bad_share_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold"):
        ThresholdPostprocessing(threshold=1.5)
