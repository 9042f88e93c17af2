"""Learn the mixture of Gaussians of the regularizer ``patch-mixture`` from photographs that are free to use.

    python benchmarks/calibration/train_patch_mixture.py [--components 200] [--patches 400000] [--seed 0]

It takes about an hour of one core.

The photographs are those of the part `choose` of the calibration set (`photographs.csv` gives address,
licence and author of each); nothing else is read. From each photograph come equally many 8x8 patches, at random places
of a random channel (red, green, blue or luma), half of them after the photograph was halved, each mirrored or turned at
random, without its mean. Values are as in the file, in [0, 1]: pictures are restored in this domain.

Expectation maximisation (Dempster, Laird, Rubin 1977) fits the mixture, first on a sixth of the patches. Its free
energy, which never rises, is the negative log-likelihood of the patches plus that of a weak inverse Wishart prior,
which keeps every covariance from becoming singular. Runs of the same seed give the same file on the same machine.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from photographs import Photograph, table
from torch import Tensor

from invkit.numerics.patches import cosine_basis
from invkit.regularizers import patch_mixture

PHOTOGRAPHS = Path("benchmarked/photographs")
OUTPUT = Path(patch_mixture.__file__).parent / patch_mixture.PATCH_MIXTURE
SIDE = 8  # pixels
LUMA = np.array([0.299, 0.587, 0.114])
PRIOR_PATCHES = 8.0  # patches that the prior of a covariance counts for
PRIOR_VARIANCE = 1e-6  # of each coefficient of these patches: the rounding to 8 bits
FIRST_SHARE = 6  # the first iterations see one patch of so many
BLOCK = 8192  # patches at a time
NEGLIGIBLE = 1e-9  # responsibility that is left out of the sums


@dataclass
class Mixture:
    """A mixture of zero-mean Gaussians.

    Attributes:
        log_shares: logarithms of the weights of the components, (K,), float64.
        factors: lower Cholesky factors of the covariances, (K, n, n), float64.
    """

    log_shares: Tensor
    factors: Tensor


def sampled_patches(photographs: list[Photograph], folder: Path, count: int, seed: int) -> Tensor:
    """Patches in the basis of `cosine_basis`, (count, 63), float32, in random order.

    Args:
        photographs: to draw from, equally many patches of each.
        folder: of the photographs.
        count: number of patches.
        seed: of the places and of the order.
    """
    rng = np.random.default_rng(seed)
    each = np.diff(np.linspace(0, count, len(photographs) + 1).astype(int))
    parts = [drawn(photograph.read(folder), n, rng) for photograph, n in zip(photographs, each, strict=True)]
    patches = np.concatenate(parts)[rng.permutation(count)]
    return torch.from_numpy(patches.reshape(count, -1)).float() @ cosine_basis(SIDE).T


def drawn(picture: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random patches of a photograph (height, width, 3) and of its half, (count, 8, 8)."""
    height, width = (side - side % 2 for side in picture.shape[:2])
    halved = picture[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))
    found = []
    for source in (picture, halved):
        planes = np.concatenate([source, (source @ LUMA)[..., None]], 2)
        number = count // 2 if source is picture else count - count // 2
        rows, columns = (rng.integers(0, size - SIDE + 1, number) for size in planes.shape[:2])
        views = np.lib.stride_tricks.sliding_window_view(planes, (SIDE, SIDE), (0, 1))
        found.append(turned(views[rows, columns, rng.integers(0, 4, number)], rng))
    return np.concatenate(found)


