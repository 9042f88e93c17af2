"""Patches that recur at a coarser scale of the same image (Michaeli & Irani 2014)."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field
from torch import Tensor

from ..core.interfaces import Attracting
from ..core.parameters import NonNegative, Positive, PositiveInt, validated
from ..numerics.geometry import size_of
from ..numerics.patch_neighbours import nearest_patches
from ..numerics.patches import PatchGrid
from .local_minima import odd
from .shrinkage import values_per_image

__all__ = ["PatchRecurrence"]

SMALLEST_WEIGHT = 1e-30  # of a patch without a similar one; a pixel covered by such patches alone needs a mean, too


class PatchRecurrence(Attracting):
    """Distance of an image from what its own coarser scale says about it (Michaeli & Irani, ECCV 2014).

        ``R(u) = sum (u - t(u))^2 / (2 C H W)``

    Small patches of a sharp image recur in the image at other scales. In a shrunk blurry image the patches are sharper.
    For t, each patch of u is replaced by its nearest neighbour among the patches of u shrunk by ``scale``; overlapping
    patches are averaged with the weights ``exp(-d^2 / (2 tolerance^2))``, where d^2 is the mean squared difference of
    the patch from its neighbour. The channels are separate. t follows the image: R attracts an image rather than
    penalises it. An image without room for a patch in its shrunk version is its own t.

    A solver that alternates between image and t keeps the image that it began with as the source of the neighbours, as
    in the paper. If they came from the current image, each alternation would sharpen it further, beyond what the blurry
    image says, and a kernel fitted to it would be too wide.

    With the fidelity ``mse``, the weight is twice the paper's beta, which weighs sums without halves. The paper
    resamples by a sinc, this class by an antialiased cubic.

    Args:
        scale: of the database relative to the image.
        side: side of the patches, pixels, odd.
        tolerance: root mean square difference of similar patches, in [0, 1] units; the paper uses 20 / 255.
        components: principal components of the patches in which neighbours are searched; at most ``side^2``. Ten cost a
            third of the time, and their distances are 3 % larger.
        excess: by which fraction a neighbour may be farther than the nearest one, in these components. One costs a
            third of the time, and the distances are 0.4 % larger on average. With zero and ``side^2`` components the
            neighbours are exact.

    Example:
        >>> soft = (0.5 + (torch.arange(30) - 14.5) / 8).clamp(0.2, 0.8).expand(1, 1, 30, 30)  # an edge 5 pixels wide
        >>> target = PatchRecurrence().attraction(soft, soft)[1]
        >>> bool(target.diff(dim=-1).max() > 1.1 * soft.diff(dim=-1).max())  # steeper than the image itself
        True
    """

    @validated
    def __init__(
        self,
        *,
        scale: Annotated[float, Field(ge=0.4, le=0.95)] = 0.75,
        side: Annotated[PositiveInt, Field(ge=3, le=11), AfterValidator(odd)] = 5,
        tolerance: Positive = 20 / 255,
        components: PositiveInt = 10,
        excess: NonNegative = 0.0,
    ) -> None:
        super().__init__()
        self.scale, self.side, self.tolerance = scale, side, tolerance
        self.components, self.excess = min(components, side**2), excess

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Image (1, B, C, H, W) -> (B,), >= 0; the gradients are those for the given image's target."""
        value = coefficients[0]
        error = value - self.recurring(value.detach(), value.detach())
        return error.square().sum((1, 2, 3)) / (2 * values_per_image(coefficients))

    @torch.no_grad()
    def attraction(self, value: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Image (B, C, H, W) -> equal weights, and t with neighbours from the source."""
        return torch.full_like(value, 1 / value[0].numel()), self.recurring(value, source)

    @torch.no_grad()
    def recurring(self, value: Tensor, source: Tensor) -> Tensor:
        """t: an image (B, C, H, W) made of patches of the coarser scale of a source of the same shape."""
        size = [max(1, round(length * self.scale)) for length in value.shape[-2:]]
        if min(size) < self.side:
            return value
        coarse = F.interpolate(source, size=size, mode="bicubic", antialias=True, align_corners=False)
        planes = [
            self.replaced(plane.double().cpu(), coarser.double().cpu())
            for plane, coarser in zip(value.flatten(0, 1), coarse.flatten(0, 1), strict=True)
        ]
        return torch.stack(planes).to(value).view_as(value)

    def replaced(self, plane: Tensor, coarse: Tensor) -> Tensor:
        """A plane (H, W) whose patches are their nearest neighbours in the coarse plane, averaged where they overlap.

        Both planes are float64 on the CPU.
        """
        grid, coarse_grid = (PatchGrid(size_of(one), self.side, stride=1) for one in (plane, coarse))
        patches, database = grid.patches(plane), coarse_grid.patches(coarse)
        wanted, stored = (one.T.contiguous().numpy() for one in (patches, database))
        nearest = database[:, torch.from_numpy(nearest_patches(wanted, stored, self.components, self.excess))]
        distance = (nearest - patches).square().mean(0)
        weights = (-distance / (2 * self.tolerance**2)).exp().clamp(min=SMALLEST_WEIGHT)
        return grid.averaged(nearest, weights)
