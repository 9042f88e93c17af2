"""What is timed: iterations of SelfDeblur, a run of the recipe ``fast``, and the machine itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import InputError
from ...core.solver import Observer, State, StopReason
from .counting import bytes_of
from .laps import Laps
from .setting import ASIDE, SAME_WORK, WHOLE, Size

__all__ = ["Fast", "Iteration", "Machine", "Plain", "Replayed", "Subject", "UnavailableError", "subject_of"]

SIGMA, TV_PER_SIGMA = 1.1e-3, 9e-4  # rounding to 8 bits, and what the recipe selfdeblur weighs total variation by
ON_A_GPU = 4  # times the matrices and the copies are larger


class UnavailableError(InputError):
    """What this device does not have, so that there is nothing to time."""


class Subject(ABC):
    """Something that can be timed again and again.

    Args:
        size: how large.
        device: where.
    """

    @abstractmethod
    def __init__(self, size: Size, device: torch.device) -> None: ...

    @abstractmethod
    def run(self, laps: Laps) -> None:
        """Once, telling of each stage at its end."""


class Plain(Subject):
    """An iteration of the plain version."""

    def __init__(self, size: Size, device: torch.device) -> None:
        from .plain import PlainSelfDeblur

        weight, data = TV_PER_SIGMA * SIGMA, measurement(size).to(device)
        self.solve = PlainSelfDeblur(data, (size.kernel, size.kernel), channels=size.channels, tv=weight)

    def run(self, laps: Laps) -> None:
        """One step, without stages."""
        self.solve.step()
        laps.lap(WHOLE)


class Iteration(Subject):
    """An iteration of invkit's recipe ``selfdeblur``, first without looking, then stage by stage.

    Args:
        size: how large.
        device: where.
        precision: of the image network, "float32" or "bfloat16".
        execution: "plain", or "graph".
    """

    def __init__(self, size: Size, device: torch.device, precision: str = "float32", execution: str = "plain") -> None:
        from ...pipeline.assemble import assemble
        from ...recipes.model import load_recipe

        network = f"image_prior.params.channels={size.channels}"
        solver = [f"solver.params.precision={precision}", f"solver.params.execution={execution}"]
        recipe = load_recipe("selfdeblur").with_overrides([network, *solver])
        assembly = assemble(recipe, measurement(size), (size.kernel, size.kernel), sigma=SIGMA)
        self.solver, self.problem = assembly.solver, assembly.problem.to(device)
        self.state = self.solver.start(self.problem)

    def run(self, laps: Laps) -> None:
        """Two steps, the second through its stages."""
        self.step()
        laps.lap(WHOLE)
        with self.told_to(laps):
            self.step()
        laps.lap("bookkeeping")

    def step(self) -> None:
        """The solver's own, as its loop does it."""
        self.state = self.solver.step(self.problem, self.state)
        self.state.iteration += 1

    @contextmanager
    def told_to(self, laps: Laps) -> Iterator[None]:
        """Tell of the stages as torch's hooks let them be seen: the step itself knows nothing of it.

        A stage without convolutions, products or transforms reads at least its arguments and writes its result; Adam
        reads parameters, gradients and two moments, and writes all but the gradients.
        """
        kernel_prior, optimizer = self.state.kernel_prior, self.state.optimizer
        adam = 7 * bytes_of([group["params"] for group in optimizer.param_groups])
        handles = [
            kernel_prior.register_forward_pre_hook(lambda *_: laps.lap("image network")),
            kernel_prior.register_forward_hook(lambda *_: laps.lap("kernel network")),
            *(module.register_forward_hook(end_of(name, laps)) for name, module in self.parts()),
            optimizer.register_step_pre_hook(lambda *_: laps.lap("backward")),
            optimizer.register_step_post_hook(lambda *_: laps.lap("Adam", adam)),
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


class Replayed(Iteration):
    """An iteration that a GPU replays from a graph.

    Args:
        size: how large.
        device: where.
        precision: of the image network.

    Raises:
        UnavailableError: the device has no graphs.
    """

    BEFORE = 5  # steps after which it is recorded

    def __init__(self, size: Size, device: torch.device, precision: str = "float32") -> None:
        from ...solvers.graphs import GRAPHS

        if device.type not in GRAPHS:
            raise UnavailableError(f"a graph of a step is for devices that replay them ({', '.join(GRAPHS)})")
        super().__init__(size, device, precision, "graph")
        for _ in range(self.BEFORE):
            self.step()

    def run(self, laps: Laps) -> None:
        """One step, without stages: nothing can look into it."""
        self.step()
        laps.lap(WHOLE)


def end_of(stage: str, laps: Laps) -> Any:
    """A forward hook that tells of the end of a stage."""
    return lambda module, given, result: laps.lap(stage, bytes_of((given, result)))


class Fast(Subject):
    """A run of the recipe ``fast`` on the bundled photograph, blurred here."""

    def __init__(self, size: Size, device: torch.device) -> None:
        from .scenes import scene

        self.data, self.device = scene(size.side, size.kernel).data, str(device)
        self.kernel_size = (size.kernel, size.kernel)

    def run(self, laps: Laps) -> None:
        """From the blurry array to the restored one; the noise level, a part of the checks, once more after them."""
        from ...numerics.noise import estimate_sigma
        from ...pipeline.job import prepare

        job = prepare(self.data, recipe="fast", kernel_size=self.kernel_size, device=self.device)
        laps.lap("checks")
        estimate_sigma(self.data)
        laps.lap(f"{ASIDE}the noise level")
        stages = Stages(laps, [(stage.recipe.solver.name, stage.recipe.name) for stage in job.stages])
        job.run(progress=stages.watcher)
        laps.lap("completion")


class Stages:
    """Makes who tells of the stages of a recipe with starts, from the titles of their progress bars.

    Args:
        laps: who is told.
        links: solver and name of each recipe of the chain: the one with the starts first.
    """

    def __init__(self, laps: Laps, links: list[tuple[str, str]]) -> None:
        self.laps, self.links = laps, links
        self.turns: dict[str, int] = {}

    def watcher(self, title: str) -> Observer:
        """Who tells of the end of the stage with that title, as "fast 1 of 2: xu-l0: alternating-map"."""
        return Ending(self.laps, self.named(title))

    def named(self, title: str) -> str:
        """What a stage is called here."""
        which, start, *solver = title.split(": ")
        if which == self.links[0][1]:
            return "final deconvolution"
        if not solver:
            return f"start {start}"
        if solver[0] == self.links[-1][0]:
            return "trial deconvolutions"
        return self.of_chain(title, solver[0])

    def of_chain(self, title: str, solver: str) -> str:
        """Of links with the same solver, each in its turn."""
        places = [place for place, (own, _) in enumerate(self.links) if own == solver]
        turn = self.turns[title] = self.turns.get(title, -1) + 1
        place = places[turn % len(places)]
        return "refinement" if place == 0 else self.links[place][1]


class Ending(Observer):
    """Tells of a stage's end; what was prepared since the end of the one before is in it.

    Args:
        laps: who is told.
        stage: its name.
    """

    def __init__(self, laps: Laps, stage: str) -> None:
        self.laps, self.stage = laps, stage

    def stopped(self, problem: Any, state: State, reason: StopReason | None) -> None:
        """A stage's last step is done."""
        self.laps.lap(self.stage)


class Machine(Subject):
    """What the machine reaches: products of large matrices in two precisions, and a copy from memory to memory."""

    def __init__(self, size: Size, device: torch.device) -> None:
        larger = ON_A_GPU if device.type == "cuda" else 1
        side, count = larger * size.matrix, larger * size.megabytes * 250_000
        generator = torch.Generator().manual_seed(0)
        factor = torch.rand(side, side, generator=generator).to(device)
        self.factors = {"float32": factor, "bfloat16": factor.bfloat16()}
        self.products = {name: torch.empty_like(each) for name, each in self.factors.items()}
        self.source, self.copy = torch.zeros(count, device=device), torch.ones(count, device=device)

    def run(self, laps: Laps) -> None:
        """Each once."""
        for name, factor in self.factors.items():
            with as_convolutions(factor.device):
                torch.mm(factor, factor, out=self.products[name])
            laps.lap(name)
        self.copy.copy_(self.source)
        laps.lap("copy", bytes_of((self.source, self.copy)))


@contextmanager
def as_convolutions(device: torch.device) -> Iterator[None]:
    """Products of float32 on a GPU are done as torch does convolutions there: in TF32, where that is allowed."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda" and torch.backends.cudnn.allow_tf32:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def measurement(size: Size) -> Tensor:
    """Data (1, 1, side, side) for a network's iteration, whose seconds do not depend on what they show."""
    return torch.rand(1, 1, size.side, size.side, generator=torch.Generator().manual_seed(0))


def subject_of(version: str, size: Size, device: torch.device) -> Subject:
    """What a version's name stands for."""
    if version in ("float32", "bfloat16"):
        return Iteration(size, device, version)
    if version in ("graph", "graph-bfloat16"):
        return Replayed(size, device, SAME_WORK[version])
    if version == "plain":
        return Plain(size, device)
    return Fast(size, device) if version == "fast" else Machine(size, device)
