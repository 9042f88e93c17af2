"""Time and memory that colour photographs take, from the command to the files it writes, over their size.

    python benchmarks/large_photo.py [--megapixels 12] [--recipes sparse-admm fast] [--threads 2]
                                      [--set solver.params.overlap=0.5 ...] [--output mine.json]

The photograph is the bundled sample, enlarged twice and continued by mirror images, blurred by a random motion of 65
pixels, or of an eighth of the shorter side where that is less, with noise of 0.003 and rounding to 8 bits. Each recipe
is one process: ``invkit deconvolve``, or ``invkit deblur`` without the kernel and its size for a blind recipe. Reading
the PNG, the noise level, the restoration of three channels and writing the results are in the seconds, and so are the
imports. Peak memory is the process's, libraries included. PSNR is that of all channels and pixels, unaligned; of a
blind restoration, which may be shifted, of the middle of its green channel, aligned. Without options: the committed
figures and their picture. What was measured is written after each restoration.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from make_sample import rasterise

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RECIPES = ("wiener", "hyper-laplacian", "tv-admm", "sparse-admm", "fast")
MEGAPIXELS = (0.06, 1.0, 4.0, 12.0, 24.0)
KERNEL = 65  # pixels, and at most an eighth of the shorter side
SIGMA, SEED = 0.003, 0
ASPECT = 4 / 3
MIDDLE = 1024  # pixels
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "large_photo.json"
FIGURE = ROOT / "docs" / "_static" / "large_photo.png"

Floats = npt.NDArray[np.float32]


def sharp(height: int, width: int) -> Floats:
    """The sample twice as large and continued by mirror images, (height, width, 3) in [0, 1]."""
    from PIL import Image

    from invkit.datasets.samples import sample_path

    sample = Image.open(sample_path("coffee-sharp")).convert("RGB")
    twice = np.asarray(sample.resize((2 * sample.width, 2 * sample.height), Image.Resampling.BICUBIC))
    missing = ((0, max(0, height - twice.shape[0])), (0, max(0, width - twice.shape[1])), (0, 0))
    whole: Floats = np.pad(twice, missing, mode="symmetric")[:height, :width].astype(np.float32)
    return whole / np.float32(255)


def motion(size: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A kernel (size, size), summing to one, of a path whose direction drifts; it reaches from side to side."""
    speed = rng.normal(size=(4000, 2)).cumsum(0)
    speed = 0.03 * speed + rng.normal(size=2) * speed.std()
    path = speed.cumsum(0)
    path = (path - path.min(0)) / np.ptp(path, axis=0).max() * (size - 3)
    return rasterise(path + (size - 2 - path.max(0)) / 2, size)


