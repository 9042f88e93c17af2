"""Recipes of a few iterations, selection that prefer what they are told to, and who watches: for chains and starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch

from invkit.core import registry
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


class Diverging(AdamSolver):
    """Its loss is not a number."""

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        return state.image_prior(), state.kernel_prior(), torch.tensor(torch.nan)


class Near(NoReferenceMetric):
    """How far a kernel is from a given one, and what was given to it."""

    target: ClassVar[torch.Tensor]
    given: ClassVar[list[tuple[int, ...]]]

    @validated
    def __init__(self, *, seed: Seed = 0) -> None:
        super().__init__()
        self.seed = seed

    def forward(self, data: torch.Tensor, images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
        self.given.append((self.seed, *data.shape, *images.shape, *kernels.shape))
        return (kernels - self.target).square().sum((1, 2, 3)).double()


class Far(Near):
    """The other way round."""

    def forward(self, data: torch.Tensor, images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
        return -super().forward(data, images, kernels)


class Verdict(Near):
    """Says of each in its turn what it is told to."""

    values: ClassVar[tuple[float, ...]]

    def forward(self, data: torch.Tensor, images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.values)


class Failing(Near):
    """Fails."""

    def forward(self, data: torch.Tensor, images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("nothing to divide by")


class Demanding(Near):
    """Asks for what no score is given."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()


TOYS = {"near": Near, "far": Far, "verdict": Verdict, "failing": Failing, "demanding": Demanding}


@contextmanager
def registered_toys() -> Iterator[None]:
    """The toy selection and the solver that diverges, each by its name with "toy-" before it."""
    Near.given = []
    registry.register("solvers", "toy-diverging", Diverging)
    for name, score in TOYS.items():
        registry.register("no_reference_metrics", f"toy-{name}", score)
    try:
        yield
    finally:
        registry.unregister("solvers", "toy-diverging")
        for name in TOYS:
            registry.unregister("no_reference_metrics", f"toy-{name}")


def blurry_blocks() -> np.ndarray:
    """A grey picture (36, 42) in [0, 1], blurred along its rows."""
    plain = np.kron(np.random.default_rng(1).uniform(0.1, 0.9, (6, 7)), np.ones((6, 6)))
    return np.mean([np.roll(plain, shift, 1) for shift in range(4)], axis=0).astype(np.float32)


class Diary(Observer):
    """What was solved, by the titles of the bars; does something at an iteration of some of them."""

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


def chain(*texts: str) -> Recipe:
    """A recipe of several, each going on from the one before."""
    first, *later = map(parse_recipe, texts)
    return first.model_copy(update={"next": chain(*texts[1:])}) if later else first


def several(candidates: list[Recipe], *texts: str, selection: str = "toy-near") -> Recipe:
    """A recipe with starts."""
    specs = parse_recipe(f"selection = {selection if selection.startswith('[') else repr(selection)}\n{QUICK}").selection
    return chain(*texts).model_copy(update={"candidates": candidates, "selection": specs if len(candidates) > 1 else []})


def job(blurry: np.ndarray, recipe: Recipe, **choices: Any) -> Job:
    return prepare(blurry, recipe=recipe, kernel_size=5, **choices)


def aim_at(kernel: Any) -> None:
    """Make the toy selection prefer a kernel."""
    Near.target = torch.as_tensor(kernel).float()[None, None]


def names(result: Result) -> list[str]:
    return [stage["name"] for stage in result.details["stages"]]


def ends(result: Result) -> list[str]:
    return [stage["stopped"] for stage in result.details["stages"]]


def chosen(result: Result) -> list[str]:
    return [start["name"] for start in result.details["candidates"] if start["chosen"]]


TWO = [parse_recipe(QUICK), parse_recipe(SLOW)]
