"""The geometry of a tomographic scan as the unknown."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import ScanPrior
from ..core.parameters import validated
from ..numerics.geometry import Shape

__all__ = ["ScanGeometry"]


class ScanGeometry(ScanPrior):
    """Where the axis of rotation lies, and if asked for how each projection is off: displacements and angles.

    The mean of the displacements is the axis' and that of the angles is zero: a turn of the whole scan is a turn of
    the image, which no data tell.

    Args:
        shape: (B, 1, 2, A).
        start: the geometry to start from, of that shape.
        guess: what the operator makes of the data, where none is given; the nominal one where that is None too.
        displacements: whether each projection is displaced by itself, as by a stage that wobbles.
        angles: whether each angle is off by itself.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        guess: Tensor | None = None,
        *,
        displacements: Annotated[bool, Field(description="whether each projection is displaced by itself")] = False,
        angles: Annotated[bool, Field(description="whether each angle is off by itself")] = False,
    ) -> None:
        super().__init__(shape)
        known = guess if start is None else start
        geometry = torch.zeros(shape) if known is None else known.detach().to(torch.get_default_dtype())
        axis = geometry[:, :, :1].mean(-1, keepdim=True)
        self.axis = nn.Parameter(axis)
        self.shifts = nn.Parameter(geometry[:, :, :1] - axis) if displacements else None
        self.turns = nn.Parameter(geometry[:, :, 1:].clone()) if angles else None

    def forward(self) -> Tensor:
        """The geometry, (B, 1, 2, A): displacements in pixels, then angles in degrees."""
        still = self.axis.new_zeros(self.shape[0], 1, 1, self.shape[-1])
        shifts = self.axis + (still if self.shifts is None else centred(self.shifts))
        return torch.cat([shifts.expand_as(still), still if self.turns is None else centred(self.turns)], dim=2)


def centred(values: Tensor) -> Tensor:
    """Without their mean over the projections."""
    return values - values.mean(-1, keepdim=True)
