"""A Gaussian blur of unknown width."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..core.interfaces import Assignable, KernelPrior, Resizable
from ..core.parameters import Positive, validated
from ..numerics.framing import new_size
from ..numerics.geometry import Shape, Size, centre, shape_of, size_of
from .simplex import closest_kernel, softmax_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["GaussianKernel"]

NEWTON_STEPS = 40  # more than any tested kernel needed
MIN_CURVATURE = 1e-12  # added to the curvature of the likelihood, which can vanish
MIN_LOG_WIDTH, MAX_LOG_WIDTH = math.log(1e-2), math.log(1e4)  # a delta and a uniform kernel in any precision


class GaussianKernel(KernelPrior, Assignable, Resizable):
    """A Gaussian about the kernel's centre, of unknown width, or of two unknown widths and an angle.

    It is sampled at the pixels and normalised over the support. Widths far below a pixel give a delta, and widths far
    above the support give a uniform kernel. The unknowns are the logarithms of the widths and, if anisotropic, the
    angle from the image's rows to the first axis, in radians, clockwise on the screen.

    Args:
        shape: (B, 1, h, w); each kernel has its own unknowns.
        sigma: starting standard deviation, pixels.
        anisotropic: whether there are two widths and an angle instead of one width.
        elongation: starting ratio of the two widths, if anisotropic. Their geometric mean is ``sigma``; with 1 the
            angle has no gradient.

    Example:
        >>> kernel = GaussianKernel((1, 1, 7, 7), sigma=1.5)()
        >>> round(kernel.sum().item(), 5), kernel.argmax().item()
        (1.0, 24)
    """

    rows: Tensor
    columns: Tensor

    @validated
    def __init__(
        self, shape: Shape, *, sigma: Positive = 2.0, anisotropic: bool = False, elongation: Positive = 1.5
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
        """Give the kernel, (B, 1, h, w), > 0 up to rounding, each summing to one."""
        widths = self.log_widths.clamp(MIN_LOG_WIDTH, MAX_LOG_WIDTH).exp()[:, :, None, None]
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
        """Return the Gaussian of greatest likelihood for a kernel, if its pixels are counts of events.

        This Gaussian, sampled at the pixels and cut off at the support, has the kernel's second moments about the
        centre. Its widths are limited to the range from 0.1 pixels, a delta, to ten times the longer side, an almost
        uniform kernel, because they still have gradients there.

        Args:
            value: (B, 1, h, w) of any size.

        Raises:
            InputError: the value is not finite.
        """
        kernel, size = closest_kernel(value), size_of(value)
        gaussian = self.on(size).to(value)
        gaussian.shape = shape_of(value)
        rows, columns = (offset.double().expand(size) for offset in (gaussian.rows, gaussian.columns))
        if self.angle is None:
            widths = log_widths_of(likeliest_precisions(kernel, (rows.square() + columns.square())[None]), size)
        else:
            squares = torch.stack([columns.square(), 2 * rows * columns, rows.square()])
            precisions = likeliest_precisions(kernel, squares)
            eigenvalues, axes = torch.linalg.eigh(precisions[:, [0, 1, 1, 2]].view(-1, 2, 2))
            widths, angle = log_widths_of(eigenvalues, size), torch.atan2(axes[:, 1, 0], axes[:, 0, 0])
            gaussian.angle = nn.Parameter(angle.view(-1, 1, 1).to(value), self.angle.requires_grad)
        gaussian.log_widths = nn.Parameter(widths.to(value), self.log_widths.requires_grad)
        return gaussian

    @torch.no_grad()
    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the Gaussian with scaled widths, within 0.01 to 1e4 pixels; raises `InputError` for another batch."""
        gaussian = self.on(new_size(self.shape, shape))
        gaussian.log_widths.add_(math.log(scale)).clamp_(MIN_LOG_WIDTH, MAX_LOG_WIDTH)
        return gaussian

    def on(self, size: Size) -> Self:
        """Return a copy with the same widths on another support."""
        gaussian = copy.deepcopy(self)
        gaussian.shape = (*self.shape[:2], *size)
        gaussian.rows, gaussian.columns = (offset.to(self.rows) for offset in offsets(size))
        return gaussian


def offsets(size: Size) -> tuple[Tensor, Tensor]:
    """Return the rows (h, 1) and columns (w,) of pixels, counted from the centre pixel."""
    row, column = centre(size)
    return torch.arange(size[0])[:, None] - float(row), torch.arange(size[1]) - float(column)


def likeliest_precisions(kernel: Tensor, squares: Tensor) -> Tensor:
    """Return numbers t for which ``exp(-sum t * squares / 2)`` has the same means of ``squares`` as a kernel.

    They maximise a concave likelihood. Newton's method starts from a uniform kernel; its steps are damped as for
    self-concordant functions, so that they do not overshoot.

    Args:
        kernel: (B, 1, h, w).
        squares: N functions of the pixel, (N, h, w).

    Returns:
        (B, N), in float64.
    """
    scale = squares.abs().amax().clamp(min=1)
    features = -squares.flatten(1) / scale
    target = kernel.flatten(1).double() @ features.T
    found = torch.zeros_like(target)
    floor = MIN_CURVATURE * torch.eye(len(features), dtype=target.dtype, device=target.device)
    for _ in range(NEWTON_STEPS):
        weights = torch.softmax(found @ features, 1)
        mean = weights @ features.T
        deviations = features - mean[:, :, None]
        covariance = (weights[:, None] * deviations) @ deviations.mT
        step = torch.linalg.solve(covariance + floor, target - mean)
        decrement = (step * (target - mean)).sum(1, keepdim=True).clamp(min=0).sqrt()
        found = found + step / (1 + decrement)
    return 2 * found / scale


def log_widths_of(precisions: Tensor, size: Size) -> Tensor:
    """Return the logarithms of widths for reciprocal squared widths, in the range where widths have gradients."""
    return -precisions.clamp((10 * max(size)) ** -2, 0.1**-2).log() / 2
