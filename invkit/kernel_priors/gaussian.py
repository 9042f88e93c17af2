"""A Gaussian blur of unknown width."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import Assignable, KernelPrior, Resizable
from ..core.parameters import validated
from ..numerics.geometry import Shape, Size, centre, new_size, shape_of, size_of
from .simplex import nearest_kernel, softmax_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["GaussianKernel"]

STEPS = 40  # of Newton's method, more than any kernel was seen to need
FLATTEST = 1e-12  # of a likelihood's curvature that steps trust
NARROWEST, WIDEST = math.log(1e-2), math.log(1e4)  # log widths: a delta and a uniform kernel in any precision


class GaussianKernel(KernelPrior, Assignable, Resizable):
    """Gaussian about the kernel's centre, its widths (and its angle) the unknowns.

    Sampled at the pixels and normalised over the support, so that widths far below a pixel give a delta and widths
    far above the support a uniform kernel. The unknowns are logarithms of the widths and, if anisotropic, the angle
    between the first axis and the image's rows, in radians, from the right downwards.

    Args:
        shape: (B, 1, h, w); each kernel has unknowns of its own.
        sigma: standard deviation to start from, in pixels.
        anisotropic: two widths and an angle instead of one width.
        elongation: ratio of the two widths to start from, their geometric mean being ``sigma``; with 1 the angle has
            no gradient.
    """

    rows: Tensor
    columns: Tensor

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        sigma: Annotated[
            float, Field(gt=0, allow_inf_nan=False, description="standard deviation to start from, pixels")
        ] = 2.0,
        anisotropic: Annotated[bool, Field(description="two widths and an angle instead of one width")] = False,
        elongation: Annotated[
            float, Field(gt=0, allow_inf_nan=False, description="ratio of the two widths to start from, if anisotropic")
        ] = 1.5,
    ) -> None:
        super().__init__(shape)
        rows, columns = offsets((shape[-2], shape[-1]))
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        stretch = math.log(elongation) / 2
        widths = [math.log(sigma) + stretch, math.log(sigma) - stretch] if anisotropic else [math.log(sigma)]
        self.log_widths = nn.Parameter(torch.tensor(widths).repeat(shape[0], 1))
        self.angle = nn.Parameter(torch.zeros(shape[0], 1, 1)) if anisotropic else None

    def forward(self) -> Tensor:
        """The kernel, (B, 1, h, w), > 0 up to rounding, each summing to one."""
        widths = self.log_widths.clamp(NARROWEST, WIDEST).exp()[:, :, None, None]
        if self.angle is None:
            squares = (self.rows.square() + self.columns.square()) / widths[:, 0].square()
        else:
            sine, cosine = self.angle.sin(), self.angle.cos()
            first = (self.columns * cosine + self.rows * sine) / widths[:, 0]
            second = (self.rows * cosine - self.columns * sine) / widths[:, 1]
            squares = first.square() + second.square()
        return softmax_kernel(-squares / 2, self.shape)

    @torch.no_grad()
    def assigned(self, value: Tensor) -> Self:
        """The Gaussian nearest to a kernel (B, 1, h, w) of any size: the one of greatest likelihood, pixels as events.

        It is the one with the kernel's second moments about the centre, as sampled and as cut off at the support.
        Its widths are from 0.1 pixels, a delta, to ten times the longer side, all but uniform, where they still have
        gradients. Raises as `nearest_kernel`.
        """
        kernel, size = nearest_kernel(value), size_of(value)
        gaussian = self.on(size).to(value)
        gaussian.shape = shape_of(value)
        rows, columns = (offset.double().expand(size) for offset in (gaussian.rows, gaussian.columns))
        if self.angle is None:
            widths = widths_of(fitted(kernel, (rows.square() + columns.square())[None]), size)
        else:
            precisions = fitted(kernel, torch.stack([columns.square(), 2 * rows * columns, rows.square()]))
            eigenvalues, axes = torch.linalg.eigh(precisions[:, [0, 1, 1, 2]].view(-1, 2, 2))
            widths, angle = widths_of(eigenvalues, size), torch.atan2(axes[:, 1, 0], axes[:, 0, 0])
            gaussian.angle = nn.Parameter(angle.view(-1, 1, 1).to(value), self.angle.requires_grad)
        gaussian.log_widths = nn.Parameter(widths.to(value), self.log_widths.requires_grad)
        return gaussian

    @torch.no_grad()
    def resized(self, shape: Shape, scale: float) -> Self:
        """Widths times the scale, within 0.01 and 1e4 pixels; raises `InputError` for another batch."""
        gaussian = self.on(new_size(self.shape, shape))
        gaussian.log_widths.add_(math.log(scale)).clamp_(NARROWEST, WIDEST)
        return gaussian

    def on(self, size: Size) -> Self:
        """A copy on another support, its widths the same."""
        gaussian = copy.deepcopy(self)
        gaussian.shape = (*self.shape[:2], *size)
        gaussian.rows, gaussian.columns = (offset.to(self.rows) for offset in offsets(size))
        return gaussian


def offsets(size: Size) -> tuple[Tensor, Tensor]:
    """Rows (h, 1) and columns (w,) counted from the centre pixel."""
    row, column = centre(size)
    return torch.arange(size[0])[:, None] - float(row), torch.arange(size[1]) - float(column)


def fitted(kernel: Tensor, squares: Tensor) -> Tensor:
    """Numbers t for which ``exp(-sum t * squares / 2)``, scaled to sum one, has the means of ``squares`` of a kernel.

    They maximise the concave likelihood; by Newton's method from a uniform kernel, its steps damped as for
    self-concordant functions, which goes up to the widths without overshooting.

    Args:
        kernel: (B, 1, h, w).
        squares: (N, h, w), functions of the pixel, N of them.

    Returns:
        (B, N), in float64.
    """
    scale = squares.abs().amax().clamp(min=1)
    features = -squares.flatten(1) / scale
    target = kernel.flatten(1).double() @ features.T
    found = torch.zeros_like(target)
    floor = FLATTEST * torch.eye(len(features), dtype=target.dtype, device=target.device)
    for _ in range(STEPS):
        weights = torch.softmax(found @ features, 1)
        mean = weights @ features.T
        deviations = features - mean[:, :, None]
        covariance = (weights[:, None] * deviations) @ deviations.mT
        step = torch.linalg.solve(covariance + floor, target - mean)
        decrement = (step * (target - mean)).sum(1, keepdim=True).clamp(min=0).sqrt()
        found = found + step / (1 + decrement)
    return 2 * found / scale


def widths_of(precisions: Tensor, size: Size) -> Tensor:
    """Logarithms of the widths that belong to reciprocal squared widths, none too small or too large to be moved."""
    return -precisions.clamp((10 * max(size)) ** -2, 0.1**-2).log() / 2
