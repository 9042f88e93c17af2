"""A problem: the components of one inverse problem with the data they are to explain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..numerics.geometry import shape_of
from .errors import AssemblyError, InputError, scaling_advice
from .interfaces import Fidelity, ForwardOperator, ImagePrior, OperatorParameterPrior, Regularizer
from .presentation import present

__all__ = ["Problem", "Term"]

ROUNDING = 1e-4  # by so much may data leave [0, 1]: more than a blur by float32 Fourier transforms rounds
Range: TypeAlias = tuple[float, float] | None
"""What data must lie in; None: anything finite."""

COARSE = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Term:
    """``weight * regularizer`` on the image or on the kernel.

    Raises:
        AssemblyError: the regularizer is none, or a class instead of an instance.
        InputError: the weight is not a finite number >= 0, or ``on`` names neither image nor kernel.
    """

    regularizer: Regularizer
    weight: float
    target: Literal["image", "kernel"] = "image"

    def __post_init__(self) -> None:
        check_family("regularizer", self.regularizer, Regularizer)
        if not isinstance(self.weight, Real) or not 0 <= self.weight < math.inf:
            raise InputError(f"the weight of {named(self.regularizer)} must be finite and >= 0, got {self.weight!r}")
        if self.target not in ("image", "kernel"):
            raise InputError(f"{named(self.regularizer)} is on 'image' or 'kernel', got {self.target!r}")


@dataclass(frozen=True)
class Problem:
    """minimise ``fidelity(operator(x, k), data) + sum weight_i R_i`` over the priors' unknowns.

    Args:
        data: the measurement, (B, C, H, W), in the operator's ``data_range``, mostly [0, 1], float32 or float64; an
            array is copied to a float32 tensor.
        operator: A, the forward operator.
        image_prior: gives x, of the shape ``operator.image_shape(data.shape, kernel_prior.shape)``.
        kernel_prior: gives k, the operator's unknown, in most a kernel (B, 1, h, w).
        fidelity: compares ``A(x, k)`` with the data.
        regularizers: the terms of the sum; may be empty; a list is kept as a tuple.

    Raises:
        InputError: the data are not (B, C, H, W), not float32 or float64, not finite, or not within the operator's
            range.
        AssemblyError: a component is a class, or of another family than its place asks for; the kernel prior
            gives another kind of unknown than the operator has; the image prior's shape is not the one it asks for.
    """

    data: Tensor
    operator: ForwardOperator
    image_prior: ImagePrior
    kernel_prior: OperatorParameterPrior
    fidelity: Fidelity
    regularizers: Sequence[Term] = ()

    def __post_init__(self) -> None:
        check_family("operator", self.operator, ForwardOperator)
        data = as_data(self.data, self.operator.data_range)
        object.__setattr__(self, "data", data)  # the dataclass is frozen for everybody else
        object.__setattr__(self, "regularizers", as_terms(self.regularizers))
        check_family("image_prior", self.image_prior, ImagePrior)
        check_family("kernel_prior", self.kernel_prior, OperatorParameterPrior)
        if not isinstance(self.kernel_prior, self.operator.parameter_prior):
            raise AssemblyError(
                f"{named(self.operator)} needs a kernel prior that is a {named(self.operator.parameter_prior)}, and "
                f"{named(self.kernel_prior)} is none"
            )
        check_family("fidelity", self.fidelity, Fidelity)
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
        """The sum to be minimised, one number per image of the data's batch, (B,); a schedule takes its ``iteration``.

        What is penalised once for several data, or several times for one, as the layers of an image or the kernels of
        its parts, counts by its mean.
        """
        predicted = self.operator(image, kernel)
        total: Tensor = self.fidelity.at(iteration)(predicted, self.data)
        for term in self.regularizers:
            penalty: Tensor = term.regularizer(image if term.target == "image" else kernel)
            total = total + term.weight * (penalty if penalty.shape == total.shape else penalty.mean())
        return total

    def to(self, device: torch.device | str) -> Problem:
        """The same problem on a device; components are moved in place, as torch modules are."""
        return replace(
            self,
            data=self.data.to(device),
            operator=self.operator.to(device),
            image_prior=self.image_prior.to(device),
            kernel_prior=self.kernel_prior.to(device),
            fidelity=self.fidelity.to(device),
            regularizers=tuple(replace(t, regularizer=t.regularizer.to(device)) for t in self.regularizers),
        )

    def _repr_html_(self) -> str:
        """The sentence it is, its components and data, for notebooks; computes nothing."""
        html: str = present("problem_html")(self)
        return html


def named(thing: object) -> str:
    """A class by its name, an instance by its class's."""
    return thing.__name__ if isinstance(thing, type) else type(thing).__name__


def check_family(field: str, given: object, family: type) -> None:
    """Refuse what is no component of a field's family; raises `AssemblyError`."""
    if isinstance(given, type) and issubclass(given, family):
        raise AssemblyError(f"{field} must be an instance, not the class: give {named(given)}(...), not {named(given)}")
    if not isinstance(given, family):
        raise AssemblyError(f"{field} must be of the family {named(family)}, and {named(given)} is not")


def as_terms(given: object) -> tuple[Term, ...]:
    """The terms of a sum as a tuple; raises `AssemblyError` for anything else."""
    if not isinstance(given, list | tuple):
        raise AssemblyError(f"regularizers must be a list of Term(regularizer, weight), got {named(given)}")
    for index, term in enumerate(given):
        if not isinstance(term, Term):
            raise AssemblyError(
                f"regularizers[{index}] is {named(term)}, and must be a Term: give Term({named(term)}(...), weight)"
            )
    return tuple(given)


def as_data(given: object, within: Range = (0.0, 1.0)) -> Tensor:
    """The measurement as a tensor, checked as by `check_data`; raises `InputError`."""
    if isinstance(given, np.ndarray):
        if given.dtype.kind == "f" and given.dtype.itemsize > 2:  # the others are refused as they are
            return as_data(torch.from_numpy(given.astype(np.float32)), within)
        raise InputError(unusable(given.dtype, given.shape))
    if not isinstance(given, Tensor):
        raise InputError(f"data must be a tensor or an array (B, C, H, W), got {named(given)}")
    check_data(given, within)
    return given


def check_data(data: Tensor, within: Range = (0.0, 1.0)) -> None:
    """Refuse data that no solver could use, or outside the operator's range if it has one; raises `InputError`."""
    if data.ndim != 4 or not data.is_floating_point() or data.dtype in COARSE or not data.numel():
        raise InputError(unusable(data.dtype, data.shape))
    if not bool(torch.isfinite(data).all()):
        raise InputError("the data hold NaN or infinite values; mask or replace them first")
    low, high = (float(end) for end in torch.aminmax(data.detach()))
    if within is not None and (low < within[0] - ROUNDING or high > within[1] + ROUNDING):
        raise InputError(
            f"the data run from {low:.4g} to {high:.4g}, not within [{within[0]:g}, {within[1]:g}]; "
            f"{scaling_advice(low, high)}"
        )


def unusable(dtype: object, shape: Sequence[int]) -> str:
    """The message for data of another form."""
    return (
        f"data must be (B, C, H, W), not empty, in float32 or float64; got {dtype} of shape {tuple(shape)}"
        f"{'; give float32' if 'float16' in str(dtype) else ''}"
        f"{'; divide by the value of white' if 'int' in str(dtype) else ''}"
    )
