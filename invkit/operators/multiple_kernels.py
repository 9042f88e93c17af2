"""Blur of one image by several kernels: several frames of a scene, or blur that varies over the image."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import Blur, GriddedBlur, LinearOperator
from ..core.parameters import NonNegativeInt, PositiveInt, validated
from ..numerics.geometry import Shape, Size, margins, size_of
from ..numerics.grid_weights import bilinear_weights
from .convolution import Convolution, as_operands, check_kernel_fits, convolve_valid, convolve_valid_adjoint

__all__ = ["Frames", "VaryingBlur"]


class Frames(LinearOperator):
    """N frames of one scene: each frame is the valid convolution with its own kernel, ``y_n = k_n * x``.

    This is the model of multi-frame (multi-channel) blind deconvolution: one frame contains frequencies that another
    has lost (Sroubek & Milanfar, "Robust Multichannel Blind Deconvolution via Fast Alternating Minimization", IEEE TIP
    2012, Eq. 1). The frames are the batch of the data. The kernels include the displacement between the frames.

    Data are (N, C, H', W'), kernels (N, 1, h, w), the image is (1, C, H' + h - 1, W' + w - 1).

    Example:
        >>> Frames()(torch.rand(1, 3, 32, 32), torch.full((4, 1, 5, 5), 1 / 25)).shape
        torch.Size([4, 3, 28, 28])
    """

    example = (3, 2, 9, 8)

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (1, C, H, W) and kernels (N, 1, h, w) -> frames (N, C, H - h + 1, W - w + 1).

        Raises:
            InputError: the shapes are others, or the image is smaller than the kernels.
        """
        image, kernel = as_one_image(image, kernel)
        check_kernel_fits(size_of(image), size_of(kernel))
        with torch.autocast(image.device.type, enabled=False):
            return convolve_valid(image, kernel)

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Frames (N, C, H', W') -> (1, C, H' + h - 1, W' + w - 1), summed over the frames."""
        data, kernel = as_operands(data, kernel)
        with torch.autocast(data.device.type, enabled=False):
            return convolve_valid_adjoint(data, kernel).sum(0, keepdim=True)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(1, C, H' + h - 1, W' + w - 1)."""
        _, channels, height, width = data_shape
        return 1, channels, height + kernel_shape[2] - 1, width + kernel_shape[3] - 1

    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The first frame, (1, C, H', W'). A mean of displaced frames would show every edge several times."""
        return data[:1]


class VaryingBlur(GriddedBlur):
    """Blur that varies smoothly: kernels on a grid over the image are interpolated, ``y = sum_n w_n (k_n * x)``.

    The weights w_n are bilinear and sum to one in every pixel (the product-convolution expansions of Escande & Weiss,
    "Approximation of Integral Operators Using Product-Convolution Expansions", JMIV 2017; Hirsch et al., "Efficient
    Filter Flow for Space-Variant Multiframe Blind Deconvolution", CVPR 2010). deepinv's ``SpaceVaryingBlur`` computes
    the same for given weights; here one transform of the image serves all kernels.

    The batch has one image: data (1, C, H', W'), kernels (rows * columns, 1, h, w) row by row, image
    (1, C, H' + h - 1, W' + w - 1).

    Args:
        grid: rows and columns of kernels; the outer kernels lie on the borders of the image.
        weights: "after": the weights belong to pixels of the data, after the convolution, as for camera shake.
            "before": they belong to points of the scene, before it, as for lenses.
        margin: pixels that unknown kernels may reach further, on every side, than the kernel size that is asked for.
            A camera that turns moves the corners of the picture further than its centre.
    """

    example = (1, 2, 9, 8)

    @validated
    def __init__(
        self,
        *,
        grid: tuple[PositiveInt, PositiveInt] = (3, 3),
        weights: Literal["after", "before"] = "after",
        margin: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.weights = weights
        self.margin = margin

    def convolution(self) -> Blur:
        """The valid convolution with one kernel."""
        return Convolution(padding="valid")

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (1, C, H, W) and kernels (N, 1, h, w) -> data (1, C, H - h + 1, W - w + 1); differentiable in both.

        Raises:
            InputError: the shapes are others, the number of kernels is not that of the grid, or the image is smaller
                than the kernels.
        """
        image, kernel = self._as_operands(image, kernel)
        check_kernel_fits(size_of(image), size_of(kernel))
        with torch.autocast(image.device.type, enabled=False):
            if self.weights == "after":
                blurred = convolve_valid(image, kernel)
                return (bilinear_weights(self.grid, size_of(blurred), blurred) * blurred).sum(0, keepdim=True)
            weights = self.weights_of_scene(image, size_of(kernel))
            return convolve_valid(weights * image, kernel).sum(0, keepdim=True)

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (1, C, H', W') -> (1, C, H' + h - 1, W' + w - 1) with ``<A x, y> = <x, A^T y>``; raises as `forward`."""
        data, kernel = self._as_operands(data, kernel)
        with torch.autocast(data.device.type, enabled=False):
            if self.weights == "after":
                weighted = bilinear_weights(self.grid, size_of(data), data) * data
                return convolve_valid_adjoint(weighted, kernel).sum(0, keepdim=True)
            images = convolve_valid_adjoint(data.expand(len(kernel), -1, -1, -1), kernel)
            return (self.weights_of_scene(images, size_of(kernel)) * images).sum(0, keepdim=True)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(1, C, H' + h - 1, W' + w - 1)."""
        batch, channels, height, width = data_shape
        return batch, channels, height + kernel_shape[2] - 1, width + kernel_shape[3] - 1

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """(rows * columns, 1, h, w) of the kernel size and twice the margin."""
        height, width = (side + 2 * self.margin for side in kernel_size)
        return self.grid[0] * self.grid[1], 1, height, width

    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data themselves, (1, C, H', W'), which lie in the middle of the image."""
        return data

    def weights_of_scene(self, like: Tensor, kernel_size: Size) -> Tensor:
        """The weights of the data, extended over the image by their edge pixels: (N, 1, H, W) for (..., H, W)."""
        (top, bottom), (left, right) = margins(kernel_size)
        height, width = size_of(like)
        inner = bilinear_weights(self.grid, (height - top - bottom, width - left - right), like)
        return F.pad(inner, (left, right, top, bottom), mode="replicate")

    def extra_repr(self) -> str:
        """The text that ``print`` shows."""
        return f"grid={self.grid}, weights={self.weights!r}"

    def _as_operands(self, image: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """One image and as many kernels as the grid has, in one precision; raises `InputError`."""
        image, kernel = as_one_image(image, kernel)
        rows, columns = self.grid
        if len(kernel) != rows * columns:
            raise InputError(f"a grid of {rows}x{columns} needs {rows * columns} kernels, got {len(kernel)}")
        return image, kernel


def as_one_image(image: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """One image and its kernels in one precision that has an FFT; raises `InputError` for several images."""
    if image.ndim == 4 and image.shape[0] != 1:
        raise InputError(f"all kernels blur one image; got a batch of {image.shape[0]}")
    same, kernel = as_operands(image.expand(kernel.shape[0], -1, -1, -1) if image.ndim == 4 else image, kernel)
    return same[:1], kernel
