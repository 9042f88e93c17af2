"""Stacks of planes: invkit's methods against scikit-image's, quality and seconds, and the memory of blocks and tiles.

    python benchmarks/stacks.py [--output FILE] [--data FOLDER]

`bars`: the stack of `microscopy` of the benchmark data, 32x64x64, with its kernel of the same size, and the truth. The
scale of the data is unknown, so every image is multiplied by the gain that fits the truth best before its PSNR is
taken, dB. Both methods start from a constant, without acceleration and without a stop. scikit-image takes zeros beyond
the border; invkit's `circular` takes the stack as periodic, and `valid` assumes nothing. `recipe` is
`stack-richardson-lucy` as it is. `stack-wiener` and `stack-tv-admm` are these recipes as they are, with the weights of
`benchmarks/stack_weights.py`; scikit-image's `wiener` has no default weight, so several are tried. `dark`: a synthetic
stack of cubes whose surroundings are dark, where no border matters; there both methods of Richardson-Lucy should agree.
Seconds are those of the processor, with one thread.

`memory`: the highest memory of a process during a restoration of 64x320x320 voxels with a kernel of 11x13x13, beyond
what it had before, whole and in blocks or tiles; what the solver says that it needs; and how far the image is from that
of the whole, root mean square as a share of the brightest voxel of the whole. Richardson-Lucy takes ten steps.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import torch
from results_file import command_line, run_facts, write_results
from scipy.signal import fftconvolve

import invkit
from invkit.core.memory import memory_needed
from invkit.datasets.places import data_folder
from invkit.media.stacks import read_stack
from invkit.pipeline.job import prepare

ITERATIONS = (10, 25, 50)
AS_THEIRS = ("solver.stop=never", "solver.acceleration=false", "image_prior.initial=grey")

BALANCES = (0.001, 0.01, 0.1, 1.0)
IN_PARTS = {
    "stack-richardson-lucy": (
        "solver.block_voxels=100000000",
        "solver.block_voxels=2000000",
        "solver.block_voxels=500000",
    ),
    "stack-wiener": ("solver.tile_size=1000", "solver.tile_size=128", "solver.tile_size=64"),
    "stack-tv-admm": ("solver.tile_size=1000", "solver.tile_size=128", "solver.tile_size=64"),
}
"""Settings of the recipes: the whole first, then parts."""

Floats = npt.NDArray[Any]


def bars(folder: Path) -> tuple[Floats, Floats, Floats]:
    """Data, kernel and truth."""
    data, kernel, truth = (read_stack(folder / f"bars_{name}.tif").values for name in ("data", "kernel", "actual"))
    return data, kernel / kernel.sum(dtype=np.float64), truth


def dark() -> tuple[Floats, Floats, Floats]:
    """Data, kernel and truth of cubes in the dark, with the noise of photons."""
    draw = np.random.default_rng(0)
    along = [np.exp(-(np.arange(-n, n + 1.0) ** 2) / (2 * s**2)) for n, s in ((6, 2.0), (4, 1.3), (4, 1.3))]
    kernel = along[0][:, None, None] * along[1][None, :, None] * along[2][None, None, :]
    kernel /= kernel.sum()
    truth = np.zeros((40, 64, 64))
    for plane, row, column in draw.integers((14, 14, 14), (24, 46, 46), (20, 3)):
        truth[plane : plane + 4, row : row + 4, column : column + 4] = draw.uniform(500, 2000)
    data = draw.poisson(fftconvolve(truth, kernel, mode="same").clip(0)).astype(np.float64)
    return data, kernel, truth


def psnr(image: Floats, truth: Floats) -> float:
    """After the best gain, dB."""
    image, truth = (np.asarray(one, dtype=np.float64) for one in (image, truth))
    gain = (image * truth).sum() / np.square(image).sum()
    return float(10 * np.log10(truth.max() ** 2 / np.mean((gain * image - truth) ** 2)))


def timed(what: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and the processor's seconds."""
    begun = time.process_time()
    found = what()
    return found, time.process_time() - begun


def theirs(data: Floats, kernel: Floats, iterations: int) -> Floats:
    """scikit-image's, which wants values near one and starts from one half."""
    from skimage.restoration import richardson_lucy

    scale = 2 * data.mean()
    found: Floats = richardson_lucy(data / scale, kernel, num_iter=iterations, clip=False) * scale
    return found


def their_wiener(data: Floats, kernel: Floats, balance: float) -> Floats:
    """scikit-image's Wiener filter with the squared Laplacian as its regularizer, times ``balance``."""
    from skimage.restoration import wiener

    found: Floats = wiener(data / data.max(), kernel, balance, clip=False)
    return np.asarray(found.clip(0) * data.max())


