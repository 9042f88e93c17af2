"""Learn the schedule of the recipe zuo-2016: the weight and the power of every scale and outer iteration.

    python benchmarks/train_shrinkage_schedule.py [--pairs 12] [--seed 0]
    python benchmarks/train_shrinkage_schedule.py --check

It takes about four minutes of one core.

The paper learns its operators greedily from synthetic pairs (Zuo, Ren, Zhang, Gu, Zhang, IEEE TIP 2016). So does this
script. A pair is a grey crop of a photograph of the calibration set's split ``choose``, blurred by a random camera
shake of 11 to 31 pixels, with noise. All pairs go through the recipe's own solver together. At each outer iteration of
each scale, from coarse to fine, every weight and power of a grid is tried on every pair. The one whose kernels restore
gradients best, on average (`deconvolution_loss`), is kept, and all pairs move on with it. The kernel is all that an
iteration passes on to the next one, which makes a new latent image from the data. Its error is therefore the whole
loss; the paper also counts that of the gradients.

A pair with a small kernel has fewer scales. Scales are counted from the coarsest, where every kernel has about 5
pixels. A row of the schedule is learned from the pairs that have the scale.

The table goes into ``invkit/recipes/zuo-2016.toml`` by hand: the script prints it as TOML. ``--results`` receives the
table, the error of every stage, and the similarity of the final kernels on pairs of other photographs, beside those of
other recipes. ``--check`` only measures the recipe's own table on these pairs. Runs of the same seed give the same
table on the same machine.
"""

from __future__ import annotations

import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from scipy.signal import fftconvolve
from torch import Tensor

import invkit
from invkit.core.problem import Term
from invkit.core.solver import State
from invkit.metrics.kernel_similarity import kernel_similarity
from invkit.numerics.geometry import size_of
from invkit.numerics.resampling import resample_kernel
from invkit.pipeline.assemble import assemble
from invkit.recipes.model import Recipe, load_recipe
from invkit.regularizers.generalised_shrinkage import GeneralisedShrinkage
from invkit.solvers.map.streak_kernel import displacement
from invkit.solvers.pyramid import Pyramid, PyramidState

sys.path.insert(0, str(Path(__file__).parent / "calibration"))
from blur_kernels import dwelling, shake, shake_and_defocus, straight
from blurry_cases import crop
from photographs import Photograph, table

RECIPE = "zuo-2016"
OTHERS = ("pan-l0", "sun-2013")
PHOTOGRAPHS = Path("benchmarked/photographs")
RESULTS = Path(__file__).parent / "results" / "shrinkage_schedule.json"
LUMA = np.array([0.299, 0.587, 0.114])
SIDE = 200  # pixels of a blurry crop
KERNELS = (11, 31)  # pixels, longer side
FRAME_MARGIN = 4  # pixels by which the frame of the unknown kernel exceeds the true one, as in the published suites
NOISE = (0.005, 0.01)  # standard deviation
FAMILIES = (shake, dwelling, shake, straight, dwelling, shake_and_defocus)
LEFT_OUT = ("night", "flat")  # kinds of photographs: without edges, no method finds a kernel
FEWEST_PAIRS = 4  # from which a scale is learned
NOISE_SHARE = 0.02  # variance of the data's noise relative to that of an image's gradients
MIN_GRID = 32  # pixels of the side on which kernels are compared
WEIGHTS = (2.5e-4, 1e-3, 4e-3)
POWERS = (-1.0, -0.5, 0.0, 0.3, 0.6, 0.8)

GRID = tuple(product(WEIGHTS, POWERS))

Floats = npt.NDArray[np.floating]
Stage = tuple[float, float]
"""A weight and a power."""


