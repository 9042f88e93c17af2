"""The terms of the objective, one by one, during a solve."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..files import write_atomically
from ..problem import Problem
from ..solver import Observer, State, StopReason

__all__ = ["Terms"]

FILE = "terms.csv"


class Terms(Observer):
    """Records the fidelity and every weighted regularizer at regular iterations: which term drives a solve, and when.

    The values are those of the estimate that a result would have, which clamps pixels to their range, and of means over
    the batch. The sum of a row is the objective there. It may differ from the loss, which some solvers compute of other
    variables, or before their step.

    Args:
        folder: of the run, in which terms.csv is written after each solve; None to keep the rows only.
        every: iterations between two rows.

    Attributes:
        rows: solve (1, 2, ... of the stages of a recipe), iteration, "fidelity", and each term as "tv" or, on the
            kernel, "l2 (kernel)".

    Raises:
        InputError: ``every`` is less than 1.

    Example:
        >>> from invkit.testing import small_problem
        >>> from invkit.solvers import ADMM
        >>> solver, terms = ADMM(iterations=4), Terms(every=2)
        >>> _ = solver.solve(small_problem(solver), observers=[terms])
        >>> [row["iteration"] for row in terms.rows], sorted(terms.rows[0])
        ([2, 4], ['TotalVariation', 'fidelity', 'iteration', 'solve'])
    """

    def __init__(self, folder: Path | None = None, *, every: int = 10) -> None:
        if every < 1:
            raise InputError(f"terms are recorded every 1 or more iterations, not every {every}")
        self.folder, self.every = folder, every
        self.rows: list[dict[str, Any]] = []
        self._solves = 0

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Count the solves."""
        self._solves += 1

    @torch.no_grad()
    def stepped(self, problem: Problem, state: State) -> None:
        """Add a row if the iteration is a multiple of ``every``."""
        if state.iteration % self.every == 0:
            self._add(problem, state)

    def _add(self, problem: Problem, state: State) -> None:
        values = terms_of(problem, state, state.iteration)
        self.rows.append({"solve": self._solves, "iteration": state.iteration, **values})

    @torch.no_grad()
    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Add the last iteration, unless an error has interrupted it, and write the rows so far."""
        if reason is not None and state.iteration % self.every:
            self._add(problem, state)
        if self.folder is not None and self.rows:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / FILE, table_of(self.rows).encode())


def terms_of(problem: Problem, state: State, iteration: int) -> dict[str, float]:
    """The terms of the objective at a state, by name, each the mean over the batch.

    Args:
        problem: that is solved.
        state: the current one.
        iteration: for fidelities that change with it.
    """
    image, kernel = state.estimate()
    predicted = problem.operator(image, kernel)
    found = {"fidelity": float(problem.data_term(predicted, iteration).mean())}
    for term in problem.regularizers:
        name = type(term.regularizer).__name__ + ("" if term.target == "image" else " (kernel)")
        value = float(term.weight * term.regularizer(image if term.target == "image" else kernel).mean())
        found[name] = found.get(name, 0.0) + value
    return found


def table_of(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV; a column for each name of any row."""
    text = StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
