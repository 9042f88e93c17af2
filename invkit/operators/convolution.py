"""Uniform blur, and valid convolutions by Fourier transforms."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import Blur
from ..core.parameters import validated
from ..numerics.fourier import fast_size, otf
from ..numerics.framing import extend, extend_adjoint
from ..numerics.geometry import Shape, Size, margins, size_of

__all__ = ["Convolution"]


class Convolution(Blur):
    """True convolution of each image of a batch with its kernel: ``y[n] = sum_m k[m] x[n + centre - m]``.

    "valid" models a photograph: light from beyond the frame blurs into its border. The image is therefore larger than
    the data, by the kernel's size minus one. The other paddings keep the size and assume what lies beyond the frame.
    The kernel's centre is defined in `invkit.numerics.geometry`.

    Images are (B, C, H, W). Kernels are (B, 1, h, w), or (1, 1, h, w) for one kernel that blurs the whole batch. The
    computation is in float32 or float64, also under autocast and for half-precision arguments: a blur in bfloat16 would
    have an error larger than the noise of a photograph.

    Args:
        padding: "valid": the image exceeds the data by the kernel's size minus one. Otherwise image and data have the
            same size, and the padding continues the image beyond its border.
        method: "fft" is fast for any kernel, "direct" (sums) for kernels of a few pixels. The results agree up to
            rounding.

    Example:
        >>> image, kernel = torch.rand(1, 3, 32, 32), torch.full((1, 1, 5, 5), 1 / 25)
        >>> Convolution()(image, kernel).shape
        torch.Size([1, 3, 28, 28])
        >>> Convolution(padding="circular")(image, kernel).shape
        torch.Size([1, 3, 32, 32])
    """

    @validated
    def __init__(
        self,
        *,
        padding: Literal["valid", "circular", "replicate", "reflect"] = "valid",
        method: Literal["fft", "direct"] = "fft",
    ) -> None:
        super().__init__()
        self.padding = padding
        self.method = method

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) and kernel (B or 1, 1, h, w) -> data; differentiable in both.

        Returns:
            (B, C, H - h + 1, W - w + 1) for "valid", otherwise (B, C, H, W).

        Raises:
            InputError: the shapes are others, the image is smaller than the kernel and the padding is "valid", or half
                the kernel is not smaller than the image and the padding is "reflect".
        """
        image, kernel = as_operands(image, kernel)
        if self.padding != "valid":
            image = extend(image, size_of(kernel), self.padding)
        check_kernel_fits(size_of(image), size_of(kernel))
        with torch.autocast(image.device.type, enabled=False):
            return VALID[self.method](image, kernel)

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (B, C, H', W') -> (B, C, H, W) with ``<A x, y> = <x, A^T y>``; raises the same errors as `forward`."""
        data, kernel = as_operands(data, kernel)
        with torch.autocast(data.device.type, enabled=False):
            image = VALID_ADJOINT[self.method](data, kernel)
        return image if self.padding == "valid" else extend_adjoint(image, size_of(kernel), self.padding)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(B, C, H' + h - 1, W' + w - 1) for "valid", otherwise the shape of the data."""
        if self.padding != "valid":
            return data_shape
        batch, channels, height, width = data_shape
        return batch, channels, height + kernel_shape[2] - 1, width + kernel_shape[3] - 1

    def extra_repr(self) -> str:
        """The text that ``print`` shows."""
        return f"padding={self.padding!r}, method={self.method!r}"


def as_operands(image: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one precision that has an FFT; raises `InputError` if the shapes do not belong together."""
    if image.ndim != 4 or kernel.ndim != 4 or kernel.shape[1] != 1 or kernel.shape[0] not in (1, image.shape[0]):
        raise InputError(
            "a convolution needs an image (B, C, H, W) and a kernel (B, 1, h, w) or (1, 1, h, w); "
            f"got {tuple(image.shape)} and {tuple(kernel.shape)}"
        )
    dtype = torch.promote_types(torch.promote_types(image.dtype, kernel.dtype), torch.float32)
    return image.to(dtype), kernel.to(dtype)


def check_kernel_fits(image_size: Size, kernel_size: Size) -> None:
    """Refuse a kernel that is larger than the image."""
    if image_size[0] < kernel_size[0] or image_size[1] < kernel_size[1]:
        raise InputError(
            f"the kernel of {kernel_size[0]}x{kernel_size[1]} pixels is larger than the image of "
            f"{image_size[0]}x{image_size[1]}; choose a smaller kernel size"
        )


def convolve_valid(image: Tensor, kernels: Tensor) -> Tensor:
    """Valid convolution as the part of a periodic one that does not wrap around; differentiable in both.

    One image with several kernels is transformed once.

    Args:
        image: (1 or N, C, H, W).
        kernels: (N, 1, h, w).

    Returns:
        (N, C, H - h + 1, W - w + 1).
    """
    if size_of(kernels) == (1, 1):
        return image * kernels
    (height, width), ((top, bottom), (left, right)) = size_of(image), margins(size_of(kernels))
    size = fast_size((height, width))
    spectrum = torch.fft.rfft2(place_on_grid(image, size, (0, 0))) * otf(kernels, size)
    whole: Tensor = torch.fft.irfft2(spectrum, size)
    return whole[..., top : height - bottom, left : width - right]


def convolve_valid_adjoint(data: Tensor, kernels: Tensor) -> Tensor:
    """The adjoint of `convolve_valid` for N images: data (N, C, H', W') -> (N, C, H' + h - 1, W' + w - 1)."""
    if size_of(kernels) == (1, 1):
        return data * kernels
    (top, bottom), (left, right) = margins(size_of(kernels))
    height, width = data.shape[-2] + top + bottom, data.shape[-1] + left + right
    size = fast_size((height, width))
    spectrum = torch.fft.rfft2(place_on_grid(data, size, (top, left))) * otf(kernels, size).conj()
    whole: Tensor = torch.fft.irfft2(spectrum, size)
    return whole[..., :height, :width]


def place_on_grid(image: Tensor, size: Size, corner: Size) -> Tensor:
    """An image on a larger grid of zeros.

    Args:
        image: (..., H, W).
        size: of the grid.
        corner: (row, column) of the image's first pixel on the grid.
    """
    (height, width), (top, left) = size_of(image), corner
    return F.pad(image, (left, size[1] - left - width, top, size[0] - top - height))


def convolve_directly(image: Tensor, kernel: Tensor) -> Tensor:
    """Valid convolution by sums."""
    from deepinv.physics.functional import conv2d

    data: Tensor = conv2d(image, kernel, padding="valid")
    return data


def convolve_directly_adjoint(data: Tensor, kernel: Tensor) -> Tensor:
    """The adjoint of `convolve_directly`. Only for "valid": deepinv's other transposes fail on 1-pixel margins."""
    from deepinv.physics.functional import conv_transpose2d

    image: Tensor = conv_transpose2d(data, kernel, padding="valid")
    return image


VALID = {"fft": convolve_valid, "direct": convolve_directly}
VALID_ADJOINT = {"fft": convolve_valid_adjoint, "direct": convolve_directly_adjoint}
