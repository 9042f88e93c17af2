"""Sparsity of the dark and the bright channel."""

from __future__ import annotations

from typing import Annotated, final

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from invkit.core.interfaces import Regularizer
from invkit.core.parameters import Positive, PositiveInt, validated

__all__ = ["ExtremeChannels"]


@final
class ExtremeChannels(Regularizer):
    """Mean logarithm of how far the windows of an image are from holding black and from holding white.

    The extreme channels of Yan, Ren, Guo, Wang, Cao, "Image Deblurring via Extreme Channels Prior", CVPR 2017, under
    the logarithm of Huo et al., IEEE TPAMI 2023. With ``dark`` the least u^2 and ``bright`` the least (1 - u)^2 over
    all channels in a window,

        ``R(u) = mean(log(1 + dark / floor)) / 4 + mean(log(1 + bright / floor)) / 4``

    over the windows that lie wholly inside the image. Huo et al. replace u^2, of which the least is taken, by a
    Gaussian of its mean and variance, which may be negative; here u itself is what a solver samples.

    Args:
        patch: side of the windows, at most that of the image.
        floor: square of a value, in [0, 1] units, below which the penalty is about quadratic.
    """

    @validated
    def __init__(
        self,
        *,
        patch: Annotated[PositiveInt, Field(description="side of the windows, pixels")] = 35,
        floor: Annotated[Positive, Field(description="squared value below which it is about quadratic")] = 1e-6,
    ) -> None:
        super().__init__()
        self.patch, self.floor = patch, floor

    def forward(self, value: Tensor) -> Tensor:
        """Value (B, C, H, W) -> (B,), >= 0."""
        dark, bright = (least(extreme.square(), self.patch) for extreme in (value, 1 - value))
        return ((dark / self.floor).log1p().mean((1, 2)) + (bright / self.floor).log1p().mean((1, 2))) / 4


def least(value: Tensor, patch: int) -> Tensor:
    """Least value of each window over all channels: (B, C, H, W) -> (B, H - h + 1, W - w + 1).

    Along the rows and then down them, which finds the same as the whole window and takes a fraction of the time.
    """
    height, width = (min(patch, side) for side in value.shape[-2:])
    rows = F.max_pool2d(-value.amin(1), (1, width), stride=1)
    return -F.max_pool2d(rows, (height, 1), stride=1)