def ours(data: Floats, kernel: Floats, *settings: str, recipe: str = "stack-richardson-lucy") -> Floats:
    """A recipe with settings."""
    return np.asarray(invkit.deconvolve(data, kernel, recipe=recipe, overrides=settings, progress=False).image)


def rows(name: str, data: Floats, kernel: Floats, truth: Floats) -> list[dict[str, Any]]:
    """A row for each method."""
    methods: dict[str, Callable[[], Floats]] = {"data": lambda: data}
    for count in ITERATIONS:
        methods[f"scikit-image, {count}"] = lambda count=count: theirs(data, kernel, count)  # type: ignore[misc]
        for padding in ("circular", "valid"):
            settings = (*AS_THEIRS, f"solver.iterations={count}", f"operator.padding={padding}")
            methods[f"invkit {padding}, {count}"] = lambda settings=settings: ours(data, kernel, *settings)  # type: ignore[misc]
    methods["recipe"] = lambda: ours(data, kernel)
    methods["recipe, periodic"] = lambda: ours(data, kernel, "operator.padding=circular")
    for balance in BALANCES:
        methods[f"scikit-image wiener, {balance:g}"] = lambda balance=balance: their_wiener(data, kernel, balance)  # type: ignore[misc]
    for recipe in ("stack-wiener", "stack-tv-admm"):
        methods[recipe] = lambda recipe=recipe: ours(data, kernel, recipe=recipe)  # type: ignore[misc]
    found = []
    for method, solve in methods.items():
        image, seconds = timed(solve)
        found.append(
            {"stack": name, "method": method, "psnr": round(psnr(image, truth), 2), "seconds": round(seconds, 2)}
        )
        print("  ".join(f"{key} {value}" for key, value in found[-1].items()), flush=True)
    return found


def large() -> tuple[Floats, Floats]:
    """Data and kernel of a large stack: blocks of light, with the noise of photons, and a Gaussian."""
    draw = np.random.default_rng(0)
    along = [np.exp(-np.square(np.linspace(-2, 2, taps))) for taps in (11, 13, 13)]
    kernel = along[0][:, None, None] * along[1][None, :, None] * along[2][None, None, :]
    light = 100 * np.kron(draw.uniform(0, 1, (8, 20, 20)) ** 4, np.ones((8, 16, 16)))
    return draw.poisson(light).astype(np.float32), kernel / kernel.sum()


def measured(recipe: str, setting: str) -> tuple[float, float, float, Floats]:
    """Megabytes at the highest, megabytes that the solver said, seconds, and the image; in a process of its own."""
    torch.set_num_threads(1)
    ours(np.ones((6, 16, 16)) + np.eye(16), np.ones((3, 3, 3)), recipe=recipe)  # imports
    data, kernel = large()
    process, begun = psutil.Process(), time.process_time()
    before, seen, ended = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    settings = [setting, *(["solver.iterations=10", "solver.stop=never"] if "lucy" in recipe else [])]
    job = prepare(data, recipe=recipe, kernel=kernel, overrides=settings)
    said, result = memory_needed(job.assembly.solver, job.assembly.problem), job.run()
    ended.set()
    watcher.join()
    return (max(seen) - before) / 1e6, said / 1e6, time.process_time() - begun, np.asarray(result.image)


def memory() -> list[dict[str, Any]]:
    """A row for each recipe and setting of `IN_PARTS`."""
    found = []
    for recipe, settings in IN_PARTS.items():
        whole: Floats | None = None
        for setting in settings:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                highest, said, seconds, image = pool.apply(measured, (recipe, setting))
            whole = image if whole is None else whole
            apart = float(np.sqrt(np.mean((image - whole) ** 2)) / whole.max())
            found.append(
                {
                    "recipe": recipe,
                    "setting": setting,
                    "megabytes": round(highest),
                    "of the solve, as told": round(said),
                    "seconds": round(seconds, 1),
                    "apart from the whole": float(f"{apart:.1e}"),
                }
            )
            print("  ".join(f"{key} {value}" for key, value in found[-1].items()), flush=True)
    return found


def main() -> None:
    """Print the figures, and write them if asked to."""
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, help="folder of the bars; default: microscopy/ of INVKIT_DATA")
    given = parser.parse_args()
    torch.set_num_threads(1)
    ours(np.ones((6, 6, 6)) + np.eye(6), np.ones((1, 3, 3)), "solver.iterations=1")  # imports
    found = rows("bars", *bars(given.data or data_folder() / "microscopy")) + rows("dark", *dark())
    write_results(given.output, {**run_facts(), "rows": found, "memory": memory()})


if __name__ == "__main__":
    main()
