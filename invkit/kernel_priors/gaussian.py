"""A Gaussian blur of unknown width."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ..geometry import centre
from ..interfaces import KernelPrior
from ..parameters import Shape, validated
from .simplex import softmax_kernel

__all__ = ["GaussianKernel"]

NARROWEST, WIDEST = math.log(1e-2), math.log(1e4)  # log widths: a delta and a uniform kernel in any precision


class GaussianKernel(KernelPrior):
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
        row, column = centre((shape[-2], shape[-1]))
        self.register_buffer("rows", torch.arange(shape[-2])[:, None] - float(row), persistent=False)
        self.register_buffer("columns", torch.arange(shape[-1]) - float(column), persistent=False)
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
