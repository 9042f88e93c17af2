"""Checks of solvers, on a deconvolution of 24x24 pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..core import registry
from ..core.errors import InvkitError, PluginError
from ..core.interfaces import ForwardOperator, KernelPrior, OperatorParameterPrior
from ..core.nested import named
from ..core.parameters import nested_components_of, parameters_of
from ..core.problem import Problem, Term
from ..core.result import Result
from ..core.solver import Observer, Solver, State, StopReason
from ..numerics.geometry import Shape
from .common import (
    Settings,
    assert_documented,
    assert_random_state_untouched,
    build,
    differing,
    drawn,
    examples,
    snapshot,
)
from .kernel_parts import strokes
from .operators import demand
from .priors import assert_image, assert_kernel

__all__ = ["check_solver", "small_problem"]

DATA_SHAPE: Shape = (1, 1, 24, 24)
KERNEL_SIZE = (9, 8)  # large enough that a pyramid has two levels
ITERATIONS = 20
FEW = 2  # steps after which the form of an image, or of what goes on, is seen as well as after more
WEIGHT = 1e-3

USUAL = {
    "operator": "convolution",
    "image_prior": "pixels",
    "kernel_prior": "simplex",
    "fidelity": "mse",
    "regularizers": "tv",
}


def check_solver(component: type[Solver[Any]], params: Settings | None = None) -> None:
    """Every property of a solver: it explains the data better, changes nothing, is exact to resume and to go on from.

    It is built with the examples of what it requires, and with few iterations where it, or a solver that it holds,
    has a parameter of that name. The problem is one that it does not refuse: of the usual components, of others with
    the abilities that it needs, or of such with one of them exchanged.
    """
    assert_documented(component)
    solver = build(component, {}, {**shortened(component), **({} if params is None else params)})
    problem, name, keeper = small_problem(solver), component.__name__, Keeper()
    with assert_left_alone(problem, name):
        result = solver.solve(problem, observers=[keeper])
    assert_recorded(solver, problem, result)
    assert_better(problem, torch.as_tensor(result.image), torch.as_tensor(result.kernel), name)
    assert_same(result, solver.solve(problem), f"{name} solving again")
    for saved in keeper.thirds():
        assert_same(result, solver.solve(problem, resume=saved), f"{name} resumed from a saved state")
    assert_goes_on(solver, problem, keeper.state)
    assert_any_form(solver, problem)


class Keeper(Observer):
    """Saves the state after every step through a file's bytes, as a checkpoint does, and keeps the last one."""

    def __init__(self) -> None:
        self.files: list[bytes] = []
        self.state: State

    def stepped(self, problem: Problem, state: State) -> None:
        """Save it."""
        file = io.BytesIO()
        torch.save(state.state_dict(), file)
        self.files.append(file.getvalue())

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Keep it."""
        self.state = state

    def thirds(self) -> Iterator[Mapping[str, Any]]:
        """What was saved after one and two thirds of the steps, and after the last: of one step, this alone."""
        count = len(self.files)
        for steps in sorted({max(1, count // 3), max(1, 2 * count // 3), count}):
            yield torch.load(io.BytesIO(self.files[steps - 1]), weights_only=True)


def shortened(component: type) -> dict[str, Any]:
    """Parameters that make a solver short: few iterations of its own, and of the solvers that it must be given."""
    known = parameters_of(component).model_fields
    settings: dict[str, Any] = {"iterations": ITERATIONS} if "iterations" in known else {}
    required = examples(component)
    for name, slot in nested_components_of(component).items():
        if slot.family == Solver.family and name in required:
            settings[name] = inner_shortened(required[name])
    return settings


def inner_shortened(there: Any) -> Any:
    """What an example puts into a slot for solvers, shortened; an instance stays as it is."""
    if isinstance(there, list):
        return [inner_shortened(one) for one in there]
    if not isinstance(there, str | Mapping):
        return there
    spec = named(there)
    short = shortened(registry.load(Solver.family, spec["name"]))
    return {**spec, "params": {**short, **spec.get("params", {})}}


def small_problem(solver: Solver[Any]) -> Problem:
    """A blurred 24x24 image in a problem that the solver does not refuse.

    Raises:
        AssertionError: it refuses all that were tried; says why it did the last.
    """
    refusal: InvkitError | None = None
    for chosen in choices(type(solver)):
        try:
            problem = blurred(chosen)
            solver.check(problem)
        except InvkitError as error:
            refusal = error
            continue
        return problem
    raise AssertionError(f"{type(solver).__name__} refuses every problem of registered components: {refusal}")


def choices(solver: type[Solver[Any]]) -> Iterator[dict[str, type[Any]]]:
    """Components for each part: the first that are able, and then these with one of them exchanged."""
    candidates = {part: able(solver, part) for part in USUAL}
    first = {part: components[0] for part, components in candidates.items()}
    yield first
    for part in reversed(USUAL):  # most often it is the regularizer
        for other in candidates[part][1:]:
            yield {**first, part: other}


def able(solver: type[Solver[Any]], part: str) -> list[type[Any]]:
    """The registered components of a part that have the ability the solver needs, the usual one first if it does."""
    needed: type = {str(k): v for k, v in solver.needs.items()}.get(part, object)
    found = []
    for name in dict.fromkeys([USUAL[part], *registry.names(registry.PLACES[part])]):
        try:
            component: type[Any] = registry.load(registry.PLACES[part], name)
        except PluginError:
            continue  # another distribution's fault
        if issubclass(component, needed) and is_of_kernels(component):
            found.append(component)
    demand(bool(found), f"{solver.__name__} needs a {needed.__name__}, and no registered component of {part} is one")
    return found


def is_of_kernels(component: type[Any]) -> bool:
    """Whether a component may stand in a problem whose unknown is a kernel, which is what solvers are tried on."""
    kind = component.parameter_prior if issubclass(component, ForwardOperator) else component
    return not issubclass(kind, OperatorParameterPrior) or issubclass(kind, KernelPrior)


def blurred(
    chosen: Mapping[str, type[Any]], data_shape: Shape = DATA_SHAPE, dtype: torch.dtype = torch.float32
) -> Problem:
    """A problem of these components; a kernel prior that starts from a kernel starts from the true one.

    From there any method is to improve the image, whereas blindly, with so few pixels, the best of them may fail.
    """
    batch, channels = data_shape[:2]
    operator = build(chosen["operator"])
    kernel = strokes(batch, KERNEL_SIZE).to(dtype)
    kernel_prior = build(chosen["kernel_prior"], {"shape": tuple(kernel.shape), "start": kernel, "guess": None})
    shape = operator.image_shape(data_shape, kernel_prior.shape)
    # Coarse blocks: an image that a blur damages, so that there is something to improve.
    coarse = drawn((batch, channels, 5, 5), seed=5, dtype=dtype)
    data = operator(nn.functional.interpolate(coarse, size=shape[2:]), kernel).clamp(0, 1)
    return Problem(
        data=data,
        operator=operator,
        image_prior=build(chosen["image_prior"], {"shape": shape, "start": data}),
        kernel_prior=kernel_prior,
        fidelity=build(chosen["fidelity"]),
        regularizers=(Term(build(chosen["regularizers"]), WEIGHT),),
    )


def modules(problem: Problem) -> dict[str, Tensor]:
    """Every parameter and buffer of a problem's components, and its data."""
    parts: dict[str, nn.Module] = {part: getattr(problem, part) for part in USUAL if part != "regularizers"}
    parts |= {f"regularizers.{i}": term.regularizer for i, term in enumerate(problem.regularizers)}
    found = {f"{part}: {name}": value for part, module in parts.items() for name, value in snapshot(module).items()}
    return found | {"data": problem.data.clone()}


