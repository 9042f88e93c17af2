"""Counts of photons: the likelihood of Poisson noise against squared error, and when to stop Richardson-Lucy.

    python benchmarks/counts.py [--output FILE]

Eight pictures of scikit-image (cells, tissue, a retina, a sky, four photographs), grey, 220x220, are blurred by a
Gaussian of 1.8 pixels or by the kernel of the bundled sample. The brightest pixel of the sharp picture sends 20, 100 or
1,000 photons. The counts are divided by the largest count. Figures are the PSNR in units of the sharp picture, dB, mean
over the pictures and both kernels.

`tv`: total variation by ADMM with the fidelities 'mse' and 'poisson', each with the best of eight weights for each
picture, and the recipes 'tv-admm' and 'poisson-tv' as they are. `share better` counts pictures where 'poisson' is
better. `richardson-lucy`: after 5 and 50 steps from the data, after the best number of them, and as the recipe does it,
which starts from a smooth image and stops by itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from grey_pictures import grey_picture, seen_part
from results_file import command_line, print_rows, run_facts, write_results
from rich.progress import track
from scipy.signal import fftconvolve

import invkit
from invkit.core.problem import Problem
from invkit.core.solver import Observer, State
from invkit.datasets.samples import sample_path

PICTURES = ("cell", "retina", "hubble_deep_field", "immunohistochemistry", "camera", "coffee", "astronaut", "coins")
SMALLEST_WEIGHTS = {20: 0.02, 100: 0.005, 1000: 0.0015}  # by the photons of the brightest pixel
WEIGHT_STEP, WEIGHTS, POISSON_FACTOR = 1.6, 8, 1.5
SIDE, STEPS = 220, 50

Floats = npt.NDArray[np.float32]


class Scene:
    """A sharp picture, its counts, and what one unit of the data is in units of the sharp picture."""

    def __init__(self, name: str, kernel: Floats, peak: int) -> None:
        grey = grey_picture(name)
        top, left = ((side - SIDE) // 2 for side in grey.shape)
        sharp = grey[top : top + SIDE, left : left + SIDE]
        sharp = sharp / sharp.max()
        blurred = fftconvolve(sharp, kernel, mode="valid").clip(0)
        counts = np.random.default_rng(0).poisson(peak * blurred)
        self.sharp = seen_part(sharp, kernel)
        self.data, self.unit = (counts / counts.max()).astype(np.float32), counts.max() / peak
        self.kernel = kernel

    def psnr(self, image: npt.ArrayLike) -> float:
        """Of an image in the data's units, the size of the data or with their margins, dB."""
        values = np.asarray(image, dtype=np.float64)
        top, left = ((have - need + 1) // 2 for have, need in zip(values.shape, self.sharp.shape, strict=True))
        height, width = self.sharp.shape
        error = (values[top : top + height, left : left + width] * self.unit).clip(0, 1) - self.sharp
        return float(-10 * np.log10(np.mean(error**2)))

    def restored(self, recipe: str, *overrides: str, observers: tuple[Observer, ...] = ()) -> float:
        """The PSNR of a recipe with other settings."""
        result = invkit.deconvolve(
            self.data,
            self.kernel,
            recipe=recipe,
            overrides=overrides,
            observers=observers,
            whole_picture=True,
            progress=False,
        )
        return self.psnr(np.asarray(result.image).squeeze())


class Quality(Observer):
    """The PSNR after each step."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.found: list[float] = []

    def stepped(self, problem: Problem, state: State) -> None:
        """Measure it."""
        image = state.estimate()[0][0, 0].numpy()
        self.found.append(self.scene.psnr(seen_part(image, self.scene.kernel)))


def scenes(peak: int) -> Iterator[Scene]:
    """Every picture under both kernels."""
    along = np.exp(-(np.arange(-6.0, 7.0) ** 2) / (2 * 1.8**2))
    gaussian = (np.outer(along, along) / along.sum() ** 2).astype(np.float32)
    for kernel in (gaussian, np.load(sample_path("coffee-kernel"))):
        for name in PICTURES:
            yield Scene(name, kernel, peak)


def with_variation(scene: Scene, peak: int) -> dict[str, float]:
    """The PSNR of both fidelities at their best weights, and of the recipes."""
    found = {"tv-admm": scene.restored("tv-admm"), "poisson-tv": scene.restored("poisson-tv")}
    for fidelity, factor in (("mse", 1.0), ("poisson", POISSON_FACTOR)):
        settings = (f"fidelity={fidelity}", "regularizers.0.scale_by=one", "regularizers.0.min_weight=0")
        weights = [factor * SMALLEST_WEIGHTS[peak] * WEIGHT_STEP**power for power in range(WEIGHTS)]
        found[fidelity] = max(
            scene.restored("poisson-tv", *settings, f"regularizers.0.weight={weight:.4g}") for weight in weights
        )
    return found


def with_steps(scene: Scene) -> dict[str, float]:
    """The PSNR of Richardson-Lucy after some steps."""
    quality = Quality(scene)
    scene.restored("richardson-lucy", "solver.stop=never", f"solver.iterations={STEPS}", observers=(quality,))
    stopped = Quality(scene)
    scene.restored("richardson-lucy", observers=(stopped,))
    steps = quality.found
    return {
        "5 steps": steps[4],
        "50 steps": steps[-1],
        "best": max(steps),
        "stopped": stopped.found[-1],
        "its steps": float(len(stopped.found)),
    }


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure over the scenes."""
    return {name: round(float(np.mean([row[name] for row in rows])), 2) for name in rows[0]}


def measured() -> dict[str, list[dict[str, Any]]]:
    """A row for each number of photons, of both tables."""
    tables: dict[str, list[dict[str, Any]]] = {"tv": [], "richardson-lucy": []}
    for peak in SMALLEST_WEIGHTS:
        every = list(scenes(peak))
        rows = [with_variation(scene, peak) for scene in track(every, f"{peak} photons")]
        gains = [row["poisson"] - row["mse"] for row in rows]
        spread = {"smallest gain": round(min(gains), 2), "largest gain": round(max(gains), 2)}
        better = {"share better": round(float(np.mean([gain > 0 for gain in gains])), 2)}
        tables["tv"].append({"photons": peak, **means(rows), **spread, **better})
        tables["richardson-lucy"].append({"photons": peak, **means([with_steps(scene) for scene in every])})
    return tables


def main() -> None:
    """Print the figures, and write them if asked to."""
    output = command_line(__doc__).parse_args().output
    warnings.simplefilter("ignore", UserWarning)
    tables = measured()
    print_rows(tables)
    write_results(output, {**run_facts(), **tables})


if __name__ == "__main__":
    main()