def turned(patches: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Mirror and transpose each of the patches (N, 8, 8) at random."""
    up, left, across = rng.random((3, len(patches), 1, 1)) < 0.5
    patches = np.where(up, patches[:, ::-1], patches)
    patches = np.where(left, patches[:, :, ::-1], patches)
    return np.where(across, patches.transpose(0, 2, 1), patches)


def first_mixture(patches: Tensor, components: int, seed: int) -> Mixture:
    """A mixture to start from: component k has half of its variance along a random patch, and the rest as all patches.

    Args:
        patches: (N, n).
        components: number K.
        seed: of the choice of patches.
    """
    rng = torch.Generator().manual_seed(seed)
    chosen = patches[torch.randperm(len(patches), generator=rng)[:components]].double()
    spread = patches.double().square().mean(0)
    size = chosen.square().sum(1).clamp(min=1e-4)
    shape = torch.diag(spread / spread.sum())
    covariances = 0.5 * torch.einsum("ki,kj->kij", chosen, chosen) + 0.5 * size[:, None, None] * shape
    covariances += PRIOR_VARIANCE * torch.eye(patches.shape[1], dtype=torch.float64)
    return Mixture(
        torch.full((components,), -math.log(components), dtype=torch.float64), torch.linalg.cholesky(covariances)
    )


def log_joint(mixture: Mixture, patches: Tensor) -> Tensor:
    """``log (share_k N(patch; 0, C_k))`` for each patch and component, (N, K), float32."""
    whitening = torch.linalg.inv(mixture.factors).float()
    size = patches.shape[1]
    logdet = mixture.factors.diagonal(dim1=1, dim2=2).log().sum(1)
    constants = (mixture.log_shares - logdet - size / 2 * math.log(2 * math.pi)).float()
    found = torch.empty(len(patches), len(whitening))
    for k, white in enumerate(whitening):
        found[:, k] = (patches @ white.T).square_().sum(1)
    return found.mul_(-0.5).add_(constants)


def step(mixture: Mixture, patches: Tensor) -> tuple[Mixture, float]:
    """One iteration of expectation maximisation: the next mixture, and the free energy of the given one per patch."""
    (components, size), total = mixture.factors.shape[:2], 0.0
    counts = torch.zeros(components, dtype=torch.float64)
    scatter = torch.zeros(components, size, size, dtype=torch.float64)
    for block in torch.split(patches, BLOCK):
        joint = log_joint(mixture, block)
        evidence = joint.logsumexp(1, keepdim=True)
        total += float(evidence.double().sum())
        shares = (joint - evidence).exp_()
        counts += shares.double().sum(0)
        for k in range(components):
            share = shares[:, k]
            near = (share > NEGLIGIBLE).nonzero()[:, 0]
            weighted = block[near] * share[near, None].sqrt()
            scatter[k] += weighted.T @ weighted
    energy = (prior_energy(mixture) - total) / len(patches)
    prior = PRIOR_PATCHES * PRIOR_VARIANCE * torch.eye(size, dtype=torch.float64)
    covariances = (scatter + prior) / (counts + PRIOR_PATCHES)[:, None, None]
    log_shares = (counts / len(patches)).clamp(min=torch.finfo(torch.float64).tiny).log()
    return Mixture(log_shares, torch.linalg.cholesky(covariances)), energy


def prior_energy(mixture: Mixture) -> float:
    """The negative logarithm of the prior of all covariances, up to a constant."""
    inverse = torch.linalg.inv(mixture.factors)
    logdet = 2 * mixture.factors.diagonal(dim1=1, dim2=2).log().sum()
    return float(PRIOR_PATCHES / 2 * (logdet + PRIOR_VARIANCE * inverse.square().sum()))


def fitted(patches: Tensor, mixture: Mixture, iterations: int) -> Iterator[tuple[Mixture, float]]:
    """The mixture after each iteration, and the free energy per patch before it.

    Args:
        patches: (N, n).
        mixture: to start from.
        iterations: number of them.
    """
    for _ in range(iterations):
        mixture, energy = step(mixture, patches)
        yield mixture, energy


def learn(patches: Tensor, components: int, seed: int, iterations: tuple[int, int], output: Path) -> Mixture:
    """Fit a mixture, first to the first patches only, then to all; save it after every tenth iteration.

    Args:
        patches: (N, n), in random order.
        components: number K.
        seed: of the first mixture.
        iterations: on the first patches, and on all.
        output: the file.
    """
    few, began = patches[: len(patches) // FIRST_SHARE], time.perf_counter()
    mixture = first_mixture(few, components, seed)
    for data, count in zip((few, patches), iterations, strict=True):
        for index, (mixture, energy) in enumerate(fitted(data, mixture, count)):  # noqa: B020 - the last one is kept
            print(f"{len(data)} patches, iteration {index + 1}: {energy:.5f}, {time.perf_counter() - began:.0f} s")
            if index % 10 == 9:
                save(mixture, output)
    return mixture


def save(mixture: Mixture, file: Path) -> None:
    """Write shares (K,) and the lower triangles of the Cholesky factors (K, n (n + 1) / 2), in float32."""
    order = torch.argsort(mixture.log_shares, descending=True)
    size = mixture.factors.shape[1]
    rows, columns = torch.tril_indices(size, size)
    np.savez_compressed(
        file,
        shares=mixture.log_shares[order].exp().float().numpy(),
        factors=mixture.factors[order][:, rows, columns].float().numpy(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn the mixture of Gaussians of patches.")
    parser.add_argument("--components", type=int, default=200, help="number of Gaussians")
    parser.add_argument("--patches", type=int, default=400_000, help="number of patches")
    parser.add_argument("--iterations", type=int, nargs=2, default=(40, 20), help="on a sixth of the patches, on all")
    parser.add_argument("--seed", type=int, default=0, help="of every random number")
    parser.add_argument("--photographs", type=Path, default=PHOTOGRAPHS, help="folder of the photographs")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the file of the mixture (.npz)")
    given = parser.parse_args()
    free = [photograph for photograph in table() if photograph.split == "choose"]
    patches = sampled_patches(free, given.photographs, given.patches, given.seed)
    save(learn(patches, given.components, given.seed, tuple(given.iterations), given.output), given.output)
    print(f"{given.output}: {given.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
