"""How well the noise estimators do: photographs with noise added that is known.

    python benchmarks/noise.py [--output FILE]

The photographs are scikit-image's, shrunk by 2 and by 4, which takes most of their own noise and their rounding to 8
bits (0.0011) away; sharp, and blurred by the kernel of the bundled sample, which takes the rest away. "8 bit" is
clipped to [0, 1] and rounded to 8 bits after the noise is added; the rounding is then part of the noise to be found.
With INVKIT_DATA set, Levin's sharp images are added as they are (rounding is in the noise to be found), and what is
found in Levin's blurry ones, whose noise nobody knows, is printed. Figures are estimate / truth, mean over the seeds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from results_file import command_line, run_facts, write_results

from invkit.core.errors import InputError
from invkit.datasets.samples import sample_path
from invkit.numerics.noise import NoiseMethod, estimate_sigma

PHOTOGRAPHS = ("coffee", "camera", "astronaut", "chelsea")
METHODS: tuple[NoiseMethod, ...] = ("zoran-weiss", "patch-covariance")
SIGMAS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
SEEDS = 3
ROUNDING = 1 / 255 / np.sqrt(12)
TOLERANCE = 0.15

Floats = npt.NDArray[np.float64]


def photographs() -> Iterator[tuple[str, Floats, float]]:
    """Name, grey image (H, W) in [0, 1], and the std of the rounding still in it."""
    import skimage.data
    from skimage.transform import rescale

    for name in PHOTOGRAPHS:
        picture = getattr(skimage.data, name)() / 255
        grey = picture if picture.ndim == 2 else picture @ np.array([0.299, 0.587, 0.114])
        for factor in (2, 4):
            yield f"{name}/{factor}", rescale(grey, 1 / factor, anti_aliasing=True), 0.0
    for file in levin("sharp"):
        yield f"levin {file.stem}", read(file), ROUNDING


def levin(folder: str) -> list[Path]:
    """Levin's files, none where INVKIT_DATA is not set."""
    root = os.environ.get("INVKIT_DATA")
    return sorted((Path(root) / "levin" / folder).glob("*.png")) if root else []


def read(file: Path) -> Floats:
    from PIL import Image

    with Image.open(file) as image:
        return np.asarray(image.convert("L")) / 255


def cases() -> Iterator[tuple[str, str, Floats, float]]:
    """Photograph, state, clean image and rounding in it: sharp and blurred."""
    from scipy.signal import fftconvolve

    kernel = np.load(sample_path("coffee-kernel"))
    for name, image, rounding in photographs():
        yield name, "sharp", image, rounding
        yield name, "blurred", fftconvolve(image, kernel, mode="valid"), 0.0  # a blur averages the rounding away


def ratio(clean: Floats, rounding: float, sigma: float, eight_bit: bool, method: NoiseMethod) -> float:
    """Mean over the seeds of estimate / truth; NaN where the method gives up."""
    ratios = []
    for seed in range(SEEDS):
        noisy = clean + sigma * np.random.default_rng(seed).normal(size=clean.shape)
        truth = np.hypot(sigma, rounding)
        if eight_bit:
            noisy, truth = np.round(np.clip(noisy, 0, 1) * 255) / 255, np.hypot(truth, ROUNDING)
        try:
            ratios.append(estimate_sigma(noisy, method) / truth)
        except InputError:
            return float("nan")
    return float(np.mean(ratios))


def table(method: NoiseMethod) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    print(f"\n{method}: estimate / truth\n{'':26s}" + "".join(f"{s:>8g}" for s in SIGMAS))
    for name, state, clean, rounding in cases():
        for eight_bit in (False, True):
            ratios = [ratio(clean, rounding, sigma, eight_bit, method) for sigma in SIGMAS]
            kind = "8 bit" if eight_bit else "float"
            marks = "".join(f"{r:7.2f}" + (" " if abs(r - 1) <= TOLERANCE else "*") for r in ratios)
            print(f"{name:12s}{state:8s}{kind:6s}{marks}", flush=True)
            rows.append({"photograph": name, "state": state, "values": kind, "ratios": [round(r, 3) for r in ratios]})
    return rows


def shares(rows: list[dict[str, object]]) -> dict[str, str]:
    """How many figures are within the tolerance, by state and kind."""
    found = {}
    for state in ("sharp", "blurred"):
        for kind in ("float", "8 bit"):
            chosen = [row["ratios"] for row in rows if (row["state"], row["values"]) == (state, kind)]
            close = np.abs(np.array(chosen) - 1) <= TOLERANCE
            found[f"{state}, {kind}"] = f"{close.sum()} of {close.size}"
    return found


def seconds(method: NoiseMethod) -> float:
    """For a megapixel in grey; the second of two calls."""
    image = np.random.default_rng(0).normal(0.5, 0.01, size=(1000, 1000))
    for _ in range(2):
        start = time.perf_counter()
        estimate_sigma(image, method)
    return time.perf_counter() - start


def main() -> None:
    output: Path = command_line(__doc__, Path(__file__).parent / "results" / "noise.json").parse_args().output
    report: dict[str, object] = {**run_facts(), "sigmas": SIGMAS, "seeds": SEEDS}
    for method in METHODS:
        rows = table(method)
        report[method] = {
            "within 15 %": shares(rows),
            "seconds for a megapixel": round(seconds(method), 3),
            "rows": rows,
        }
        print(f"within 15 %: {shares(rows)}; a megapixel takes {seconds(method):.2f} s")
    found = {file.stem: round(estimate_sigma(read(file)), 5) for file in levin("blurry")}
    if found:
        values = list(found.values())
        print(f"\nLevin's blurry images: {min(values)} to {max(values)} (rounding to 8 bits alone: {ROUNDING:.5f})")
        report["found in Levin's blurry images"] = found
    write_results(output, report)


if __name__ == "__main__":
    main()
