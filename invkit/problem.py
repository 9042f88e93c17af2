"""A problem: the components of one inverse problem with the data they are to explain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from .errors import AssemblyError, InputError
from .interfaces import Fidelity, ForwardOperator, ImagePrior, KernelPrior, Regularizer

__all__ = ["Problem", "Term"]


@dataclass(frozen=True)
class Term:
    """``weight * regularizer`` on the image or on the kernel."""

    regularizer: Regularizer
    weight: float
    on: Literal["image", "kernel"] = "image"


@dataclass(frozen=True)
class Problem:
    """minimise ``fidelity(operator(x, k), data) + sum weight_i R_i`` over the priors' unknowns.

    Args:
        data: the measurement, (B, C, H, W), in [0, 1].
        operator: A, the forward operator.
        image_prior: gives x, of the shape ``operator.image_shape(data.shape, kernel_prior.shape)``.
        kernel_prior: gives k, (B, 1, h, w).
        fidelity: compares ``A(x, k)`` with the data.
        regularizers: the terms of the sum; may be empty.

    Raises:
        InputError: the data are not (B, C, H, W), not floating point or not finite.
        AssemblyError: the image prior's shape is not the one the operator asks for.
    """

    data: Tensor
    operator: ForwardOperator
    image_prior: ImagePrior
    kernel_prior: KernelPrior
    fidelity: Fidelity
    regularizers: tuple[Term, ...] = ()

    def __post_init__(self) -> None:
        check_data(self.data)
        needed = self.operator.image_shape(shape_of(self.data), self.kernel_prior.shape)
        if tuple(self.image_prior.shape) != tuple(needed):
            raise AssemblyError(
                f"the image prior gives {tuple(self.image_prior.shape)}, but {type(self.operator).__name__} needs "
                f"{tuple(needed)} for data of {tuple(self.data.shape)} and a kernel of "
                f"{tuple(self.kernel_prior.shape)}; "
                "build the image prior with operator.image_shape(data.shape, kernel_prior.shape)"
            )

    def objective(self, image: Tensor, kernel: Tensor, iteration: int = 0) -> Tensor:
        """The sum to be minimised, one number per image of the batch, (B,); a schedule takes its ``iteration``."""
        predicted = self.operator(image, kernel)
        total: Tensor = self.fidelity.at(iteration)(predicted, self.data)
        for term in self.regularizers:
            total = total + term.weight * term.regularizer(image if term.on == "image" else kernel)
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


def shape_of(tensor: Tensor) -> tuple[int, int, int, int]:
    """The shape of a 4-d tensor as a typed tuple."""
    batch, channels, height, width = tensor.shape
    return batch, channels, height, width


def check_data(data: Tensor) -> None:
    """Refuse data that no solver could use; raises `InputError`."""
    if data.ndim != 4 or not data.is_floating_point():
        raise InputError(
            f"data must be a floating-point tensor (B, C, H, W); got {data.dtype} of shape {tuple(data.shape)}"
        )
    if not bool(torch.isfinite(data).all()):
        raise InputError("the data hold NaN or infinite values; mask or replace them first")
