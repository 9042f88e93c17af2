"""Parallel magnetic resonance imaging."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import LinearOperator
from ..core.operator_parameters import CoilMapPrior, ComplexImage, PartlySeen
from ..core.parameters import Fraction, NonNegativeInt, validated
from ..core.result import DataReading
from ..numerics.geometry import Shape, Size, shape_of, size_of

__all__ = ["MultiCoilMRI"]


class MultiCoilMRI(LinearOperator, ComplexImage, PartlySeen):
    """Undersampled k-space of N receive coils: ``y_n = P F (s_n x)``.

    Pruessmann et al., "SENSE: Sensitivity Encoding for Fast MRI", Magn. Reson. Med. 1999. F is the unitary Fourier
    transform with its origin in the middle, P keeps the measured columns. The image x is real, not negative, with one
    channel, and its phase is part of the coil maps s_n. If the maps are known without it, as those of another scan, the
    phase may be free: the image is complex, with two channels, its real and its imaginary part. The squared magnitudes
    of the maps sum to one over the coils, or are zero where no coil sees anything.

    Data are (B, 2 N, H, W): the real parts of the coils' k-spaces, then the imaginary parts, zero where nothing was
    measured. deepinv's ``MultiCoilMRI`` computes the same with data (B, 2, N, H, W).

    Args:
        acceleration: the number of columns divided by the number of measured columns.
        calibration: fraction of the columns, in the middle, that are all measured.
        pattern: how the other measured columns are chosen: evenly spaced or at random.
        draw: number of the random pattern. It is not the seed of the run, because it belongs to the data.
        phase: of the image: "in-maps" for a real image whose phase the coil maps hold, "free" for a complex image.

    Example:
        >>> maps = torch.full((1, 8, 16, 16), 8**-0.5)  # four coils
        >>> MultiCoilMRI()(torch.rand(1, 1, 16, 16), maps).shape
        torch.Size([1, 8, 16, 16])
    """

    parameter_prior = CoilMapPrior
    data_range = None
    data_form = "(2 N, H, W), the real parts of N coils and then their imaginary parts"
    brightness_iterations = 4  # more of them amplify the errors of first coil maps
    example = (2, 6, 9, 8)

    @validated
    def __init__(
        self,
        *,
        acceleration: Annotated[float, Field(ge=1)] = 4.0,
        calibration: Fraction = 0.08,
        pattern: Literal["equispaced", "random"] = "random",
        draw: NonNegativeInt = 0,
        phase: Literal["in-maps", "free"] = "in-maps",
    ) -> None:
        super().__init__()
        self.phase = phase
        self.acceleration, self.calibration = acceleration, calibration
        self.pattern, self.draw = pattern, draw

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, 1 or 2, H, W) and coil maps (B, 2 N, H, W) -> k-space (B, 2 N, H, W)."""
        scene = complex_channels(image) if self.has_complex_image else image
        return real_channels(self.columns(image.shape[-1], image) * to_k_space(complex_channels(kernel) * scene))

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """K-space (B, 2 N, H, W) -> ``sum_n conj(s_n) F^H P y_n``, its real part or both, (B, 1 or 2, H, W)."""
        combined = (complex_channels(kernel).conj() * self.coil_images(data)).sum(1, keepdim=True)
        return real_channels(combined) if self.has_complex_image else combined.real

    @property
    def has_complex_image(self) -> bool:
        """Whether the phase of the image is free."""
        return self.phase == "free"

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(B, 1, H, W), of a complex image (B, 2, H, W)."""
        return data_shape[0], 2 if self.has_complex_image else 1, *data_shape[2:]

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """The shape of the data; raises `InputError` for an odd number of channels."""
        if data_shape[1] % 2:
            raise InputError(
                "the channels of k-space are the real parts of all coils, then the imaginary parts: an even number; "
                f"got {data_shape[1]}"
            )
        return data_shape

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The root of the summed squares of the coil images, with zeros for unmeasured columns, (B, 1, H, W).

        Of a complex image the adjoint of the data, (B, 2, H, W), of any values.
        """
        if self.has_complex_image:
            return self.adjoint(data, kernel)
        return self.coil_images(data).abs().square().sum(1, keepdim=True).sqrt().clamp(0, 1)

    def seen(self, kernel: Tensor) -> Tensor:
        """One for each pixel where a coil map is not zero, (B, 1, H, W)."""
        return (kernel != 0).any(1, keepdim=True).to(kernel.dtype)

    def reading(self, data: Tensor) -> DataReading:
        """Coils and columns; it is doubtful whether a column that is zero in all coils was measured.

        Raises:
            InputError: the number of channels is odd.
        """
        _, channels, height, width = self.parameter_shape(shape_of(data), size_of(data))
        used = self.columns(width, data) > 0
        empty = used & ~(data != 0).flatten(0, 1).any(0).any(0)
        text = (
            f"the data are the k-space of {channels // 2} coils, {height}x{width}, of which {int(used.sum())} of "
            f"{width} columns are used"
        )
        if not bool(empty.any()):
            return DataReading(text)
        return DataReading(
            text,
            (
                f"{int(empty.sum())} of the {int(used.sum())} columns of k-space that count as measured are zero: the "
                "pattern of the scan is another one; set acceleration, calibration, pattern and draw of the operator",
            ),
        )

    @torch.no_grad()
    def brightness(self, data: Tensor, kernel: Tensor) -> float:
        """As `LinearOperator.brightness`; of a complex image the largest magnitude of its real or imaginary part."""
        if not self.has_complex_image:
            return super().brightness(data, kernel)
        return float(self.fitted(data, kernel).abs().max())

    @torch.no_grad()
    def initial_parameter(self, data: Tensor, shape: Shape) -> Tensor:
        """The coils' blurry images from the middle of k-space, (B, 2 N, H, W): coil maps up to a scale per pixel."""
        width = data.shape[-1]
        sides = self.calibration_columns(width) + 2
        low = torch.hann_window(sides, periodic=False, dtype=data.dtype, device=data.device)[1:-1]
        window = data.new_zeros(width)
        begin = (width - len(low)) // 2 + (width - len(low)) % 2 * (width % 2 == 0)
        window[begin : begin + len(low)] = low
        return real_channels(from_k_space(window * complex_channels(data)))

    def coil_images(self, data: Tensor) -> Tensor:
        """``F^H P y_n``: (B, 2 N, H, W) -> complex (B, N, H, W)."""
        return from_k_space(self.columns(data.shape[-1], data) * complex_channels(data))

    def calibration_columns(self, width: int) -> int:
        """The number of columns in the middle that are all measured."""
        return max(1, round(self.calibration * width))

    def columns(self, width: int, like: Tensor) -> Tensor:
        """One for each measured column, otherwise zero, (W,)."""
        total = round(width / self.acceleration)
        draw = self.draw if self.pattern == "random" else None
        return measured_columns(width, self.calibration_columns(width), total, draw, like.device, like.real.dtype)

    def extra_repr(self) -> str:
        """The text that ``print`` shows."""
        return f"acceleration={self.acceleration:g}, calibration={self.calibration:g}, pattern={self.pattern!r}"