@dataclass(frozen=True)
class Pair:
    """A blurry crop (1, 1, H, W) of a photograph, and the kernel (1, 1, h, w) that blurred it."""

    photograph: str
    family: str
    sigma: float
    blurry: Tensor
    kernel: Tensor

    def facts(self) -> dict[str, Any]:
        """What it is made of."""
        return {
            "photograph": self.photograph,
            "data": list(size_of(self.blurry)),
            "family": self.family,
            "kernel": list(size_of(self.kernel)),
            "sigma": self.sigma,
        }

    @property
    def frame(self) -> int:
        """The side of the unknown kernel, pixels."""
        return (max(size_of(self.kernel)) + FRAME_MARGIN) // 2 * 2 + 1


@dataclass
class Track:
    """A pair on its way from coarse to fine."""

    pair: Pair
    solver: Pyramid
    state: PyramidState

    def tried(self, stage: Stage) -> State:
        """What an outer iteration with a weight and a power makes of the state, which does not change."""
        weight, power = stage
        old = self.state.problem.regularizers[0].regularizer
        assert isinstance(old, GeneralisedShrinkage)
        regularizer = GeneralisedShrinkage(power=power, isotropic=old.isotropic)
        problem = replace(self.state.problem, regularizers=[Term(regularizer, weight=weight)])
        moved: State = self.solver.inner.step(problem, replace(self.state.inner, losses=[]))
        moved.iteration += 1
        return moved

    def loss(self, state: State) -> float:
        """`deconvolution_loss` of the kernel of a state, dB; the true kernel is that of its scale."""
        _, kernel = state.estimate()
        true = resample_kernel(self.pair.kernel, size_of(kernel), self.solver.ratio**self.state.level)
        return deconvolution_loss(kernel[0, 0].double().numpy(), true[0, 0].double().numpy())


def deconvolution_loss(found: Floats, true: Floats) -> float:
    """By how many dB the gradients that a Wiener filter restores are worse with a found kernel than with the true one.

    It is expected for white gradients and white noise, and needs no image. The found kernel is first moved onto the
    true one, by a fraction of a pixel.

    Args:
        found: (h, w), summing to one.
        true: (h', w'), summing to one.
    """
    errors = [wiener_error(one, true) for one in (found, true)]
    return float(10 * np.log10(errors[0] / errors[1]))


def wiener_error(found: Floats, true: Floats) -> float:
    """The expected squared error of white gradients of variance 1, blurred by the true kernel and restored by another.

    Args:
        found: (h, w).
        true: (h', w').
    """
    side = max(MIN_GRID, 2 * max(*found.shape, *true.shape))
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frames = [np.zeros((side, side), np.float32) for _ in range(2)]
    for frame, kernel in zip(frames, (true, found), strict=True):
        frame[: kernel.shape[0], : kernel.shape[1]] = kernel
    down, across = displacement(*frames)
    moved = np.fft.rfft2(found, (side, side)) * np.exp(-2j * np.pi * (rows * down + columns * across))
    noise = NOISE_SHARE * 4 * (np.sin(np.pi * rows) ** 2 + np.sin(np.pi * columns) ** 2)
    noise[0, 0] = NOISE_SHARE  # constant images have no gradients
    restoring = moved.conj() / (np.abs(moved) ** 2 + noise)
    missed = 1 - restoring * np.fft.rfft2(true, (side, side))
    return float((np.abs(missed) ** 2 + noise * np.abs(restoring) ** 2).mean())


