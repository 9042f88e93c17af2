"""Sparsity of the darkest pixels of patches."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Proximable
from ..core.parameters import validated
from .shrinkage import truncated_shrinkage, truncated_square, values_of

__all__ = ["PatchMinimum"]


class PatchMinimum(Proximable):
    """Number of patches without a black pixel, per value (local minimal intensity; Wen et al., IEEE TCSVT 2021).

    The image is cut into square patches that do not overlap, over all channels together; with m the least value of a
    patch,

        ``R(u) = sum over the patches of phi(m) / (C H W)``,   ``phi(t) = min(t^2 / smoothing^2, 1)``,

    and without smoothing ``phi(t) = 1`` for t other than 0. Divided by the number of values, as the fidelities are, so
    that a weight is that of the paper's sum, and by default between 0 and 1 / 36. A patch that the image's lower or
    right border cuts is a patch of its own.

    What counts of a minimum is its square: a negative one is penalised by how far it is from black.

    Args:
        patch: side of the patches; the default is for images of about 255 pixels a side.
        smoothing: the minimum below which the penalty is quadratic. Without it R is the paper's count, all of whose
            gradients are zero, for solvers that use `prox` alone.
    """

    @validated
    def __init__(
        self,
        *,
        patch: Annotated[int, Field(ge=1, description="side of the square patches (pixels)")] = 6,
        smoothing: Annotated[
            float, Field(ge=0, le=1, description="minimum ([0, 1] units) below which the penalty is quadratic")
        ] = 0.01,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.smoothing = smoothing

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Image (1, B, C, H, W) -> (B,), >= 0."""
        value = coefficients[0]
        darkest = patches(value, self.patch).min(-1).values
        return truncated_square(darkest, (), self.smoothing).sum(1) / values_of(coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """The proximal map, exact for images without negative values: (1, B, C, H, W) -> the same shape.

        Each patch by itself. For u of least value t, the patch pays phi(t), and at least (m - t)^2 / 2 for being t
        away from its own minimum m: so much it pays when the darkest pixel alone moves, and since phi grows from 0 it
        moves down, and so stays the darkest. What is left is the map of phi in one variable.

        Of a negative minimum the pixel is moved as if it stayed the minimum.
        """
        value = coefficients[0]
        grouped = patches(value, self.patch)
        darkest, place = grouped.min(-1, keepdim=True)
        shrinkage = truncated_shrinkage((), self.smoothing, step / values_of(coefficients))
        return assembled(grouped.scatter(-1, place, shrinkage(darkest)), value, self.patch)[None]


def patches(value: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) -> (B, number of patches, C side^2); what a patch lacks at the border is infinite."""
    side = side_of(patch, value)
    down, right = (-length % side for length in value.shape[-2:])
    padded = F.pad(value, (0, right, 0, down), value=torch.inf) if down or right else value
    batch, channels, height, width = padded.shape
    cut = padded.reshape(batch, channels, height // side, side, width // side, side)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def assembled(grouped: Tensor, like: Tensor, patch: int) -> Tensor:
    """The inverse of `patches`: an image of the size of ``like``."""
    (batch, channels, height, width), side = like.shape, side_of(patch, like)
    cut = grouped.reshape(batch, -(-height // side), -(-width // side), channels, side, side)
    return cut.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)[..., :height, :width]


def side_of(patch: int, value: Tensor) -> int:
    """Side of the patches, no longer than the image's longer side."""
    return min(patch, max(value.shape[-2:]))
