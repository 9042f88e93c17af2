"""What unknown pixels cost, left out of the data term or filled; and what the variances of the noise gain.

    python benchmarks/missing_data.py [--only masked|bad_pixels|variances] [--output FILE]

Photographs of scikit-image, grey, are blurred by the kernel of the bundled sample, with noise of 0.005. Then pixels are
masked. Each recipe restores the masked array with the true kernel; `filled` is the same recipe on the picture whose
masked pixels were filled smoothly, as they are for solvers that cannot leave data out. Figures are the PSNR over the
pixels that are not masked, dB, mean over the photographs; `clean` is without a mask, over the same pixels.

Bad pixels, black or white, are not masked: invkit has to find them. `found` is the picture as it comes, `whole` with
``whole_picture=True``, so that they count like all others. Figures are the PSNR over the other pixels.

Variances: drawn pictures of rectangles, discs and waves, blurred by the same kernel. The standard deviation of the
noise is between 0.005 and 0.05, so that its variance differs by 1:100. `estimated` is the recipe without further
knowledge, `level` with the root mean square of the noise, `best level` with the best of seven noise levels for each
picture, and `variances` with the variance of each pixel. Figures are the PSNR, dB, mean over the pictures. `wiener`
and `hyper-laplacian` divide spectra, and refuse variances.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from grey_pictures import grey_picture, noisy_blur, seen_part
from results_file import command_line, print_rows, run_facts, write_results
from rich.progress import track
from scipy.signal import fftconvolve

import invkit
from invkit.datasets.samples import sample_path
from invkit.numerics.inpainting import filled_smoothly

PHOTOGRAPHS = ("coffee", "camera", "astronaut", "chelsea")
RECIPES = ("sparse-admm", "sparse-irls", "richardson-lucy")
BAD_SHARES = (0.001, 0.005)
SIDE, NOISE = 300, 0.005
WEIGHTING, DIVIDING = ("tv-admm", "sparse-admm", "sparse-irls", "richardson-lucy"), ("wiener", "hyper-laplacian")
LEAST_NOISE, MOST_NOISE = 0.005, 0.05
LEVEL_FACTORS = 2.0 ** np.arange(-3, 4)
DRAWN_PICTURES, DRAWN_SIDE = 4, 200

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def masks(size: tuple[int, int]) -> Iterator[tuple[str, Mask]]:
    """Names and masks (H, W) that are true for unknown pixels."""
    (height, width), random = size, np.random.default_rng(1)
    block, band, lines = (np.zeros(size, dtype=bool) for _ in range(3))
    block[height // 3 : height // 3 + 60, width // 3 : width // 3 + 80] = True
    band[height // 2 : height // 2 + 12] = True
    lines[:, ::16] = lines[:, 1::16] = True
    yield "a block of 60 x 80", block
    yield "12 rows", band
    yield "2 of 16 columns", lines
    yield "10 % at random", random.random(size) < 0.1
    yield "40 % at random", random.random(size) < 0.4


def photograph(name: str, kernel: Floats) -> tuple[Floats, Floats]:
    """The sharp and the blurry picture, (H, W) in [0, 1]."""
    sharp = grey_picture(name)[:SIDE, :SIDE]
    return seen_part(sharp, kernel).astype(np.float32), noisy_blur(sharp, kernel, NOISE).astype(np.float32)


def scenes() -> tuple[Floats, list[tuple[Floats, Floats]]]:
    """The kernel, and each photograph sharp and blurred by it."""
    kernel = np.load(sample_path("coffee-kernel"))
    return kernel, [photograph(name, kernel) for name in PHOTOGRAPHS]


def psnr(picture: npt.ArrayLike, sharp: Floats, counted: Mask) -> float:
    """Over the pixels that count, dB."""
    error = np.ma.getdata(np.ma.asarray(picture)).clip(0, 1) - sharp
    return float(-10 * np.log10(np.mean(error[counted] ** 2)))


def bad_pixels() -> list[dict[str, object]]:
    """A row for each recipe and share of bad pixels."""
    (kernel, pictures), random = scenes(), np.random.default_rng(2)
    rows: list[dict[str, object]] = []
    for share in track(BAD_SHARES, "Bad pixels"):
        bad = random.random(pictures[0][1].shape) < share
        values = random.integers(0, 2, bad.shape).astype(np.float32)
        for recipe in RECIPES:
            found = []
            for sharp, blurry in pictures:
                seen = np.where(bad, values, blurry)
                results = [
                    invkit.deconvolve(one, kernel, recipe=recipe, whole_picture=whole, progress=False).image
                    for one, whole in ((blurry, False), (seen, False), (seen, True))
                ]
                found.append([psnr(one, sharp, ~bad) for one in results])
            means = dict(zip(("clean", "found", "whole"), np.mean(found, 0).round(2).tolist(), strict=True))
            rows.append({"recipe": recipe, "bad": f"{share:.1%}", **means})
    return rows


def masked() -> list[dict[str, object]]:
    """A row for each recipe and mask."""
    kernel, pictures = scenes()
    rows: list[dict[str, object]] = []
    for recipe in track(RECIPES, "Restoring"):

        def restored(picture: npt.ArrayLike, recipe: str = recipe) -> npt.ArrayLike:
            return invkit.deconvolve(picture, kernel, recipe=recipe, progress=False).image  # type: ignore[arg-type]

        clean = [restored(blurry) for _, blurry in pictures]
        for name, mask in masks(pictures[0][1].shape):
            found = []
            for (sharp, blurry), without in zip(pictures, clean, strict=True):
                holes = np.where(mask, np.float32(0), blurry)
                filled = restored(filled_smoothly(holes[None], mask)[0])
                left_out = restored(np.ma.masked_array(holes, mask))
                found.append([psnr(one, sharp, ~mask) for one in (without, left_out, filled)])
            means = dict(zip(("clean", "left out", "filled"), np.mean(found, 0).round(2).tolist(), strict=True))
            rows.append({"recipe": recipe, "unknown": name, **means})
    return rows


def drawn(seed: int, side: int = DRAWN_SIDE) -> Floats:
    """Rectangles, discs and a wave, (side, side), from 0.1 to 0.9, so that hardly any noise is cut off."""
    random, (down, along) = np.random.default_rng(seed), np.mgrid[:side, :side]
    picture = np.full((side, side), 0.4)
    for _ in range(30):
        (row, column), (height, width) = random.integers(-10, side - 10, 2), random.integers(8, 50, 2)
        picture[max(row, 0) : row + height, max(column, 0) : column + width] = random.random()
    for _ in range(10):
        (row, column), radius = random.integers(0, side, 2), random.integers(3, 15)
        picture[(down - row) ** 2 + (along - column) ** 2 < radius**2] = random.random()
    wave = 0.03 * np.sin(down / 7 + along / 11)
    return np.asarray((0.15 + 0.7 * picture + wave).clip(0.1, 0.9), np.float32)


def deviations(size: tuple[int, int]) -> Iterator[tuple[str, Floats]]:
    """Names and standard deviations (H, W) of noise."""
    ramp, halves, columns = (np.full(size, LEAST_NOISE, np.float32) for _ in range(3))
    ramp[:] = np.geomspace(LEAST_NOISE, MOST_NOISE, size[1])
    halves[:, size[1] // 2 :] = columns[:, ::2] = MOST_NOISE
    yield "grows along the rows", ramp
    yield "two halves", halves
    yield "every second column", columns


def variances() -> list[dict[str, object]]:
    """A row for each recipe and distribution of the noise."""
    kernel = np.load(sample_path("coffee-kernel"))
    pictures = [drawn(seed) for seed in range(DRAWN_PICTURES)]
    blurred = [fftconvolve(one, kernel, mode="valid") for one in pictures]
    rows: list[dict[str, object]] = []
    for recipe in track((*WEIGHTING, *DIVIDING), "Variances"):
        for name, deviation in deviations(blurred[0].shape):
            found = []
            for seed, (picture, clean) in enumerate(zip(pictures, blurred, strict=True)):
                noise = deviation * np.random.default_rng(seed).standard_normal(clean.shape)
                seen, sharp = (clean + noise).clip(0, 1), seen_part(picture, kernel)
                level = float(np.sqrt(np.mean(deviation**2)))

                def restored(recipe: str = recipe, seen: Floats = seen, sharp: Floats = sharp, **known: Any) -> float:
                    result = invkit.deconvolve(seen, kernel, recipe=recipe, whole_picture=True, progress=False, **known)
                    return psnr(result.image, sharp, np.ones(sharp.shape, bool))

                levels = [restored(sigma=level * factor) for factor in LEVEL_FACTORS]
                weighted = restored(variance=deviation**2) if recipe in WEIGHTING else np.nan
                found.append([restored(), levels[len(levels) // 2], max(levels), weighted])
            names = ("estimated", "level", "best level", "variances")
            means = dict(zip(names, np.mean(found, 0).round(2).tolist(), strict=True))
            if recipe in DIVIDING:
                del means["variances"]
            rows.append({"recipe": recipe, "noise": name, **means})
    return rows


TABLES = {"masked": masked, "bad_pixels": bad_pixels, "variances": variances}


def main() -> None:
    """Print the figures, and write them if asked to."""
    parser = command_line(__doc__)
    parser.add_argument("--only", choices=TABLES, help="one of the tables; default: all")
    given = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    tables = {name: table() for name, table in TABLES.items() if given.only in (None, name)}
    print_rows(tables)
    write_results(given.output, {**run_facts(), **tables})


if __name__ == "__main__":
    main()
