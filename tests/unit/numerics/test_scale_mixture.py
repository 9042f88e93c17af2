"""A mixture of Gaussians against SciPy, and the bound that variational methods rest on."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import norm

from invkit.numerics.scale_mixture import NATURAL_GRADIENTS, ScaleMixture
from invkit.testing.common import drawn


def test_the_energy_is_minus_the_log_density() -> None:
    points = np.linspace(-0.5, 0.5, 21)
    parts = zip(NATURAL_GRADIENTS.precisions, NATURAL_GRADIENTS.shares, strict=True)
    density = sum(share * norm(scale=precision**-0.5).pdf(points) for precision, share in parts)
    found = NATURAL_GRADIENTS.energy(torch.from_numpy(points).square())
    np.testing.assert_allclose(found.numpy(), -np.log(density), rtol=1e-12)


def test_the_expected_precision_is_twice_the_slope_of_the_energy() -> None:
    moments = drawn((50,), 1, torch.float64).square().requires_grad_()
    (slope,) = torch.autograd.grad(NATURAL_GRADIENTS.energy(moments).sum(), moments)
    torch.testing.assert_close(NATURAL_GRADIENTS.expected_precision(moments.detach()), 2 * slope)


def test_the_energy_of_a_moment_bounds_the_mean_energy() -> None:
    generator = torch.Generator().manual_seed(0)
    for mean, deviation in ((0.0, 0.05), (0.1, 0.02), (0.02, 0.2)):
        draws = mean + deviation * torch.randn(100_000, generator=generator, dtype=torch.float64)
        bound = NATURAL_GRADIENTS.energy(torch.tensor(mean**2 + deviation**2, dtype=torch.float64))
        assert NATURAL_GRADIENTS.energy(draws.square()).mean() < bound


def test_weights_are_divided_by_their_sum() -> None:
    assert ScaleMixture.normalised((4.0, 1.0), (3.0, 1.0)) == ScaleMixture((4.0, 1.0), (0.75, 0.25))


def test_far_from_zero_nothing_overflows() -> None:
    huge = torch.tensor([0.0, 1e6, 1e30])
    assert bool(NATURAL_GRADIENTS.energy(huge).isfinite().all())
    assert NATURAL_GRADIENTS.expected_precision(huge)[-1] == torch.tensor(NATURAL_GRADIENTS.precisions).min()
