"""Phase retrieval from coded diffraction patterns."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.homogeneous import Homogeneous
from ..core.operator_parameters import PhaseMaskPrior
from ..core.parameters import NonNegativeInt, validated
from ..core.result import DataReading
from ..numerics.geometry import Shape, Size
from .multi_coil_mri import from_k_space, to_k_space

__all__ = ["PhaseRetrieval"]

FIRST_PROJECTIONS = 30  # for the first image; with three masks its brightest pixel is then right within 20 %


class PhaseRetrieval(Homogeneous):
    """Magnitudes of Fourier transforms, without their phases: ``y_m = |F(exp(i p_m) x)|`` for M known phase masks p_m.

    Candès, Li, Soltanolkotabi, "Phase Retrieval from Coded Diffraction Patterns", Appl. Comput. Harmon. Anal. 2015. F
    is the unitary Fourier transform with its origin in the middle. The image x is real, not negative, with one channel.
    Three masks determine it; one may not. The operator is not linear, but homogeneous: data in any units
    have the same image. Data are (B, M, H, W), >= 0.

    The parameter of the operator are the phases p_m, (B, M, H, W), radians. If nothing else is given, they are those
    of `drawn_masks`.

    Args:
        measured: whether the data are magnitudes or, as from a detector, their squares, intensities.
        draw: number of the random masks. It is not the seed of the run, because it belongs to the data.

    Example:
        >>> operator = PhaseRetrieval()
        >>> masks = operator.drawn_masks((1, 3, 16, 16))
        >>> image = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> data = operator(image, masks)
        >>> data.shape, bool((operator(2 * image, masks) - 2 * data).abs().max() < 1e-5)
        (torch.Size([1, 3, 16, 16]), True)
    """

    parameter_prior = PhaseMaskPrior
    data_range = None
    data_form = "(M, H, W), the magnitudes by M masks"
    example = (2, 3, 6, 5)

    @validated
    def __init__(
        self, *, measured: Literal["magnitudes", "intensities"] = "magnitudes", draw: NonNegativeInt = 0
    ) -> None:
        super().__init__()
        self.measured, self.draw = measured, draw
        self.degree = 1.0 if measured == "magnitudes" else 2.0

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, 1, H, W) and phases (B or 1, M, H, W) -> (B, M, H, W), >= 0."""
        waves = diffracted(image, kernel)
        if self.measured == "intensities":
            return waves.real.square() + waves.imag.square()
        return waves.abs()

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(B, 1, H, W)."""
        return data_shape[0], 1, *data_shape[2:]

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """The shape of the data."""
        return data_shape

    def drawn_masks(self, shape: Shape) -> Tensor:
        """Phases for data of shape (B, M, H, W), uniform in [0, 2 pi), the same for the whole batch."""
        numbers = torch.rand(shape[1:], generator=torch.Generator().manual_seed(self.draw))
        return (2 * torch.pi * numbers).expand(shape)

    def initial_parameter(self, data: Tensor, shape: Shape) -> Tensor:
        """`drawn_masks`."""
        return self.drawn_masks(shape).to(data)

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """`projected_image` in [0, 1], (B, 1, H, W)."""
        return self.projected_image(data, kernel).clamp(0, 1)

    @torch.no_grad()
    def brightness(self, data: Tensor, kernel: Tensor) -> float:
        """The largest value of `projected_image`."""
        return float(self.projected_image(data, kernel).max())

    def projected_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """An image after a few steps of error reduction, (B, 1, H, W), >= 0.

        Gerchberg & Saxton 1972, as in Fienup, "Phase Retrieval Algorithms: A Comparison", Applied Optics 1982: the
        waves of an image get the measured magnitudes and keep their phases. The mean of the images of these waves,
        real and not negative, is the next image. The first one is constant. The images of a real scene are not
        negative, so that a spectral start, which would be needed for complex ones, is no better.

        Args:
            data: (B, M, H, W).
            kernel: phases, (B, M, H, W).
        """
        magnitudes = data.abs() ** (1 / self.degree)
        image = magnitudes.square().mean((1, 2, 3), keepdim=True).sqrt().expand_as(data[:, :1])
        for _ in range(FIRST_PROJECTIONS):
            image = undiffracted(magnitudes * torch.sgn(diffracted(image, kernel)), kernel).clamp(min=0)
        return image

    def reading(self, data: Tensor) -> DataReading:
        """Number and size of the patterns; raises `InputError` for negative data, doubts for fewer than three masks."""
        _, masks, height, width = data.shape
        if bool((data < 0).any()):
            raise InputError(
                f"{int((data < 0).sum())} of {data.numel()} {self.measured} are negative; give numbers that are not, "
                "with the background subtracted and the rest set to zero"
            )
        text = f"the data are the {self.measured} of {masks} diffraction patterns of {height}x{width} pixels"
        if masks >= 3:
            return DataReading(text)
        doubt = f"{masks} mask{'s' * (masks > 1)} may not determine the image; measure with three or more"
        return DataReading(text, (doubt,))

    def extra_repr(self) -> str:
        """The text that ``print`` shows."""
        return f"measured={self.measured!r}, draw={self.draw}"


def diffracted(image: Tensor, phases: Tensor) -> Tensor:
    """``F(exp(i p_m) x)``: (B, 1, H, W) and (B or 1, M, H, W) -> complex (B, M, H, W)."""
    return to_k_space(torch.polar(torch.ones_like(phases), phases) * image)


def undiffracted(waves: Tensor, phases: Tensor) -> Tensor:
    """The adjoint of `diffracted` for real images, over M: complex (B, M, H, W) -> (B, 1, H, W)."""
    return (from_k_space(waves) * torch.polar(torch.ones_like(phases), -phases)).real.mean(1, keepdim=True)
