"""What the solvers share that compute the image directly, instead of training a prior that gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Assignable, Blur, ImagePrior, OperatorParameterPrior
from ..core.problem import Problem
from ..core.solver import State

__all__ = [
    "PixelState",
    "Saturation",
    "check_padding",
    "check_terms",
    "image_prior_of",
    "imputed",
    "kernel_prior_of",
    "saturated",
    "starting_point",
]


@dataclass(kw_only=True)
class PixelState(State):
    """The image as it stands; the kernel is given.

    Attributes:
        image: (B, C, H, W), of the image prior's shape; what it gives is clamped to [0, 1], the iterate is not.
        kernel: (B, 1, h, w).
    """

    image: Tensor
    kernel: Tensor

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Image and kernel as they stand."""
        return self.image.clamp(0, 1), self.kernel

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """A prior that gives the image, and the kernel's prior as it is."""
        return image_prior_of(problem.image_prior, self.image), problem.kernel_prior

    def state_dict(self) -> dict[str, Any]:
        """A copy; later steps leave it as it is."""
        return super().state_dict() | {"image": self.image.clone(), "kernel": self.kernel.clone()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(saved)
        self.image = saved["image"].to(self.image)
        self.kernel = saved["kernel"].to(self.kernel)


@torch.no_grad()
def starting_point(problem: Problem) -> tuple[Tensor, Tensor]:
    """Image and kernel as the priors give them, in the data's precision and on its device."""
    return problem.image_prior().to(problem.data), problem.kernel_prior().to(problem.data)


def image_prior_of(prior: ImagePrior, image: Tensor) -> ImagePrior:
    """The image prior, giving another image; raises `AssemblyError` where it cannot."""
    assigned = prior.assigned(image) if isinstance(prior, Assignable) else None
    if not isinstance(assigned, ImagePrior):
        raise AssemblyError(f"{type(prior).__name__} cannot be set to an image; use the image prior 'pixels'")
    return assigned


def kernel_prior_of(prior: OperatorParameterPrior, kernel: Tensor) -> OperatorParameterPrior:
    """The kernel prior, giving another kernel; raises `AssemblyError` where it cannot."""
    assigned = prior.assigned(kernel) if isinstance(prior, Assignable) else None
    if not isinstance(assigned, OperatorParameterPrior):
        raise AssemblyError(f"{type(prior).__name__} cannot be set to a kernel; use the kernel prior 'simplex'")
    return assigned


def check_padding(problem: Problem, solver: str, allowed: tuple[str, ...] = ("valid", "circular")) -> None:
    """Refuse a blur whose border the solver does not model; raises `AssemblyError`."""
    padding = problem.operator.padding if isinstance(problem.operator, Blur) else "valid"
    if padding not in allowed:
        raise AssemblyError(
            f"{solver} needs an operator with padding {' or '.join(allowed)}, and it is '{padding}'; "
            f"set operator.params.padding={allowed[0]}"
        )


def check_terms(problem: Problem, solver: str) -> None:
    """Refuse a term on the kernel, at which a solver that computes images never looks; raises `AssemblyError`."""
    for term in problem.regularizers:
        if term.target == "kernel":
            raise AssemblyError(
                f"{solver} has no use for regularizers on the kernel, and {type(term.regularizer).__name__} is on it; "
                "take it out of the regularizers (of a kernel that is estimated, the kernel step has its own)"
            )


Saturation = Annotated[
    float | None,
    Field(gt=0, le=1, description="data from this value on may have been brighter than they say"),
]


def saturated(data: Tensor, level: float | None) -> Tensor | None:
    """Which data are at or above a level, bool of the data's shape; None if none are, or for no level."""
    if level is None:
        return None
    clipped = data >= level
    return clipped if bool(clipped.any()) else None


def imputed(data: Tensor, clipped: Tensor, predicted: Tensor) -> Tensor:
    """The data, but where they are clipped and the prediction is brighter, the prediction: it fits as well."""
    return torch.where(clipped & (predicted > data), predicted, data)
