"""The distribution of latent differences against dense linear algebra on small images."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import multivariate_normal, norm

from invkit.numerics.mean_field import EnergyOfMoments, MaskedConvolution, MeanField
from invkit.numerics.scale_mixture import NATURAL_GRADIENTS, ScaleMixture
from invkit.testing.common import drawn
from invkit.testing.map_steps import strokes

DATA, KERNEL, NOISE = (7, 6), (4, 3), 0.05**2
LATENT = (10, 8)


def blur_and_data() -> tuple[MaskedConvolution, torch.Tensor]:
    """Two differences of a batch of two, with a hole in the data; float64."""
    mask = (drawn((2, 2, *DATA), 3, torch.float64) > 0.2).double()
    return MaskedConvolution(strokes(2, KERNEL), mask), drawn((2, 2, *DATA), 4, torch.float64) - 0.5


def dense(blur: MaskedConvolution, item: int, plane: int) -> torch.Tensor:
    """The matrix ``M K`` of one plane."""
    units = torch.eye(math.prod(LATENT), dtype=torch.float64).view(-1, 1, *LATENT)
    rows = F.conv2d(units, blur.kernel[item : item + 1].flip(-2, -1)) * blur.mask[item, plane]
    return rows.flatten(1).T


def started(blur: MaskedConvolution) -> MeanField:
    zero = torch.zeros(2, 2, *LATENT, dtype=torch.float64)
    return MeanField(zero, torch.ones_like(zero))


def summed(mixture: ScaleMixture) -> EnergyOfMoments:
    return lambda moment: mixture.energy(moment).sum((1, 2, 3))


def test_products_are_those_of_the_dense_matrix() -> None:
    blur, data = blur_and_data()
    latent = drawn((2, 2, *LATENT), 5, torch.float64) - 0.5
    for item, plane in ((0, 0), (0, 1), (1, 0), (1, 1)):
        matrix, value, seen = dense(blur, item, plane), latent[item, plane].flatten(), data[item, plane].flatten()
        torch.testing.assert_close(blur.forward(latent)[item, plane].flatten(), matrix @ value)
        torch.testing.assert_close(blur.adjoint(data)[item, plane].flatten(), matrix.T @ seen)
        torch.testing.assert_close(blur.normal(latent)[item, plane].flatten(), matrix.T @ matrix @ value)
        torch.testing.assert_close(blur.coverage[item, plane].flatten(), matrix.square().sum(0))


def test_an_update_solves_the_dense_system() -> None:
    blur, data = blur_and_data()
    precision = 10 + 300 * drawn((2, 2, *LATENT), 6, torch.float64)
    found = started(blur).updated(blur, blur.adjoint(data), precision, noise=NOISE, cg_iterations=300)
    for item, plane in ((0, 0), (0, 1), (1, 0), (1, 1)):
        matrix, weights = dense(blur, item, plane), precision[item, plane].flatten()
        inverse = matrix.T @ matrix / NOISE + weights.diag()
        mean = torch.linalg.solve(inverse, matrix.T @ data[item, plane].flatten() / NOISE)
        torch.testing.assert_close(found.mean[item, plane].flatten(), mean, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(found.variance[item, plane].flatten(), 1 / inverse.diagonal())


def test_no_reweighting_raises_the_free_energy() -> None:
    blur, data = blur_and_data()
    latent, right, energies = started(blur), blur.adjoint(data), []
    for _ in range(8):
        precision = NATURAL_GRADIENTS.expected_precision(latent.second_moment)
        latent = latent.updated(blur, right, precision, noise=NOISE, cg_iterations=200)
        energies.append(latent.free_energy(blur, data, summed(NATURAL_GRADIENTS), NOISE))
    falls = torch.stack(energies).diff(dim=0)
    assert bool((falls <= 1e-9).all())
    assert bool((falls[0] < -1).all())


@pytest.mark.parametrize("part", ["mean", "variance"])
def test_an_update_minimises_the_free_energy_of_a_gaussian_prior(part: str) -> None:
    blur, data = blur_and_data()
    prior = ScaleMixture((40.0,), (1.0,))  # one Gaussian, for which the bound is exact
    precision = torch.full((2, 2, *LATENT), 40.0, dtype=torch.float64)
    best = started(blur).updated(blur, blur.adjoint(data), precision, noise=NOISE, cg_iterations=300)
    lowest = best.free_energy(blur, data, summed(prior), NOISE)
    for seed in range(4):
        factor = 1 + 0.02 * (drawn((2, 2, *LATENT), seed, torch.float64) - 0.5)
        other = replace(best, **{part: getattr(best, part) * factor})
        assert bool((other.free_energy(blur, data, summed(prior), NOISE) > lowest).all())


def test_the_free_energy_bounds_the_evidence() -> None:
    blur, data = blur_and_data()
    blur = replace(blur, mask=torch.ones_like(blur.mask))
    prior = ScaleMixture((40.0,), (1.0,))
    precision = torch.full((2, 2, *LATENT), 40.0, dtype=torch.float64)
    latent = started(blur).updated(blur, blur.adjoint(data), precision, noise=NOISE, cg_iterations=300)
    energy = latent.free_energy(blur, data, summed(prior), NOISE)
    for item in range(2):
        evidence = 0.0
        for plane in range(2):
            matrix, seen = dense(blur, item, plane), data[item, plane].flatten()
            covariance = matrix @ matrix.T / 40 + NOISE * torch.eye(len(seen), dtype=torch.float64)
            evidence += float(multivariate_normal(cov=covariance.numpy()).logpdf(seen.numpy()))
        assert energy[item] > -evidence


def test_the_free_energy_is_the_evidence_where_the_posterior_is_independent() -> None:
    point = torch.ones(1, 1, 1, 1, dtype=torch.float64)  # no blur
    data = drawn((1, 1, *DATA), 4, torch.float64) - 0.5
    blur, prior = MaskedConvolution(point, torch.ones_like(data)), ScaleMixture((40.0,), (1.0,))
    start = MeanField(torch.zeros_like(data), torch.ones_like(data))
    latent = start.updated(blur, blur.adjoint(data), torch.full_like(data, 40.0), noise=NOISE, cg_iterations=5)
    energy = float(latent.free_energy(blur, data, summed(prior), NOISE))
    assert energy == pytest.approx(-norm(scale=np.sqrt(NOISE + 1 / 40)).logpdf(data.numpy()).sum(), rel=1e-9)
