"""Blur that differs from place to place."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import ForwardOperator
from ..core.parameters import PositiveInt, validated
from ..numerics.geometry import Shape, Size, margins, size_of
from .convolution import check_fit, checked
from .frames import checked_one
from .spectral import blurred, spread

__all__ = ["VaryingBlur", "hats"]


class VaryingBlur(ForwardOperator):
    """Kernels on a grid over the picture, smoothly interpolated: ``y = sum_n w_n (k_n * x)``.

    The weights w_n are bilinear hats about the grid's points, which sum to one in every pixel (the product-convolution
    expansions of Escande & Weiss, "Approximation of Integral Operators Using Product-Convolution Expansions", JMIV
    2017; Hirsch et al., "Efficient Filter Flow for Space-Variant Multiframe Blind Deconvolution", CVPR 2010). deepinv's
    ``SpaceVaryingBlur`` computes the same with given weights; here one transform of the image serves all kernels.

    One picture at a time: data (1, C, H', W'), kernels (rows * columns, 1, h, w) row by row, image
    (1, C, H' + h - 1, W' + w - 1).

    Args:
        grid: rows and columns of kernels; the outer ones lie on the picture's borders.
        weights: "after" the convolution they say which kernel made a pixel of the data, as camera shake does;
            "before" it how a point of the scene is spread, as a lens does.
    """

    example = (1, 2, 9, 8)

    @validated
    def __init__(
        self,
        *,
        grid: Annotated[
            tuple[PositiveInt, PositiveInt], Field(description="rows and columns of kernels over the picture")
        ] = (3, 3),
        weights: Annotated[
            Literal["after", "before"],
            Field(description="the convolution: 'after' for camera shake, 'before' for lenses"),
        ] = "after",
    ) -> None:
        super().__init__()
        self.grid = grid
        self.weights = weights

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (1, C, H, W) and kernels (N, 1, h, w) -> data (1, C, H - h + 1, W - w + 1); differentiable in both.

        Raises:
            InputError: shapes that are not these, another number of kernels than the grid's, or the image is smaller
                than they are.
        """
        image, kernel = self._checked(*checked_one(image, kernel))
        check_fit(size_of(image), size_of(kernel))
        with torch.autocast(image.device.type, enabled=False):
            if self.weights == "after":
                seen = blurred(image, kernel)
                return (hats(self.grid, size_of(seen), seen) * seen).sum(0, keepdim=True)
            return blurred(self._over_image(image, size_of(kernel)) * image, kernel).sum(0, keepdim=True)

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (1, C, H', W') -> (1, C, H' + h - 1, W' + w - 1) with ``<A x, y> = <x, A^T y>``; raises as `forward`."""
        data, kernel = self._checked(*checked_one(data, kernel))
        with torch.autocast(data.device.type, enabled=False):
            if self.weights == "after":
                return spread(hats(self.grid, size_of(data), data) * data, kernel).sum(0, keepdim=True)
            apart = spread(data.expand(len(kernel), -1, -1, -1), kernel)
            return (self._over_image(apart, size_of(kernel)) * apart).sum(0, keepdim=True)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(1, C, H' + h - 1, W' + w - 1)."""
        batch, channels, height, width = data_shape
        return batch, channels, height + kernel_shape[2] - 1, width + kernel_shape[3] - 1

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """(rows * columns, 1, h, w)."""
        return self.grid[0] * self.grid[1], 1, *kernel_size

    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data themselves, (1, C, H', W'), which lie in the middle of the image."""
        return data

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"grid={self.grid}, weights={self.weights!r}"

    def _checked(self, image: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = self.grid
        if len(kernel) != rows * columns:
            raise InputError(f"a grid of {rows}x{columns} needs {rows * columns} kernels, got {len(kernel)}")
        return checked(image.expand(len(kernel), -1, -1, -1), kernel)[0][:1], kernel

    def _over_image(self, like: Tensor, kernel_size: Size) -> Tensor:
        """The hats of the data, continued over the image by their edges."""
        (top, bottom), (left, right) = margins(kernel_size)
        height, width = size_of(like)
        inner = hats(self.grid, (height - top - bottom, width - left - right), like)
        return torch.nn.functional.pad(inner, (left, right, top, bottom), mode="replicate")


def hats(grid: Size, size: Size, like: Tensor) -> Tensor:
    """Bilinear weights of a grid's points over a picture, (rows * columns, 1, H, W): >= 0, summing to one anywhere."""
    down, along = (hat(points, pixels, like) for points, pixels in zip(grid, size, strict=True))
    return torch.einsum("ri,cj->rcij", down, along).reshape(-1, 1, *size)


def hat(points: int, pixels: int, like: Tensor) -> Tensor:
    """Weights of points spread evenly from the first to the last pixel, (points, pixels)."""
    if points == 1:
        return like.new_ones(1, pixels)
    position = torch.linspace(0, points - 1, pixels, dtype=like.dtype, device=like.device)
    return (1 - (position - torch.arange(points, dtype=like.dtype, device=like.device)[:, None]).abs()).clamp(min=0)
