"""Checks, by one evaluation, that components written outside of invkit keep what their interfaces say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from .errors import AssemblyError, reported_as
from .interfaces import Fidelity, ForwardOperator, ImagePrior, OperatorParameterPrior, Regularizer
from .ranges import RANGE_TOLERANCE, check_range

__all__ = ["check_components", "check_contracts"]

OWN = "invkit."  # the conformance checks test what is defined in these modules


class WeightedTerm(Protocol):
    """A term of a problem, as `invkit.core.problem.Term`."""

    @property
    def regularizer(self) -> Regularizer:
        """The penalty."""

    @property
    def target(self) -> str:
        """On the "image" or on the "kernel"."""


class Components(Protocol):
    """What is checked of a problem, as `invkit.core.problem.Problem`."""

    @property
    def data(self) -> Tensor:
        """(B, C, H, W)."""

    @property
    def operator(self) -> ForwardOperator:
        """A."""

    @property
    def image_prior(self) -> ImagePrior:
        """Gives x."""

    @property
    def kernel_prior(self) -> OperatorParameterPrior:
        """Gives k."""

    @property
    def fidelity(self) -> Fidelity:
        """Compares."""

    @property
    def regularizers(self) -> Sequence[WeightedTerm]:
        """The terms."""

    def observed(self, predicted: Tensor) -> Tensor:
        """The data, with a prediction in place of unknown ones."""


def check_components(solver: object, problem: Components) -> None:
    """Refuse an image range that a solver would not keep, and components that break their contract.

    Args:
        solver: the solver.
        problem: that it shall solve.

    Raises:
        AssemblyError: as `check_range` and `check_contracts`.
    """
    check_range(solver, problem.image_prior.range)
    check_contracts(problem)


@torch.no_grad()
def check_contracts(problem: Components) -> None:
    """Refuse a component of others that gives another shape or other values than its interface says.

    A regularizer that gives one number instead of one per image, or a prior that leaves its range, would otherwise give
    a wrong image without a word. Every component of a problem is evaluated once if one of them is not invkit's own.

    Raises:
        AssemblyError: names the component, what it gave, and what it must give.
    """
    terms = [(f"regularizers[{index}]", term) for index, term in enumerate(problem.regularizers)]
    parts = [problem.operator, problem.image_prior, problem.kernel_prior, problem.fidelity]
    if all(is_own(part) for part in (*parts, *(term.regularizer for _, term in terms))):
        return
    image, kernel, data = checked_image(problem), checked_kernel(problem), problem.data
    predicted = evaluated("operator", problem.operator, lambda: problem.operator(image, kernel))
    demand_shape("operator", problem.operator, predicted, tuple(data.shape))
    fidelity = problem.fidelity.at(0)
    misfit = evaluated("fidelity", fidelity, lambda: fidelity(predicted, problem.observed(predicted)))
    demand_shape("fidelity", fidelity, misfit, (len(data),))
    for place, term in terms:
        value = image if term.target == "image" else kernel
        penalty = evaluated(place, term.regularizer, lambda: term.regularizer(value))  # noqa: B023 - called at once
        demand_shape(place, term.regularizer, penalty, (len(value),))


def is_own(component: object) -> bool:
    """Whether a component is defined in invkit, or is a part of torch."""
    return type(component).__module__.startswith((OWN, "torch."))


def checked_image(problem: Components) -> Tensor:
    """The image of the image prior, as the data; raises `AssemblyError` for another shape or range than it says."""
    prior = problem.image_prior
    image = evaluated("image_prior", prior, prior)
    demand_shape("image_prior", prior, image, tuple(prior.shape))
    (low, high), (least, most) = prior.range, (float(end) for end in image.aminmax())
    if least < low - RANGE_TOLERANCE or most > high + RANGE_TOLERANCE:
        raise broken("image_prior", prior, f"values from {least:.4g} to {most:.4g}", f"values in [{low:g}, {high:g}]")
    return image.to(problem.data)


def checked_kernel(problem: Components) -> Tensor:
    """The value of the second prior, as the data; raises `AssemblyError` for another shape, or one not allowed."""
    prior = problem.kernel_prior
    kernel = evaluated("kernel_prior", prior, prior)
    demand_shape("kernel_prior", prior, kernel, tuple(prior.shape))
    flaw = prior.flaw(kernel)
    if flaw:
        raise broken("kernel_prior", prior, f"a value that is {flaw}", f"one that is {prior.rule}")
    return kernel.to(problem.data)


def evaluated(place: str, component: nn.Module, evaluate: Callable[[], Tensor]) -> Tensor:
    """What a component gives; raises `AssemblyError` if it fails, or gives no finite tensor.

    Args:
        place: in the problem.
        component: for the message.
        evaluate: calls it.
    """
    with reported_as(AssemblyError, f"{place}: {type(component).__name__} fails on this problem"):
        value = evaluate()
    if not isinstance(value, Tensor):
        raise broken(place, component, type(value).__name__, "a tensor")
    if not bool(torch.isfinite(value).all()):
        raise broken(place, component, "NaN or infinite values", "finite ones")
    return value


def demand_shape(place: str, component: nn.Module, value: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a value of another shape; raises `AssemblyError`.

    Args:
        place: in the problem.
        component: that gave it.
        value: of any shape.
        shape: that it must have.
    """
    if tuple(value.shape) != shape:
        one_each = "; one number for each image of the batch, as value.mean((1, 2, 3))" if len(shape) == 1 else ""
        raise broken(place, component, f"the shape {tuple(value.shape)}", f"{shape}{one_each}")


def broken(place: str, component: nn.Module, given: str, needed: str) -> AssemblyError:
    """The error for a component that does not keep its contract.

    Args:
        place: in the problem.
        component: the component.
        given: what it gave.
        needed: what it must give.
    """
    return AssemblyError(f"{place}: {type(component).__name__} gives {given}, and must give {needed}")
