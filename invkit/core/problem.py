"""A problem: the components of one inverse problem and its data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..numerics.geometry import shape_of
from .errors import AssemblyError, DataWeightsError, FidelityWeightsError, InputError, scaling_advice
from .interfaces import (
    Assignable,
    Fidelity,
    ForwardOperator,
    ImagePrior,
    Networked,
    OperatorParameterPrior,
    Regularizer,
)
from .ranges import RANGE_TOLERANCE, UNIT_RANGE, SumOverData
from .result import present
from .runtime.threads import at_most_threads, threads_worth

__all__ = [
    "Problem",
    "Scheduled",
    "Term",
    "WeightedData",
    "check_weighted",
    "one_thread_for_networks",
    "parts",
    "threads_for",
]

DataRange: TypeAlias = tuple[float, float] | None
"""The range of the data; None for any finite values."""

LOW_PRECISION = (torch.float16, torch.bfloat16)


class WeightedData(ABC):  # noqa: B024 - an ability without a method
    """The ability of a solver to count each datum by its weight (`Problem.weights`).

    Data of weight zero are unknown: the values that stand in their place do not change the result, except through the
    image that a solve starts from.
    """


class Scheduled(ABC):
    """The ability of a regularizer to change, with its weight, while a solver alternates from coarse to fine."""

    @abstractmethod
    def at_scale(self, scale: int) -> Regularizer:
        """The regularizer at a scale, counted from 0 at the coarsest; it changes with the iterations there."""

    @abstractmethod
    def at(self, iteration: int) -> tuple[Regularizer, float]:
        """The regularizer at an outer iteration on a scale, counted from 0, and the factor of its weight."""


@dataclass(frozen=True)
class Term:
    """``weight * regularizer`` on the image or on the kernel.

    Raises:
        AssemblyError: the regularizer is not a `Regularizer`, or a class instead of an instance.
        InputError: the weight is not a finite number >= 0, or the target is neither "image" nor "kernel".
    """

    regularizer: Regularizer
    weight: float
    target: Literal["image", "kernel"] = "image"

    def __post_init__(self) -> None:
        check_instance("regularizer", self.regularizer, Regularizer)
        if not isinstance(self.weight, Real) or not 0 <= self.weight < math.inf:
            raise InputError(
                f"the weight of {type_name(self.regularizer)} must be finite and >= 0, got {self.weight!r}"
            )
        if self.target not in ("image", "kernel"):
            raise InputError(
                f"the target of {type_name(self.regularizer)} must be 'image' or 'kernel', got {self.target!r}"
            )

    def at_scale(self, scale: int) -> Term:
        """The term at a scale, counted from 0 at the coarsest: itself, unless its regularizer is `Scheduled`."""
        one = self.regularizer
        return replace(self, regularizer=one.at_scale(scale)) if isinstance(one, Scheduled) else self

    def at(self, iteration: int) -> Term:
        """The term at an outer iteration, counted from 0: itself, unless its regularizer is `Scheduled`."""
        if not isinstance(self.regularizer, Scheduled):
            return self
        regularizer, factor = self.regularizer.at(iteration)
        return replace(self, regularizer=regularizer, weight=self.weight * factor)


@dataclass(frozen=True)
class Problem:
    """Minimise ``fidelity(operator(x, k), data) + sum weight_i R_i`` over the parameters of the priors.

    The fidelity is ``sum_i w_i f(A(x, k)_i, y_i) / n`` over the n values of the data, with a weight w for each of them.

    Args:
        data: the measurement, (B, C, H, W), in the operator's ``data_range``, mostly [0, 1], float32 or float64; an
            array is copied to a float32 tensor. If the image prior's range is not [0, 1], data may have any values.
        operator: A, the forward operator.
        image_prior: gives x, of the shape ``operator.image_shape(data.shape, kernel_prior.shape)``.
        kernel_prior: gives k, the operator's parameter, mostly a kernel (B, 1, h, w).
        fidelity: compares ``A(x, k)`` with the data.
        regularizers: the terms of the sum; may be empty; a list is kept as a tuple.
        weights: w, of a shape that expands to the data's, as (1, 1, H, W) or (B, C, H, W); finite, >= 0; None: all 1.
            Zero means unknown: dead pixels, pixels under a mask; a bool mask is the weights 0 and 1. For Gaussian noise
            w is proportional to 1 / variance. The weights are used as they are. With a mean of 1 over the known data
            (`numerics.noise.weights_of_variances`), the weights of regularizers keep their meaning. Only solvers of
            type `WeightedData` accept weights.

    Attributes:
        is_graded: whether a weight is neither 0 nor 1; the fidelity must then be of type `SumOverData`.

    Raises:
        InputError: the data are not (B, C, H, W), not float32 or float64, not finite, or not within the operator's
            range; or the weights are negative or not finite, or do not fit them.
        AssemblyError: a component is a class, or of a wrong family; the kernel prior gives another kind of parameter
            than the operator has; the image prior has another shape than the operator needs.
    """

    data: Tensor
    operator: ForwardOperator
    image_prior: ImagePrior
    kernel_prior: OperatorParameterPrior
    fidelity: Fidelity
    regularizers: Sequence[Term] = ()
    weights: Tensor | None = None
    is_graded: bool = field(init=False, repr=False, default=False)

    def __post_init__(self) -> None:
        check_instance("operator", self.operator, ForwardOperator)
        check_instance("image_prior", self.image_prior, ImagePrior)
        is_unit = self.image_prior.range == UNIT_RANGE
        data = as_data(self.data, self.operator.data_range if is_unit else None)
        object.__setattr__(self, "data", data)  # the dataclass is frozen for everybody else
        weights = as_weights(self.weights, data)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "is_graded", weights is not None and not bool(((weights == 0) | (weights == 1)).all()))
        object.__setattr__(self, "regularizers", as_terms(self.regularizers))
        check_instance("kernel_prior", self.kernel_prior, OperatorParameterPrior)
        if not isinstance(self.kernel_prior, self.operator.parameter_prior):
            raise AssemblyError(
                f"{type_name(self.operator)} needs a kernel prior of type "
                f"{type_name(self.operator.parameter_prior)}, and {type_name(self.kernel_prior)} is not"
            )
        check_instance("fidelity", self.fidelity, Fidelity)
        self._check_shapes()

    def _check_shapes(self) -> None:
        needed = self.operator.image_shape(shape_of(self.data), self.kernel_prior.shape)
        if tuple(self.image_prior.shape) != tuple(needed):
            raise AssemblyError(
                f"the image prior gives {tuple(self.image_prior.shape)}, but {type(self.operator).__name__} needs "
                f"{tuple(needed)} for data of {tuple(self.data.shape)} and a kernel of "
                f"{tuple(self.kernel_prior.shape)}; "
                "build the image prior with operator.image_shape(data.shape, kernel_prior.shape)"
            )

    def objective(self, image: Tensor, kernel: Tensor, iteration: int = 0) -> Tensor:
        """The objective, one number per item of the data's batch, (B,).

        A penalty of another batch size, as on the layers of an image or the kernels of its parts, counts by its mean.

        Args:
            image: (B, C, H, W).
            kernel: (B, 1, h, w), or another operator parameter.
            iteration: for fidelities that change with it.
        """
        total = self.data_term(self.operator(image, kernel), iteration)
        for term in self.regularizers:
            penalty: Tensor = term.regularizer(image if term.target == "image" else kernel)
            total = total + term.weight * (penalty if penalty.shape == total.shape else penalty.mean())
        return total

    def data_term(self, predicted: Tensor, iteration: int = 0) -> Tensor:
        """The fidelity ``sum_i w_i f_i / n`` of a prediction, one number per item of the data's batch, (B,).

        Args:
            predicted: (B, C, H', W').
            iteration: for fidelities that change with it.
        """
        fidelity, data = self.fidelity.at(iteration), self.observed(predicted)
        if self.weights is not None and self.is_graded:
            assert isinstance(fidelity, SumOverData)  # as `check_weighted` says
            return fidelity.weighted(predicted, data, self.weights)
        value: Tensor = fidelity(predicted, data)
        return value

    @property
    def known(self) -> Tensor | None:
        """Which data are known, bool, of their shape; None: all."""
        return None if self.weights is None else self.weights > 0

    def observed(self, predicted: Tensor, data: Tensor | None = None) -> Tensor:
        """The data, with a prediction in place of unknown ones, so that they add nothing to a fidelity.

        A fidelity is least where both of its arguments agree. Unknown data therefore have no gradient either.

        Args:
            predicted: (B, C, H', W').
            data: values to take instead of the problem's data; None for those.
        """
        data, known = self.data if data is None else data, self.known
        return data if known is None else torch.where(known, data, predicted.detach())

    def masked(self, values: Tensor) -> Tensor:
        """Values (B, C, H', W') that are zero where the data are unknown."""
        known = self.known
        return values if known is None else values * known

    def weighted(self, values: Tensor) -> Tensor:
        """Values (B, C, H', W') times the weights of the data."""
        return values if self.weights is None else values * self.weights

    def to(self, device: torch.device | str) -> Problem:
        """The same problem on a device; components move in place, as torch modules do."""
        return replace(
            self,
            data=self.data.to(device),
            operator=self.operator.to(device),
            image_prior=self.image_prior.to(device),
            kernel_prior=self.kernel_prior.to(device),
            fidelity=self.fidelity.to(device),
            regularizers=tuple(replace(t, regularizer=t.regularizer.to(device)) for t in self.regularizers),
            weights=None if self.weights is None else self.weights.to(device),
        )

    def _repr_html_(self) -> str:
        """The objective, the components and the data, for notebooks; computes nothing."""
        html: str = present("problem_html")(self)
        return html


def type_name(thing: object) -> str:
    """The name of a class, or of the class of an instance."""
    return thing.__name__ if isinstance(thing, type) else type(thing).__name__


def check_instance(field: str, given: object, family: type) -> None:
    """Refuse a value that is not an instance of a class.

    Args:
        field: of the problem.
        given: its value.
        family: the class.

    Raises:
        AssemblyError: says what to give.
    """
    if isinstance(given, type) and issubclass(given, family):
        raise AssemblyError(
            f"{field} must be an instance, not the class: give {type_name(given)}(...), not {type_name(given)}"
        )
    if not isinstance(given, family):
        raise AssemblyError(f"{field} must be of the family {type_name(family)}, and {type_name(given)} is not")


def as_terms(given: object) -> tuple[Term, ...]:
    """A list of terms as a tuple; raises `AssemblyError` for other values."""
    if not isinstance(given, list | tuple):
        raise AssemblyError(f"regularizers must be a list of Term(regularizer, weight), got {type_name(given)}")
    for index, term in enumerate(given):
        if not isinstance(term, Term):
            raise AssemblyError(
                f"regularizers[{index}] is {type_name(term)}, and must be a Term: give "
                f"Term({type_name(term)}(...), weight)"
            )
    return tuple(given)


def as_data(given: object, within: DataRange = (0.0, 1.0)) -> Tensor:
    """The data as a tensor, checked by `check_data`; raises `InputError`."""
    if isinstance(given, np.ndarray):
        if given.dtype.kind == "f" and given.dtype.itemsize > 2:
            return as_data(torch.from_numpy(given.astype(np.float32)), within)
        raise InputError(wrong_form(given.dtype, given.shape))
    if not isinstance(given, Tensor):
        raise InputError(f"data must be a tensor or an array (B, C, H, W), got {type_name(given)}")
    check_data(given, within)
    return given


def check_data(data: Tensor, within: DataRange = (0.0, 1.0)) -> None:
    """Refuse data that no solver can use, or outside the operator's range; raises `InputError`."""
    if data.ndim != 4 or not data.is_floating_point() or data.dtype in LOW_PRECISION or not data.numel():
        raise InputError(wrong_form(data.dtype, data.shape))
    if not bool(torch.isfinite(data).all()):
        raise InputError("the data hold NaN or infinite values; mask or replace them first")
    low, high = (float(end) for end in torch.aminmax(data.detach()))
    if within is not None and (low < within[0] - RANGE_TOLERANCE or high > within[1] + RANGE_TOLERANCE):
        raise InputError(
            f"the data run from {low:.4g} to {high:.4g}, not within [{within[0]:g}, {within[1]:g}]; "
            f"{scaling_advice(low, high, are_whole=bool((data == data.round()).all()))}"
        )


