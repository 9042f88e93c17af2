"""A Gaussian blur of unknown width."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ..geometry import Size, centre, new_size, shape_of
from ..interfaces import Assignable, KernelPrior, Resizable
from ..parameters import Shape, validated
from .simplex import nearest_kernel, softmax_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["GaussianKernel"]

HALVINGS = 30  # of the range of log widths, to a precision of 1e-8
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
        """The Gaussian with the second moments about the centre that a kernel (B, 1, h, w) of any size has.

        Isotropic, its mean squared radius is the kernel's, as sampled and cut off at the support; anisotropic, also
        its axes and the ratio of its widths are those of the kernel's moments. Raises as `nearest_kernel`.
        """
        kernel, gaussian = nearest_kernel(value), self.on((value.shape[-2], value.shape[-1])).to(value)
        gaussian.shape = shape_of(value)
        moments = second_moments(kernel, gaussian.rows, gaussian.columns)
        stretch = value.new_zeros(len(value), 1)
        if self.angle is not None:
            squares, axes = torch.linalg.eigh(moments.flip(-2, -1))  # (column, row), the shorter axis first
            widths = squares.clamp(min=math.exp(2 * NARROWEST)).log().flip(-1) / 2
            stretch = widths - widths.mean(1, keepdim=True)
            angle = torch.atan2(axes[:, 1, 1], axes[:, 0, 1]).view(-1, 1, 1)
            gaussian.angle = nn.Parameter(angle, self.angle.requires_grad)
        gaussian.log_widths = nn.Parameter(stretch, self.log_widths.requires_grad)
        gaussian.widen_to(moments.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True))
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

    def widen_to(self, square: Tensor) -> None:
        """Multiply all widths of a kernel by one number, so that its mean squared radius is ``square``, (B, 1)."""
        stretch = self.log_widths.clone()
        low, high = torch.full_like(square, NARROWEST), torch.full_like(square, WIDEST)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            self.log_widths.copy_(stretch + middle)
            moments = second_moments(self(), self.rows, self.columns)
            wide = moments.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) > square
            low, high = torch.where(wide, low, middle), torch.where(wide, middle, high)


def offsets(size: Size) -> tuple[Tensor, Tensor]:
    """Rows (h, 1) and columns (w,) counted from the centre pixel."""
    row, column = centre(size)
    return torch.arange(size[0])[:, None] - float(row), torch.arange(size[1]) - float(column)


def second_moments(kernel: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Second moments of kernels (B, 1, h, w) about their centre pixels, (B, 2, 2) in (row, column), square pixels."""
    down, along = (kernel * rows.square()).sum((1, 2, 3)), (kernel * columns.square()).sum((1, 2, 3))
    both = (kernel * rows * columns).sum((1, 2, 3))
    return torch.stack([down, both, both, along], -1).view(-1, 2, 2)
