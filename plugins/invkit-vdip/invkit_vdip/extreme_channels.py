"""Sparsity of the dark and the bright channels."""

from __future__ import annotations

from typing import final

import torch.nn.functional as F
from torch import Tensor

from invkit.core.interfaces import Regularizer
from invkit.core.parameters import Positive, PositiveInt, validated

__all__ = ["ExtremeChannels"]


@final
class ExtremeChannels(Regularizer):
    """Mean logarithm of the dark and bright channels: low if every window of the image contains black and white.

    The extreme channels of Yan, Ren, Guo, Wang, Cao, "Image Deblurring via Extreme Channels Prior", CVPR 2017, under
    the logarithm of Huo et al., IEEE TPAMI 2023. With ``dark`` the least u^2 and ``bright`` the least (1 - u)^2 over
    all channels and pixels of a window,

        ``R(u) = mean(log(1 + dark / floor)) / 4 + mean(log(1 + bright / floor)) / 4``

    with means over the windows inside the image. Huo et al. approximate the distribution of u^2 by a Gaussian, whose
    samples may be negative; here a solver samples u itself.

    Args:
        patch: side of the windows, pixels; a smaller image is one window.
        floor: squared value, in [0, 1] units, below which the penalty is about quadratic.

    Example:
        >>> import torch
        >>> ExtremeChannels(patch=2)(torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])).item()
        0.0
    """

    @validated
    def __init__(self, *, patch: PositiveInt = 35, floor: Positive = 1e-6) -> None:
        super().__init__()
        self.patch, self.floor = patch, floor

    def forward(self, value: Tensor) -> Tensor:
        """Map a value (B, C, H, W) to its penalty, (B,), >= 0."""
        dark, bright = (window_minimum(extreme.square(), self.patch) for extreme in (value, 1 - value))
        return ((dark / self.floor).log1p().mean((1, 2)) + (bright / self.floor).log1p().mean((1, 2))) / 4


def window_minimum(value: Tensor, patch: int) -> Tensor:
    """Return the least value of each window over all channels: (B, C, H, W) -> (B, H - h + 1, W - w + 1).

    A pass along each axis gives the minimum of the whole window and takes a fraction of its time.
    """
    height, width = (min(patch, side) for side in value.shape[-2:])
    rows = F.max_pool2d(-value.amin(1), (1, width), stride=1)
    return -F.max_pool2d(rows, (height, 1), stride=1)
