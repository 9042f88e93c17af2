"""The observer of the terms of the objective."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import invkit
from invkit.core.errors import InputError
from invkit.core.observers.terms import Terms
from invkit.core.problem import Term
from invkit.regularizers.l2 import GradientL2
from invkit.solvers.adam import JointAdam
from invkit.testing import small_problem


def test_the_terms_add_up_to_the_objective() -> None:
    from dataclasses import replace

    solver, terms = JointAdam(iterations=6), Terms(every=3)
    problem = small_problem(solver)
    problem = replace(problem, regularizers=[*problem.regularizers, Term(GradientL2(), 0.3, "kernel")])
    result = solver.solve(problem, observers=[terms])
    assert [row["iteration"] for row in terms.rows] == [3, 6]
    last = {name: value for name, value in terms.rows[-1].items() if name not in ("solve", "iteration")}
    assert set(last) == {"fidelity", "TotalVariation", "GradientL2 (kernel)"}
    objective = problem.objective(torch.as_tensor(result.image), torch.as_tensor(result.kernel), 6)
    assert sum(last.values()) == pytest.approx(float(objective.mean()), rel=1e-4)


def test_a_run_writes_the_terms_of_every_stage(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    picture = np.kron(draw.uniform(0.1, 0.9, (8, 8)), np.ones((6, 6))).astype(np.float32)
    terms = Terms(tmp_path, every=1)
    invkit.deblur(picture, recipe="xu-l0", kernel_size=5, progress=False, observers=[terms])
    with (tmp_path / "terms.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["solve"] for row in rows} == {"1", "2"}
    assert all(row["fidelity"] for row in rows)


def test_no_row_comes_between_iterations() -> None:
    with pytest.raises(InputError, match="every 1 or more iterations, not every 0"):
        Terms(every=0)


def test_a_short_solve_has_its_last_iteration(tmp_path: Path) -> None:
    solver, terms = JointAdam(iterations=3), Terms(tmp_path)
    solver.solve(small_problem(solver), observers=[terms])
    assert [row["iteration"] for row in terms.rows] == [3]
    assert (tmp_path / "terms.csv").is_file()
