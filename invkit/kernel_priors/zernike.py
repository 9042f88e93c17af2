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
from ..numerics.framing import new_size
from ..numerics.geometry import Shape, centre

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DEFOCUS_INDEX", "ZernikeKernel", "noll", "zernike"]

DEFOCUS_INDEX = 4  # Noll's index; lower ones are the constant and the tilts, which shift the kernel
MIN_PUPIL_SAMPLES = 32  # across the pupil, for a smooth edge
MIN_INTENSITY = 1e-20  # relative to perfect focus, so that every support can be scaled to sum one


class ZernikeKernel(KernelPrior, Resizable):
    """Point spread function of a lens out of focus: ``k = |F(pupil * exp(i * phase))|^2``, summed over each pixel.

    The phase is ``sum_j a_j Z_j`` with Zernike polynomials on the round pupil, ordered and scaled as in Noll, "Zernike
    polynomials and atmospheric turbulence", JOSA 1976, from the defocus, j = 4. The unknowns are the coefficients a_j;
    each is the root mean square in radians of its part of the phase. The Fourier transform is that of Goodman,
    "Introduction to Fourier Optics", Chapter 6. The constant phase has no effect, and tilts shift the kernel, so both
    are left out.

    A pupil of the radius r (cycles per pixel) passes image frequencies up to 2 r. A pixel of a sensor measures the
    mean of the intensity over its area. Here it is the mean of s x s points, s >= ``cutoff``, s >= 2, which are so
    close that no frequency up to the cutoff aliases between them. If the lens passes frequencies above the Nyquist
    frequency, they alias in the kernel as in the photograph. The transform is periodic: light farther from the centre
    than the support's longer side reappears on the opposite side. Light outside the support is not part of the kernel.

    In geometrical optics a defocus of ``a_4`` radians is a disc of the radius ``8 sqrt(3) a_4 / (pi cutoff)`` pixels.
    If the other even orders are zero, the sign of a_4 has no effect, so a_4 does not start at zero. The coefficients
    are of order one: ``joint-adam`` needs a ``kernel_lr`` of about 0.02 for them, best in a pyramid. A larger cutoff
    gives a kernel of the same size more ripples, and a fit more local minima.

    Args:
        shape: (B, 1, h, w); each kernel has its own coefficients.
        modes: number of Zernike coefficients; 8 are defocus, astigmatism, coma, trefoil and spherical, j = 4 to 11.
        defocus: starting coefficient a_4 of the defocus, radians; the other coefficients start at zero.
        cutoff: highest frequency that the lens passes, relative to the Nyquist frequency, half a cycle per pixel. For a
            camera it is ``2 * pixel / (wavelength * f-number)``, about 5 at f/3; for a microscope it is below one.

    Example:
        >>> kernel = ZernikeKernel((1, 1, 9, 9))()
        >>> round(kernel.sum().item(), 5), bool((kernel > 0).all())
        (1.0, True)
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
        modes: Annotated[int, Field(gt=0, le=100)] = 8,
        defocus: Annotated[float, Field(allow_inf_nan=False)] = 1.0,
        cutoff: Annotated[float, Field(gt=0, le=16)] = 2.0,
    ) -> None:
        super().__init__(shape)
        coefficients = torch.zeros(shape[0], modes)
        coefficients[:, 0] = defocus
        self.coefficients = nn.Parameter(coefficients)
        self.cutoff = cutoff
        for name, value in optics(shape, modes, cutoff).items():
            self.register_buffer(name, value.float(), persistent=False)

    def forward(self) -> Tensor:
        """Give the kernel, (B, 1, h, w), > 0, each summing to one."""
        phase = torch.einsum("bj,juv->buv", self.coefficients, self.aberrations)
        field = phasors(self.rows) @ torch.polar(self.aperture.expand_as(phase), phase) @ phasors(self.columns).mT
        intensity = field.real.square() + field.imag.square()
        points = oversampling(self.cutoff)
        kernel = nn.functional.avg_pool2d(intensity[:, None], points) + MIN_INTENSITY
        return kernel / kernel.sum((2, 3), keepdim=True)

    @torch.no_grad()
    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the same lens for other pixels: the coefficients stay, and the cutoff is divided by the scale.

        Raises `InputError` for another batch.
        """
        new_size(self.shape, shape)
        lens = copy.deepcopy(self)
        lens.shape, lens.cutoff = shape, self.cutoff / scale
        for name, value in optics(shape, self.coefficients.shape[1], lens.cutoff).items():
            lens.register_buffer(name, value.to(self.aperture), persistent=False)
        return lens


