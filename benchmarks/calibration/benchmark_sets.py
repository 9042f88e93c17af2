"""Restore the field's benchmark photographs with recipes that know nothing of the kernel, and compare with the truth.

    INVKIT_DATA=... python benchmarks/calibration/benchmark_sets.py kohler --recipe fast --recipe best

Rows are appended to the table, and pictures in it are not restored again: Ctrl-C keeps what was done. PSNR of the luma
after the best shift within 10 pixels, 15 pixels cut from the borders; for Lai's set in that paper's convention (luma
from 16 to 235). Koehler's set has one of 199 reference frames here, so its figures are approximate: the reference is
aligned by a rigid motion, one intensity scale is fitted, 40 pixels are cut, PSNR over RGB.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from blurry_cases import moved
from numpy.typing import NDArray
from report import append, luma, results, rows_of
from rich.progress import track

Array = NDArray[np.float64]
Row = dict[str, str]

BORDER, MAX_SHIFT = 15, 10  # pixels
KOHLER_BORDER = 40  # pixels
STUDIO_RANGE = 219 / 255  # by which MATLAB's rgb2ycbcr scales luma


def kohler(folder: Path) -> list[Row]:
    """Two images, twelve trajectories each."""
    return [
        {
            "id": f"{image}_{number}",
            "blurry": f"{folder}/blurry/{image}_{number}.png",
            "truth": f"{folder}/reference/{image}.jpg",
        }
        for image in (1, 2)
        for number in range(1, 13)
    ]


def lai(folder: Path) -> list[Row]:
    """Lai's uniform blur: 25 images, four kernels."""
    return [
        {"id": path.stem, "blurry": str(path), "truth": str(folder / f"sharp/{path.stem.rsplit('_kernel', 1)[0]}.png")}
        for path in sorted(folder.glob("blurry_y/*.png"))
    ]


def text(folder: Path) -> list[Row]:
    """Pan's documents: 15 images, three kernels."""
    return with_sharp_stem(folder, lambda name: name.split("_ker")[0])


def low_light(folder: Path) -> list[Row]:
    """Pan's night scenes: six images, two kernels."""
    return with_sharp_stem(folder, lambda name: name.rsplit("_", 2)[0])


def with_sharp_stem(folder: Path, sharp_stem: Callable[[str], str]) -> list[Row]:
    """Rows of a folder with blurry/ and sharp/."""
    return [
        {"id": path.stem, "blurry": str(path), "truth": str(folder / f"sharp/{sharp_stem(path.stem)}.png")}
        for path in sorted(folder.glob("blurry/*.png"))
    ]


SETS: Mapping[str, tuple[str, Callable[[Path], list[Row]]]] = {
    "kohler": ("kohler", kohler),
    "lai": ("lai", lai),
    "text": ("text", text),
    "low-light": ("low_light", low_light),
}


def main(
    name: Annotated[str, typer.Argument(help=f"Set: {', '.join(SETS)}.")],
    recipe: Annotated[list[str], typer.Option(help="Recipe; may be given several times.")],
    every: Annotated[int, typer.Option(min=1, help="Restore the first of so many pictures only.")] = 1,
    table: Annotated[Path, typer.Option(help="CSV file to append to.")] = Path("benchmarked/benchmark_sets.csv"),
    processes: Annotated[int, typer.Option(min=1, help="Pictures restored at a time, with one thread each.")] = 1,
) -> None:
    """Restore and report."""
    if name not in SETS:
        raise typer.BadParameter(f"there is no set {name!r}; the sets are {', '.join(SETS)}")
    subfolder, rows = SETS[name]
    folder = Path(os.environ.get("INVKIT_DATA", "")) / subfolder
    if not os.environ.get("INVKIT_DATA") or not folder.is_dir():
        raise typer.BadParameter(f"set INVKIT_DATA to the folder that holds {subfolder}/")
    wanted = rows(folder)[::every]
    done = {(row["id"], row["recipe"]) for row in rows_of(table) if row["set"] == name} if table.exists() else set()
    tasks = [(Path(name), row, one) for row in wanted for one in recipe if (row["id"], one) not in done]
    for row in track(results(restored, tasks, processes), "Restoring", total=len(tasks), disable=not tasks):
        append(table, row)
    mine = {row["id"] for row in wanted}
    everything = [row for row in rows_of(table) if row["set"] == name and row["id"] in mine]
    for one in recipe:
        typer.echo(summary(one, [row for row in everything if row["recipe"] == one]))