def blurred(image: Floats, kernel: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The photograph that the camera takes: (H - h + 1, W - w + 1, 3)."""
    import torch

    from invkit.operators.convolution import Convolution

    taps = torch.from_numpy(kernel.astype(np.float32))[None, None]
    planes = [Convolution()(torch.from_numpy(image[None, None, ..., c]), taps)[0, 0].numpy() for c in range(3)]
    picture = np.stack(planes, -1)
    picture += SIGMA * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.asarray((picture.clip(0, 1) * 255).round(), dtype=np.uint8)


@dataclass(frozen=True)
class Photo:
    """A photograph in a folder of its own.

    Attributes:
        folder: holds photo.png and kernel.npy.
        megapixels: of the photograph.
        truth: what lies under it, (H, W, 3) in [0, 1].
        kernel_size: pixels.
    """

    folder: Path
    megapixels: float
    truth: Floats
    kernel_size: int


def make(folder: Path, megapixels: float) -> Photo:
    """Write photo.png and kernel.npy."""
    from PIL import Image

    height = round((megapixels * 1e6 / ASPECT) ** 0.5)
    width, rng = round(height * ASPECT), np.random.default_rng(SEED)
    size = min(KERNEL, height // 16 * 2 + 1)
    image, kernel = sharp(height + size - 1, width + size - 1), motion(size, rng)
    folder.mkdir(parents=True)
    Image.fromarray(blurred(image, kernel, rng)).save(folder / "photo.png", compress_level=1)
    np.save(folder / "kernel.npy", kernel)
    before = size - 1 - size // 2
    return Photo(folder, megapixels, image[before : before + height, before : before + width], size)


def measured(photo: Photo, recipe: str, settings: Sequence[str], threads: int) -> dict[str, Any]:
    """One recipe in a process of its own."""
    from invkit.recipes.model import load_recipe

    blind, folder = not load_recipe(recipe).is_nonblind, photo.folder
    files = ["deblur", "photo.png"] if blind else ["deconvolve", "photo.png", "--kernel", "kernel.npy"]
    files += ["--recipe", recipe, "--output", recipe, "--device", "cpu"]
    files += [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-c", "from invkit.apps.cli.main import main; main()", *files]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    load, begun = os.getloadavg()[0], time.perf_counter()
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=null, stderr=null)
    _, status, usage = os.wait4(process.pid, 0)
    seconds, process.returncode = time.perf_counter() - begun, os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{recipe} failed with status {process.returncode}: invkit {' '.join(files)}")
    measure = aligned if blind else psnr
    summary = json.loads((folder / recipe / "result.json").read_text())
    return {
        "megapixels": photo.megapixels,
        "kernel_size": photo.kernel_size,
        "recipe": recipe,
        "blind": blind,
        "seconds": round(seconds, 1),
        "solver_seconds": round(summary["seconds"], 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gigabytes": round(usage.ru_maxrss * 1024 / 1e9, 2),
        "psnr_before": round(measure(folder / "photo.png", photo.truth), 2),
        "psnr_after": round(measure(folder / recipe / "image.png", photo.truth), 2),
        "load_before": round(load, 1),
        "command": " ".join(["invkit", *files]),
    }


def psnr(path: Path, truth: Floats) -> float:
    from PIL import Image

    difference = np.asarray(Image.open(path), dtype=np.float32) / 255 - truth
    return float(-10 * np.log10(np.square(difference, dtype=np.float64).mean()))


def aligned(path: Path, truth: Floats) -> float:
    """Of the green channel of the middle, at the shift of least error."""
    import torch
    from PIL import Image

    from invkit.numerics.registration import aligned_psnr

    picture = np.asarray(Image.open(path), dtype=np.float32) / 255
    top, left = (max(0, side - MIDDLE) // 2 for side in truth.shape[:2])
    parts = [torch.from_numpy(np.ascontiguousarray(x[top:, left:][:MIDDLE, :MIDDLE, 1])) for x in (picture, truth)]
    return aligned_psnr(*parts, border=15, max_shift=10)


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row after the other, the smallest photograph first, with a bar and the time left by the pixels to do."""
    from rich.progress import track

    jobs = [(size, recipe) for size in sorted(options.megapixels) for recipe in options.recipes]
    with TemporaryDirectory() as name:
        photo = None
        for size, recipe in track(jobs, "photographs"):
            if photo is None or photo.megapixels != size:
                photo = make(Path(name) / f"{size:g}", size)
            yield measured(photo, recipe, options.set, options.threads)


def draw(found: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Seconds and peak memory over the megapixels."""
    from matplotlib.figure import Figure

    from invkit.benchmark.style import plain_axes, styled

    with styled():
        figure = Figure(figsize=(9.6, 4.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, what, unit in ((left, "seconds", "seconds"), (right, "peak_gigabytes", "peak memory, GB")):
            lines(axes, found, what)
            plain_axes(axes, "megapixels; dotted: in proportion", unit)
        left.legend()
        figure.savefig(file, dpi=150, facecolor="white")


def lines(axes: Axes, found: Sequence[Mapping[str, Any]], what: str) -> None:
    """A line of each recipe on logarithmic axes, and a dotted one that grows in proportion to the pixels."""
    from invkit.benchmark.style import MUTED_GREY, RECIPE_COLORS, RECIPE_MARKERS

    sizes = sorted({row["megapixels"] for row in found})
    for place, recipe in enumerate(dict.fromkeys(row["recipe"] for row in found)):
        own = [row for row in found if row["recipe"] == recipe]
        color, marker = RECIPE_COLORS[place % len(RECIPE_COLORS)], RECIPE_MARKERS[place % len(RECIPE_MARKERS)]
        axes.plot(
            [row["megapixels"] for row in own], [row[what] for row in own], color=color, marker=marker, label=recipe
        )
    most = 1.3 * max(row[what] for row in found)
    axes.plot([sizes[-1] / 24, sizes[-1]], [most / 24, most], color=MUTED_GREY, linestyle=":")
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def main() -> None:
    from invkit.pipeline.job import versions

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=list(MEGAPIXELS))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--set", nargs="+", default=[], metavar="PATH=VALUE", help="changes of each recipe")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    machine = {"cpus": os.cpu_count(), "threads": options.threads, "platform": platform.platform()}
    whole: dict[str, Any] = {"sigma": SIGMA, "machine": machine, "versions": versions(), "rows": []}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for row in rows(options):
        print(json.dumps(row), flush=True)
        whole["rows"].append(row)
        options.output.write_text(json.dumps(whole, indent=1) + "\n")
    if options.output == RESULTS:
        draw(whole["rows"], FIGURE)


if __name__ == "__main__":
    main()