def make_pairs(count: int, photographs: Sequence[Photograph], folder: Path, seed: int) -> list[Pair]:
    """Pairs of different photographs and kernels; their sizes are spread evenly.

    Args:
        count: of pairs.
        photographs: to take them from, in this order.
        folder: of the photographs.
        seed: of every random number.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.permutation(np.linspace(*KERNELS, count).round().astype(int))
    return [make_pair(photographs[n], FAMILIES[n % len(FAMILIES)], int(sizes[n]), folder, rng) for n in range(count)]


def make_pair(photograph: Photograph, family: Any, size: int, folder: Path, rng: np.random.Generator) -> Pair:
    """A pair.

    Args:
        photograph: the sharp one.
        family: draws the kernel.
        size: of the kernel, pixels.
        folder: of the photographs.
        rng: draws kernel, crop and noise.
    """
    grey = photograph.read(folder) @ LUMA
    kernel = family(rng, size)
    part, _, _ = crop(grey, min(SIDE, min(grey.shape) - max(kernel.shape)), kernel.shape, rng)
    sigma = rng.uniform(*NOISE)
    blurry = fftconvolve(part, kernel, mode="valid")
    blurry = (blurry + sigma * rng.standard_normal(blurry.shape)).clip(0, 1)
    tensors = (torch.from_numpy(np.ascontiguousarray(one, dtype=np.float32))[None, None] for one in (blurry, kernel))
    return Pair(photograph.name, family.__name__, round(sigma, 4), *tensors)


@dataclass(frozen=True)
class Learned:
    """The best stage of an iteration, its mean loss over the pairs that have its scale, and where it leads them."""

    scale: int
    iteration: int
    pairs: int
    stage: Stage
    loss: float
    moved: Sequence[State]


@dataclass(frozen=True)
class Settings:
    """The seed, and the pairs that were not learned from."""

    seed: int
    unseen: Sequence[Pair]


def started(pair: Pair, recipe: str) -> Track:
    """A pair at the beginning of a recipe."""
    made = assemble(load_recipe(recipe), pair.blurry, (pair.frame, pair.frame))
    assert isinstance(made.solver, Pyramid)
    return Track(pair, made.solver, made.solver.start(made.problem))


def learn(pairs: Sequence[Pair], grid: Sequence[Stage], advance: Callable[[], object]) -> Iterator[Learned]:
    """Choose the stages one after another, each by the mean error of all pairs that have its scale.

    Args:
        pairs: that are taken through the recipe.
        grid: the weights and powers to try.
        advance: called after each trial of the grid.
    """
    tracks = [started(pair, RECIPE) for pair in pairs]
    for scale in count():
        if scale:
            tracks = [track for track in tracks if track.state.level > 0]
            for track in tracks:
                track.state.refine()
        if len(tracks) < min(FEWEST_PAIRS, len(pairs)):
            return
        for iteration in range(tracks[0].solver.inner.iterations):
            best = Learned(scale, iteration, len(tracks), grid[0], math.inf, [])
            for stage in grid:
                moved = [track.tried(stage) for track in tracks]
                loss = float(np.mean([track.loss(state) for track, state in zip(tracks, moved, strict=True)]))
                if loss < best.loss:
                    best = Learned(scale, iteration, len(tracks), stage, loss, moved)
                advance()
            for track, state in zip(tracks, best.moved, strict=True):
                track.state.inner = state
            yield best


def trials(pairs: Sequence[Pair], grid: Sequence[Stage]) -> int:
    """How often `learn` tries a stage."""
    tracks = [started(pair, RECIPE) for pair in pairs]
    scales = sorted((track.state.level + 1 for track in tracks), reverse=True)
    rows = scales[min(FEWEST_PAIRS, len(pairs)) - 1]
    iterations: int = tracks[0].solver.inner.iterations
    return rows * iterations * len(grid)


def checked(pairs: Sequence[Pair], recipe: Recipe) -> dict[str, float]:
    """How well a recipe finds the kernels of pairs, its last step apart: mean similarity and loss.

    Args:
        pairs: blurry crops.
        recipe: a blind one.
    """
    similarities, losses, begun = [], [], time.process_time()
    for pair in pairs:
        made = assemble(recipe, pair.blurry, (pair.frame, pair.frame))
        found, true = (
            np.asarray(made.solver.solve(made.problem).kernel[0, 0], dtype=np.float64),
            pair.kernel[0, 0].double().numpy(),
        )
        similarities.append(kernel_similarity(found, true))
        losses.append(deconvolution_loss(found, true))
    return {
        "kernel_similarity": round(float(np.mean(similarities)), 4),
        "loss_db": round(float(np.mean(losses)), 3),
        "core_seconds_per_pair": round((time.process_time() - begun) / len(pairs), 2),
    }


def as_toml(rows: Sequence[Sequence[Stage]]) -> str:
    """The table as the recipe holds it."""
    lines = ["    [" + ", ".join(f"[{weight:g}, {power:g}]" for weight, power in row) + "]," for row in rows]
    return "\n".join(["schedule = [", *lines, "]"])


def photographs_in_order(seed: int) -> list[Photograph]:
    """The photographs that may be used, shuffled."""
    usable = [one for one in table() if one.split == "choose" and one.kind not in LEFT_OUT]
    return [usable[n] for n in np.random.default_rng(seed).permutation(len(usable))]


def table_of(stages: Sequence[Learned]) -> list[list[Stage]]:
    """The rows of the schedule, the coarsest scale first."""
    return [[one.stage for one in stages if one.scale == scale] for scale in range(stages[-1].scale + 1)]


def learned_stages(pairs: Sequence[Pair], console: Console) -> list[Learned]:
    """The stages in order, with a line on each and a bar that says how long it will take."""
    stages = []
    columns = (TextColumn("learning"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=trials(pairs, GRID))
        for one in learn(pairs, GRID, lambda: progress.advance(task)):
            weight, power = one.stage
            at = f"scale {one.scale}, iteration {one.iteration}, {one.pairs} pairs"
            progress.console.print(f"{at}: weight {weight:g}, power {power:g}, loss {one.loss:.3f} dB")
            stages.append(one)
    return stages


def report(pairs: Sequence[Pair], stages: Sequence[Learned], used: Settings) -> dict[str, Any]:
    """What the file of figures holds.

    Args:
        pairs: that were learned from.
        stages: that were learned.
        used: the seed, and the pairs to check on.
    """
    rows = table_of(stages)
    own = load_recipe(RECIPE).with_overrides([f"regularizers.0.schedule={json.dumps(rows)}"])
    recipes = {RECIPE: own, **{name: load_recipe(name) for name in OTHERS}}
    return {
        "command": f"python {' '.join(sys.argv)}",
        "seed": used.seed,
        "machine": f"{platform.machine()}, one thread",
        "versions": {"invkit": invkit.__version__, "torch": torch.__version__, "numpy": np.__version__},
        "core_seconds": round(time.process_time()),
        "weights": WEIGHTS,
        "powers": POWERS,
        "schedule": rows,
        "loss_db": [[round(one.loss, 4) for one in stages if one.scale == n] for n in range(len(rows))],
        "pairs_per_scale": [next(one.pairs for one in stages if one.scale == n) for n in range(len(rows))],
        "unseen_pairs": {name: checked(used.unseen, recipe) for name, recipe in recipes.items()},
        "learned_from": [pair.facts() for pair in pairs],
        "checked_on": [pair.facts() for pair in used.unseen],
    }


def main(
    pairs: Annotated[int, typer.Option(min=1, help="Synthetic pairs to learn from, and as many to check on.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of every random number.")] = 0,
    check: Annotated[bool, typer.Option("--check", help="Only measure the recipes; learn nothing.")] = False,
    photographs: Annotated[Path, typer.Option(help="Where they are, or are downloaded to.")] = PHOTOGRAPHS,
    results: Annotated[Path, typer.Option(help="The file of figures, JSON.")] = RESULTS,
) -> None:
    torch.set_num_threads(1)
    console, order = Console(), photographs_in_order(seed)
    if 2 * pairs > len(order):
        raise typer.BadParameter(f"the {len(order)} photographs are enough for {len(order) // 2} pairs at most")
    unseen = make_pairs(pairs, order[-pairs:], photographs, seed + 1)
    if check:
        for recipe in (RECIPE, *OTHERS):
            console.print(recipe, checked(unseen, load_recipe(recipe)))
        return
    used = make_pairs(pairs, order[:pairs], photographs, seed)
    stages = learned_stages(used, console)
    console.print(as_toml(table_of(stages)), markup=False, soft_wrap=True)
    found = report(used, stages, Settings(seed, unseen))
    results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    console.print(found["unseen_pairs"])


main.__doc__ = __doc__  # the help

if __name__ == "__main__":
    typer.run(main)
