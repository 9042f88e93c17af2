"""Two last steps compared: recipes that restore with a kernel that is known, or that another recipe estimated.

    INVKIT_DATA=... python benchmarks/calibration/last_step.py levin choose noisy estimated speed

The sets:

- `levin`: the 32 images of Levin et al. with the true kernels. Nothing was chosen on them.
- `choose`: the first 30 grey cases of at most 420 pixels of this part of the calibration set, with the kernels at their
  centres, as a camera would have taken them: a third in linear light or stored as JPEG, half of the shaken ones with a
  slight turn.
- `noisy`: the sharp pictures of the first ten of these (the middle, at most 256 + kernel pixels), blurred again by
  their kernels, with Gaussian noise of 0, 0.01, 0.02 and 0.05, rounded to 8 bits: no error but the noise.
- `estimated`: the first eight of these with the kernel that `fast` finds.
- `speed`: seconds for a photograph of 255 x 255 and of 800 x 600 pixels, grey and in colour; the noise is 0.01.

Figures are PSNR of the luma after the best shift, dB. Seconds are those of the processor, on one thread, with the
estimate of the noise. Every case is a row of the CSV file; the JSON file has the means.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from photographs import table
from report import luma, rows_of
from rich.progress import track
from scipy.signal import fftconvolve

import invkit
from invkit.media.images import read_image
from invkit.numerics.registration import aligned_psnr

MADE = Path("benchmarked")  # the folder of the calibration set and its photographs
RESULTS = Path(__file__).parents[1] / "results"
NOISES = (0.0, 0.01, 0.02, 0.05)
CASES, NOISY_CASES, ESTIMATED_CASES = 30, 10, 8
LARGEST = 420  # pixels of a case
LARGEST_NOISY = 256
TIMED_SIZES = ((255, 255), (600, 800))
TIMED_PHOTOGRAPH = "kodak_05.png"
MAX_SHIFT, BORDER = 10, 15  # pixels

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """A blurry picture, its kernel and the truth.

    Attributes:
        name: of the case.
        group: cases whose mean is reported.
        blurry: (H, W) or (H, W, 3) in [0, 1].
        kernel: (h, w), sum one.
        sharp: as ``blurry``.
    """

    name: str
    group: str
    blurry: Floats
    kernel: Floats
    sharp: Floats


def levin(made: Path) -> Iterator[Scene]:
    """Levin's 32 images with their true kernels."""
    from invkit.datasets.levin import Levin

    dataset = Levin(Path(os.environ["INVKIT_DATA"]), kernel_sizes="true")
    for case in dataset.cases():
        sample = dataset.sample(case)
        assert sample.truth is not None  # as of every case of this set
        assert sample.kernel is not None
        yield Scene(case.name, "levin", sample.image, sample.kernel, sample.truth)


def chosen_cases(made: Path, count: int) -> Sequence[Mapping[str, str]]:
    """The rows of the first grey cases of the part `choose` that are blurred."""
    rows = [
        row for row in rows_of(made / "calibration" / "cases.csv") if row["split"] == "choose" and row["colour"] == "0"
    ]
    small = [row for row in rows if max(int(row["height"]), int(row["width"])) <= LARGEST]
    return [row for row in small if row["family"] != "none"][:count]


def scene(made: Path, row: Mapping[str, str], group: str) -> Scene:
    """A case of the calibration set as it is."""
    path = made / "calibration" / "choose" / row["id"]
    blurry = next(iter(path.parent.glob(f"{row['id']}_blurry.*")))
    kernel = np.load(f"{path}_kernel.npy").astype(np.float32)
    return Scene(row["id"], group, luma_of(blurry), kernel, luma_of(Path(f"{path}_sharp.png")))


def luma_of(file: Path) -> Floats:
    """The luma of a picture, (H, W)."""
    return np.asarray(luma(read_image(file).pixels), dtype=np.float32)


def choose(made: Path) -> Iterator[Scene]:
    """Cases with the degradations of a camera."""
    for row in chosen_cases(made, CASES):
        yield scene(made, row, "choose")


def noisy(made: Path) -> Iterator[Scene]:
    """The same cases with no other degradation than noise."""
    for index, row in enumerate(chosen_cases(made, NOISY_CASES)):
        case = scene(made, row, "")
        for level in NOISES:
            seed = [index, round(1000 * level)]
            yield blurred(case.name, f"noise {level:g}", case.sharp, case.kernel, level, LARGEST_NOISY, seed)