def as_weights(given: object, data: Tensor) -> Tensor | None:
    """The weights of data, in their precision and expanded to their shape; None if all are 1. Raises `InputError`."""
    if given is None:
        return None
    if not isinstance(given, Tensor) or not (given.dtype == torch.bool or given.is_floating_point()):
        kind = getattr(given, "dtype", type_name(given))
        raise InputError(f"the weights of the data must be a tensor of bool or of floating-point numbers, got {kind}")
    weights = given.to(data)
    if not bool((torch.isfinite(weights) & (weights >= 0)).all()):
        raise InputError("the weights of the data must be finite and >= 0; give 0 where a value is unknown")
    try:
        expanded = weights.expand(data.shape)
    except RuntimeError as error:
        shapes = f"{tuple(given.shape)}, which does not expand to the data's {tuple(data.shape)}"
        raise InputError(f"the weights of the data have shape {shapes}; give (1, 1, H, W)") from error
    return None if bool((weights == 1).all()) else expanded


def check_weighted(solver: object, problem: Problem, steps: int) -> None:
    """Refuse weights of the data that a solver, or the fidelity, would not use; raises `DataWeightsError`.

    Args:
        solver: the solver.
        problem: that it shall solve.
        steps: of the solver, in which the fidelity may change.
    """
    if problem.weights is None:
        return
    if not isinstance(solver, WeightedData):
        raise DataWeightsError(
            f"{type_name(solver)} gives all data the same weight: it can neither leave out unknown data nor use "
            "variances"
        )
    fidelities = (problem.fidelity.at(iteration) for iteration in range(steps if problem.is_graded else 0))
    for fidelity in fidelities:
        if not isinstance(fidelity, SumOverData):
            raise FidelityWeightsError(
                f"weights other than 0 and 1 need a fidelity that is a sum over the data, and {type_name(fidelity)} is "
                "not; use mse"
            )


