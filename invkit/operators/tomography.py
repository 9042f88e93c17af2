"""Parallel-beam tomography, differentiable in the geometry of the scan."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import LinearOperator
from ..core.operator_parameters import ScanPrior
from ..core.parameters import validated
from ..numerics.geometry import Shape, Size

__all__ = ["Tomography"]

BLANK_SHARE = 1e-3  # of the median sum of a projection


class Tomography(LinearOperator):
    """Line integrals of the image, divided by its width: ``y[a, t]`` along the ray at angle a through detector pixel t.

    The nominal angles are spread evenly over ``arc`` degrees, counter-clockwise from 0. At angle 0 the rays follow the
    columns of the image. A ray is sampled once per pixel, bilinearly; the image is zero outside its square. deepinv's
    ``Tomography`` is not differentiable in the rotation axis or the angles. Here they are the operator's parameter
    (`ScanPrior`): an axis c pixels to the right of the detector's middle moves every projection by c pixels.

    Data are (B, C, A, D): A projections of D detector pixels. The image is (B, C, D, D). An image of ones gives about
    one in the middle of a projection.

    Args:
        arc: the range of the nominal angles, degrees.

    Example:
        >>> Tomography()(torch.ones(1, 1, 32, 32), torch.zeros(1, 1, 2, 10)).shape
        torch.Size([1, 1, 10, 32])
    """

    parameter_prior = ScanPrior
    data_range = None
    example = (2, 2, 5, 7)

    @validated
    def __init__(self, *, arc: Annotated[float, Field(gt=0, le=360)] = 180.0) -> None:
        super().__init__()
        self.arc = arc

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, D, D) and geometry (B or 1, 1, 2, A) -> (B, C, A, D); differentiable in both."""
        batch, channels, side, _ = image.shape
        points = self.rays(kernel.to(image).expand(batch, -1, -1, -1), side)
        rays = F.grid_sample(image, points.flatten(1, 2), mode="bilinear", padding_mode="zeros", align_corners=False)
        return rays.view(batch, channels, kernel.shape[-1], side, -1).sum(-1) / side

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Projections (B, C, A, D) -> (B, C, D, D) with ``<A x, y> = <x, A^T y>``; no gradient passes."""
        side = data.shape[-1]
        with torch.enable_grad():
            zero_image = data.new_zeros(data.shape[0], data.shape[1], side, side, requires_grad=True)
            seen = self(zero_image, kernel.detach())
            (back,) = torch.autograd.grad(seen, zero_image, data)
        return back

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(B, C, D, D)."""
        return *data_shape[:2], data_shape[3], data_shape[3]

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """(B, 1, 2, A)."""
        return data_shape[0], 1, 2, data_shape[2]

    @torch.no_grad()
    def initial_parameter(self, data: Tensor, shape: Shape) -> Tensor:
        """The displacement of each projection from its centre of mass, (B, 1, 2, A), with the nominal angles.

        If the scene fits the detector, the centre of mass of the projections is a sinusoid of the angle (the first of
        the consistency conditions of Helgason and Ludwig). A sinusoid plus a constant, the axis, is fitted by least
        squares. The displacements are the centres of mass without the sinusoid.

        Raises:
            InputError: a projection is blank, and has no centre of mass; names it.
        """
        batch, _, angles, pixels = data.shape
        profile = data.double().sum(1)
        check_not_blank(profile.sum(-1))
        position = torch.arange(pixels, dtype=torch.float64, device=data.device) - (pixels - 1) / 2
        centre = (profile * position).sum(-1) / profile.sum(-1)
        angle = torch.deg2rad(torch.arange(angles, dtype=torch.float64, device=data.device) * (self.arc / angles))
        basis = torch.stack([torch.ones_like(angle), angle.cos(), angle.sin()], 1)
        fit = torch.linalg.lstsq(basis, centre.T).solution
        geometry = data.new_zeros(batch, 1, 2, angles)
        geometry[:, 0, 0] = (centre - (basis[:, 1:] @ fit[1:]).T).to(data)
        return geometry

    def rays(self, geometry: Tensor, side: int) -> Tensor:
        """The sampled points in the coordinates of ``grid_sample``: (B, A, D, S, 2) for S samples along each ray."""
        shift, turn = geometry[:, 0, 0], geometry[:, 0, 1]
        nominal = torch.arange(turn.shape[-1], device=turn.device, dtype=turn.dtype) * (self.arc / turn.shape[-1])
        angle = torch.deg2rad(nominal + turn)[..., None, None]
        detector = torch.arange(side, device=turn.device, dtype=turn.dtype) - (side - 1) / 2
        half = int(side / 2**0.5) + 1
        along = torch.arange(-half, half + 1, device=turn.device, dtype=turn.dtype)
        across = (detector - shift[..., None])[..., None]
        columns = across * angle.cos() + along * angle.sin()
        rows = along * angle.cos() - across * angle.sin()
        return torch.stack([columns, rows], -1) * (2 / side)

    def extra_repr(self) -> str:
        """The text that ``print`` shows."""
        return f"arc={self.arc:g}"


def check_not_blank(masses: Tensor) -> None:
    """Refuse projections without mass, as of a closed shutter, whose rays would say that nothing is there.

    Args:
        masses: the sums of the projections, (B, A). Of one object, they are all about the same.

    Raises:
        InputError: some are blank; names the first.
    """
    blank = (masses.abs() <= BLANK_SHARE * masses.abs().median(-1, keepdim=True).values).nonzero()[:, -1].tolist()
    if blank:
        raise InputError(
            f"{len(blank)} of {masses.shape[-1]} projections are blank, the first at index {blank[0]} (from 0); "
            "replace each by the mean of its neighbours"
        )
