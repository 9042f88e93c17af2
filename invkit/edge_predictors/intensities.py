"""The image itself."""

from __future__ import annotations

from torch import Tensor

from ..geometry import Size
from ..interfaces import EdgePredictor
from ..parameters import validated

__all__ = ["Intensities"]


class Intensities(EdgePredictor):
    """The image itself and the data, not their gradients, as Chan & Wong (1998) and Perrone & Favaro (2014) fit it."""

    @validated
    def __init__(self) -> None:
        super().__init__()

    def forward(self, image: Tensor, data: Tensor, kernel_size: Size, iteration: int) -> tuple[Tensor, Tensor]:
        """Image and data as they are, S = C."""
        return image, data
