"""Mixtures of Gaussians against densities and posterior means that are computed one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.numerics import gaussian_mixture
from invkit.numerics.gaussian_mixture import GaussianMixture, filtered

SIZE = 5


def made(components: int, seed: int) -> tuple[GaussianMixture, Tensor, Tensor]:
    """A mixture, its weights and its covariances (K, n, n), float64."""
    rng = torch.Generator().manual_seed(seed)
    shares = torch.rand(components, generator=rng, dtype=torch.float64) + 0.1
    shares = shares / shares.sum()
    factors = torch.randn(components, SIZE, SIZE, generator=rng, dtype=torch.float64).tril()
    factors.diagonal(dim1=1, dim2=2).abs_().add_(0.05)
    rows, columns = torch.tril_indices(SIZE, SIZE)
    return GaussianMixture.of_triangles(shares, factors[:, rows, columns]), shares, factors @ factors.mT


def vectors(count: int, seed: int) -> Tensor:
    return torch.randn(SIZE, count, generator=torch.Generator().manual_seed(seed + 100), dtype=torch.float64)


def joint(shares: Tensor, covariances: Tensor, points: Tensor, noise: float) -> Tensor:
    """``log (share N(point; 0, C + noise I))``, (K, N)."""
    total = covariances + noise * torch.eye(len(points), dtype=torch.float64)
    distances = torch.einsum("in,kij,jn->kn", points, torch.linalg.inv(total), points)
    return shares.log()[:, None] - (distances + torch.logdet(2 * torch.pi * total)[:, None]) / 2


mixtures = given(components=st.integers(1, 6), seed=st.integers(0, 10**6), noise=st.floats(1e-3, 10))


@mixtures
@settings(max_examples=40, deadline=None)
def test_density_and_choice_are_those_of_the_noisy_gaussians(components: int, seed: int, noise: float) -> None:
    mixture, shares, covariances = made(components, seed)
    points = vectors(7, seed)
    expected = joint(shares, covariances, points, noise)
    noisy = mixture.noisy(noise)
    torch.testing.assert_close(noisy.log_density(points), expected.logsumexp(0))
    chosen = noisy.most_likely(points)
    torch.testing.assert_close(expected.gather(0, chosen[None])[0], expected.amax(0))


@mixtures
@settings(max_examples=40, deadline=None)
def test_the_estimate_minimises_the_posterior_energy(components: int, seed: int, noise: float) -> None:
    """The mean of a Gaussian posterior solves ``(C^-1 + I / noise) p = v / noise``."""
    mixture, _, covariances = made(components, seed)
    points = vectors(9, seed)
    chosen = torch.arange(9) % components
    found = filtered(points, mixture.wiener_filters(noise), chosen)
    for index, component in enumerate(chosen.tolist()):
        precision = torch.linalg.inv(covariances[component]) + torch.eye(SIZE, dtype=torch.float64) / noise
        expected = torch.linalg.solve(precision, points[:, index] / noise)
        torch.testing.assert_close(found[:, index], expected, rtol=1e-6, atol=1e-9)


@mixtures
@settings(max_examples=25, deadline=None)
def test_the_leading_variables_have_the_marginal_densities(components: int, seed: int, noise: float) -> None:
    mixture, shares, covariances = made(components, seed)
    few = mixture.leading(3).noisy(noise)
    assert few.size == 3
    points = vectors(6, seed)[:3]
    expected = joint(shares, covariances[:, :3, :3], points, noise).logsumexp(0)
    torch.testing.assert_close(few.log_density(points), expected)


@mixtures
@settings(max_examples=25, deadline=None)
def test_the_energy_is_zero_at_zero_and_its_slope_is_autograd_s(components: int, seed: int, noise: float) -> None:
    noisy = made(components, seed)[0].noisy(noise)
    points = vectors(6, seed).requires_grad_()
    energy = noisy.energy(points)
    assert float(energy.detach()) >= 0
    assert float(noisy.energy(torch.zeros(SIZE, 3, dtype=torch.float64))) == pytest.approx(0, abs=1e-9)
    (slope,) = torch.autograd.grad(energy, points)
    torch.testing.assert_close(noisy.slope(points.detach()), slope)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, points = made(4, 1)[0].noisy(0.2), vectors(23, 1)
    whole = noisy.most_likely(points), noisy.energy(points), noisy.slope(points)
    monkeypatch.setattr(gaussian_mixture, "BLOCK_COLUMNS", 5)
    for once, blockwise in zip(
        whole, (noisy.most_likely(points), noisy.energy(points), noisy.slope(points)), strict=True
    ):
        torch.testing.assert_close(once, blockwise)
