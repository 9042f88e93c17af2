"""Make the bundled sample: a public-domain photograph, blurred by a camera shake that is known.

    python benchmarks/make_sample.py [FOLDER]

writes coffee_sharp.png, coffee_blurry.png, coffee_kernel.npy and coffee_kernel.png, by default into
invkit/datasets/samples.
The photograph is scikit-image's "coffee", by Rachel Michetti, CC0. It is shrunk first, so that no blur of the lens or
noise of the sensor is left in it; the blur is a valid convolution of the gamma-encoded values, as in the data sets of
the field; then come noise and rounding to 8 bits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

HEIGHT, WIDTH = 256, 384  # of the blurry image
KERNEL = 23  # pixels, odd
EXTENT = 17  # pixels, the longer side of the path of the shake
SCALE = 0.7
SIGMA = 0.003  # noise std in [0, 1] units
SEED = 20
SAMPLES = Path(__file__).resolve().parent.parent / "invkit" / "datasets" / "samples"

Floats = npt.NDArray[np.float64]


def photograph() -> Floats:
    """The sharp image, (HEIGHT + KERNEL - 1, WIDTH + KERNEL - 1, 3) in [0, 1]: what the blurry one is made from."""
    from skimage.data import coffee

    picture = Image.fromarray(coffee())
    size = (round(SCALE * picture.width), round(SCALE * picture.height))
    small = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
    height, width = HEIGHT + KERNEL - 1, WIDTH + KERNEL - 1
    top, left = (small.shape[0] - height) // 2, (small.shape[1] - width) // 2
    return np.asarray(small[top : top + height, left : left + width] / 255)


def shake(rng: np.random.Generator, points: int = 4000) -> Floats:
    """The path of a hand-held exposure, (points, 2) in pixels about its mean: slow swings large, quick ones small."""
    frequencies = np.array([0.4, 0.7, 1.1, 1.6, 2.3])  # swings per exposure
    time = np.linspace(0, 1, points)[:, None, None]
    amplitudes = rng.normal(size=(2, 5)) / frequencies
    phases = rng.uniform(0, 2 * np.pi, size=(2, 5))
    path = (amplitudes * np.cos(2 * np.pi * frequencies * time + phases)).sum(axis=-1)
    path = path - path.mean(axis=0)
    return np.asarray(path * (EXTENT - 1) / np.ptp(path, axis=0).max())


def rasterise(points: Floats, size: int) -> Floats:
    """The kernel (size, size) of points (N, 2), each shared by its four pixels; it sums to one."""
    kernel = np.zeros((size, size))
    whole = np.floor(points).astype(int)
    part = points - whole
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.abs(1 - i - part[:, 0]) * np.abs(1 - j - part[:, 1])
        np.add.at(kernel, (whole[:, 0] + i, whole[:, 1] + j), weight)
    return np.asarray(kernel / kernel.sum())


def blur(image: Floats, kernel: Floats) -> Floats:
    """Valid true convolution of each channel of (H, W, 3)."""
    from scipy.signal import convolve2d

    return np.stack([convolve2d(channel, kernel, mode="valid") for channel in np.moveaxis(image, -1, 0)], axis=-1)


def to_bytes(image: Floats) -> npt.NDArray[np.uint8]:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def make() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Sharp and blurry (HEIGHT, WIDTH, 3), of the same place, and the true-convolution kernel (KERNEL, KERNEL)."""
    rng = np.random.default_rng(SEED)
    image, kernel = photograph(), rasterise(shake(rng) + KERNEL // 2, KERNEL)
    blurry = blur(image, kernel)
    margin = KERNEL // 2
    sharp = image[margin : margin + HEIGHT, margin : margin + WIDTH]
    return to_bytes(sharp), to_bytes(blurry + SIGMA * rng.normal(size=blurry.shape)), kernel.astype(np.float32)


def main(folder: Path) -> None:
    sharp, blurry, kernel = make()
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sharp).save(folder / "coffee_sharp.png", optimize=True)
    Image.fromarray(blurry).save(folder / "coffee_blurry.png", optimize=True)
    Image.fromarray(to_bytes(kernel.astype(float) / kernel.max())).save(folder / "coffee_kernel.png", optimize=True)
    np.save(folder / "coffee_kernel.npy", kernel)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES)
