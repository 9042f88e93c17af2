"""The units of data do not matter: exposures, counts, signed numbers, k-space, and a stack of small pictures.

    python benchmarks/units.py [--output FILE]

`pictures`: three grey pictures of scikit-image, 220x220, under the kernel of the bundled sample, with noise of 0.003 of
white. They are given as 16 bits at exposures of 1 to 0.005, as counts (floats, white at 3,276.5), and as signed numbers
(white at 1, the mean at 0). PSNR, dB, in the units of the sharp picture: of `sparse-admm` with the true kernel, and of
`fast`, whose shift is taken out. `furthest` is the largest difference to the picture at exposure 1.

`k-space`: `sense` on a phantom seen by four coils, its k-space times 1e-5 to 1e4.

`galaxies`: 100 pictures of 41x41 pixels with a kernel each and values around zero (`astronomy` of the benchmark data),
as one batch and one by one, with the same noise level and the same white. Seconds are medians of three runs.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from grey_pictures import grey_picture, noisy_blur, seen_part
from results_file import command_line, print_rows, run_facts, write_results
from rich.progress import track

import invkit
from invkit.core.operator_parameters import CoilMapPrior
from invkit.datasets.places import data_folder
from invkit.datasets.samples import sample_path
from invkit.numerics.registration import aligned_psnr
from invkit.operators.multi_coil_mri import MultiCoilMRI

PICTURES = ("camera", "coins", "coffee")
SIDE, NOISE, COUNTS_WHITE, BORDER = 220, 0.003, 3276.5, 15
EXPOSURES = (1.0, 0.05, 0.0183, 0.005)
KSPACE_FACTORS = (1.0, 1e-5, 1e-2, 1e4)
RECIPES_OF_SMALL = ("wiener", "tv-admm", "sparse-admm", "richardson-lucy")
GALAXY_NOISE, GALAXY_WHITE = 2e-4, 0.0601

Floats = npt.NDArray[Any]


def scene(name: str, kernel: Floats) -> tuple[Floats, Floats]:
    """A sharp picture in [0, 1] of the size of its blurry one, and that one, with noise."""
    sharp = grey_picture(name)[:SIDE, :SIDE]
    return seen_part(sharp, kernel), noisy_blur(sharp, kernel, NOISE)


def versions(blurry: Floats) -> dict[str, tuple[Floats, float, float]]:
    """The same picture in several units: the numbers, the value of white less that of black, and that of black."""
    found: dict[str, tuple[Floats, float, float]] = {}
    for exposure in EXPOSURES:
        found[f"16 bits, exposure {exposure:g}"] = np.rint(65535 * exposure * blurry).astype(np.uint16), exposure, 0.0
    found["counts"] = np.asarray(COUNTS_WHITE * blurry, dtype=np.float32), COUNTS_WHITE, 0.0
    mean = float(blurry.mean())
    found["signed"] = np.asarray(blurry - mean, dtype=np.float32), 1.0, -mean
    return found


def psnr(image: Floats, sharp: Floats) -> float:
    """Of an image in [0, 1] units, without its border, a shift taken out, dB."""
    pair = (torch.from_numpy(np.asarray(one, dtype=np.float64))[None] for one in (image.clip(0, 1), sharp))
    return float(aligned_psnr(*pair, border=BORDER, max_shift=5))


def pictures() -> list[dict[str, Any]]:
    """A row for each kind of units."""
    kernel, found = np.load(sample_path("coffee-kernel")), []
    for name in track(PICTURES, "pictures"):
        sharp, blurry = scene(name, kernel)
        for units, (given, white, black) in versions(blurry).items():
            known = invkit.deconvolve(given, kernel, progress=False, whole_picture=True)
            blind = invkit.deblur(given, recipe="fast", kernel_size=kernel.shape[0], progress=False, whole_picture=True)
            rows = {"sparse-admm": known, "fast": blind}
            found.append(
                (units, {one: psnr((np.asarray(result.image) - black) / white, sharp) for one, result in rows.items()})
            )
    return [row_of(units, [row for other, row in found if other == units], found) for units in dict(found)]


def row_of(units: str, rows: list[dict[str, float]], every: list[tuple[str, dict[str, float]]]) -> dict[str, Any]:
    """Means over the pictures, and the furthest of them from exposure 1."""
    first = [row for other, row in every if other == next(iter(dict(every)))]
    means = {name: round(float(np.mean([row[name] for row in rows])), 2) for name in rows[0]}
    apart = {name: max(abs(a[name] - b[name]) for a, b in zip(rows, first, strict=True)) for name in rows[0]}
    return {"units": units, **means, **{f"{name}, furthest": round(value, 2) for name, value in apart.items()}}


def kspace() -> list[dict[str, Any]]:
    """A row for each factor: the PSNR of the phantom."""
    from skimage.data import shepp_logan_phantom
    from skimage.transform import resize

    truth = resize(shepp_logan_phantom(), (64, 64), anti_aliasing=True).astype(np.float32)
    operator, down, along = MultiCoilMRI(), *np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 64), indexing="ij")
    magnitudes = [np.exp(-2 * ((down - a) ** 2 + (along - b) ** 2)) for a in (0, 1) for b in (0, 1)]
    maps = torch.from_numpy(np.stack([*magnitudes, *(0 * one for one in magnitudes)]).astype(np.float32))[None]
    maps = CoilMapPrior.allowed(maps)
    data = operator(torch.from_numpy(truth)[None, None], maps)[0].numpy()
    rows = []
    for factor in KSPACE_FACTORS:
        result = invkit.restore(np.float32(factor) * data, "sense", kernel=maps[0].numpy(), progress=False)
        error = np.asarray(result.image).squeeze() / factor - truth
        rows.append({"factor": factor, "psnr": round(float(-10 * np.log10(np.mean(error**2))), 2)})
    return rows


def galaxies(folder: Path) -> list[dict[str, Any]]:
    """A row for each recipe: seconds as a batch and one by one, and the largest difference of the results."""
    images = list(np.load(folder / "galaxies_image_stack.npy").astype(np.float32))
    kernels = np.load(folder / "galaxies_psfs.npy")
    rows = []
    for recipe in track(RECIPES_OF_SMALL, "galaxies"):
        solved = partial(invkit.deconvolve, recipe=recipe, white=GALAXY_WHITE, sigma=GALAXY_NOISE, whole_picture=True,
                         progress=False)  # fmt: skip
        together, batch = timed(lambda: solved(images, kernels).image)  # noqa: B023 - called at once
        alone, each = timed(lambda: [solved(*pair).image for pair in zip(images, kernels, strict=True)])  # noqa: B023
        apart = float(np.abs(np.asarray(together)[:, 0] - np.stack(alone)).max() / np.stack(alone).max())
        rows.append({"recipe": recipe, "batch, s": round(batch, 2), "one by one, s": round(each, 2),
                     "ratio": round(each / batch, 1), "largest difference": float(f"{apart:.1e}")})  # fmt: skip
    return rows


def timed(what: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and the median of its seconds in three calls."""
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        found = what()
        seconds.append(time.perf_counter() - begun)
    return found, median(seconds)


def main() -> None:
    """Print the figures, and write them if asked to."""
    parser = command_line(__doc__)
    parser.add_argument("--galaxies", type=Path, help="folder of the galaxies; default: astronomy/ of INVKIT_DATA")
    given = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    tables = {"galaxies": galaxies(given.galaxies or data_folder() / "astronomy"), "pictures": pictures()}
    tables["k-space"] = kspace()
    print_rows(tables)
    write_results(given.output, {**run_facts(), **tables})


if __name__ == "__main__":
    main()
