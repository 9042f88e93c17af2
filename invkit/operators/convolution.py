"""Uniform blur."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import Blur
from ..core.parameters import validated
from ..numerics.geometry import Shape, Size, extend, extend_adjoint, size_of
from .spectral import blurred, spread

__all__ = ["Convolution"]


class Convolution(Blur):
    """True convolution of each image of a batch with its kernel: ``y[n] = sum_m k[m] x[n + centre - m]``.

    "valid" is the model of a photograph, whose border was blurred from beyond the frame: the image is larger than the
    data by the kernel's size less one. The other paddings keep the size and make up what lies beyond the frame. The
    kernel's centre is the one of `invkit.numerics.geometry`.

    Images are (B, C, H, W), kernels (B, 1, h, w) or (1, 1, h, w), which then blurs the whole batch. The arithmetic is
    in float32 or float64, also under autocast and for half-precision arguments: a blur rounded to bfloat16 would be
    off by more than the noise of a photograph.

    Args:
        padding: what lies beyond the image's border.
        method: how it is computed; the results agree to rounding.
    """

    @validated
    def __init__(
        self,
        *,
        padding: Annotated[
            Literal["valid", "circular", "replicate", "reflect"],
            Field(description="'valid': the image exceeds the data by the kernel's size less one; else the same size"),
        ] = "valid",
        method: Annotated[
            Literal["fft", "direct"],
            Field(description="'fft': fast for any kernel; 'direct': sums, for kernels of a few pixels"),
        ] = "fft",
    ) -> None:
        super().__init__()
        self.padding = padding
        self.method = method

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) and kernel (B or 1, 1, h, w) -> data; differentiable in both.

        Returns:
            (B, C, H - h + 1, W - w + 1) for "valid", else (B, C, H, W).

        Raises:
            InputError: shapes that are not these; the image is smaller than the kernel and the padding is "valid";
                the padding is "reflect" and half the kernel is not smaller than the image.
        """
        image, kernel = checked(image, kernel)
        if self.padding != "valid":
            image = extend(image, size_of(kernel), self.padding)
        check_fit(size_of(image), size_of(kernel))
        with torch.autocast(image.device.type, enabled=False):
            return VALID[self.method](image, kernel)

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (B, C, H', W') -> (B, C, H, W) with ``<A x, y> = <x, A^T y>``; raises as `forward`."""
        data, kernel = checked(data, kernel)
        with torch.autocast(data.device.type, enabled=False):
            image = TRANSPOSED[self.method](data, kernel)
        return image if self.padding == "valid" else extend_adjoint(image, size_of(kernel), self.padding)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(B, C, H' + h - 1, W' + w - 1) for "valid", else the shape of the data."""
        if self.padding != "valid":
            return data_shape
        batch, channels, height, width = data_shape
        return batch, channels, height + kernel_shape[2] - 1, width + kernel_shape[3] - 1

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"padding={self.padding!r}, method={self.method!r}"


def checked(image: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one precision that has an FFT; raises `InputError` where the shapes do not fit."""
    if image.ndim != 4 or kernel.ndim != 4 or kernel.shape[1] != 1 or kernel.shape[0] not in (1, image.shape[0]):
        raise InputError(
            "a convolution needs an image (B, C, H, W) and a kernel (B, 1, h, w) or (1, 1, h, w); "
            f"got {tuple(image.shape)} and {tuple(kernel.shape)}"
        )
    dtype = torch.promote_types(torch.promote_types(image.dtype, kernel.dtype), torch.float32)
    return image.to(dtype), kernel.to(dtype)


def check_fit(image_size: Size, kernel_size: Size) -> None:
    """Refuse an image of which no pixel has the whole kernel about it."""
    if image_size[0] < kernel_size[0] or image_size[1] < kernel_size[1]:
        raise InputError(
            f"the kernel of {kernel_size[0]}x{kernel_size[1]} pixels is larger than the image of "
            f"{image_size[0]}x{image_size[1]}; choose a smaller kernel size"
        )


def valid_fft(image: Tensor, kernel: Tensor) -> Tensor:
    """Valid convolution as the part of a circular one that wraps nothing around."""
    return image * kernel if size_of(kernel) == (1, 1) else blurred(image, kernel)


def transposed_fft(data: Tensor, kernel: Tensor) -> Tensor:
    """The adjoint of `valid_fft`."""
    return data * kernel if size_of(kernel) == (1, 1) else spread(data, kernel)


def valid_direct(image: Tensor, kernel: Tensor) -> Tensor:
    """Valid convolution by sums."""
    from deepinv.physics.functional import conv2d

    blurred: Tensor = conv2d(image, kernel, padding="valid")
    return blurred


def transposed_direct(data: Tensor, kernel: Tensor) -> Tensor:
    """The adjoint of `valid_direct`. Paddings are folded by geometry: deepinv's transposes fail on 1-pixel margins."""
    from deepinv.physics.functional import conv_transpose2d

    spread: Tensor = conv_transpose2d(data, kernel, padding="valid")
    return spread


VALID = {"fft": valid_fft, "direct": valid_direct}
TRANSPOSED = {"fft": transposed_fft, "direct": transposed_direct}
