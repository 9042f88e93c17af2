"""The workloads of the scaling benchmark, and their sizes: iterations of solvers, building blocks, whole recipes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from scenes import SIGMA, Scene

from invkit.core import registry
from invkit.core.parameters import positional_names
from invkit.core.problem import Problem
from invkit.core.solver import Observer, State
from invkit.numerics.finite_differences import apply_filters
from invkit.numerics.framing import crop_to_data
from invkit.numerics.geometry import size_of
from invkit.numerics.noise import estimate_sigma
from invkit.numerics.registration import align
from invkit.operators.convolution import Convolution
from invkit.pipeline.assemble import Assembly, assemble
from invkit.pipeline.job import prepare
from invkit.recipes.model import load_recipe
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.solvers.map.edge_selection import Gradients
from invkit.solvers.map.kernel_estimation import ToeplitzLeastSquares
from invkit.solvers.tiles import Tiles

SIDES, KERNELS = (64, 128, 256, 512, 1024, 2048, 4096), (11, 21, 31, 51, 71, 101)
QUICK_SIDES, QUICK_KERNELS = (64, 128, 256), (11, 31, 51)
KERNEL = 31  # pixels, while the photograph's side varies

Part: TypeAlias = Literal["iteration", "block", "recipe"]
Call: TypeAlias = Callable[[], Mapping[str, float]]
"""The timed function: returns numbers that must be finite; for a recipe, the seconds of its stages."""


@dataclass(frozen=True)
class Workload:
    """A computation to time.

    Attributes:
        part: an iteration of a solver, a building block, or a whole recipe.
        make: the preparation, which is not timed; returns the timed function.
        largest: side of the largest photograph, pixels.
        because: the reason for this limit.
        side: of the photograph while the kernel's size varies, pixels; 0 if there is no kernel.
    """

    part: Part
    make: Callable[[Scene], Call]
    largest: int = SIDES[-1]
    because: str = ""
    side: int = 512


@dataclass(frozen=True)
class Case:
    """A workload at one size; ``because`` is the reason if it is left out, otherwise empty."""

    what: str
    side: int
    kernel: int
    because: str


def cases(quick: bool) -> list[Case]:
    """Every case, workload by workload, from small to large; it includes cases that are left out."""
    return [
        Case(what, side, kernel, workload.because if side > workload.largest else "")
        for what, workload in WORKLOADS.items()
        for side, kernel in sizes(workload, quick)
    ]


def sizes(workload: Workload, quick: bool) -> list[tuple[int, int]]:
    """Sides of photograph and kernel: first the photograph varies, then the kernel."""
    sides, kernels = (QUICK_SIDES, QUICK_KERNELS) if quick else (SIDES, KERNELS)
    fixed = min(workload.side, 128) if quick else workload.side
    by_kernel = [(fixed, kernel) for kernel in kernels if fixed and kernel != KERNEL]
    return [*((side, KERNEL) for side in sides), *by_kernel]


def iteration(recipe: str, link: int = 0) -> Callable[[Scene], Call]:
    """One step of a recipe's solver, on the whole photograph, even if the recipe would split it into tiles.

    Args:
        recipe: a registered recipe.
        link: 0 for the recipe itself, 1 for the `next` recipe.
    """

    def make(scene: Scene) -> Call:
        assembly = assembled(scene, recipe, link)
        solver = assembly.solver.inner if isinstance(assembly.solver, Tiles) else assembly.solver
        solver.check(assembly.problem)
        state = solver.start(assembly.problem)

        def step() -> dict[str, float]:
            solver.step(assembly.problem, state)
            state.iteration = (state.iteration + 1) % solver.iterations
            return {"loss": state.loss}

        return step

    return make


def assembled(scene: Scene, recipe: str, link: int) -> Assembly:
    """The problem and solver of a recipe; a kernel prior that accepts a start gets the true kernel."""
    method = load_recipe(recipe).links()[link]
    prior = "known" if method.kernel_prior is None else method.kernel_prior.name
    starts = "start" in positional_names(registry.load("kernel_priors", prior))
    kernel = scene.kernel if starts else None
    return assemble(method, scene.data, scene.kernel_size, kernel=kernel, sigma=SIGMA)


def convolution(scene: Scene) -> Call:
    """Valid convolution by Fourier transforms, and the gradients of image and kernel."""
    operator, unknowns = Convolution(), (scene.truth.clone().requires_grad_(), scene.kernel.clone().requires_grad_())

    def there_and_back() -> dict[str, float]:
        loss = (operator(*unknowns) - scene.data).square().mean()
        _, of_kernel = torch.autograd.grad(loss, unknowns)
        return {"gradient": float(of_kernel.sum())}

    return there_and_back


def prox(scene: Scene) -> Call:
    """The proximal map of sparse-admm's regularizer, on an image's five differences, with the step of that recipe."""
    regularizer = HyperLaplacian(power=0.8, second=0.25, smoothing=0.0)
    coefficients, step = apply_filters(scene.truth, regularizer.filters), scene.truth.numel() / 200
    return lambda: {"first": float(regularizer.prox(coefficients, step).flatten()[0])}


def kernel_estimation(scene: Scene) -> Call:
    """The kernel from selected edges, as in the refinement of fast-map; the selection is not timed."""
    edges = Gradients(share=0.25, relax=1.0, max_pixels=16384)
    sharp, blurry = edges(scene.truth, scene.data, scene.kernel_size, 0)
    fit = ToeplitzLeastSquares(weight=1e-3)
    return lambda: {"sum": float(fit(sharp, blurry, scene.kernel).sum())}


def noise(scene: Scene) -> Call:
    """The noise level of the photograph."""
    return lambda: {"sigma": estimate_sigma(scene.data)}


def alignment(scene: Scene) -> Call:
    """The shift of least squared error by the metrics' defaults: 41 x 41 shifts, a quarter of a pixel apart."""
    truth = crop_to_data(scene.truth, scene.kernel_size, size_of(scene.data))
    return lambda: {"down": align(scene.data, truth).shift[0]}


