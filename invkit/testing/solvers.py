"""Checks of solvers and observers, on a deconvolution of 24x24 pixels."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core import registry
from ..core.errors import NotApplicableError
from ..core.nested import named
from ..core.parameters import nested_components_of, parameters_of
from ..core.problem import Problem
from ..core.result import KERNEL, GivesVariances, Result
from ..core.solver import Observer, Solver, State, StopReason
from .common import (
    ParameterValues,
    assert_documented,
    assert_random_state_untouched,
    build,
    demand,
    differing,
    examples,
    snapshot,
)
from .example_problems import (
    DEFAULT_COMPONENTS,
    SMALL_DATA_SHAPE,
    blurred_problem,
    classes_of,
    nonlinear_problems,
    other_fidelities,
    small_problem,
)
from .priors import assert_image, assert_kernel
from .problem_parts import (
    assert_better,
    assert_data_weights_used,
    assert_fidelity_used,
    assert_operator_used,
    assert_range_kept,
    assert_regularizers_used,
    squared_problem,
    state_after_few,
)

__all__ = ["check_observer", "check_solved", "check_solver"]

SOLVER_ITERATIONS = 20
OBSERVED_ITERATIONS = 4


def check_solver(component: type[Solver[Any]], params: ParameterValues | None = None) -> None:
    """Every property of a solver: it improves the fit, changes nothing, resumes exactly, and its priors can be reused.

    It is built with the examples of its required parameters and with few iterations, if it or a solver inside it has a
    parameter of that name. The problem is one that it accepts: of the default components, of others with the abilities
    that it needs, or of these with one of them exchanged. A solver for other data than this problem's may raise
    `NotApplicableError`. Then only this is checked: that it says why, always the same, and changes nothing. Test such a
    solver on data of its own with `check_solved`.
    """
    assert_documented(component)
    solver = build(component, {}, {**few_iterations(component), **({} if params is None else params)})
    problem, keeper = small_problem(solver), StateKeeper()
    try:
        result = observed_result(solver, problem, keeper)
    except NotApplicableError as error:
        assert_declines(solver, problem, str(error))
        return
    assert_solved(solver, problem, result, keeper)
    assert_any_form(solver, problem)
    assert_fidelity_used(solver, problem, other_fidelities(solver, problem))
    assert_operator_used(solver, [squared_problem(problem), *nonlinear_problems(problem)])
    assert_range_kept(solver, problem)
    assert_regularizers_used(solver, problem)
    assert_data_weights_used(solver, problem)


def check_solved(solver: Solver[Any], problem: Problem) -> None:
    """Every property of a solver on a problem that it solves, as `check_solver` says.

    Args:
        solver: the solver.
        problem: with priors that do not explain the data as well as the solver should.
    """
    keeper = StateKeeper()
    assert_solved(solver, problem, observed_result(solver, problem, keeper), keeper)
    assert_regularizers_used(solver, problem)


def assert_declines(solver: Solver[Any], problem: Problem, reason: str) -> None:
    """A solver that did not apply to a problem gives the same reason, not an empty one, when it is asked again."""
    name = type(solver).__name__
    demand(bool(reason), f"{name} declines a problem without a reason")
    again = None
    try:
        with assert_problem_unchanged(problem, name):
            state_after_few(solver, problem)
    except NotApplicableError as error:
        again = str(error)
    demand(again == reason, f"{name} does not always decline a problem in the same way")


def observed_result(solver: Solver[Any], problem: Problem, keeper: StateKeeper) -> Result:
    """The result of a solve that changes nothing and whose states are kept."""
    with assert_problem_unchanged(problem, type(solver).__name__):
        return solver.solve(problem, observers=[keeper])


def assert_solved(solver: Solver[Any], problem: Problem, result: Result, keeper: StateKeeper) -> None:
    """A solve improves the fit, can be repeated and resumed exactly, and its priors can be reused.

    Args:
        solver: the solver.
        problem: the problem.
        result: of a solve.
        keeper: with the states of this solve.
    """
    name = type(solver).__name__
    history, most = torch.tensor(result.history), solver.steps(problem)
    demand(len(history) == result.iterations, f"{name} records {len(history)} losses in {result.iterations} steps")
    demand(bool(history.isfinite().all()), f"{name} records losses that are not finite")
    demand(0 < result.iterations <= most, f"{name} takes {result.iterations} steps and announced at most {most}")
    assert_variances(solver, result, name)
    assert_better(problem, torch.as_tensor(result.image), torch.as_tensor(result.kernel), name)
    assert_same_result(result, solver.solve(problem), f"{name} solving again")
    for saved in keeper.thirds():
        assert_same_result(result, solver.solve(problem, resume=saved), f"{name} resumed from a saved state")
    assert_priors_reusable(solver, problem, keeper.state)


def assert_variances(solver: Solver[Any], result: Result, name: str) -> None:
    """A solver of type `GivesVariances` gives those of the kernel, >= 0 and of its shape.

    Args:
        solver: the solver.
        result: of a solve.
        name: of the solver.
    """
    if not isinstance(solver, GivesVariances):
        return
    found = torch.as_tensor(result.variances.get(KERNEL, torch.empty(0)))
    demand(found.shape == torch.as_tensor(result.kernel).shape, f"{name} gives no variances of the kernel")
    demand(bool((found >= 0).all()), f"{name} gives variances below zero")


class StateKeeper(Observer):
    """Saves the state after every step through a file's bytes, as a checkpoint does, and keeps the last state."""

    def __init__(self) -> None:
        self.files: list[bytes] = []
        self.state: State

    def stepped(self, problem: Problem, state: State) -> None:
        """Save the state."""
        file = io.BytesIO()
        torch.save(state.state_dict(), file)
        self.files.append(file.getvalue())

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Keep the state."""
        self.state = state

    def thirds(self) -> Iterator[Mapping[str, Any]]:
        """Load the states saved after one third, two thirds and all of the steps, each once."""
        count = len(self.files)
        for steps in sorted({max(1, count // 3), max(1, 2 * count // 3), count}):
            yield torch.load(io.BytesIO(self.files[steps - 1]), weights_only=True)


def few_iterations(component: type) -> dict[str, Any]:
    """Return parameters that make a solver short: few iterations of its own and of the solvers that it requires."""
    known = parameters_of(component).model_fields
    settings: dict[str, Any] = {"iterations": SOLVER_ITERATIONS} if "iterations" in known else {}
    required = examples(component)
    for name, nested in nested_components_of(component).items():
        if nested.family == Solver.family and name in required:
            settings[name] = with_few_iterations(required[name])
    return settings


def with_few_iterations(example: Any) -> Any:
    """Return the example of a nested solver with few iterations; an instance is unchanged."""
    if isinstance(example, list):
        return [with_few_iterations(one) for one in example]
    if not isinstance(example, str | Mapping):
        return example
    spec = named(example)
    settings = few_iterations(registry.load(Solver.family, spec["name"]))
    return {**spec, "params": {**settings, **spec.get("params", {})}}


def tensors_of(problem: Problem) -> dict[str, Tensor]:
    """Copy every parameter and buffer of a problem's components, and its data."""
    parts: dict[str, nn.Module] = {
        part: getattr(problem, part) for part in DEFAULT_COMPONENTS if part != "regularizers"
    }
    parts |= {f"regularizers.{i}": term.regularizer for i, term in enumerate(problem.regularizers)}
    found = {f"{part}: {name}": value for part, module in parts.items() for name, value in snapshot(module).items()}
    return found | {"data": problem.data.clone()}


