"""The image itself."""

from __future__ import annotations

from torch import Tensor

from ....core.interfaces import EdgeSelection
from ....core.parameters import validated
from ....numerics.geometry import Size

__all__ = ["Intensities"]


class Intensities(EdgeSelection):
    """The image itself and the data, not their gradients, as Chan & Wong (1998) and Perrone & Favaro (2014) fit it.

    The data's mean is taken from both: a kernel that sums to one carries a constant over as it is, and without it a
    gradient step on the kernel is not ruled by the sum of the image.
    """

    @validated
    def __init__(self) -> None:
        super().__init__()

    def forward(self, image: Tensor, data: Tensor, kernel_size: Size, iteration: int) -> tuple[Tensor, Tensor]:
        """Image and data less the mean of each channel of the data, S = C."""
        mean = data.mean((-2, -1), keepdim=True)
        return image - mean, data - mean