def restored(name: Path, row: Mapping[str, str], recipe: str) -> dict[str, Any]:
    """The row of one picture and recipe.

    Args:
        name: of the set.
        row: its id, blurry picture and truth.
        recipe: name or file.
    """
    import invkit
    from invkit.media.images import read_image

    started = time.monotonic()
    found = invkit.deblur(Path(row["blurry"]), recipe=recipe, progress=False)
    seconds, truth = time.monotonic() - started, read_image(Path(row["truth"])).pixels
    distance = rigid_psnr if name.name == "kohler" else lai_psnr if name.name == "lai" else shifted_psnr
    return {
        "set": name.name,
        "id": row["id"],
        "recipe": recipe,
        "input": round(distance(np.asarray(found.blurry), truth), 3),
        "restored": round(distance(np.asarray(found.image), truth), 3),
        "warned": int(bool(found.details.get("warnings"))),
        "kernel": "x".join(str(side) for side in np.asarray(found.kernel).shape[-2:]),
        "seconds": round(seconds, 1),
    }


def shifted_psnr(image: Array, truth: Array, scale: float = 1.0) -> float:
    """PSNR of the luma after the best shift; ``scale`` multiplies both."""
    from invkit.numerics.registration import aligned_psnr

    return float(aligned_psnr(luma(image) * scale, luma(truth[..., :3]) * scale, border=BORDER, max_shift=MAX_SHIFT))


def lai_psnr(image: Array, truth: Array) -> float:
    """PSNR of luma from 16 to 235, as that paper's script computes it."""
    return shifted_psnr(image, truth, STUDIO_RANGE)


def rigid_psnr(image: Array, truth: Array) -> float:
    """PSNR over RGB after a rigid motion of the truth and one intensity scale (Koehler's set, approximately)."""
    from scipy.optimize import minimize
    from skimage.registration import phase_cross_correlation

    inner = (slice(KOHLER_BORDER, -KOHLER_BORDER),) * 2
    grey, still = image.mean(axis=2), truth.mean(axis=2)

    def at(motion: Array, picture: Array) -> Array:
        return moved(picture, motion[2], motion[:2], "nearest")[inner]

    def distance(motion: Array) -> float:
        return -float(np.corrcoef(at(motion, still).ravel(), grey[inner].ravel())[0, 1])

    shift = -np.asarray(phase_cross_correlation(grey[inner], still[inner], upsample_factor=4)[0])
    simplex = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0.004]]) + np.array([*shift, 0])
    best = minimize(
        distance, simplex[0], method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 1e-4, "fatol": 1e-6}
    ).x
    reference, seen = at(best, truth), image[inner]
    scale = (seen * reference).sum() / (seen**2).sum()
    return float(-10 * np.log10(((scale * seen - reference) ** 2).mean()))


def summary(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    """Means, and the share of results worse than their input."""
    before, after = (np.array([float(row[key]) for row in rows]) for key in ("input", "restored"))
    seconds, warned = np.array([float(row["seconds"]) for row in rows]), np.array([int(row["warned"]) for row in rows])
    worse = after < before - 0.2
    return (
        f"{name}: {len(rows)} pictures; input {before.mean():.2f} dB, restored {after.mean():.2f}, least gain "
        f"{(after - before).min():.1f}; worse than the input {worse.sum()}, without a warning "
        f"{(worse & (warned == 0)).sum()}; seconds: median {np.median(seconds):.0f}, largest {seconds.max():.0f}"
    )


if __name__ == "__main__":
    typer.run(main)
