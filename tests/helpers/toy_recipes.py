"""Recipes of a few iterations, no-reference metrics with known scores, and an observer: for stages and candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch

from invkit.core import registry
from invkit.core.errors import NotApplicableError
from invkit.core.evaluation import NoReferenceMetric
from invkit.core.parameters import Seed, validated
from invkit.core.problem import Problem
from invkit.core.result import Result
from invkit.core.solver import Observer
from invkit.pipeline.job import Job, prepare
from invkit.recipes.model import Recipe, parse_recipe
from invkit.solvers.adam import AdamSolver, AdamState, Outcome

QUICK = """
name = "quick"
image_prior = "pixels"
kernel_prior = "simplex"
solver = {name = "joint-adam", params = {iterations = 3, milestones = []}}
"""
SLOW = QUICK.replace("quick", "slow").replace("= 3", "= 12")
REFINED = QUICK.replace("quick", "refined").replace("= 3", "= 4")
LAST = QUICK.replace("quick", "last").replace("simplex", "known").replace("= 3", "= 7")
NOISY = LAST.replace("last", "noisy") + 'regularizers = {name = "tv", weight = 0.5, scale_by = "sigma"}\n'
ENDLESS = QUICK.replace("quick", "endless").replace("= 3", "= 1000000")
DIVERGING = QUICK.replace("quick", "diverging").replace("joint-adam", "toy-diverging")
DECLINING = QUICK.replace("quick", "declining").replace("joint-adam", "toy-declining")


class Diverging(AdamSolver):
    """A solver whose loss is not a number."""

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        return state.image_prior(), state.kernel_prior(), torch.tensor(torch.nan)


class Declining(AdamSolver):
    """A solver that applies to no data."""

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        raise NotApplicableError("there is nothing to do")


class Near(NoReferenceMetric):
    """The squared distance of a kernel from a target.

    Attributes:
        target: the kernel that scores best, (1, 1, h, w).
        calls: for each call the seed and the shapes of data, images and kernels.
    """

    target: ClassVar[torch.Tensor]
    calls: ClassVar[list[tuple[int, ...]]]

    @validated
    def __init__(self, *, seed: Seed = 0) -> None:
        super().__init__()
        self.seed = seed

    def forward(self, data: torch.Tensor, images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
        self.calls.append((self.seed, *data.shape, *images.shape, *kernels.shape))
        return (kernels - self.target).square().sum((1, 2, 3)).double()


class Far(Near):
    """The negative of `Near`."""

    def forward(self, data: torch.Tensor, images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
        return -super().forward(data, images, kernels)


class Prescribed(Near):
    """Scores that the test prescribes, one for each kernel."""

    values: ClassVar[tuple[float, ...]]

    def forward(self, data: torch.Tensor, images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.values)


class Failing(Near):
    """A metric that fails."""

    def forward(self, data: torch.Tensor, images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("nothing to divide by")


class Demanding(Near):
    """A metric with a positional argument, which no metric is given."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()


TOYS = {"near": Near, "far": Far, "prescribed": Prescribed, "failing": Failing, "demanding": Demanding}


@contextmanager
def registered_toys() -> Iterator[None]:
    """Registers the metrics and the solver that diverges, with names that start with "toy-"."""
    Near.calls = []
    registry.register("solvers", "toy-diverging", Diverging)
    registry.register("solvers", "toy-declining", Declining)
    for name, metric in TOYS.items():
        registry.register("no_reference_metrics", f"toy-{name}", metric)
    try:
        yield
    finally:
        registry.unregister("solvers", "toy-diverging")
        registry.unregister("solvers", "toy-declining")
        for name in TOYS:
            registry.unregister("no_reference_metrics", f"toy-{name}")


def blurry_blocks() -> np.ndarray:
    """A grey picture (36, 42) in [0, 1], blurred along its rows."""
    plain = np.kron(np.random.default_rng(1).uniform(0.1, 0.9, (6, 7)), np.ones((6, 6)))
    return np.asarray(np.mean([np.roll(plain, shift, 1) for shift in range(4)], axis=0), np.float32)


class Diary(Observer):
    """Records the titles of the progress bars and the problems; acts at one iteration of some solves.

    Args:
        action: what it does.
        watched: the solves in which it acts, counted from 0.
        at: the iteration after which it acts, counted from 1.
    """

    def __init__(self, action: Callable[[], None] = lambda: None, watched: tuple[int, ...] = (), at: int = 2) -> None:
        self.action, self.watched, self.at = action, watched, at
        self.titles: list[str] = []
        self.problems: list[Any] = []

    def __call__(self, title: str) -> Observer:
        self.titles.append(title)
        return self

    def started(self, problem: object, state: object, iterations: int) -> None:
        self.problems.append(problem)

    def stepped(self, problem: object, state: Any) -> None:
        if len(self.titles) - 1 in self.watched and state.iteration == self.at:
            self.action()


def stages(*texts: str) -> Recipe:
    """A recipe with next stages, one for each text."""
    first, *later = map(parse_recipe, texts)
    return first.model_copy(update={"next": stages(*texts[1:])}) if later else first


def with_candidates(candidates: list[Recipe], *texts: str, selection: str = "toy-near") -> Recipe:
    """A recipe with candidates and, for each further text, a next stage.

    Args:
        candidates: its candidates.
        texts: the recipe and its next stages.
        selection: the name of a metric, or a TOML list.
    """
    terms = parse_recipe(
        f"selection = {selection if selection.startswith('[') else repr(selection)}\n{QUICK}"
    ).selection
    update = {"candidates": candidates, "selection": terms if len(candidates) > 1 else []}
    return stages(*texts).model_copy(update=update)


def job(blurry: np.ndarray, recipe: Recipe, **options: Any) -> Job:
    """The restoration of a picture with a kernel of 5x5 pixels."""
    return prepare(blurry, recipe=recipe, kernel_size=5, **options)


def aim_at(kernel: Any) -> None:
    """Make "toy-near" prefer a kernel."""
    Near.target = torch.as_tensor(kernel).float()[None, None]


def stage_names(result: Result) -> list[str]:
    return [stage["name"] for stage in result.details["stages"]]


def stops(result: Result) -> list[str]:
    """How each stage ended."""
    return [stage["stopped"] for stage in result.details["stages"]]


def selected(result: Result) -> list[str]:
    """The names of the selected candidates."""
    return [one["name"] for one in result.details["candidates"] if one["selected"]]


TWO = [parse_recipe(QUICK), parse_recipe(SLOW)]