def blurred(
    name: str, group: str, picture: Floats, kernel: Floats, noise: float, size: int | tuple[int, int], seed: Any
) -> Scene:
    """The middle of a picture, blurred, with noise.

    Args:
        name: of the scene.
        group: of the scene.
        picture: sharp, (H, W) or (H, W, 3).
        kernel: (h, w).
        noise: standard deviation.
        size: largest size of the blurry picture.
        seed: of the noise.
    """
    wanted = (size, size) if isinstance(size, int) else size
    sides = [
        min(have, want + taps - 1) for have, want, taps in zip(picture.shape[:2], wanted, kernel.shape, strict=True)
    ]
    top, left = ((have - side) // 2 for have, side in zip(picture.shape[:2], sides, strict=True))
    scene = picture[top : top + sides[0], left : left + sides[1]]
    taps = kernel if scene.ndim == 2 else kernel[..., None]
    exact = fftconvolve(scene, taps, mode="valid", axes=(0, 1))
    taken = np.clip(exact + noise * np.random.default_rng(seed).standard_normal(exact.shape), 0, 1)
    (up, before), (height, width) = ((side - 1 - side // 2 for side in kernel.shape), exact.shape[:2])
    sharp = scene[up : up + height, before : before + width]
    return Scene(name, group, (np.round(255 * taken) / 255).astype(np.float32), kernel, sharp.astype(np.float32))


def estimated(made: Path) -> Iterator[Scene]:
    """Cases with the kernels of the recipe ``fast``."""
    for row in chosen_cases(made, ESTIMATED_CASES):
        case = scene(made, row, "estimated")
        kernel = np.asarray(invkit.deblur(case.blurry, recipe="fast", progress=False).kernel, dtype=np.float32)
        yield Scene(case.name, case.group, case.blurry, kernel, case.sharp)


def speed(made: Path) -> Iterator[Scene]:
    """A photograph in two sizes, grey and in colour, enlarged where it is too small."""
    from skimage.transform import resize

    photograph = next(one for one in table() if one.name == TIMED_PHOTOGRAPH).read(made / "photographs")
    kernel = np.load(made / "calibration" / "choose" / "c0005_kernel.npy").astype(np.float32)
    for size in TIMED_SIZES:
        needed = tuple(side + taps for side, taps in zip(size, kernel.shape, strict=True))
        for kind in ("grey", "colour"):
            picture = resize(photograph, (*needed, 3), anti_aliasing=True).astype(np.float32)
            seen = np.asarray(luma(picture)) if kind == "grey" else picture
            yield blurred(f"{size[1]}x{size[0]} {kind}", f"{size[1]}x{size[0]} {kind}", seen, kernel, 0.01, size, 0)


SETS: Mapping[str, Callable[[Path], Iterator[Scene]]] = {
    "levin": levin,
    "choose": choose,
    "noisy": noisy,
    "estimated": estimated,
    "speed": speed,
}


def measured(scene: Scene, recipe: str) -> dict[str, Any]:
    """PSNR and seconds of a recipe."""
    started = time.process_time()
    result = invkit.deconvolve(scene.blurry, scene.kernel, recipe=recipe, progress=False)
    seconds = time.process_time() - started
    images = luma(np.asarray(result.image)), luma(scene.sharp)
    border = min(BORDER, min(scene.sharp.shape[:2]) // 8)
    psnr = float(aligned_psnr(*images, border=border, max_shift=min(MAX_SHIFT, border)))
    return {"recipe": recipe, "psnr": round(psnr, 3), "seconds": round(seconds, 2)}


def summary(rows: Sequence[Mapping[str, Any]], recipes: Sequence[str]) -> dict[str, Any]:
    """For each group the means, and the gain of the last recipe over the first: mean, least, and its case."""
    found = {}
    for group in dict.fromkeys(row["group"] for row in rows):
        by_recipe = {
            name: {r["case"]: r for r in rows if (r["group"], r["recipe"]) == (group, name)} for name in recipes
        }
        facts: dict[str, Any] = {"cases": len(by_recipe[recipes[0]])}
        for name, each in by_recipe.items():
            facts[name] = {
                key: round(float(np.mean([r[key] for r in each.values()])), 2) for key in ("psnr", "seconds")
            }
        first, last = by_recipe[recipes[0]], by_recipe[recipes[-1]]
        gains = {case: last[case]["psnr"] - first[case]["psnr"] for case in first}
        least = min(gains, key=lambda case: gains[case])
        facts["gain"] = {
            "mean": round(float(np.mean(list(gains.values()))), 2),
            "median": round(float(np.median(list(gains.values()))), 2),
            "least": round(gains[least], 2),
            "least in": least,
            "cases worse by 0.1": sum(gain < -0.1 for gain in gains.values()),
        }
        found[group] = facts
    return found


def main() -> None:
    """Restore, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=SETS)
    parser.add_argument("--recipes", nargs="+", default=["sparse-admm", "epll"], help="the first is compared with")
    parser.add_argument("--made", type=Path, default=MADE, help="folder of the calibration set and its photographs")
    parser.add_argument("--output", type=Path, default=RESULTS / "last_step", help="path without .csv and .json")
    given = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name in given.sets:
        for one in track(SETS[name](given.made), f"Restoring {name}"):
            facts = {"set": name, "group": one.group, "case": one.name}
            rows += [facts | measured(one, recipe) for recipe in given.recipes]
        write(rows, given.recipes, f"python benchmarks/calibration/last_step.py {' '.join(given.sets)}", given.output)
    print(json.dumps(summary(rows, given.recipes), indent=1))


def write(rows: Sequence[Mapping[str, Any]], recipes: Sequence[str], command: str, output: Path) -> None:
    """Write all rows, and their summary.

    Args:
        rows: so far.
        recipes: all.
        command: that gives them.
        output: path without suffix.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    facts = {"command": command, "version": invkit.__version__, "groups": summary(rows, recipes)}
    output.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    with output.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
