"""The weights of `stack-wiener` and `stack-tv-admm`, chosen on synthetic stacks.

    python benchmarks/stack_weights.py

Six stacks of 24x48x48 voxels: soft shells with filaments on a background, each with 30, 200 and 2,000 photons at its
brightest voxel, blurred by a Gaussian that is wider in depth and by the two cones of light out of focus. They are
blurred on a larger grid, so that light comes in from beyond the border. For each weight it prints the mean PSNR of the
image under the data, relative to the largest value of the truth, dB. No measured stack takes part in the choice.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

import invkit

Floats = npt.NDArray[np.float64]

MARGIN, SIZE = 8, (24, 48, 48)
WEIGHTS = {
    "stack-wiener": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    "stack-tv-admm": (0.25, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0),
}


def gaussian() -> Floats:
    """A kernel of 11x7x7 voxels."""
    along = [np.exp(-(np.arange(-n, n + 1.0) ** 2) / (2 * s**2)) for n, s in ((5, 1.9), (3, 1.1), (3, 1.1))]
    kernel = along[0][:, None, None] * along[1][None, :, None] * along[2][None, None, :]
    return np.asarray(kernel / kernel.sum())


def cones() -> Floats:
    """A kernel of 13x15x15 voxels whose planes are disks that grow with their distance from the focus."""
    down, right = np.mgrid[-7:8, -7:8]
    planes = [gaussian_filter(1.0 * (np.hypot(down, right) <= 0.7 + abs(depth)), 0.8) for depth in range(-6, 7)]
    kernel = np.stack([plane / plane.sum() for plane in planes])
    return np.asarray(kernel / kernel.sum())


def scene(seed: int) -> Floats:
    """Soft shells and filaments on a weak background, of `SIZE` and margins; the brightest voxel is 1."""
    draw, size = np.random.default_rng(seed), tuple(side + 2 * MARGIN for side in SIZE)
    places = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"))
    image = np.full(size, 0.03)
    for _ in range(12):
        centre = draw.uniform(0, size)[:, None, None, None]
        distance = np.sqrt(np.square(places - centre).sum(0))
        image += draw.uniform(0.2, 0.6) * (np.abs(distance - draw.uniform(3, 9)) < 1.2)
    for _ in range(8):
        point, step = draw.uniform(0, size), draw.normal(size=3)
        for _ in range(60):
            step = step + 0.3 * draw.normal(size=3)
            point = point + step / np.linalg.norm(step)
            if (point >= 0).all() and (point < np.array(size) - 1).all():
                image[tuple(point.round().astype(int))] += 1.0
    image = gaussian_filter(image, 0.6)
    return np.asarray(image / image.max())


def cases() -> list[tuple[Floats, Floats, Floats]]:
    """Counts, kernel and truth of each stack."""
    found = []
    inside = (slice(MARGIN, -MARGIN),) * 3
    for seed, (kernel, photons) in enumerate(itertools.product((gaussian(), cones()), (30, 200, 2000))):
        truth = photons * scene(seed)
        seen = fftconvolve(truth, kernel, mode="same")[inside].clip(0)
        found.append((np.random.default_rng(seed).poisson(seen).astype(np.float64), kernel, truth[inside]))
    return found


def psnr(image: Any, truth: Floats) -> float:
    """In dB, relative to the largest value of the truth."""
    return float(10 * np.log10(truth.max() ** 2 / np.mean((np.asarray(image, dtype=np.float64) - truth) ** 2)))


def restored(data: Floats, kernel: Floats, recipe: str, weight: float) -> Any:
    """The image of a recipe with another weight."""
    settings = [f"regularizers.0.weight={weight}", "regularizers.0.min_weight=0"]
    return invkit.deconvolve(data, kernel, recipe=recipe, overrides=settings, progress=False).image


def main() -> None:
    """Print a line for each recipe and weight."""
    torch.set_num_threads(1)
    stacks = cases()
    lucy = [psnr(invkit.deconvolve(data, kernel, progress=False).image, truth) for data, kernel, truth in stacks]
    print("data", np.round([psnr(data, truth) for data, _, truth in stacks], 2))
    print("stack-richardson-lucy", np.round(lucy, 2), round(float(np.mean(lucy)), 2))
    for recipe, weights in WEIGHTS.items():
        for weight in weights:
            found = [psnr(restored(data, kernel, recipe, weight), truth) for data, kernel, truth in stacks]
            print(recipe, weight, np.round(found, 2), round(float(np.mean(found)), 2), flush=True)


if __name__ == "__main__":
    main()
