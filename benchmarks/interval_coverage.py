"""How many true pixels lie in the 90 % intervals of `uncertainty=True`, and the constants that make it nine in ten.

    python benchmarks/interval_coverage.py measure --output benchmarks/results/coverage.json
    python benchmarks/interval_coverage.py learn --output benchmarks/results/interval_factor.json

Grey photographs of scikit-image, half their size, are blurred by a valid convolution, and get white noise. `measure`
uses other photographs and another kernel than `learn`.

With a known kernel, `coverage` is the share of true pixels within 1.645 standard deviations of the restored one.
`ratio` is the factor of the deviations that would make it 0.9. `correlation` is that of the deviations with the
absolute errors. A blind result is compared at its best shift, without a border of 15 pixels. `kernel alone` leaves the
spread of the kernels out.

`learn` prints the geometric mean of the ratios, times the present factor (`INTERVAL_FACTOR` in invkit.pipeline.spread),
and the temperature of the candidates (`CANDIDATE_TEMPERATURE`) of the mean coverage nearest to 0.9.
"""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer
from grey_pictures import grey_picture, seen_part
from results_file import print_rows, run_facts, write_results
from rich.progress import track

import invkit
from invkit.core.result import IMAGE
from invkit.datasets.samples import sample_path
from invkit.datasets.synthetic import blur_image, random_kernel
from invkit.numerics.registration import align
from invkit.pipeline import spread
from invkit.pipeline.job import prepare
from invkit.pipeline.multistart import solve_stages
from invkit.pipeline.stages import RunControl

LEARNED, REPORTED = ("camera", "coffee", "brick", "gravel", "grass"), ("astronaut", "chelsea", "coins")
BLIND_LEARNED = LEARNED[:3]  # nobody finds the kernel of gravel
RECIPES = ("sparse-admm", "tv-admm", "sparse-irls", "hyper-laplacian", "epll", "wiener")
NOISES = (0.01, 0.03)
BLIND_NOISES = (0.005, 0.01)
TEMPERATURES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
NONBLIND_SIDE, BLIND_SIDE = 128, 200  # pixels of the data
BLIND_KERNEL_SIZE = 31
BORDER, MAX_SHIFT = 15, 8.0  # of the comparison of a blind result
NINE_IN_TEN = 1.645  # standard deviations of a Gaussian

Floats = npt.NDArray[np.floating[Any]]
app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
Output = Annotated[Path | None, typer.Option(help="JSON file for the figures.")]


class Scene:
    """A sharp picture and its blurry, noisy one, both (side, side)."""

    def __init__(self, name: str, kernel: Floats, noise: float, side: int) -> None:
        from skimage.transform import downscale_local_mean

        grey = grey_picture(name)
        grey = downscale_local_mean(grey, (2, 2)) if min(grey.shape) >= 2 * (side + max(kernel.shape)) else grey
        height, width = (side + extent - 1 for extent in kernel.shape)
        top, left = (grey.shape[0] - height) // 2, (grey.shape[1] - width) // 2
        grey = grey[top : top + height, left : left + width]
        blurred = blur_image(grey, kernel)
        noisy = blurred + noise * np.random.default_rng(0).standard_normal(blurred.shape)
        self.name, self.noise, self.kernel = name, noise, kernel
        self.sharp = seen_part(grey, kernel)
        self.data = noisy.clip(0, 1).astype(np.float32)


def learning_kernels() -> list[Floats]:
    """Of the bundled sample, of a shaken camera, and of a lens."""
    sample: Floats = np.load(sample_path("coffee-kernel"))
    return [sample, random_kernel("motion", 15, [1]), random_kernel("gaussian", 11, [1])]


def reporting_kernel() -> Floats:
    """Of another shaken camera."""
    return random_kernel("motion", 21, [7])


def scenes(names: Sequence[str], kernels: Sequence[Floats], noises: Sequence[float], side: int) -> Iterator[Scene]:
    """Every combination.

    Args:
        names: of pictures in scikit-image.
        kernels: (h, w) each.
        noises: standard deviations.
        side: of the data, pixels.
    """
    for name in names:
        for kernel in kernels:
            for noise in noises:
                yield Scene(name, kernel, noise, side)


def compared(errors: Floats, deviations: Floats) -> dict[str, float]:
    """The figures of one image: its errors and their standard deviations, (H, W)."""
    ratios = np.abs(errors) / (NINE_IN_TEN * deviations)
    return {
        "coverage": round(float((ratios <= 1).mean()), 3),
        "ratio": round(float(np.quantile(ratios, 0.9)), 3),
        "deviation": round(float(np.sqrt(np.mean(deviations**2))), 4),
        "error": round(float(np.sqrt(np.mean(errors**2))), 4),
        "correlation": round(float(np.corrcoef(np.abs(errors).ravel(), deviations.ravel())[0, 1]), 2),
    }