@contextmanager
def assert_left_alone(problem: Problem, name: str) -> Iterator[None]:
    """What happens inside changes neither the problem's data and components nor the global random state."""
    before = modules(problem)
    with assert_random_state_untouched(f"solving with {name}"):
        yield
    changed = differing(before, modules(problem))
    demand(not changed, f"{name} changes the problem's {', '.join(changed)}")


def assert_recorded(solver: Solver[Any], problem: Problem, result: Result) -> None:
    """There is a finite loss of every step, and no more steps than the solver says."""
    name, most = type(solver).__name__, solver.steps(problem)
    history = torch.tensor(result.history)
    demand(len(history) == result.iterations, f"{name} records {len(history)} losses in {result.iterations} steps")
    demand(bool(history.isfinite().all()), f"{name} records losses that are not finite")
    demand(0 < result.iterations <= most, f"{name} takes {result.iterations} steps, having said at most {most}")


@torch.no_grad()
def assert_better(problem: Problem, image: Tensor, kernel: Tensor, name: str) -> None:
    """A valid image and kernel that explain the data better than where the priors started.

    It is the fidelity that must be lower, not the objective: many a method minimises another one than the problem's,
    as on a periodic image or on gradients, or several by turns, and no regularizer is worth worse data at `WEIGHT`.
    """
    assert_image(image, problem.image_prior.shape)
    assert_kernel(kernel, problem.kernel_prior.shape)
    start, end = (
        float(problem.fidelity(problem.operator(x, k), problem.data).sum())
        for x, k in ((problem.image_prior(), problem.kernel_prior()), (image, kernel))
    )
    demand(end < start, f"{name} ends at a fidelity of {end:.4g}, having started at {start:.4g}")


def assert_same(one: Result, other: Result, what: str) -> None:
    """Two results are equal to the bit."""
    demand(one.history == other.history, f"{what} has another history of losses")
    for part, first, second in (("image", one.image, other.image), ("kernel", one.kernel, other.kernel)):
        demand(
            torch.equal(torch.as_tensor(first), torch.as_tensor(second)),
            f"{what} gives another {part} than uninterrupted",
        )


def assert_goes_on(solver: Solver[Any], problem: Problem, state: State) -> None:
    """The priors of the last state explain the data better than those of the problem, and can be solved for again."""
    name = type(solver).__name__
    with assert_left_alone(problem, name):
        image_prior, kernel_prior = state.priors(problem)
        assert_better(problem, image_prior().detach(), kernel_prior().detach(), f"{name}, in the priors it leaves,")
        run_few(solver, replace(problem, image_prior=image_prior, kernel_prior=kernel_prior))


def assert_any_form(solver: Solver[Any], problem: Problem) -> None:
    """Two colour images in float64 with a kernel each come back in that form, finite."""
    chosen = {part: type(getattr(problem, part)) for part in USUAL if part != "regularizers"}
    chosen["regularizers"] = type(problem.regularizers[0].regularizer)
    many = blurred(chosen, (2, 3, *DATA_SHAPE[2:]), torch.float64)
    image, kernel = run_few(solver, many).estimate()
    assert_image(image, many.image_prior.shape)
    assert_kernel(kernel, many.kernel_prior.shape)
    for part, value in (("image", image), ("kernel", kernel)):
        demand(value.dtype == torch.float64, f"{type(solver).__name__} gives an {part} in {value.dtype} for float64")


def run_few(solver: Solver[Any], problem: Problem) -> State:
    """The state after a few steps."""
    state: State = solver.start(problem)
    while state.iteration < min(FEW, solver.steps(problem)) and not state.converged:
        state = solver.step(problem, state)
        state.iteration += 1
    return state
