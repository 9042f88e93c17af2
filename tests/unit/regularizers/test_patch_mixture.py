"""The patch prior: its denoiser and its penalty against the paper's formulas, patch by patch, and its file."""

from __future__ import annotations

import math
from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import invkit.regularizers
from invkit.core.interfaces import Denoising
from invkit.regularizers.patch_mixture import (
    LEARNED_SIDE,
    PATCH_MIXTURE,
    ROUNDING_VARIANCE,
    PatchMixture,
    learned_mixture,
)
from invkit.regularizers.plug_and_play import PlugAndPlay

MAX_BYTES = 3_000_000


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariances() -> Tensor:
    """Of the shipped mixture in the basis of its patches, (K, 63, 63), float64."""
    mixture = learned_mixture()
    return mixture.with_eigenvalues(mixture.variances)


def joint(vector: Tensor, noise: float) -> Tensor:
    """``log (share N(vector; 0, C + noise I))`` of one vector for each component, up to a constant, (K,).

    A vector with fewer entries has the first coefficients only.
    """
    size = len(vector)
    total = covariances()[:, :size, :size] + noise * torch.eye(size, dtype=torch.float64)
    distance = (vector * torch.linalg.solve(total, vector.expand(len(total), -1))).sum(1)
    found: Tensor = learned_mixture().log_shares - (torch.logdet(total) + distance) / 2
    return found


def windows(image: Tensor, stride: int) -> list[tuple[slice, slice]]:
    """The places of the patches of an image whose last patches end with it."""
    starts = [range(0, side - LEARNED_SIDE + 1, stride) for side in image.shape]
    return [(slice(r, r + LEARNED_SIDE), slice(c, c + LEARNED_SIDE)) for r in starts[0] for c in starts[1]]


@given(
    seed=st.integers(0, 10**6),
    noise=st.floats(0.005, 0.3),
    contrast=st.sampled_from([0.03, 0.3, 1.0]),
    compared=st.sampled_from([63, 35, 4]),
)
@settings(max_examples=12, deadline=None)
def test_the_denoiser_filters_each_patch_by_its_most_likely_component(
    seed: int, noise: float, contrast: float, compared: int
) -> None:
    image = 0.5 + contrast * (random(10, 12, seed=seed) - 0.5)
    regularizer = PatchMixture(stride=2, compared=compared)
    total, count, basis = torch.zeros_like(image), torch.zeros_like(image), regularizer.basis.double()
    for place in windows(image, 2):
        patch = image[place]
        vector = basis @ patch.flatten()
        likely = int(joint(vector[:compared], noise**2).argmax())
        covariance = covariances()[likely]
        identity = torch.eye(len(vector), dtype=torch.float64)
        kept = covariance @ torch.linalg.solve(covariance + noise**2 * identity, vector)
        total[place] += patch.mean() + (basis.T @ kept).view(LEARNED_SIDE, LEARNED_SIDE)
        count[place] += 1
    found = regularizer.prox(image[None, None, None], noise**2 * image.numel())[0, 0, 0]
    torch.testing.assert_close(found, total / count, atol=1e-5, rtol=0)  # the module's covariances are float32


def test_the_penalty_is_the_mean_energy_of_the_patches() -> None:
    regularizer, image = PatchMixture(stride=4), 0.5 + 0.1 * random(12, 12)
    basis = regularizer.basis.double()
    vectors = [basis @ image[place].flatten() for place in windows(image, 4)]
    at_zero = joint(torch.zeros(63, dtype=torch.float64), ROUNDING_VARIANCE).logsumexp(0)
    energies = [at_zero - joint(vector, ROUNDING_VARIANCE).logsumexp(0) for vector in vectors]
    expected = torch.stack(energies).mean() / LEARNED_SIDE**2
    torch.testing.assert_close(regularizer(image[None, None])[0], expected, rtol=1e-3, atol=0)  # float32 covariances


def test_the_gradient_is_that_of_finite_differences() -> None:
    regularizer = PatchMixture(stride=3)
    image = (0.5 + 0.02 * random(1, 2, 10, 9)).requires_grad_()
    (slope,) = torch.autograd.grad(regularizer(image).sum(), image)
    direction = random(1, 2, 10, 9, seed=1) - 0.5
    with torch.no_grad():
        ahead, behind = (regularizer(image + t * direction) for t in (1e-6, -1e-6))
    assert float((slope * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-6, rel=1e-4)


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_a_constant_stays_and_costs_nothing(stride: int) -> None:
    regularizer, flat = PatchMixture(stride=stride), torch.full((2, 3, 11, 9), 0.3)
    torch.testing.assert_close(regularizer.prox(flat[None], 0.01)[0], flat)
    torch.testing.assert_close(regularizer(flat), torch.zeros(2), atol=1e-4, rtol=0)  # rounding of float32


def test_images_smaller_than_a_patch_are_denoised_too() -> None:
    small = torch.rand(1, 1, 1, 3, 5, generator=torch.Generator().manual_seed(0))
    found = PatchMixture().prox(small, 0.05**2 * 15)
    assert found.shape == small.shape
    assert bool(found.isfinite().all())


def test_it_removes_more_noise_than_total_variation() -> None:
    from invkit.datasets.samples import sample_path
    from invkit.media.images import read_image

    picture = torch.as_tensor(read_image(sample_path("coffee-sharp")).pixels, dtype=torch.float32)
    grey = (picture.mean(-1) if picture.ndim == 3 else picture)[:96, :96]
    noisy = grey + 0.05 * torch.randn(grey.shape, generator=torch.Generator().manual_seed(0))
    variation = PlugAndPlay(settings={"n_it_max": 200})
    errors = [
        min(decibels(regularizer, noisy, grey, 0.05 * factor) for factor in factors)
        for regularizer, factors in ((PatchMixture(stride=2), (1.0,)), (variation, (0.4, 0.7, 1.0, 1.5)))
    ]
    assert errors[0] < errors[1] - 0.5


def decibels(regularizer: Denoising, noisy: Tensor, clean: Tensor, sigma: float) -> float:
    """The mean squared error of a denoised picture (H, W), dB."""
    found = regularizer.prox(noisy[None, None, None], sigma**2 * clean.numel())
    return 10 * math.log10(float((found - clean).square().mean()))


def test_it_is_a_denoiser_for_plug_and_play_without_weights_of_its_own() -> None:
    regularizer = PatchMixture()
    assert isinstance(regularizer, Denoising)
    assert regularizer.state_dict() == {}
    assert not list(regularizer.parameters())


def test_the_file_is_small_and_holds_a_mixture() -> None:
    file = files(invkit.regularizers) / PATCH_MIXTURE
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
        shares, factors = arrays["shares"], arrays["factors"]
        assert set(arrays.files) == {"shares", "factors"}
    assert len(file.read_bytes()) <= MAX_BYTES
    assert shares.min() > 0
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    assert factors.shape == (len(shares), 63 * 64 // 2)
    assert float(learned_mixture().variances.min()) > 0
