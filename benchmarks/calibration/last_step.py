"""Last steps compared: recipes that restore with a kernel that is known, or that the recipe `fast` estimates.

    INVKIT_DATA=... python benchmarks/calibration/last_step.py levin choose noisy estimated speed

The sets:

- `levin`: the 32 images of Levin et al. with the true kernels. Nothing was chosen on them.
- `choose`: the first 30 grey cases of at most 420 pixels of this part of the calibration set, with the kernels at their
  centres, as a camera would have taken them: a third in linear light or stored as JPEG, half of the shaken ones with a
  slight turn.
- `noisy`: the sharp pictures of the first ten of these (the middle, at most 256 + kernel pixels), blurred again by
  their kernels, with Gaussian noise of 0, 0.01, 0.02 and 0.05, rounded to 8 bits: no error but the noise.
- `estimated`: the first 26 grey cases of at most 640 pixels as the recipe `fast` restores them with each last step.
- `speed`: seconds for a photograph of 255 x 255 and of 800 x 600 pixels, grey and in colour; the noise is 0.01.

A recipe that estimates kernels stands for its own last step: `best` for the four steps of `epll`. Figures are PSNR of
the luma after the best shift, dB. Seconds are those of the processor, on one thread, with the estimate of the noise;
in `estimated`, with that of the kernel too. Every case is a row of the CSV file; the JSON file has the means, and the
gains over the first recipe.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from photographs import table
from report import luma, rows_of, write_rows
from rich.progress import track
from scipy.signal import fftconvolve

import invkit
from invkit.media.images import read_image
from invkit.numerics.registration import aligned_psnr
from invkit.recipes.model import load_recipe

MADE = Path("benchmarked")  # the folder of the calibration set and its photographs
RESULTS = Path(__file__).parents[1] / "results"
NOISES = (0.0, 0.01, 0.02, 0.05)
CASES, NOISY_CASES, ESTIMATED_CASES = 30, 10, 26
LARGEST, LARGEST_ESTIMATED = 420, 640  # pixels of a case
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
        kernel: (h, w), sum one; None: it is estimated.
        sharp: as ``blurry``.
    """

    name: str
    group: str
    blurry: Floats
    kernel: Floats | None
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


def chosen_cases(made: Path, count: int, largest: int = LARGEST) -> Sequence[Mapping[str, str]]:
    """The rows of the first grey cases of the part `choose` that are blurred, with at most so many pixels."""
    rows = [
        row for row in rows_of(made / "calibration" / "cases.csv") if row["split"] == "choose" and row["colour"] == "0"
    ]
    small = [row for row in rows if max(int(row["height"]), int(row["width"])) <= largest]
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
            assert case.kernel is not None  # as of every case of the set
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
    """Cases whose kernels the recipe ``fast`` estimates."""
    for row in chosen_cases(made, ESTIMATED_CASES, LARGEST_ESTIMATED):
        yield replace(scene(made, row, "estimated"), kernel=None)


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
    last, started = load_recipe(recipe).links()[-1], time.process_time()
    if scene.kernel is None:
        whole = load_recipe("fast").model_copy(update={"next": last})
        result = invkit.deblur(scene.blurry, recipe=whole, progress=False)
    else:
        result = invkit.deconvolve(scene.blurry, scene.kernel, recipe=last, progress=False)
    seconds = time.process_time() - started
    images = luma(np.asarray(result.image)), luma(scene.sharp)
    border = min(BORDER, min(scene.sharp.shape[:2]) // 8)
    psnr = float(aligned_psnr(*images, border=border, max_shift=min(MAX_SHIFT, border)))
    return {"recipe": recipe, "psnr": round(psnr, 3), "seconds": round(seconds, 2)}


def summary(rows: Sequence[Mapping[str, Any]], recipes: Sequence[str]) -> dict[str, Any]:
    """For each group the number of cases, and by recipe the means and the gain over the first recipe."""
    found = {}
    for group in dict.fromkeys(row["group"] for row in rows):
        by_recipe = {
            name: {r["case"]: r for r in rows if (r["group"], r["recipe"]) == (group, name)} for name in recipes
        }
        first = by_recipe[recipes[0]]
        facts: dict[str, Any] = {"cases": len(first)}
        for name, each in by_recipe.items():
            means = {key: round(float(np.mean([r[key] for r in each.values()])), 2) for key in ("psnr", "seconds")}
            gains = {case: each[case]["psnr"] - first[case]["psnr"] for case in first}
            facts[name] = means if each is first else means | {"gain": gain_facts(gains)}
        found[group] = facts
    return found


def gain_facts(gains: Mapping[str, float]) -> dict[str, Any]:
    """Mean of gains by case, dB, with its standard error, and the least one."""
    values = np.array(list(gains.values()))
    least = min(gains, key=lambda case: gains[case])
    return {
        "mean": round(float(values.mean()), 2),
        "standard error": round(float(values.std(ddof=1) / math.sqrt(len(values))), 2) if len(values) > 1 else None,
        "median": round(float(np.median(values)), 2),
        "least": round(gains[least], 2),
        "least in": least,
        "cases worse by 0.1": int((values < -0.1).sum()),
    }


def main() -> None:
    """Restore, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=SETS)
    parser.add_argument(
        "--recipes", nargs="+", default=["sparse-admm", "epll", "best"], help="the first is compared with"
    )
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
    write_rows(output.with_suffix(".csv"), rows)


if __name__ == "__main__":
    main()