def optics(shape: Shape, modes: int, cutoff: float) -> dict[str, Tensor]:
    """Return the arrays that do not depend on the aberrations, in float64.

    Args:
        shape: (B, 1, h, w) of the kernels.
        modes: number of coefficients.
        cutoff: highest frequency that the lens passes, relative to the Nyquist frequency.

    Returns:
        ``aberrations`` (modes, M, M), the polynomials on a square about the pupil; ``aperture`` (M, M), the share of
        each cell within the pupil, scaled so that the intensity of perfect focus is at most one; ``rows`` (s h, M) and
        ``columns`` (s w, M), the phases of the Fourier transform at s points along each pixel.
    """
    longer = max(shape[2:])
    cells = max(MIN_PUPIL_SAMPLES, math.ceil(round(cutoff * longer, 9)))  # so that the period is twice the longer side
    ordinate = (2 * torch.arange(cells, dtype=torch.float64) + 1) / cells - 1
    y, x = torch.meshgrid(ordinate, ordinate, indexing="ij")
    aperture = (0.5 + (1 - torch.hypot(x, y)) * cells / 2).clamp(0, 1)
    frequency = cutoff / 4 * ordinate  # cycles per pixel
    rows, columns = (2 * math.pi * positions(side, oversampling(cutoff))[:, None] * frequency for side in shape[2:])
    aberrations = torch.stack([zernike(*noll(DEFOCUS_INDEX + mode), x, y) for mode in range(modes)])
    return {"aberrations": aberrations, "aperture": aperture / aperture.sum(), "rows": rows, "columns": columns}


def oversampling(cutoff: float) -> int:
    """Return the number of points along each pixel at which the intensity is computed."""
    return max(2, math.ceil(round(cutoff, 9)))


def positions(side: int, points: int) -> Tensor:
    """Return the positions of the points, (points * side,), in pixels from the middle of the centre pixel."""
    within = (torch.arange(points * side, dtype=torch.float64) + 0.5) / points - 0.5
    return within - centre((side, side))[0]


def phasors(phase: Tensor) -> Tensor:
    """Return ``exp(i phase)``."""
    return torch.polar(torch.ones_like(phase), phase)


def noll(index: int) -> tuple[int, int]:
    """Map Noll's index, from 1, to radial degree n and angular frequency m, m < 0 for a sine (Noll 1976, Table I).

    Example:
        >>> noll(4), noll(8)
        ((2, 0), (3, 1))
    """
    degree = math.ceil((math.sqrt(8 * index + 1) - 3) / 2)
    place = index - degree * (degree + 1) // 2  # within the degree, from 1
    frequency = 2 * (place // 2) if degree % 2 == 0 else 2 * ((place - 1) // 2) + 1
    return degree, frequency if index % 2 == 0 else -frequency


def zernike(degree: int, frequency: int, x: Tensor, y: Tensor) -> Tensor:
    """Return the polynomial ``Z_n^m`` of root mean square one over the unit disc (Noll 1976, Eqs. 1 and 2).

    Args:
        degree: n >= 0.
        frequency: m, with n - |m| even and >= 0; cosine for m > 0, sine for m < 0.
        x: coordinates to the right, of any shape.
        y: coordinates downwards, of the same shape; the angle grows from x to y.
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
