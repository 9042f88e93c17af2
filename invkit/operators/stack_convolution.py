"""The blur of a stack of planes by a kernel of planes, as in a microscope."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import LinearOperator
from ..core.operator_parameters import LinearMap, Prepared, Stacked, StackKernelPrior
from ..core.parameters import PositiveInt, validated
from ..core.ranges import Convolving
from ..core.result import DataReading
from ..numerics.fourier import fast_length, inverse_transform, otf, transform
from ..numerics.geometry import Shape, Size, margin_before, shape_of, window_of

__all__ = ["StackConvolution"]

Volume: TypeAlias = tuple[int, int, int]
"""(planes, height, width)."""


class StackConvolution(LinearOperator, Stacked, Prepared, Convolving):
    """True convolution in three dimensions: ``y[n] = sum_m k[m] x[n + centre - m]``.

    Images are (B, D, H, W), kernels (B, d, h, w), or (1, d, h, w) for the whole batch: planes are channels. Several
    channels of a stack that one kernel blurs are a batch. The centre of each side of a kernel is that of
    `invkit.numerics.geometry`. "valid" assumes nothing about what lies beyond the stack, also above and below it: the
    image exceeds the data by the kernel's size minus one. "circular" is for data that were made so.

    A transform takes about 4 bytes for each voxel of the image, and a solver holds ten to twenty of them.

    Args:
        padding: "valid" or "circular".
        kernel_planes: planes of a kernel that is to be found; a given kernel has its own.

    Example:
        >>> StackConvolution()(torch.rand(1, 8, 16, 16), torch.full((1, 3, 5, 5), 1 / 75)).shape
        torch.Size([1, 6, 12, 12])
    """

    axes = 3
    parameter_prior = StackKernelPrior
    data_range = None
    data_form = "(D, H, W), a stack of D planes"
    example = (2, 4, 6, 7)

    @validated
    def __init__(self, *, padding: Literal["valid", "circular"] = "valid", kernel_planes: PositiveInt = 3) -> None:
        super().__init__()
        self.padding, self.kernel_planes = padding, kernel_planes

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, D, H, W) and kernel (B or 1, d, h, w) -> data (B, D', H', W'); differentiable in both.

        Raises:
            InputError: the kernel is larger than the image.
        """
        check_fits(image, kernel)
        return self.prepared(kernel, shape_of(image))[0](image)

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (B, D', H', W') -> (B, D, H, W) with ``<A x, y> = <x, A^T y>``; raises the same errors as `forward`."""
        return self.prepared(kernel, self.image_shape(shape_of(data), shape_of(kernel)))[1](data)

    def prepared(self, kernel: Tensor, image_shape: Shape) -> tuple[LinearMap, LinearMap]:
        """The blur and its adjoint with a kernel (B or 1, d, h, w), which is transformed once."""
        image = volume_of(image_shape)
        size, corner, data = self.grid(image), corner_of(kernel), data_volume(image, kernel)
        response = otf(kernel, size)

        def forward(stack: Tensor) -> Tensor:
            with torch.autocast(stack.device.type, enabled=False):
                whole = inverse_transform(transform(stack, size).mul_(response), size)
            return whole if self.padding == "circular" else window_of(whole, corner, data)

        def adjoint(stack: Tensor) -> Tensor:
            placed = stack if self.padding == "circular" else at_corner(stack, corner, size)
            with torch.autocast(stack.device.type, enabled=False):
                back = inverse_transform(transform(placed, size).mul_(response.conj()), size)
                return window_of(back, (0, 0, 0), image)

        return forward, adjoint

    def grid(self, image: Volume) -> Volume:
        """The size of the periodic grid on which an image of this size is transformed."""
        if self.padding == "circular":
            return image
        return fast_length(image[0]), fast_length(image[1]), fast_length(image[2])

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(B, D' + d - 1, H' + h - 1, W' + w - 1) for "valid", otherwise the shape of the data."""
        if self.padding == "circular":
            return data_shape
        sides = (side + taps - 1 for side, taps in zip(data_shape[1:], kernel_shape[1:], strict=True))
        planes, height, width = sides
        return data_shape[0], planes, height, width

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """One kernel of ``kernel_planes`` planes for each stack of the batch."""
        return data_shape[0], self.kernel_planes, *kernel_size

    def visible(self, image: Tensor, data_shape: Shape) -> Tensor:
        """Return the part of an image (B, D, H, W) under the data, which have another margin on each side by one."""
        missing = [have - need for have, need in zip(image.shape[1:], data_shape[1:], strict=True)]
        planes, rows, columns = (margin_before(more + 1) for more in missing)
        return window_of(image, (planes, rows, columns), volume_of(data_shape))

    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data in [0, 1], continued beyond the border by their outer voxels, of `image_shape`."""
        image, before = volume_of(self.image_shape(shape_of(data), shape_of(kernel))), corner_of(kernel)
        if self.padding == "circular":
            return data.clamp(0, 1)
        pads = [(first, have - first - side) for first, have, side in zip(before, image, data.shape[1:], strict=True)]
        return F.pad(data.clamp(0, 1), [side for pair in reversed(pads) for side in pair], mode="replicate")

    def brightness(self, data: Tensor, kernel: Tensor) -> float:
        """The largest value of the data, above which the image may rise."""
        return float(data.max())

    def reading(self, data: Tensor) -> DataReading:
        """The number of planes, and their size; negative values are doubtful."""
        negative, text = int((data < 0).sum()), f"a stack of {data.shape[1]} planes of {data.shape[2]}x{data.shape[3]}"
        doubt = f"{negative} of {data.numel()} values are negative, and light is not; subtract the background first"
        return DataReading(f"the data are {text}", (doubt,) if negative else ())

    def extra_repr(self) -> str:
        """The text that ``print`` shows."""
        return f"padding={self.padding!r}"


def volume_of(shape: Shape) -> Volume:
    """The sides of a stack (B, D, H, W)."""
    return shape[1], shape[2], shape[3]


def data_volume(image: Volume, kernel: Tensor) -> Volume:
    """The sides of the data of a valid convolution."""
    planes, height, width = (have - taps + 1 for have, taps in zip(image, kernel.shape[1:], strict=True))
    return planes, height, width


def corner_of(kernel: Tensor) -> Volume:
    """Voxels by which the image of a valid convolution exceeds the data at the front, top and left."""
    planes, rows, columns = map(margin_before, kernel.shape[1:])
    return planes, rows, columns


def check_fits(image: Tensor, kernel: Tensor) -> None:
    """Refuse a kernel that is larger than the image; raises `InputError`."""
    if any(taps > have for taps, have in zip(kernel.shape[1:], image.shape[1:], strict=True)):
        raise InputError(
            f"the kernel of {tuple(kernel.shape[1:])} voxels (planes, height, width) is larger than the image of "
            f"{tuple(image.shape[1:])}; crop the kernel"
        )


def at_corner(stack: Tensor, corner: Volume, size: Volume) -> Tensor:
    """Put a stack on a larger grid of zeros.

    Args:
        stack: (B, D, H, W).
        corner: voxel of the grid for its first voxel.
        size: of the grid.
    """
    pads = [(first, have - first - side) for first, have, side in zip(corner, size, stack.shape[1:], strict=True)]
    return F.pad(stack, [side for pair in reversed(pads) for side in pair])
