"""Learning of the patch mixture: the free energy never rises, and the same seed gives the same file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import train_patch_mixture
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from train_patch_mixture import drawn, first_mixture, fitted, learn, log_joint, save, step, turned

from invkit.numerics.gaussian_mixture import GaussianMixture

ROUNDING = 1e-4  # nats per patch, of a mean of float32 values of about a hundred


def clusters(count: int, size: int, seed: int) -> Tensor:
    """Vectors (count, size) from three Gaussians of unlike scale and direction, with some constant ones."""
    rng = torch.Generator().manual_seed(seed)
    shapes = torch.randn(3, size, size, generator=rng) * torch.tensor([0.01, 0.1, 0.5])[:, None, None]
    which = torch.randint(3, (count,), generator=rng)
    found = torch.einsum("nij,nj->ni", shapes[which], torch.randn(count, size, generator=rng))
    found[:5] = 0
    return found


@given(seed=st.integers(0, 10**6), components=st.integers(1, 6))
@settings(max_examples=12, deadline=None)
def test_the_free_energy_never_rises(seed: int, components: int) -> None:
    patches = clusters(300, 6, seed)
    energies = [energy for _, energy in fitted(patches, first_mixture(patches, components, seed), 12)]
    assert all(after <= before + ROUNDING for before, after in pairwise(energies))
    assert energies[-1] < energies[0]


def test_one_component_is_the_sample_covariance() -> None:
    patches = clusters(4000, 4, 1)
    mixture, _ = step(first_mixture(patches, 1, 0), patches)
    expected = (patches.T @ patches).double() / (len(patches) + train_patch_mixture.PRIOR_PATCHES)
    torch.testing.assert_close((mixture.factors @ mixture.factors.mT)[0], expected, rtol=1e-3, atol=1e-5)


def test_the_densities_are_those_of_the_mixture() -> None:
    patches = clusters(50, 5, 2)
    mixture = first_mixture(patches, 3, 0)
    rows, columns = torch.tril_indices(5, 5)
    used = GaussianMixture.of_triangles(mixture.log_shares.exp(), mixture.factors[:, rows, columns])
    without_noise = used.noisy(1e-12).log_density(patches.T.double())
    torch.testing.assert_close(log_joint(mixture, patches).logsumexp(1).double(), without_noise, rtol=1e-3, atol=1e-2)


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    patches = clusters(600, 6, 3)
    for name in ("first.npz", "second.npz"):
        save(learn(patches, 3, 0, (2, 2), tmp_path / name), tmp_path / name)
    first, second = (np.load(tmp_path / name, allow_pickle=False) for name in ("first.npz", "second.npz"))
    for name in ("shares", "factors"):
        np.testing.assert_array_equal(first[name], second[name])
    assert (np.diff(first["shares"]) <= 0).all()


def test_patches_are_windows_of_the_photograph_or_of_its_half() -> None:
    ramp = np.broadcast_to(np.arange(40.0)[:, None, None], (40, 30, 3)) / 100
    patches = drawn(np.ascontiguousarray(ramp), 60, np.random.default_rng(0))
    slopes = np.abs(np.diff(patches, axis=1)).max((1, 2)) + np.abs(np.diff(patches, axis=2)).max((1, 2))
    np.testing.assert_allclose(slopes[:30], 0.01)
    np.testing.assert_allclose(slopes[30:], 0.02)


def test_turning_keeps_the_values_of_a_patch() -> None:
    patches = np.random.default_rng(1).random((40, 8, 8))
    found = turned(patches, np.random.default_rng(2))
    np.testing.assert_array_equal(np.sort(found.reshape(40, -1)), np.sort(patches.reshape(40, -1)))
    same = (found == patches).all((1, 2)).mean()
    assert same == pytest.approx(1 / 8, abs=0.15)
