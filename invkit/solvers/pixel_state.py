"""State and checks shared by the solvers that compute the image directly, without training a prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.fidelity_abilities import LeastSquares
from ..core.interfaces import Assignable, Blur, ImagePrior, OperatorParameterPrior, Proximable
from ..core.operator_parameters import Stacked
from ..core.problem import Problem
from ..core.ranges import UNIT_RANGE, Convolving, ValueRange
from ..core.solver import State
from ..numerics.finite_differences import is_across_planes

__all__ = [
    "CONVOLVED",
    "LEAST_SQUARES_DEBLURRING",
    "PixelState",
    "check_padding",
    "check_terms",
    "image_prior_of",
    "impute_saturated",
    "kernel_prior_of",
    "saturation_mask",
    "starting_point",
]

LEAST_SQUARES_DEBLURRING: Mapping[str, type] = {"operator": Blur, "image_prior": Assignable, "fidelity": LeastSquares}
"""The components that solvers need which compute the image from ``|K x - y|^2``."""

CONVOLVED: Mapping[str, type] = {"operator": Convolving, "image_prior": Assignable, "fidelity": LeastSquares}
"""The same for solvers that take pictures and stacks of planes."""

ADVICE_ON_KERNEL = " (to penalise an estimated kernel, set the kernel estimation's weight)"


@dataclass(kw_only=True)
class PixelState(State):
    """The current image, for a known kernel.

    Attributes:
        image: (B, C, H, W), of the image prior's shape. The iterate may leave the range; the estimate is clamped.
        kernel: (B, 1, h, w).
        range: of the image, that of the image prior if the solver is of type `AnyRange`.
        saved: names of the tensors, and lists of tensors, that `state_dict` holds. A state can compute the others anew.
    """

    image: Tensor
    kernel: Tensor
    range: ValueRange = UNIT_RANGE
    saved: ClassVar[tuple[str, ...]] = ("image", "kernel")

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Return the current image, clamped to its range, and the kernel."""
        return self.image.clamp(*self.range), self.kernel

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """Return a prior that gives the current image, and the problem's kernel prior."""
        return image_prior_of(problem.image_prior, self.image), problem.kernel_prior

    def state_dict(self) -> dict[str, Any]:
        """Return copies, which later steps do not change."""
        return super().state_dict() | {name: copied(getattr(self, name), self.image) for name in self.saved}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load copies of what `state_dict` returned, in the precision and on the device of this state."""
        super().load_state_dict(saved)
        for name in self.saved:
            setattr(self, name, copied(saved[name], self.image))


def copied(value: Tensor | list[Tensor], like: Tensor) -> Tensor | list[Tensor]:
    """Copy a tensor, or a list of tensors, to the precision and device of another tensor."""
    return value.to(like, copy=True) if isinstance(value, Tensor) else [each.to(like, copy=True) for each in value]


@torch.no_grad()
def starting_point(problem: Problem) -> tuple[Tensor, Tensor]:
    """Return the image and the kernel that the priors give, in the precision and on the device of the data."""
    return problem.image_prior().to(problem.data), problem.kernel_prior().to(problem.data)


def image_prior_of(prior: ImagePrior, image: Tensor) -> ImagePrior:
    """Return an image prior of the same kind that gives ``image``; raise `AssemblyError` if it cannot be set."""
    assigned = prior.assigned(image) if isinstance(prior, Assignable) else None
    if not isinstance(assigned, ImagePrior):
        raise AssemblyError(f"{type(prior).__name__} cannot be set to an image; use the image prior 'pixels'")
    return assigned


def kernel_prior_of(prior: OperatorParameterPrior, kernel: Tensor) -> OperatorParameterPrior:
    """Return a kernel prior of the same kind that gives ``kernel``; raise `AssemblyError` if it cannot be set."""
    assigned = prior.assigned(kernel) if isinstance(prior, Assignable) else None
    if not isinstance(assigned, OperatorParameterPrior):
        raise AssemblyError(f"{type(prior).__name__} cannot be set to a kernel; use the kernel prior 'simplex'")
    return assigned


def check_padding(problem: Problem, solver: str, allowed: tuple[str, ...] = ("valid", "circular")) -> None:
    """Raise `AssemblyError` if the solver does not model the border of the problem's blur.

    Args:
        problem: the problem to check.
        solver: name of the solver, for the message.
        allowed: paddings that the solver models.
    """
    padding = problem.operator.padding if isinstance(problem.operator, Convolving) else "valid"
    if padding not in allowed:
        raise AssemblyError(
            f"{solver} needs an operator with padding {' or '.join(allowed)}, and it is '{padding}'; "
            f"set operator.padding={allowed[0]}"
        )


def check_terms(problem: Problem, solver: str, ignored: Sequence[str] = ("kernel",)) -> None:
    """Raise `AssemblyError` for a regularizer that a solver would ignore, or that takes colours for planes of a stack.

    Args:
        problem: the problem to check.
        solver: name of the solver, for the message.
        ignored: "image", "kernel" or both.
    """
    for term in problem.regularizers:
        regularizer = term.regularizer
        is_of_stacks = isinstance(regularizer, Proximable) and any(map(is_across_planes, regularizer.filters))
        if is_of_stacks and not isinstance(problem.operator, Stacked):
            raise AssemblyError(
                f"{type(regularizer).__name__} takes differences between the planes of a stack, and the data of "
                f"{type(problem.operator).__name__} are no stack; use one of pictures, as 'tv'"
            )
        if term.target in ignored:
            advice = ADVICE_ON_KERNEL if term.target == "kernel" else ""
            raise AssemblyError(
                f"{solver} ignores regularizers on the {term.target}, and {type(term.regularizer).__name__} is one; "
                f"remove it from the regularizers{advice}"
            )


def saturation_mask(data: Tensor, level: float | None) -> Tensor | None:
    """Return which data are at or above a level, bool of the data's shape; None without a level or such data."""
    if level is None:
        return None
    saturated = data >= level
    return saturated if bool(saturated.any()) else None


def impute_saturated(data: Tensor, saturated: Tensor, predicted: Tensor) -> Tensor:
    """Replace saturated data by a brighter prediction, since the sensor would record both alike.

    Args:
        data: (B, C, H, W).
        saturated: `saturation_mask` of the data.
        predicted: (B, C, H, W), the blurred image.
    """
    return torch.where(saturated & (predicted > data), predicted, data)