@contextmanager
def assert_problem_unchanged(problem: Problem, name: str) -> Iterator[None]:
    """The enclosed code changes neither the problem's data and components nor the global random state."""
    before = tensors_of(problem)
    with assert_random_state_untouched(f"solving with {name}"):
        yield
    changed = differing(before, tensors_of(problem))
    demand(not changed, f"{name} changes the problem's {', '.join(changed)}")


def assert_same_result(one: Result, other: Result, what: str) -> None:
    """Two results are bitwise equal.

    Args:
        one: a result.
        other: another result.
        what: how ``other`` was computed, for the message.
    """
    demand(one.history == other.history, f"{what} has another history of losses")
    for part, first, second in (("image", one.image, other.image), ("kernel", one.kernel, other.kernel)):
        same = torch.equal(torch.as_tensor(first), torch.as_tensor(second))
        demand(same, f"{what} gives another {part}")


def assert_priors_reusable(solver: Solver[Any], problem: Problem, state: State) -> None:
    """The priors of the last state explain the data better than the problem's, and can be solved for again.

    Args:
        solver: the solver.
        problem: its problem.
        state: its last state.
    """
    name = type(solver).__name__
    with assert_problem_unchanged(problem, name):
        image_prior, kernel_prior = state.priors(problem)
        assert_better(problem, image_prior().detach(), kernel_prior().detach(), f"{name}, in the priors it leaves,")
        state_after_few(solver, replace(problem, image_prior=image_prior, kernel_prior=kernel_prior))


