"""The simplex, the set of kernels that are non-negative and sum to one, and a prior of free pixels on it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from ..core.errors import InputError
from ..core.interfaces import Assignable, KernelPrior, Resizable
from ..core.parameters import validated
from ..numerics.framing import new_size
from ..numerics.geometry import Shape, shape_of
from ..numerics.resampling import resample_kernel
from ..numerics.simplex import nearest_on_simplex

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "MIN_SOFTMAX_PIXEL",
    "SimplexKernel",
    "checked_kernel",
    "closest_kernel",
    "project_with_lazy_gradient",
    "softmax_kernel",
]

MIN_SOFTMAX_PIXEL = 1e-6  # least pixel of a kernel that is assigned to a softmax, which cannot give zeros


class SimplexKernel(KernelPrior, Assignable, Resizable):
    """Free pixels on the simplex: the prior can give every kernel of the size and prefers none.

    ``parametrization="softmax"`` keeps every pixel positive and its gradient exact. ``"projection"`` projects free
    pixels on the simplex (see `project_with_lazy_gradient`). It gives kernels with exact zeros, as classical MAP
    methods do.

    Args:
        shape: (B, 1, h, w).
        start: the starting kernel, (B, 1, h, w), non-negative; it is scaled to sum one. None for a uniform kernel.
            Under softmax its pixels are raised to at least 1e-6.
        parametrization: how free numbers become a kernel; "projection" gives exact zeros.

    Raises:
        InputError: ``start`` has another shape, or it is negative, not finite or all zero.

    Example:
        >>> kernel = SimplexKernel((1, 1, 2, 2))()
        >>> kernel.sum().item(), kernel.flatten().tolist()
        (1.0, [0.25, 0.25, 0.25, 0.25])
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        *,
        parametrization: Literal["softmax", "projection"] = "softmax",
    ) -> None:
        super().__init__(shape)
        self.parametrization = parametrization
        kernel = uniform_kernel(shape) if start is None else checked_kernel(start, shape)
        self.free = nn.Parameter(self.freed(kernel))

    def forward(self) -> Tensor:
        """Give the kernel, (B, 1, h, w), >= 0, each summing to one."""
        if self.parametrization == "softmax":
            return softmax_kernel(self.free, self.shape)
        return project_with_lazy_gradient(self.free.flatten(1)).view(self.shape)

    def assigned(self, value: Tensor) -> Self:
        """Return free pixels of the closest kernel to ``value``, (B, 1, h, w) of any size.

        Raises:
            InputError: the value is not finite.
        """
        free = nn.Parameter(self.freed(closest_kernel(value)), self.free.requires_grad)
        kernel = copy.deepcopy(self, {id(self.free): free})  # the copy takes these numbers instead of the old ones
        kernel.shape = shape_of(value)
        return kernel

    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the kernel resampled about its centre pixel; raises `InputError` for another batch."""
        return self.assigned(resample_kernel(self().detach(), new_size(self.shape, shape), scale))

    def freed(self, kernel: Tensor) -> Tensor:
        """Return the free numbers of a kernel."""
        return kernel.clamp(min=MIN_SOFTMAX_PIXEL).log() if self.parametrization == "softmax" else kernel.clone()


def softmax_kernel(logits: Tensor, shape: Shape) -> Tensor:
    """Apply a softmax to each kernel.

    Half-precision logits give a float32 kernel. Logits cannot overflow, because the softmax subtracts the largest.

    Args:
        logits: (B, h * w) or (B, 1, h, w).
        shape: (B, 1, h, w).

    Returns:
        (B, 1, h, w), >= 0, each summing to one.
    """
    exact = logits.flatten(1).to(torch.promote_types(logits.dtype, torch.float32))
    weights = torch.softmax(exact, dim=1)
    return (weights / weights.sum(1, keepdim=True)).view(shape)  # a softmax alone is off by 1e-6 for large kernels


def project_with_lazy_gradient(points: Tensor) -> Tensor:
    """Return the nearest point of the simplex to each row, (B, n) -> (B, n), by sorting (Held, Wolfe, Crowder 1974).

    The backward pass gives the gradient along the plane ``sum = 1`` without the mask of the active pixels. Gradient
    descent on the points is then lazy projected gradient descent (Zinkevich 2003; Nesterov's dual averaging). A pixel
    at zero can become positive again; the derivative of the projection itself is zero there.
    """
    projected: Tensor = _Projection.apply(points)
    return projected


class _Projection(torch.autograd.Function):
    """The function `project_with_lazy_gradient` with its gradient."""

    @staticmethod
    def forward(ctx: Any, points: Tensor) -> Tensor:
        return nearest_on_simplex(points)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        return gradient - gradient.mean(1, keepdim=True)


def closest_kernel(value: Tensor) -> Tensor:
    """Return the closest kernel to any value (B, 1, h, w), without a gradient; raises `InputError` if not finite."""
    if not bool(torch.isfinite(value).all()):
        raise InputError("an estimated kernel contains NaN or infinite values; the kernel estimation diverged")
    return project_with_lazy_gradient(value.detach().flatten(1)).view(value.shape)


def uniform_kernel(shape: Shape) -> Tensor:
    """Return equal pixels that sum to one, (B, 1, h, w)."""
    return torch.full(shape, 1 / (shape[-2] * shape[-1]))


def checked_kernel(kernel: Tensor, shape: Shape) -> Tensor:
    """Return a given kernel, scaled to sum one, on the CPU in the default floating type.

    Raises:
        InputError: it has another shape, or it is negative, not finite or all zero.
    """
    if tuple(kernel.shape) != tuple(shape):
        raise InputError(f"the given kernel has shape {tuple(kernel.shape)}, but {tuple(shape)} (B, 1, h, w) is needed")
    exact = kernel.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(exact).all()):
        raise InputError("the given kernel contains NaN or infinite values; replace them first")
    if bool((exact < 0).any()):
        raise InputError(f"the given kernel has negative values (down to {float(exact.min()):.3g}); clip them at zero")
    total = exact.sum((1, 2, 3), keepdim=True)
    if bool((total == 0).any()):
        raise InputError("the given kernel is zero everywhere; give a kernel with positive values")
    return (exact / total).to(torch.get_default_dtype())
