"""Parallel-beam tomography, differentiable in the geometry of the scan."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.interfaces import ForwardOperator, ScanPrior
from ..core.parameters import validated
from ..numerics.geometry import Shape

__all__ = ["Tomography"]


class Tomography(ForwardOperator):
    """Line integrals of the image, over its width: ``y[a, t]`` along the ray at angle a through detector pixel t.

    The nominal angles are spread evenly over ``arc`` degrees, from 0 on, counter-clockwise. At angle 0 rays run down
    the columns of the image. Rays are sampled once a pixel, bilinearly, and the image is zero outside its square.
    deepinv's ``Tomography`` is not differentiable in where the axis of rotation lies, or in the angles; here they are
    the operator's unknown (`ScanPrior`): an axis that lies c pixels right of the detector's middle moves every
    projection by c pixels.

    Data are (B, C, A, D): A projections of D detector pixels, an image of one in each pixel giving about one in the
    middle of a projection. The image is (B, C, D, D).

    Args:
        arc: degrees that the nominal angles are spread over.
    """

    parameter_prior = ScanPrior
    data_range = None
    example = (2, 2, 5, 7)

    @validated
    def __init__(
        self,
        *,
        arc: Annotated[float, Field(gt=0, le=360, description="degrees that the angles are spread over")] = 180.0,
    ) -> None:
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
            nothing = data.new_zeros(data.shape[0], data.shape[1], side, side, requires_grad=True)
            seen = self(nothing, kernel.detach())
            (back,) = torch.autograd.grad(seen, nothing, data)
        return back

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(B, C, D, D)."""
        return *data_shape[:2], data_shape[3], data_shape[3]

    def parameter_shape(self, data_shape: Shape, kernel_size: tuple[int, int]) -> Shape:
        """(B, 1, 2, A)."""
        return data_shape[0], 1, 2, data_shape[2]

    @torch.no_grad()
    def initial_parameter(self, data: Tensor, shape: Shape) -> Tensor:
        """The displacement of each projection from its centre of mass, (B, 1, 2, A); angles as they should be.

        The centre of mass of a scene that fits the detector goes round on a sinusoid of the angle (the first of the
        consistency conditions of Helgason and Ludwig): a least-squares fit of one, with a constant, the axis, leaves
        over what a projection is displaced by.
        """
        batch, _, angles, pixels = data.shape
        profile = data.double().sum(1)
        position = torch.arange(pixels, dtype=torch.float64, device=data.device) - (pixels - 1) / 2
        centre = (profile * position).sum(-1) / profile.sum(-1)
        angle = torch.deg2rad(torch.arange(angles, dtype=torch.float64, device=data.device) * (self.arc / angles))
        basis = torch.stack([torch.ones_like(angle), angle.cos(), angle.sin()], 1)
        fit = torch.linalg.lstsq(basis, centre.T).solution
        geometry = data.new_zeros(batch, 1, 2, angles)
        geometry[:, 0, 0] = (centre - (basis[:, 1:] @ fit[1:]).T).to(data)
        return geometry

    def rays(self, geometry: Tensor, side: int) -> Tensor:
        """Where the image is sampled, as ``grid_sample`` counts: (B, A, D, S, 2) for S samples along each ray."""
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
        """What ``print`` shows."""
        return f"arc={self.arc:g}"
