"""The simplex: kernels that are non-negative and sum to one, and the prior of free pixels on it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.errors import InputError
from ..core.interfaces import Assignable, KernelPrior, Resizable
from ..core.parameters import validated
from ..numerics.geometry import Shape, new_size, resample_kernel, shape_of
from ..numerics.simplex import nearest_on_simplex

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SMALLEST", "SimplexKernel", "nearest_kernel", "project_on_simplex", "softmax_kernel"]

SMALLEST = 1e-6  # of a given kernel's pixels under softmax, which has no exact zeros


def softmax_kernel(logits: Tensor, shape: Shape) -> Tensor:
    """Softmax over each kernel: logits (B, h*w) or (B, 1, h, w) -> (B, 1, h, w), >= 0, each summing to one.

    Half-precision logits give a float32 kernel. No logits overflow: the softmax subtracts the largest.
    """
    exact = logits.flatten(1).to(torch.promote_types(logits.dtype, torch.float32))
    weights = torch.softmax(exact, dim=1)
    return (weights / weights.sum(1, keepdim=True)).view(shape)  # softmax alone drifts by 1e-6 on large kernels


class _Projection(torch.autograd.Function):
    """Euclidean projection of the rows of a matrix on the simplex; see `project_on_simplex`."""

    @staticmethod
    def forward(ctx: Any, points: Tensor) -> Tensor:
        return nearest_on_simplex(points)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        return gradient - gradient.mean(1, keepdim=True)


def project_on_simplex(points: Tensor) -> Tensor:
    """The nearest point of the simplex to each row, (B, n) -> (B, n), by sorting (Held, Wolfe, Crowder 1974).

    The backward pass gives the gradient along the plane ``sum = 1`` without the mask of the active pixels, so that
    gradient descent on the points is lazy projected gradient descent (Zinkevich 2003; Nesterov's dual averaging):
    a pixel at zero can come back, which the projection's own derivative (zero there) would forbid.
    """
    projected: Tensor = _Projection.apply(points)
    return projected


def nearest_kernel(value: Tensor) -> Tensor:
    """The nearest kernel to any value, (B, 1, h, w) -> the same, >= 0, each summing to one; without a gradient.

    Raises:
        InputError: the value is not finite.
    """
    if not bool(torch.isfinite(value).all()):
        raise InputError("a kernel to go on from holds NaN or infinite values; the step that fitted it diverged")
    return project_on_simplex(value.detach().flatten(1)).view(value.shape)


class SimplexKernel(KernelPrior, Assignable, Resizable):
    """Free pixels on the simplex: every kernel of the size can be reached, none is preferred.

    ``parametrization="softmax"`` keeps every pixel positive and its gradient exact; ``"projection"`` projects free
    pixels on the simplex (see `project_on_simplex`) and so gives kernels with exact zeros, as classical MAP methods do.

    Args:
        shape: (B, 1, h, w).
        start: (B, 1, h, w), non-negative, the kernel to start from, scaled to sum one; None for a uniform kernel.
            Under softmax its pixels are raised to at least 1e-6.
        parametrization: how free numbers become a kernel.

    Raises:
        InputError: ``start`` is of another shape, negative, not finite or all zero.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        *,
        parametrization: Annotated[
            Literal["softmax", "projection"],
            Field(description="how free numbers become a kernel; 'projection' gives exact zeros"),
        ] = "softmax",
    ) -> None:
        super().__init__(shape)
        self.parametrization = parametrization
        kernel = uniform_kernel(shape) if start is None else checked_kernel(start, shape)
        self.free = nn.Parameter(self.freed(kernel))

    def forward(self) -> Tensor:
        """The kernel, (B, 1, h, w), >= 0, each summing to one."""
        if self.parametrization == "softmax":
            return softmax_kernel(self.free, self.shape)
        return project_on_simplex(self.free.flatten(1)).view(self.shape)

    def assigned(self, value: Tensor) -> Self:
        """Free pixels of the nearest kernel to ``value``, (B, 1, h, w) of any size; raises as `nearest_kernel`."""
        free = nn.Parameter(self.freed(nearest_kernel(value)), self.free.requires_grad)
        kernel = copy.deepcopy(self, {id(self.free): free})  # in the copy, in place of a copy of the old numbers
        kernel.shape = shape_of(value)
        return kernel

    def resized(self, shape: Shape, scale: float) -> Self:
        """The kernel resampled about its centre pixel; raises `InputError` for another batch."""
        return self.assigned(resample_kernel(self().detach(), new_size(self.shape, shape), scale))

    def freed(self, kernel: Tensor) -> Tensor:
        """The free numbers of a kernel."""
        return kernel.clamp(min=SMALLEST).log() if self.parametrization == "softmax" else kernel.clone()


def uniform_kernel(shape: Shape) -> Tensor:
    """Equal pixels that sum to one, (B, 1, h, w)."""
    return torch.full(shape, 1 / (shape[-2] * shape[-1]))


def checked_kernel(kernel: Tensor, shape: Shape) -> Tensor:
    """A given kernel, scaled to sum one, on the CPU in the default floating type.

    Raises:
        InputError: it is not of ``shape``, negative, not finite or all zero.
    """
    if tuple(kernel.shape) != tuple(shape):
        raise InputError(f"the kernel given has shape {tuple(kernel.shape)}, but {tuple(shape)} (B, 1, h, w) is needed")
    exact = kernel.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(exact).all()):
        raise InputError("the kernel given holds NaN or infinite values; replace them first")
    if bool((exact < 0).any()):
        raise InputError(f"the kernel given has negative values (down to {float(exact.min()):.3g}); clip them at zero")
    total = exact.sum((1, 2, 3), keepdim=True)
    if bool((total == 0).any()):
        raise InputError("the kernel given is zero everywhere; give one with some weight")
    return (exact / total).to(torch.get_default_dtype())
