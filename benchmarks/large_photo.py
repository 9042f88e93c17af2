"""Time and memory that a large colour photograph takes, from the command to the files it writes.

    python benchmarks/large_photo.py [--megapixels 12] [--kernel-size 65] [--recipes sparse-admm wiener] [--threads 2]
                                      [--set solver.params.overlap=0.5 ...]
    python benchmarks/large_photo.py --blind --recipes fast --output benchmarks/results/large_photo_blind.json

The photograph is the bundled sample, enlarged twice and continued by mirror images, blurred by a random motion, with
noise of 0.003 and rounding to 8 bits. Each recipe is one process, ``invkit deconvolve``, or ``invkit deblur`` without
the kernel: reading the PNG, the noise level, the deconvolution of three channels and writing the results are in the
seconds, and so are the imports. Peak memory is the process's, libraries included. PSNR is that of all channels and
pixels, unaligned; of a blind restoration, which may be shifted, of the middle of its green channel, aligned.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

RECIPES = ("sparse-admm", "tv-admm", "hyper-laplacian", "wiener")
SIGMA, SEED = 0.003, 0
ASPECT = 4 / 3
MIDDLE = 1024  # pixels
RESULTS = Path(__file__).parent / "results" / "large_photo.json"

Floats = npt.NDArray[np.float32]


def sharp(height: int, width: int) -> Floats:
    """The sample twice as large and continued by mirror images, (height, width, 3) in [0, 1]."""
    from PIL import Image

    from invkit.samples import sample_path

    sample = Image.open(sample_path("coffee-sharp")).convert("RGB")
    twice = np.asarray(sample.resize((2 * sample.width, 2 * sample.height), Image.Resampling.BICUBIC))
    missing = ((0, max(0, height - twice.shape[0])), (0, max(0, width - twice.shape[1])), (0, 0))
    return np.pad(twice, missing, mode="symmetric")[:height, :width].astype(np.float32) / 255


def motion(size: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A kernel (size, size), summing to one, of a path whose direction drifts; it reaches from side to side."""
    speed = rng.normal(size=(4000, 2)).cumsum(0)
    speed = 0.03 * speed + rng.normal(size=2) * speed.std()
    path = speed.cumsum(0)
    path = (path - path.min(0)) / np.ptp(path, axis=0).max() * (size - 3)
    path = path + (size - 2 - path.max(0)) / 2
    whole = np.floor(path).astype(int)
    part, kernel = path - whole, np.zeros((size, size))
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = np.abs(1 - row - part[:, 0]) * np.abs(1 - column - part[:, 1])
        np.add.at(kernel, (whole[:, 0] + row, whole[:, 1] + column), share)
    return np.asarray(kernel / kernel.sum())


def blurred(image: Floats, kernel: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The photograph that the camera takes: (H - h + 1, W - w + 1, 3)."""
    import torch

    from invkit.operators.convolution import Convolution

    taps = torch.from_numpy(kernel.astype(np.float32))[None, None]
    planes = [Convolution()(torch.from_numpy(image[None, None, ..., c]), taps)[0, 0].numpy() for c in range(3)]
    picture = np.stack(planes, -1)
    picture += SIGMA * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.asarray((picture.clip(0, 1) * 255).round(), dtype=np.uint8)


def make(folder: Path, megapixels: float, size: int) -> Floats:
    """Write photo.png and kernel.npy; the truth under the photograph, (H, W, 3)."""
    from PIL import Image

    height = round((megapixels * 1e6 / ASPECT) ** 0.5)
    width, rng = round(height * ASPECT), np.random.default_rng(SEED)
    image, kernel = sharp(height + size - 1, width + size - 1), motion(size, rng)
    Image.fromarray(blurred(image, kernel, rng)).save(folder / "photo.png", compress_level=1)
    np.save(folder / "kernel.npy", kernel)
    before = size - 1 - size // 2
    return image[before : before + height, before : before + width]


def measured(
    folder: Path, recipe: str, settings: list[str], threads: int, truth: Floats, blind: bool
) -> dict[str, Any]:
    """One recipe in a process of its own."""
    known = [] if blind else ["--kernel", "kernel.npy"]
    files = ["deblur" if blind else "deconvolve", "photo.png", *known]
    files += ["--recipe", recipe, "--output", recipe, "--device", "cpu"]
    files += [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-c", "from invkit.cli import main; main()", *files]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    load, begun = os.getloadavg()[0], time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds, process.returncode = time.perf_counter() - begun, os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{recipe} failed with status {process.returncode}")
    measure = aligned if blind else psnr
    summary = json.loads((folder / recipe / "result.json").read_text())
    return {
        "recipe": recipe,
        "seconds": round(seconds, 1),
        "solver_seconds": round(summary["seconds"], 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gigabytes": round(usage.ru_maxrss * 1024 / 1e9, 2),
        "psnr_before": round(measure(folder / "photo.png", truth), 2),
        "psnr_after": round(measure(folder / recipe / "image.png", truth), 2),
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

    from invkit.alignment import aligned_psnr

    picture = np.asarray(Image.open(path), dtype=np.float32) / 255
    top, left = (max(0, side - MIDDLE) // 2 for side in truth.shape[:2])
    parts = [torch.from_numpy(np.ascontiguousarray(x[top:, left:][:MIDDLE, :MIDDLE, 1])) for x in (picture, truth)]
    return aligned_psnr(*parts, border=15, max_shift=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--kernel-size", type=int, default=65, help="pixels")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--blind", action="store_true", help="without the kernel and its size: invkit deblur")
    parser.add_argument("--set", nargs="+", default=[], metavar="PATH=VALUE", help="changes of each recipe")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = []
    with TemporaryDirectory() as name:
        truth = make(Path(name), options.megapixels, options.kernel_size)
        for recipe in options.recipes:
            rows.append(measured(Path(name), recipe, options.set, options.threads, truth, options.blind))
            print(json.dumps(rows[-1]), flush=True)
    setting = {"width": truth.shape[1], "height": truth.shape[0], "kernel_size": options.kernel_size, "sigma": SIGMA}
    machine = {"cpus": os.cpu_count(), "threads": options.threads, "platform": platform.platform()}
    versions = {"python": platform.python_version(), **{name: version(name) for name in ("invkit", "torch", "numpy")}}
    whole = {"setting": setting, "machine": machine, "versions": versions, "rows": rows}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