def wrong_form(dtype: object, shape: Sequence[int]) -> str:
    """The message for data of a wrong type or shape."""
    return (
        f"data must be (B, C, H, W), not empty, in float32 or float64; got {dtype} of shape {tuple(shape)}"
        f"{'; give float32' if 'float16' in str(dtype) else ''}"
        f"{'; divide by the value of white' if 'int' in str(dtype) else ''}"
    )


def threads_for(problem: Problem) -> AbstractContextManager[None]:
    """Use the threads that a problem on the CPU is worth: one for small data and a small image prior, else all.

    A network is as large as its memory says, in values of free pixels.
    """
    if problem.data.device.type != "cpu" or has_networked_term(problem):
        return nullcontext()
    size = problem.image_prior.memory_needed() // ImagePrior.BYTES_PER_PIXEL
    return threads_worth(max(problem.data.numel(), size))


def one_thread_for_networks(problem: Problem) -> AbstractContextManager[None]:
    """One thread for a problem with a network, whose results depend on the number of threads; else all threads."""
    return at_most_threads(1) if has_network(problem) else nullcontext()


def has_network(problem: Problem) -> bool:
    """Whether a network gives the image or denoises it."""
    return has_networked_term(problem) or not isinstance(problem.image_prior, Assignable)


def has_networked_term(problem: Problem) -> bool:
    """Whether a regularizer has a network."""
    return any(isinstance(term.regularizer, Networked) for term in problem.regularizers)


def parts(problem: Problem, part: str) -> Sequence[object]:
    """The components of one part of a problem; of the regularizers, those on the image."""
    if part == "regularizers":
        return [term.regularizer for term in problem.regularizers if term.target == "image"]
    return [getattr(problem, part)]
