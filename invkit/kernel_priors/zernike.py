"""Defocus and aberrations of a lens: the phase of its pupil in Zernike polynomials."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import KernelPrior, Resizable
from ..core.parameters import validated
from ..numerics.geometry import Shape, centre, new_size

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ZernikeKernel", "noll", "zernike"]

DEFOCUS = 4  # Noll's index of the first polynomial that is neither constant nor a shift of the kernel
LEAST_PUPIL = 32  # samples across the pupil, for a smooth edge
DARKEST = 1e-20  # of the intensity in perfect focus: no support is quite dark, so that it can sum to one


class ZernikeKernel(KernelPrior, Resizable):
    """Point spread function of a lens out of focus: ``k = |F(pupil * exp(i * phase))|^2``, summed over each pixel.

    The phase is ``sum_j a_j Z_j`` of Zernike polynomials on the round pupil, ordered and scaled as by Noll, "Zernike
    polynomials and atmospheric turbulence", JOSA 1976, from the defocus, j = 4, on; the unknowns are the coefficients
    a_j, each the root mean square in radians of its part of the phase. The Fourier transform is that of Goodman,
    "Introduction to Fourier Optics", Chapter 6. Piston is not seen, and tilts, which shift the kernel, are left to the
    image.

    A pupil of the radius r (cycles per pixel) passes image frequencies up to 2 r. What a sensor's pixel gives is the
    mean of the intensity over it: here of s x s points, s >= ``cutoff``, s >= 2, so close that up to the cutoff nothing
    aliases between them. Frequencies above Nyquist's, if the lens passes such, alias in the kernel as in the
    photograph. The transform is periodic: light that falls farther than the support's longer side from the centre
    comes back on the other side, and what falls outside the support is left out of the kernel.

    A defocus of ``a_4`` radians is, to geometrical optics, a disc of the radius ``8 sqrt(3) a_4 / (pi cutoff)`` pixels.
    Its sign is not seen where the other even orders are zero; so it starts apart from zero. Coefficients are of order
    one: ``joint-adam`` wants a ``kernel_lr`` of about 0.02 for them, best in a pyramid. The larger the cutoff, the more
    a kernel of the same size has ripples in them to be caught by.

    Args:
        shape: (B, 1, h, w); each kernel has coefficients of its own.
        modes: coefficients of each kernel; 8 are defocus, astigmatism, coma, trefoil and spherical, j = 4 to 11.
        defocus: a_4 to start from, radians; the others start at zero.
        cutoff: the highest frequency that the lens passes, as a share of Nyquist's, half a cycle per pixel. A camera
            has ``2 * pixel / (wavelength * f-number)``, about 5 at f/3; a microscope's is below one.
    """

    aberrations: Tensor
    aperture: Tensor
    rows: Tensor
    columns: Tensor

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        modes: Annotated[int, Field(gt=0, le=100, description="Zernike coefficients, from defocus on")] = 8,
        defocus: Annotated[
            float, Field(allow_inf_nan=False, description="coefficient of defocus to start from, radians")
        ] = 1.0,
        cutoff: Annotated[
            float,
            Field(gt=0, le=16, description="the highest frequency that the lens passes, as a share of Nyquist's"),
        ] = 2.0,
    ) -> None:
        super().__init__(shape)
        coefficients = torch.zeros(shape[0], modes)
        coefficients[:, 0] = defocus
        self.coefficients = nn.Parameter(coefficients)
        self.cutoff = cutoff
        for name, value in optics(shape, modes, cutoff).items():
            self.register_buffer(name, value.float(), persistent=False)

    def forward(self) -> Tensor:
        """The kernel, (B, 1, h, w), > 0, each summing to one."""
        phase = torch.einsum("bj,juv->buv", self.coefficients, self.aberrations)
        field = waves(self.rows) @ torch.polar(self.aperture.expand_as(phase), phase) @ waves(self.columns).mT
        intensity = field.real.square() + field.imag.square()
        points = oversampling(self.cutoff)
        kernel = nn.functional.avg_pool2d(intensity[:, None], points) + DARKEST
        return kernel / kernel.sum((2, 3), keepdim=True)

    @torch.no_grad()
    def resized(self, shape: Shape, scale: float) -> Self:
        """The same lens before other pixels: the coefficients stay, the cutoff is divided by the scale.

        Raises `InputError` for another batch.
        """
        new_size(self.shape, shape)
        lens = copy.deepcopy(self)
        lens.shape, lens.cutoff = shape, self.cutoff / scale
        for name, value in optics(shape, self.coefficients.shape[1], lens.cutoff).items():
            lens.register_buffer(name, value.to(self.aperture), persistent=False)
        return lens


def optics(shape: Shape, modes: int, cutoff: float) -> dict[str, Tensor]:
    """What of a lens no aberration changes, in float64.

    Returns:
        ``aberrations`` (modes, M, M), the polynomials on a square about the pupil; ``aperture`` (M, M), the share of
        each of its cells within the pupil, such that the intensity of perfect focus is at most one; ``rows``
        (s h, M) and ``columns`` (s w, M), the phases of the Fourier transform at s points along each pixel.
    """
    longer = max(shape[2:])
    cells = max(LEAST_PUPIL, math.ceil(round(cutoff * longer, 9)))  # so that the period is twice the longer side
    ordinate = (2 * torch.arange(cells, dtype=torch.float64) + 1) / cells - 1
    y, x = torch.meshgrid(ordinate, ordinate, indexing="ij")
    aperture = (0.5 + (1 - torch.hypot(x, y)) * cells / 2).clamp(0, 1)
    frequency = cutoff / 4 * ordinate  # cycles per pixel
    rows, columns = (2 * math.pi * positions(side, oversampling(cutoff))[:, None] * frequency for side in shape[2:])
    aberrations = torch.stack([zernike(*noll(DEFOCUS + mode), x, y) for mode in range(modes)])
    return {"aberrations": aberrations, "aperture": aperture / aperture.sum(), "rows": rows, "columns": columns}


def oversampling(cutoff: float) -> int:
    """Points along each pixel at which the intensity is computed."""
    return max(2, math.ceil(round(cutoff, 9)))


def positions(side: int, points: int) -> Tensor:
    """Where the points of each pixel lie, (points * side,), pixels from the middle of the centre pixel."""
    within = (torch.arange(points * side, dtype=torch.float64) + 0.5) / points - 0.5
    return within - centre((side, side))[0]


def waves(phase: Tensor) -> Tensor:
    """``exp(i phase)``."""
    return torch.polar(torch.ones_like(phase), phase)


def noll(index: int) -> tuple[int, int]:
    """Noll's index, from 1 on -> radial degree n and angular frequency m; m < 0 for a sine (Noll 1976, Table I)."""
    degree = math.ceil((math.sqrt(8 * index + 1) - 3) / 2)
    place = index - degree * (degree + 1) // 2  # within the degree, from 1 on
    frequency = 2 * (place // 2) if degree % 2 == 0 else 2 * ((place - 1) // 2) + 1
    return degree, frequency if index % 2 == 0 else -frequency


def zernike(degree: int, frequency: int, x: Tensor, y: Tensor) -> Tensor:
    """The polynomial ``Z_n^m`` of root mean square one over the unit disc (Noll 1976, Eqs. 1 and 2).

    Args:
        degree: n >= 0.
        frequency: m, with n - |m| even and >= 0; cosine for m > 0, sine for m < 0.
        x: any shape, to the right.
        y: the same shape, downwards; the angle grows from x to y.
    """
    m = abs(frequency)
    radius, angle = torch.hypot(x, y), torch.atan2(y, x)
    radial = torch.zeros_like(radius)
    for k in range((degree - m) // 2 + 1):
        binomials = math.comb(degree - k, k) * math.comb(degree - 2 * k, (degree - m) // 2 - k)
        radial = radial + (-1) ** k * binomials * radius ** (degree - 2 * k)
    if m == 0:
        return math.sqrt(degree + 1) * radial
    return math.sqrt(2 * (degree + 1)) * radial * (torch.cos(m * angle) if frequency > 0 else torch.sin(m * angle))
