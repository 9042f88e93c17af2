"""Recipes and a solver that are registered for one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from invkit.core import registry
from invkit.core.parameters import PositiveInt, validated
from invkit.core.problem import Problem
from invkit.core.solver import Solver
from invkit.regularizers.tv import TotalVariation


class Demanding(Solver[Any]):
    """A solver that needs total variation and is never started."""

    needs = {"regularizers": TotalVariation}  # noqa: RUF012 - as the base class declares it

    @validated
    def __init__(self, *, iterations: PositiveInt = 1) -> None:
        self.iterations = iterations

    def start(self, problem: Problem) -> Any:
        raise AssertionError("started")

    def step(self, problem: Problem, state: Any) -> Any:
        raise AssertionError("started")


@contextmanager
def registered(**texts: str) -> Iterator[Callable[..., None]]:
    """Registers texts as recipes, with "-" for "_" in their names, and `Demanding` as a solver.

    Yields:
        A function that registers further texts.
    """
    added = []

    def put(**texts: str) -> None:
        for name, text in texts.items():
            registry.register("recipes", name.replace("_", "-"), text)
            added.append(name.replace("_", "-"))

    put(**texts)
    registry.register("solvers", "demanding", Demanding)
    try:
        yield put
    finally:
        registry.unregister("solvers", "demanding")
        for name in added:
            registry.unregister("recipes", name)
