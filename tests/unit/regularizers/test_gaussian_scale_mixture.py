"""The mixture regularizer against a fine grid, and its refusals."""

from __future__ import annotations

import pytest
import torch

from invkit.core.errors import InputError
from invkit.regularizers.gaussian_scale_mixture import GaussianScaleMixture
from invkit.testing.common import drawn

COUNT = 24  # values of the image


@pytest.mark.parametrize("step", [1e-3, 3e-3, 0.03])
def test_the_proximal_map_is_the_lowest_point_of_a_grid(step: float) -> None:
    regularizer = GaussianScaleMixture()
    values = 0.8 * (drawn((2, 1, 1, 4, 6), 1, torch.float64) - 0.5)
    found = regularizer.prox(values, step * COUNT)
    grid = torch.linspace(0, 1, 20_001, dtype=torch.float64).view(-1, 1, 1, 1, 1, 1) * values
    heights = step * regularizer.mixture.energy(grid.square()) + (grid - values).square() / 2
    height = step * regularizer.mixture.energy(found.square()) + (found - values).square() / 2
    assert bool((height <= heights.amin(0) + 1e-7).all())
    assert bool((found * values >= 0).all())


def test_the_default_is_the_published_density() -> None:
    mixture = GaussianScaleMixture().mixture
    assert mixture.precisions == (7021.6805, 471.8414, 41.8482)
    assert sum(mixture.shares) == pytest.approx(1)


def test_weights_are_slopes_over_differences() -> None:
    regularizer = GaussianScaleMixture()
    points = (drawn((2, 1, 1, 4, 6), 2, torch.float64) - 0.5).requires_grad_()
    (slopes,) = torch.autograd.grad(regularizer.penalty(points).sum(), points)
    torch.testing.assert_close(regularizer.weights(points.detach()) * points.detach(), slopes)


def test_another_number_of_weights_is_refused() -> None:
    with pytest.raises(InputError, match="2 precisions and 1 weights"):
        GaussianScaleMixture(precisions=(1.0, 2.0), weights=(1.0,))