class Clock(Observer):
    """Notes the end of each stage of a recipe."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def stopped(self, problem: Problem, state: State, reason: object) -> None:
        """A stage's last step is done."""
        self.ends.append(time.perf_counter())


def whole(recipe: str, blind: bool) -> Callable[[Scene], Call]:
    """A recipe from the photograph to the result, without files.

    Stages have the names of their solvers; their seconds include their preparation. The stage "preparation" is the
    check of all inputs, with the noise level. The stage "completion" assembles the result.
    """

    def make(scene: Scene) -> Call:
        known: dict[str, Any] = {"kernel_size": scene.kernel_size} if blind else {"kernel": scene.kernel[0, 0]}

        def run() -> dict[str, float]:
            clock, begun = Clock(), time.perf_counter()
            job = prepare(scene.data, recipe=recipe, device="cpu", **known)
            prepared = time.perf_counter()
            job.run(observers=[clock])
            ends = [begun, prepared, *clock.ends, time.perf_counter()]
            names = ["preparation", *(stage.recipe.solver.name for stage in job.stages), "completion"]
            return {name: ends[i + 1] - ends[i] for i, name in enumerate(names)}

        return run

    return make


NETWORK = "a network needs hundreds or thousands of iterations: too slow on a processor at this size"
WORKLOADS = {
    "admm, sparse": Workload("iteration", iteration("sparse-admm")),
    "admm, tv": Workload("iteration", iteration("tv-admm")),
    "half-quadratic": Workload("iteration", iteration("hyper-laplacian")),
    "irls": Workload("iteration", iteration("sparse-irls")),
    "richardson-lucy": Workload("iteration", iteration("richardson-lucy")),
    "alternating-map": Workload("iteration", iteration("fast-map", link=1)),
    "selfdeblur-small": Workload("iteration", iteration("selfdeblur-small"), 512, NETWORK, side=256),
    "selfdeblur": Workload("iteration", iteration("selfdeblur"), 512, NETWORK, side=256),
    "convolution": Workload("block", convolution),
    "prox": Workload("block", prox, side=0),
    "toeplitz": Workload("block", kernel_estimation),
    "noise level": Workload("block", noise, side=0),
    "alignment": Workload("block", alignment, side=0),
    "fast-map": Workload("recipe", whole("fast-map", blind=True)),
    "sparse-admm": Workload("recipe", whole("sparse-admm", blind=False)),
}