def nonblind(scene: Scene, recipe: str) -> dict[str, Any]:
    """The row of a recipe with the true kernel."""
    result = invkit.deconvolve(scene.data, scene.kernel, recipe=recipe, uncertainty=True, progress=False)
    found = compared(np.asarray(result.image) - scene.sharp, np.asarray(result.deviations[IMAGE]))
    return {"recipe": recipe, "scene": scene.name, "noise": scene.noise, **found}


def blind(scene: Scene, recipe: str) -> dict[str, Any]:
    """The row of a blind recipe."""
    result = invkit.deblur(
        scene.data, recipe=recipe, kernel_size=BLIND_KERNEL_SIZE, uncertainty=True, whole_picture=True, progress=False
    )
    found = at_best_shift(np.asarray(result.image), np.asarray(result.deviations[IMAGE]), scene)
    return {"recipe": recipe, "scene": scene.name, "noise": scene.noise, **found}


def at_best_shift(image: Floats, deviations: Floats, scene: Scene) -> dict[str, float]:
    """The figures of a blind result, whose position is free.

    Args:
        image: (H, W).
        deviations: (H, W).
        scene: with the truth.
    """
    aligned = align(image, scene.sharp, border=BORDER, max_shift=MAX_SHIFT)
    down, right = (round(one) for one in aligned.shift)
    inside = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    moved = np.roll(deviations, (-down, -right), (0, 1))[inside]
    return compared((aligned.estimate - aligned.truth)[0], moved)


def coverage_by_temperature(scene: Scene) -> dict[float, float]:
    """The coverage of the recipe fast, by the temperature of its candidates; 0 stands for the selected one alone."""
    job = prepare(scene.data, recipe="fast", kernel_size=BLIND_KERNEL_SIZE, uncertainty=True, whole_picture=True)
    assert job.uncertainty is not None
    outcome = solve_stages(job.stages, job.assembly, job.device, RunControl(), job.frame)
    image, budget = np.asarray(job.result(outcome).image), spread.Budget(job.device, threading.Event())
    (stage, last), plan = outcome.last, job.uncertainty
    stage = stage.restoring(plan.sampler)
    about = spread.spread_of_samples(stage, last, plan.samples, budget)
    assert about is not None
    found = {0.0: at_best_shift(image, about.image[0, 0].numpy(), scene)["coverage"]}
    for temperature in TEMPERATURES:
        spread.CANDIDATE_TEMPERATURE = temperature
        likely = spread.candidate_kernels(outcome.compared)
        others = spread.spread_of_kernels(stage, torch.as_tensor(last.kernel), likely, budget)
        whole = about if others is None else about.with_kernels(others)
        found[temperature] = at_best_shift(image, whole.image[0, 0].numpy(), scene)["coverage"]
    return found


@app.command()
def measure(
    output: Output = None, skip_blind: Annotated[bool, typer.Option(help="Known kernels only.")] = False
) -> None:
    """The coverage of photographs that were not used for learning."""
    warnings.simplefilter("ignore", UserWarning)
    known = list(scenes(REPORTED, [reporting_kernel()], NOISES, NONBLIND_SIDE))
    rows = [nonblind(scene, recipe) for recipe in RECIPES for scene in track(known, recipe)]
    tables: dict[str, Any] = {"known kernel": rows}
    if not skip_blind:
        unknown = list(scenes(REPORTED, [reporting_kernel()], BLIND_NOISES, BLIND_SIDE))
        recipes = ("fast", "best", "levin-2011")
        tables["blind"] = [blind(scene, recipe) for recipe in recipes for scene in track(unknown, recipe)]
    print_rows(tables)
    write_results(output, {**run_facts(), **tables})


@app.command()
def learn(output: Output = None) -> None:
    """The factor of the deviations, and the temperature of the candidates, from five photographs, two of texture."""
    warnings.simplefilter("ignore", UserWarning)
    known = list(scenes(LEARNED, learning_kernels(), NOISES, NONBLIND_SIDE))
    ratios = {recipe: [nonblind(one, recipe)["ratio"] for one in track(known, recipe)] for recipe in RECIPES}
    means = {recipe: round(geometric_mean(found), 3) for recipe, found in ratios.items()}
    factor = spread.INTERVAL_FACTOR * geometric_mean(list(means.values()))
    unknown = list(scenes(BLIND_LEARNED, learning_kernels()[:2], BLIND_NOISES, BLIND_SIDE))
    each = [coverage_by_temperature(scene) for scene in track(unknown, "fast")]
    coverage = {str(one): round(float(np.mean([found[one] for found in each])), 3) for one in each[0]}
    best = min(TEMPERATURES, key=lambda one: abs(coverage[str(one)] - 0.9))
    learned = {
        "factor": round(factor, 3),
        "ratios": means,
        "extreme ratios": [min(map(min, ratios.values())), max(map(max, ratios.values()))],
        "temperature": best,
        "coverage by temperature": coverage,
    }
    typer.echo(json.dumps(learned, indent=1))
    write_results(output, {**run_facts(), **learned})


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers."""
    return float(np.exp(np.mean(np.log(values))))


if __name__ == "__main__":
    torch.set_num_threads(1)
    app()
