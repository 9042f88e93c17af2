"""What the tests of recipes within recipes register for one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from invkit.core import registry
from invkit.core.parameters import PositiveInt, validated
from invkit.core.solver import Solver
from invkit.regularizers.tv import TotalVariation


class Demanding(Solver[Any]):
    """A solver that is never started."""

    needs = {"regularizers": TotalVariation}  # noqa: RUF012 - as the base class declares it

    @validated
    def __init__(self, *, iterations: PositiveInt = 1) -> None:
        self.iterations = iterations

    def start(self, problem):
        raise AssertionError("started")

    step = start


@contextmanager
def registered(**texts: str) -> Iterator[Callable[..., None]]:
    """Texts as recipes, `_` in their names standing for `-`, and `Demanding`; gives what registers more texts."""
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
