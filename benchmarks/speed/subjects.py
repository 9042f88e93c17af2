"""The computations that are timed: iterations of SelfDeblur, a run of the recipe ``fast``, and the machine itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from plain import PlainSelfDeblur
from scenes import scene
from survey import StageListener, bytes_of
from torch import Tensor, nn

from invkit.core.errors import InputError
from invkit.core.solver import Observer, State, StopReason
from invkit.numerics.noise import estimate_sigma
from invkit.pipeline.assemble import assemble
from invkit.pipeline.job import prepare
from invkit.recipes.model import load_recipe
from invkit.solvers.graph_replay import GRAPHS

WHOLE, INCLUDED = "whole", "of which "
"""The name of a stage that is the whole computation without a look inside; without it, the sum of the stages counts.
A stage whose name starts with the second text is a part of another stage, and not of the sum."""

SIGMA, TV_PER_SIGMA = 1.1e-3, 9e-4  # rounding to 8 bits, and the factor of the total variation in selfdeblur
GPU_FACTOR = 4  # the matrices and the copies are so many times larger on a GPU


@dataclass(frozen=True)
class ProblemSize:
    """The sizes of the timed computations.

    Attributes:
        channels: of the image network.
        side: of the data, pixels.
        kernel: side of the kernel, pixels, odd.
        matrix: side of the matrices that measure the rate of arithmetic; on a GPU four times this side.
        megabytes: copied to measure the bandwidth; more than a cache holds.
    """

    channels: int = 128
    side: int = 255
    kernel: int = 27
    matrix: int = 2048
    megabytes: int = 256


PROBLEM_SIZES = {"paper": ProblemSize(), "small": ProblemSize(channels=32)}
TITLES = {
    "plain": "selfdeblur, plain PyTorch",
    "float32": "selfdeblur, float32",
    "bfloat16": "selfdeblur, bfloat16",
    "graph": "selfdeblur, float32, graph",
    "graph-bfloat16": "selfdeblur, bfloat16, graph",
    "fast": "fast",
    "machine": "the machine",
}
"""The versions in their order: the same iteration in several versions, a whole run, and the limits of the machine."""

SAME_WORK = {"plain": "float32", "graph": "float32", "graph-bfloat16": "bfloat16"}
"""Versions whose arithmetic cannot be counted during the run, with the version that has the same arithmetic."""


class UnavailableError(InputError):
    """The device cannot run this version."""


class Subject(ABC):
    """A computation that can be timed repeatedly."""

    @abstractmethod
    def run(self, listener: StageListener) -> None:
        """Do it once, and report the end of each stage."""


class Plain(Subject):
    """An iteration of the plain version."""

    def __init__(self, size: ProblemSize, device: torch.device) -> None:
        weight, data = TV_PER_SIGMA * SIGMA, random_data(size).to(device)
        self.solve = PlainSelfDeblur(data, (size.kernel, size.kernel), channels=size.channels, tv=weight)

    def run(self, listener: StageListener) -> None:
        """One step, without stages."""
        self.solve.step()
        listener.end_of(WHOLE)


class Iteration(Subject):
    """An iteration of one of invkit's recipes with SelfDeblur's networks, first as a whole, then stage by stage.

    Args:
        size: the sizes.
        device: the device.
        precision: of the image network, "float32" or "bfloat16".
        execution: "plain" or "graph".
        recipe: its name.
    """

    def __init__(
        self,
        size: ProblemSize,
        device: torch.device,
        precision: str = "float32",
        execution: str = "plain",
        recipe: str = "selfdeblur",
    ) -> None:
        changes = {"image_prior.channels": size.channels, "solver.precision": precision, "solver.execution": execution}
        method = load_recipe(recipe).with_overrides([f"{place}={value}" for place, value in changes.items()])
        assembly = assemble(method, random_data(size), (size.kernel, size.kernel), sigma=SIGMA)
        self.solver, self.problem = assembly.solver, assembly.problem.to(device)
        self.state = self.solver.start(self.problem)

    def run(self, listener: StageListener) -> None:
        """Two steps, the second with its stages."""
        self.step()
        listener.end_of(WHOLE)
        with self.reporting_to(listener):
            self.step()
        listener.end_of("bookkeeping")

    def step(self) -> None:
        """A step as in the solver's loop."""
        self.state = self.solver.step(self.problem, self.state)
        self.state.iteration += 1

    @contextmanager
    def reporting_to(self, listener: StageListener) -> Iterator[None]:
        """Report the stages by torch's hooks; the step itself is unchanged.

        A stage without convolutions, products or transforms has to read its arguments and to write its result. Adam
        reads parameters, gradients and two moments, and writes all but the gradients.
        """
        kernel_prior, optimizer = self.state.kernel_prior, self.state.optimizer
        adam = 7 * bytes_of([group["params"] for group in optimizer.param_groups])
        handles = [
            kernel_prior.register_forward_pre_hook(lambda *_: listener.end_of("image network")),
            kernel_prior.register_forward_hook(lambda *_: listener.end_of("kernel network")),
            *(module.register_forward_hook(end_hook(name, listener)) for name, module in self.parts()),
            optimizer.register_step_pre_hook(lambda *_: listener.end_of("backward")),
            optimizer.register_step_post_hook(lambda *_: listener.end_of("Adam", adam)),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """The modules of the objective by their stages."""
        yield "convolution", self.problem.operator
        yield "fidelity", self.problem.fidelity.at(self.state.iteration)
        for term in self.problem.regularizers:
            yield "regularizer", term.regularizer


class GraphIteration(Iteration):
    """An iteration that a GPU replays from a graph.

    Args:
        size: the sizes.
        device: the device.
        precision: of the image network.

    Raises:
        UnavailableError: the device has no graphs.
    """

    STEPS_BEFORE = 5  # the graph is recorded within these steps

    def __init__(self, size: ProblemSize, device: torch.device, precision: str = "float32") -> None:
        if device.type not in GRAPHS:
            raise UnavailableError(f"only these devices replay a graph of a step: {', '.join(GRAPHS)}")
        super().__init__(size, device, precision, "graph")
        for _ in range(self.STEPS_BEFORE):
            self.step()

    def run(self, listener: StageListener) -> None:
        """One step without stages, as a graph cannot be observed."""
        self.step()
        listener.end_of(WHOLE)


def end_hook(stage: str, listener: StageListener) -> Any:
    """A forward hook that reports the end of a stage."""
    return lambda module, given, result: listener.end_of(stage, bytes_of((given, result)))


class Fast(Subject):
    """A run of the recipe ``fast`` on the bundled photograph with a synthetic blur."""

    def __init__(self, size: ProblemSize, device: torch.device) -> None:
        self.data, self.device = scene(size.side, size.kernel).data, str(device)
        self.kernel_size = (size.kernel, size.kernel)

    def run(self, listener: StageListener) -> None:
        """From the blurry array to the restored one; the noise level is a part of the checks, and timed once more."""
        job = prepare(self.data, recipe="fast", kernel_size=self.kernel_size, device=self.device)
        listener.end_of("checks")
        estimate_sigma(self.data)
        listener.end_of(f"{INCLUDED}the noise level")
        names = StageNames([(stage.recipe.solver.name, stage.recipe.name) for stage in job.stages])
        job.run(progress=lambda title: StageObserver(listener, names.name_of(title)))
        listener.end_of("completion")


class StageNames:
    """Names the stages of a recipe with candidates from the titles of their progress bars.

    Args:
        links: solver and name of each recipe in the sequence; the first one has the candidates.
    """

    def __init__(self, links: list[tuple[str, str]]) -> None:
        self.links = links
        self.seen: dict[str, int] = {}

    def name_of(self, title: str) -> str:
        """The name of the stage with a title, as "fast 1 of 2: xu-l0: alternating-map"."""
        which, candidate, *solver = title.split(": ")
        if which == self.links[0][1]:
            return "final deconvolution"
        places = [place for place, (own, _) in enumerate(self.links) if [own] == solver]
        if not places:
            return f"candidate {candidate}"  # of one stage, or a stage of its own
        if solver[0] == self.links[-1][0]:
            return "trial deconvolutions"
        seen = self.seen[title] = self.seen.get(title, -1) + 1
        place = places[seen % len(places)]  # recipes with the same solver follow each other
        return "refinement" if place == 0 else self.links[place][1]


class StageObserver(Observer):
    """Reports the end of a stage; the preparation since the end of the previous one is a part of it."""

    def __init__(self, listener: StageListener, stage: str) -> None:
        self.listener, self.stage = listener, stage

    def stopped(self, problem: Any, state: State, reason: StopReason | None) -> None:
        """The last step of the stage is done."""
        self.listener.end_of(self.stage)


class Machine(Subject):
    """The limits of the machine: products of large matrices in two precisions, and a copy from memory to memory."""

    def __init__(self, size: ProblemSize, device: torch.device) -> None:
        larger = GPU_FACTOR if device.type == "cuda" else 1
        side, count = larger * size.matrix, larger * size.megabytes * 250_000
        generator = torch.Generator().manual_seed(0)
        factor = torch.rand(side, side, generator=generator).to(device)
        self.factors = {"float32": factor, "bfloat16": factor.bfloat16()}
        self.products = {name: torch.empty_like(each) for name, each in self.factors.items()}
        self.source, self.copy = torch.zeros(count, device=device), torch.ones(count, device=device)

    def run(self, listener: StageListener) -> None:
        """Each once."""
        for name, factor in self.factors.items():
            with precision_of_convolutions(factor.device):
                torch.mm(factor, factor, out=self.products[name])
            listener.end_of(name)
        self.copy.copy_(self.source)
        listener.end_of("copy", bytes_of((self.source, self.copy)))


@contextmanager
def precision_of_convolutions(device: torch.device) -> Iterator[None]:
    """Products of float32 matrices on a GPU use TF32 if convolutions may use it there."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda" and torch.backends.cudnn.allow_tf32:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def random_data(size: ProblemSize) -> Tensor:
    """Data (1, 1, side, side) for a network's iteration, whose seconds do not depend on the values."""
    return torch.rand(1, 1, size.side, size.side, generator=torch.Generator().manual_seed(0))


def subject_of(version: str, size: ProblemSize, device: torch.device) -> Subject:
    """The subject of a version; raises `InputError`."""
    if version in ("float32", "bfloat16"):
        return Iteration(size, device, version)
    if version in ("graph", "graph-bfloat16"):
        return GraphIteration(size, device, SAME_WORK[version])
    kinds: dict[str, type[Plain] | type[Fast] | type[Machine]] = {"plain": Plain, "fast": Fast, "machine": Machine}
    return kinds[version](size, device)