@lru_cache(maxsize=16)
def measured_columns(
    width: int, middle: int, total: int, draw: int | None, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """One for each measured column, otherwise zero, (W,). Do not change it: the tensor is cached, for graphs to read.

    Args:
        width: number of columns.
        middle: number of columns about the middle that are all measured.
        total: number of all measured columns, if it is larger.
        draw: number of the random pattern; None for evenly spaced columns.
        device: device of the result.
        dtype: precision of the result.
    """
    columns = torch.zeros(width)
    begin = width // 2 - middle // 2
    columns[begin : begin + middle] = 1
    others = (columns == 0).nonzero()[:, 0]
    count = min(len(others), max(0, total - middle))
    if draw is None:
        chosen = torch.linspace(0, len(others) - 1, count).round().long()
    else:
        chosen = torch.randperm(len(others), generator=torch.Generator().manual_seed(draw))[:count]
    columns[others[chosen]] = 1
    return columns.to(device, dtype)


def complex_channels(channels: Tensor) -> Tensor:
    """Real parts, then imaginary parts, (B, 2 N, H, W) -> complex (B, N, H, W)."""
    real, imaginary = channels.chunk(2, dim=1)
    return torch.complex(real, imaginary)


def real_channels(values: Tensor) -> Tensor:
    """The inverse of `complex_channels`."""
    return torch.cat([values.real, values.imag], dim=1)


def to_k_space(image: Tensor) -> Tensor:
    """The unitary Fourier transform of (..., H, W), with its origin in the middle."""
    shifted = torch.fft.ifftshift(image, dim=(-2, -1))
    values: Tensor = torch.fft.fftshift(torch.fft.fft2(shifted, norm="ortho"), dim=(-2, -1))
    return values


def from_k_space(values: Tensor) -> Tensor:
    """The inverse of `to_k_space`."""
    shifted = torch.fft.ifftshift(values, dim=(-2, -1))
    image: Tensor = torch.fft.fftshift(torch.fft.ifft2(shifted, norm="ortho"), dim=(-2, -1))
    return image
