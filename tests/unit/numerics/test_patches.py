"""Patches of images: their basis, their places, and that averaging and summing fit to taking them apart."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invkit.numerics.patches import PatchGrid, cosine_basis

grids = st.builds(
    PatchGrid,
    size=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    side=st.just(4),
    stride=st.integers(1, 4),
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("side", [2, 5, 8])
def test_the_basis_is_orthonormal_and_blind_to_the_mean(side: int) -> None:
    basis = cosine_basis(side).double()
    torch.testing.assert_close(basis @ basis.T, torch.eye(side**2 - 1, dtype=torch.float64), atol=1e-6, rtol=0)
    assert float(basis.sum(1).abs().max()) < 1e-6
    roughness = basis.view(-1, side, side).diff(dim=1).square().sum((1, 2))
    assert float(roughness[:2].sum()) < float(roughness[-2:].sum())  # from low to high frequencies


@given(grids)
@settings(max_examples=60, deadline=None)
def test_unchanged_patches_average_to_the_image(grid: PatchGrid) -> None:
    image = random(*grid.size)
    torch.testing.assert_close(grid.averaged(grid.patches(image)), image)


@given(grids, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_weighted_patches_are_averaged_as_in_a_loop(grid: PatchGrid, seed: int) -> None:
    count = grid.patches(random(*grid.size)).shape[1]
    patches, weights = random(16, count, seed=seed), 0.1 + random(count, seed=seed + 1)
    total, shares = torch.zeros(grid.padded, dtype=torch.float64), torch.zeros(grid.padded, dtype=torch.float64)
    along = (grid.padded[1] - 4) // grid.stride + 1
    for index in range(count):
        top, left = (grid.stride * place for place in divmod(index, along))
        total[top : top + 4, left : left + 4] += weights[index] * patches[:, index].view(4, 4)
        shares[top : top + 4, left : left + 4] += weights[index]
    expected = (total / shares)[: grid.size[0], : grid.size[1]]
    torch.testing.assert_close(grid.averaged(patches, weights), expected)


@given(grids)
@settings(max_examples=60, deadline=None)
def test_patches_are_the_windows_of_the_image_with_its_last_lines_repeated(grid: PatchGrid) -> None:
    image, (height, width) = random(*grid.size), grid.size
    rows = torch.arange(grid.padded[0]).clamp(max=height - 1)
    columns = torch.arange(grid.padded[1]).clamp(max=width - 1)
    windows = image[rows][:, columns].unfold(0, grid.side, grid.stride).unfold(1, grid.side, grid.stride)
    torch.testing.assert_close(grid.patches(image), windows.reshape(-1, grid.side**2).T)


@given(grids)
@settings(max_examples=60, deadline=None)
def test_the_sum_with_repeated_lines_is_the_adjoint(grid: PatchGrid) -> None:
    image = random(*grid.size)
    patches = grid.patches(image)
    other = random(*patches.shape, seed=1)
    left, right = (patches * other).sum(), (image * grid.summed_with_repeated(other)).sum()
    torch.testing.assert_close(left, right)
