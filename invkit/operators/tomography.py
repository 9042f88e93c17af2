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
from ..core.ranges import NonNegative
from ..core.result import DataReading
from ..numerics.geometry import Shape, Size

__all__ = ["Tomography"]

BLANK_SHARE = 1e-3  # of the median sum of a projection
UNEVEN = 0.1  # relative deviation of the sums of projections that no noise and no drift of the source explain
EVEN = 0.05  # relative deviation of sums that are equal
WRAP_FACTOR = 2.0  # of the largest step between neighbouring projections, a step that continues no scan
CLOSED_ARCS = {180.0: 360.0, 360.0: 180.0}  # degrees, and the arc with which each is confused


class Tomography(LinearOperator, NonNegative):
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
    data_form = "(slices, angles, detector pixels), of one slice data[None]"
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
    def reading(self, data: Tensor) -> DataReading:
        """Angles, detector and image; doubts if the sums of the projections differ, or if the scan does not close.

        Raises:
            InputError: the projections are transposed or negative, or one is blank.
        """
        _, slices, angles, pixels = data.shape
        profile = data.double().sum(1)
        check_not_transposed(profile, slices)
        check_not_blank(profile.sum(-1))
        if float(profile.sum()) < 0:
            raise InputError("the sum of the projections is negative; give line integrals, -log(I / I_0)")
        doubts = [uneven_doubt(profile.sum(-1)), arc_doubt(profile, self.arc)]
        return DataReading(
            f"the data are {angles} projections of {pixels} detector pixels, spread over {self.arc:g} degrees, of "
            f"{slices} slice{'s' * (slices > 1)} of {pixels}x{pixels} pixels",
            tuple(filter(None, doubts)),
        )

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


def deviation(sums: Tensor) -> float:
    """The largest relative standard deviation of sums (B, N) over N."""
    return float((sums.std(-1, unbiased=False) / sums.mean(-1).abs().clamp(min=torch.finfo(sums.dtype).tiny)).max())


def check_not_transposed(profile: Tensor, slices: int) -> None:
    """Refuse projections whose columns are projections: the sums of the columns are equal, those of the rows are not.

    Args:
        profile: projections summed over the slices, (B, A, D).
        slices: their number.

    Raises:
        InputError: says which shape was expected.
    """
    rows, columns = profile.shape[-2:]
    if deviation(profile.sum(-1)) > UNEVEN and deviation(profile.sum(-2)) < EVEN:
        raise InputError(
            f"the projections seem to be transposed: {slices}x{rows}x{columns} are {rows} projections of {columns} "
            "detector pixels, and projections of an object have about equal sums, but only those of the columns are "
            f"equal; give (slices, angles, detector pixels), {slices}x{columns}x{rows}, as np.swapaxes(data, -1, -2)"
        )


def uneven_doubt(masses: Tensor) -> str | None:
    """A sentence if the sums of projections (B, A) differ more than those of an object that the detector covers."""
    share = deviation(masses)
    if share <= UNEVEN:
        return None
    return (
        f"the sums of the projections differ by {share:.0%}, and those of an object that the detector covers are "
        "equal: a part of it may lie beyond the detector, as in a half acquisition, or the axes may be others than "
        "slices, angles, detector pixels"
    )


def arc_doubt(profile: Tensor, arc: float) -> str | None:
    """A sentence if the last projection is not followed by the first, mirrored after half a turn.

    Args:
        profile: projections summed over the slices, (B, A, D).
        arc: degrees; for others than a half or a whole turn there is nothing to compare.
    """
    if arc not in CLOSED_ARCS or profile.shape[-2] < 3:
        return None
    largest = float(profile.diff(dim=-2).square().mean(-1).amax(-1).max())
    steps = {turn: closing_step(profile, is_mirrored=turn == 180) / largest for turn in CLOSED_ARCS if largest > 0}
    if not steps or steps[arc] <= WRAP_FACTOR**2:
        return None
    other = CLOSED_ARCS[arc]
    fits = f"they fit {other:g} degrees" if steps[other] <= 1 else "they cover another arc, or the object moved"
    value = f"{other:g}" if steps[other] <= 1 else "DEGREES"
    return (
        f"the projections do not close after {arc:g} degrees, since the last one differs much from the first"
        f"{' one mirrored' if arc == 180 else ''}: {fits}; set the operator's arc, --set operator.arc={value}"
    )


def closing_step(profile: Tensor, is_mirrored: bool) -> float:
    """The mean squared difference of the last projection from the first, at the displacement where it is least.

    Args:
        profile: (B, A, D).
        is_mirrored: whether the first is mirrored. An axis off the detector's middle displaces its mirror image.
    """
    first, last, pixels = profile[:, 0], profile[:, -1], profile.shape[-1]
    if not is_mirrored:
        return float((first - last).square().mean(-1).max())
    displaced = F.pad(first.flip(-1), (pixels // 2, pixels // 2)).unfold(-1, pixels, 1)
    return float((displaced - last[:, None]).square().mean(-1).amin(-1).max())
