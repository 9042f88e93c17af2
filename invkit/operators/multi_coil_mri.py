"""Parallel magnetic resonance imaging."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import CoilMapPrior, ForwardOperator
from ..core.parameters import validated
from ..numerics.geometry import Shape

__all__ = ["MultiCoilMRI"]


class MultiCoilMRI(ForwardOperator):
    """Undersampled k-space of N receive coils: ``y_n = P F (s_n x)``.

    Pruessmann et al., "SENSE: Sensitivity Encoding for Fast MRI", Magn. Reson. Med. 1999. F is the unitary Fourier
    transform with its origin in the middle, P keeps the columns that were measured. The image x is real, in [0, 1],
    one channel: its phase is in the coil maps s_n, whose squared magnitudes sum to one over the coils.

    Data are (B, 2 N, H, W): the real parts of the coils' k-spaces, then the imaginary ones, zero where nothing was
    measured. Scale them so that the image's brightest pixel is about one. deepinv's ``MultiCoilMRI`` computes the same
    with data (B, 2, N, H, W).

    Args:
        acceleration: one column of that many is measured, beside those of the middle.
        calibration: share of the columns in the middle that are all measured.
        pattern: which of the others are: every so many, or as many at random.
        draw: which of the random patterns; not the run's seed, as it belongs to the data.
    """

    parameter_prior = CoilMapPrior
    data_range = None
    example = (2, 6, 9, 8)

    @validated
    def __init__(
        self,
        *,
        acceleration: Annotated[float, Field(ge=1, description="columns there are per column measured")] = 4.0,
        calibration: Annotated[
            float, Field(ge=0, le=1, description="share of the columns, in the middle, all measured")
        ] = 0.08,
        pattern: Annotated[
            Literal["equispaced", "random"], Field(description="which of the others are measured")
        ] = "random",
        draw: Annotated[int, Field(ge=0, description="which of the random patterns")] = 0,
    ) -> None:
        super().__init__()
        self.acceleration, self.calibration = acceleration, calibration
        self.pattern, self.draw = pattern, draw

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, 1, H, W) and coil maps (B, 2 N, H, W) -> k-space (B, 2 N, H, W)."""
        return parts(self.columns(image.shape[-1], image) * to_k_space(complex_of(kernel) * image))

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """K-space (B, 2 N, H, W) -> (B, 1, H, W), the real part of ``sum_n conj(s_n) F^H P y_n``."""
        return (complex_of(kernel).conj() * self.coil_images(data)).sum(1, keepdim=True).real

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(B, 1, H, W)."""
        return data_shape[0], 1, *data_shape[2:]

    def parameter_shape(self, data_shape: Shape, kernel_size: tuple[int, int]) -> Shape:
        """That of the data; raises `InputError` for an odd number of channels."""
        if data_shape[1] % 2:
            raise InputError(
                "k-space has the real parts of all coils and then the imaginary ones as channels, an even number; got "
                f"{data_shape[1]}"
            )
        return data_shape

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The root of the coils' summed squares where what was not measured is zero, (B, 1, H, W)."""
        return self.coil_images(data).abs().square().sum(1, keepdim=True).sqrt().clamp(0, 1)

    @torch.no_grad()
    def initial_parameter(self, data: Tensor, shape: Shape) -> Tensor:
        """The coils' blurry images from the middle of k-space, (B, 2 N, H, W): coil maps, but for a scale per pixel."""
        width = data.shape[-1]
        low = torch.hann_window(self.in_the_middle(width) + 2, periodic=False, dtype=data.dtype, device=data.device)[
            1:-1
        ]
        window = data.new_zeros(width)
        begin = (width - len(low)) // 2 + (width - len(low)) % 2 * (width % 2 == 0)
        window[begin : begin + len(low)] = low
        return parts(from_k_space(window * complex_of(data)))

    def coil_images(self, data: Tensor) -> Tensor:
        """``F^H P y_n``: (B, 2 N, H, W) -> complex (B, N, H, W)."""
        return from_k_space(self.columns(data.shape[-1], data) * complex_of(data))

    def in_the_middle(self, width: int) -> int:
        """Columns of the middle that are all measured."""
        return max(1, round(self.calibration * width))

    def columns(self, width: int, like: Tensor) -> Tensor:
        """Which columns are measured, ones and zeros, (W,)."""
        wanted = round(width / self.acceleration)
        draw = self.draw if self.pattern == "random" else None
        return measured(width, self.in_the_middle(width), wanted, draw, like.device, like.real.dtype)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"acceleration={self.acceleration:g}, calibration={self.calibration:g}, pattern={self.pattern!r}"


@lru_cache(maxsize=16)
def measured(
    width: int, middle: int, wanted: int, draw: int | None, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Ones where a column is measured, (W,); kept on the device, where graphs of one read it, so not to be changed.

    Args:
        width: number of columns.
        middle: columns that are all measured, about the middle.
        wanted: columns that are measured in all, if that is more.
        draw: which of the random patterns; None for evenly spaced columns.
        device: where it lies.
        dtype: its precision.
    """
    columns = torch.zeros(width)
    begin = width // 2 - middle // 2
    columns[begin : begin + middle] = 1
    others = (columns == 0).nonzero()[:, 0]
    count = min(len(others), max(0, wanted - middle))
    if draw is None:
        chosen = torch.linspace(0, len(others) - 1, count).round().long()
    else:
        chosen = torch.randperm(len(others), generator=torch.Generator().manual_seed(draw))[:count]
    columns[others[chosen]] = 1
    return columns.to(device, dtype)


def complex_of(channels: Tensor) -> Tensor:
    """Real parts, then imaginary ones, (B, 2 N, H, W) -> complex (B, N, H, W)."""
    real, imaginary = channels.chunk(2, dim=1)
    return torch.complex(real, imaginary)


def parts(values: Tensor) -> Tensor:
    """The inverse of `complex_of`."""
    return torch.cat([values.real, values.imag], dim=1)


def to_k_space(image: Tensor) -> Tensor:
    """The unitary Fourier transform of (..., H, W), its origin in the middle."""
    shifted = torch.fft.ifftshift(image, dim=(-2, -1))
    values: Tensor = torch.fft.fftshift(torch.fft.fft2(shifted, norm="ortho"), dim=(-2, -1))
    return values


def from_k_space(values: Tensor) -> Tensor:
    """The inverse of `to_k_space`."""
    shifted = torch.fft.ifftshift(values, dim=(-2, -1))
    image: Tensor = torch.fft.fftshift(torch.fft.ifft2(shifted, norm="ortho"), dim=(-2, -1))
    return image
