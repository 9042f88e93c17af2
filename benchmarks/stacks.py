"""Richardson-Lucy on a stack of planes: invkit's against scikit-image's, quality and seconds.

    python benchmarks/stacks.py [--output FILE] [--data FOLDER]

`bars`: the stack of `microscopy` of the benchmark data, 32x64x64, with its kernel of the same size, and the truth. The
scale of the data is unknown, so every image is multiplied by the gain that fits the truth best before its PSNR is
taken, dB. Both methods start from a constant, without acceleration and without a stop. scikit-image takes zeros beyond
the border; invkit's `circular` takes the stack as periodic, and `valid` assumes nothing. `recipe` is
`stack-richardson-lucy` as it is. `dark`: a synthetic stack of cubes whose surroundings are dark, where no border
matters; there both methods should agree. Seconds are those of the processor, with one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import fftconvolve

import invkit
from invkit.datasets.places import data_folder
from invkit.media.stacks import read_stack

ITERATIONS = (10, 25, 50)
AS_THEIRS = ("solver.stop=never", "solver.acceleration=false", "image_prior.initial=grey")

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


def ours(data: Floats, kernel: Floats, *settings: str) -> Floats:
    """The recipe with settings."""
    result = invkit.deconvolve(data, kernel, recipe="stack-richardson-lucy", overrides=settings, progress=False)
    return np.asarray(result.image)


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
    found = []
    for method, solve in methods.items():
        image, seconds = timed(solve)
        found.append(
            {"stack": name, "method": method, "psnr": round(psnr(image, truth), 2), "seconds": round(seconds, 2)}
        )
        print("  ".join(f"{key} {value}" for key, value in found[-1].items()), flush=True)
    return found


def main() -> None:
    """Print the figures, and write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--data", type=Path, help="folder of the bars; default: microscopy/ of INVKIT_DATA")
    given = parser.parse_args()
    torch.set_num_threads(1)
    ours(np.ones((6, 6, 6)) + np.eye(6), np.ones((1, 3, 3)), "solver.iterations=1")  # imports
    found = rows("bars", *bars(given.data or data_folder() / "microscopy")) + rows("dark", *dark())
    if given.output is not None:
        facts = {"command": f"python benchmarks/stacks.py --output {given.output}", "version": invkit.__version__}
        given.output.write_text(json.dumps({**facts, "rows": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
