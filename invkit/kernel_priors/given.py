"""What is known of operators whose unknown is no kernel: a mask, coil maps, the geometry of a scan."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import CoilMapPrior, MaskPrior, OperatorParameterPrior, ScanPrior
from ..numerics.geometry import Shape

__all__ = ["KnownCoilMaps", "KnownMask", "KnownScan"]


class Given(OperatorParameterPrior):
    """An unknown that is known: a buffer, and nothing to optimise.

    Raises:
        InputError: nothing is given, or it is of another shape or not what its kind allows.
    """

    value: Tensor

    def __init__(self, shape: Shape, start: Tensor | None) -> None:
        super().__init__(shape)
        self.register_buffer("value", self.checked(shape, start))

    def forward(self) -> Tensor:
        """What was given, of ``self.shape``."""
        return self.value

    @classmethod
    def checked(cls, shape: Shape, start: Tensor | None) -> Tensor:
        """A copy of what was given; raises `InputError`."""
        if start is None:
            raise InputError(f"{cls.__name__} needs what is known: give --kernel FILE or kernel=...")
        if tuple(start.shape) != tuple(shape):
            raise InputError(f"what is known has shape {tuple(start.shape)}, and {tuple(shape)} is needed")
        flaw = cls.flaw(start)
        if flaw:
            raise InputError(f"what is known is {flaw}")
        return start.detach().clone()


@final
class KnownMask(Given, MaskPrior):
    """The mask is known.

    Args:
        shape: (B, 1, H, W).
        start: the mask, of that shape, in [0, 1].
    """

    def __init__(self, shape: Shape, start: Tensor | None = None) -> None:
        super().__init__(shape, start)


@final
class KnownCoilMaps(Given, CoilMapPrior):
    """The coil maps are known.

    Args:
        shape: (B, 2 N, H, W).
        start: the maps, real parts first, of that shape; in each pixel the squares sum to one over the coils.
    """

    def __init__(self, shape: Shape, start: Tensor | None = None) -> None:
        super().__init__(shape, start)


@final
class KnownScan(Given, ScanPrior):
    """The geometry of the scan is known; where none is given it is the nominal one.

    Args:
        shape: (B, 1, 2, A).
        start: by how many pixels the axis lies right of the middle, then by how many degrees the angles are off.
    """

    def __init__(self, shape: Shape, start: Tensor | None = None) -> None:
        super().__init__(shape, start)

    @classmethod
    def checked(cls, shape: Shape, start: Tensor | None) -> Tensor:
        """A copy of what was given, or zeros; raises `InputError`."""
        return torch.zeros(shape) if start is None else super().checked(shape, start)
