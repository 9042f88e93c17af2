"""What unknown pixels cost: left out of the data term, against filled from their surroundings.

    python benchmarks/missing_data.py [--output FILE]

Photographs of scikit-image, grey, are blurred by the kernel of the bundled sample, with noise of 0.005. Then pixels are
masked. Each recipe restores the masked array with the true kernel; `filled` is the same recipe on the picture whose
masked pixels were filled smoothly, as they are for solvers that cannot leave data out. Figures are the PSNR over the
pixels that are not masked, dB, mean over the photographs; `clean` is without a mask, over the same pixels.

Bad pixels, black or white, are not masked: invkit has to find them. `found` is the picture as it comes, `whole` with
``whole_picture=True``, so that they count like all others. Figures are the PSNR over the other pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from grey_pictures import grey_picture, noisy_blur, seen_part
from results_file import command_line, print_rows, run_facts, write_results
from rich.progress import track

import invkit
from invkit.datasets.samples import sample_path
from invkit.numerics.inpainting import filled_smoothly

PHOTOGRAPHS = ("coffee", "camera", "astronaut", "chelsea")
RECIPES = ("sparse-admm", "sparse-irls", "richardson-lucy")
BAD_SHARES = (0.001, 0.005)
SIDE, NOISE = 300, 0.005

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


def main() -> None:
    """Print the figures, and write them if asked to."""
    output = command_line(__doc__).parse_args().output
    warnings.simplefilter("ignore", UserWarning)
    tables = {"masked": masked(), "bad_pixels": bad_pixels()}
    print_rows(tables)
    write_results(output, {**run_facts(), **tables})


if __name__ == "__main__":
    main()