def assert_any_form(solver: Solver[Any], problem: Problem) -> None:
    """Two colour images in float64 with a kernel each give finite results of the same form."""
    many = blurred_problem(classes_of(problem), (2, 3, *SMALL_DATA_SHAPE[2:]), torch.float64)
    image, kernel = state_after_few(solver, many).estimate()
    assert_image(image, many.image_prior.shape)
    assert_kernel(kernel, many.kernel_prior.shape)
    for part, value in (("image", image), ("kernel", kernel)):
        demand(value.dtype == torch.float64, f"{type(solver).__name__} gives an {part} in {value.dtype} for float64")


class TrialError(Exception):
    """The error of `FailingSolver`."""


class FailingSolver(Solver[State]):
    """A solver that fails in its second step."""

    def __init__(self, inner: Solver[Any]) -> None:
        self.inner, self.iterations = inner, inner.iterations

    def start(self, problem: Problem) -> State:
        """Start the inner solver."""
        state: State = self.inner.start(problem)
        return state

    def step(self, problem: Problem, state: State) -> State:
        """Do one step; raise `TrialError` in the next."""
        if state.iteration:
            raise TrialError
        after: State = self.inner.step(problem, state)
        return after


def check_observer(component: type[Observer], params: ParameterValues | None = None) -> None:
    """Every property of an observer: it is documented and does not change the solves that it observes.

    It observes several solves, a resumed one and one that fails, and its constructor writes nothing.
    """
    assert_documented(component)
    solver: Solver[Any] = build(registry.load(Solver.family, "joint-adam"), {}, {"iterations": OBSERVED_ITERATIONS})
    problem, keeper, name = small_problem(solver), StateKeeper(), component.__name__
    alone = solver.solve(problem, observers=[keeper])
    half = torch.load(io.BytesIO(keeper.files[OBSERVED_ITERATIONS // 2 - 1]), weights_only=True)
    with built_observer(component, params) as observer:
        for resume in (None, half, None):
            with assert_problem_unchanged(problem, name):
                observed = solver.solve(problem, observers=[observer], resume=resume)
                assert_same_result(alone, observed, f"a solve observed by {name}")
        try:
            FailingSolver(solver).solve(problem, observers=[observer])
        except TrialError:
            return
        raise AssertionError(f"{name} hides the error of a solve that it observes")


@contextmanager
def built_observer(component: type[Observer], params: ParameterValues | None) -> Iterator[Observer]:
    """Build an observer with an output folder that does not exist; the constructor does not create the folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        with assert_random_state_untouched(f"building {component.__name__}"):
            observer = build(component, {"folder": folder}, params)
        demand(not folder.exists(), f"{component.__name__} writes to its folder before it is started")
        yield observer
