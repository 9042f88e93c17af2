"""The classical recipes on the 32 images of Levin et al. (CVPR 2009), blind and with the true kernels.

    INVKIT_DATA=... python benchmarks/classical_levin.py [--recipes fast-map pmp] [--sizes true]

PSNR and SSIM by Levin's protocol (15 pixels cut from each border, shifts within 10 pixels in steps of a quarter,
bilinear) of the image that a recipe gives; error ratio: its summed squared error over that of the deconvolution with
the true kernel that comes with the data. The kernel size given is the true one rounded up to odd, plus 4, or, with
``--sizes true``, the true one. Seconds are of processor time with one thread, and contain everything from the array
in memory to the restored array. Every blind recipe ends with the same deconvolution, the recipe sparse-admm.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

import invkit
from invkit.deblurring import prepare
from invkit.errors import InputError
from invkit.media.images import read_image
from invkit.metrics.aligned import align, psnr, ssd, ssim

NONBLIND = (
    "wiener",
    "hyper-laplacian",
    "tv-admm",
    "richardson-lucy",
    "sparse-irls",
    "sparse-admm",
)
BLIND = (
    "chan-wong-tv",
    "perrone-favaro",
    "cho-lee",
    "xu-jia",
    "krishnan",
    "xu-l0",
    "pan-l0",
    "pan-dark-channel",
    "pmp",
    "fast-map",
)
TURNED = (1, 2, 3, 5, 6, 7)  # kernel files that hold correlation kernels


def levin() -> Path:
    folder = Path(os.environ.get("INVKIT_DATA", "")) / "levin"
    if not os.environ.get("INVKIT_DATA") or not folder.is_dir():
        raise InputError("set INVKIT_DATA to the folder that holds levin/blurry, levin/sharp and levin/kernels")
    return folder


def grey(path: Path) -> np.ndarray:
    """(H, W) in [0, 1]."""
    return np.asarray(read_image(path).pixels, dtype=np.float32)


def true_kernel(number: int) -> np.ndarray:
    """The true-convolution kernel, (h, w), summing to one."""
    kernel = grey(levin() / "kernels" / f"kernel{number}.png").astype(np.float64)
    kernel = kernel[::-1, ::-1] if number in TURNED else kernel
    return kernel / kernel.sum()


def run(case: tuple[str, int, int, str, tuple[str, ...]]) -> dict[str, Any]:
    """One recipe on one image."""
    recipe, image, number, sizes, overrides = case
    torch.set_num_threads(1)
    data = grey(levin() / "blurry" / f"im{image}_kernel{number}_img.png")
    truth = grey(levin() / "sharp" / f"im{image}.png")
    kernel = true_kernel(number)
    side = max(kernel.shape) // 2 * 2 + 1
    given: dict[str, Any] = {"kernel": kernel} if recipe in NONBLIND else {}
    if recipe not in NONBLIND:
        given["kernel_size"] = side if sizes == "true" else side + 4
    begun = time.process_time()
    result = prepare(data, recipe=recipe, overrides=overrides, **given).run()
    seconds = time.process_time() - begun
    crops = align(result.image, truth, max_shift=10)
    known = grey(known_result(image, number))
    reference = align(known, truth, max_shift=10)
    return {
        "recipe": recipe,
        "image": image,
        "kernel": number,
        "kernel_size": "x".join(map(str, np.shape(result.kernel))),
        "psnr": round(psnr(crops.estimate, crops.truth), 3),
        "ssim": round(ssim(crops.estimate, crops.truth), 4),
        "error_ratio": round(ssd(crops.estimate, crops.truth) / ssd(reference.estimate, reference.truth), 3),
        "cpu_seconds": round(seconds, 3),
    }


def known_result(image: int, number: int) -> Path:
    """The deconvolution with the true kernel that comes with the data."""
    found = sorted((levin() / "results" / "known_kernel").glob(f"im{image}_kernel{number}*"))
    if not found:
        raise InputError(f"levin/results/known_kernel holds no result of image {image}, kernel {number}")
    return found[0]


def summary(recipe: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean, minimum and shares over the images of one recipe."""
    own = [row for row in rows if row["recipe"] == recipe]
    psnrs = [row["psnr"] for row in own]
    return {
        "recipe": recipe,
        "images": len(own),
        "psnr": round(statistics.mean(psnrs), 2),
        "psnr_min": round(min(psnrs), 2),
        "ssim": round(statistics.mean(row["ssim"] for row in own), 4),
        "error_ratio": round(statistics.mean(row["error_ratio"] for row in own), 2),
        "share_ratio_2": round(sum(row["error_ratio"] <= 2 for row in own) / len(own), 3),
        "cpu_seconds": round(statistics.median(row["cpu_seconds"] for row in own), 2),
    }


def kept(output: Path, recipes: list[str]) -> list[dict[str, Any]]:
    """The rows of an earlier run but those of some recipes."""
    with output.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["recipe"] not in recipes]
    whole, real = ("image", "kernel"), ("psnr", "ssim", "error_ratio", "cpu_seconds")
    return [row | {key: int(row[key]) for key in whole} | {key: float(row[key]) for key in real} for row in rows]


def write(output: Path, rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """The rows as CSV, the summary with what made it as JSON."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    report = {
        "command": " ".join(["python", *sys.argv]),
        "invkit": invkit.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "sizes": arguments.sizes,
        "summary": [summary(recipe, rows) for recipe in recipes],
    }
    output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=[*NONBLIND, *BLIND])
    parser.add_argument("--sizes", choices=["plus4", "true"], default="plus4")
    parser.add_argument("--images", nargs="+", type=int, default=[1, 2, 3, 4])
    parser.add_argument("--kernels", nargs="+", type=int, default=[1, 2, 3, 4, 5, 6, 7, 8])
    parser.add_argument("--set", dest="settings", nargs="+", default=[], help="settings for every recipe")
    parser.add_argument("--update", action="store_true", help="keep the rows of other recipes that the output has")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "classical_levin.json")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = kept(arguments.output, arguments.recipes) if arguments.update else []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for recipe in arguments.recipes:
            cases = [
                (recipe, image, kernel, arguments.sizes, tuple(arguments.settings))
                for image in arguments.images
                for kernel in arguments.kernels
            ]
            rows += list(pool.map(run, cases))
            print(json.dumps(summary(recipe, rows)), flush=True)
            write(arguments.output, rows, arguments)


if __name__ == "__main__":
    main()
