"""The C library keeps large blocks of memory only in processes that run a solver which asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from invkit.core.solver import Solver
from invkit.solvers import GradientDescent, HalfQuadratic, JointAdam, Pyramid, Wiener
from invkit.testing.example_problems import small_problem


@pytest.mark.parametrize(
    ("solver", "calls"),
    [
        (JointAdam(iterations=2), 2),
        (HalfQuadratic(beta_max=4.0), 2),
        (GradientDescent(iterations=1), 1),
        (Wiener(), 0),
        (Pyramid(inner=GradientDescent(iterations=1), min_kernel_size=99), 1),
        (Pyramid(inner=Wiener(), min_kernel_size=99), 0),
    ],
)
def test_only_a_solver_that_asks_makes_the_c_library_keep_large_blocks(
    solver: Solver[Any], calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []
    monkeypatch.setattr("invkit.core.solver.keep_large_blocks", lambda: made.append(True))
    solver.solve(small_problem(solver))
    assert len(made) == calls
