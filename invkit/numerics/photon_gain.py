"""The value of one photon in the data, estimated from the data alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["photon_gain"]

BLOCK_SIDE = 16  # pixels; a block has one ratio of variance to mean
MIN_BLOCK_SHARE = 0.02  # of the brightest block's mean; darker blocks have too few photons for a ratio
FILTER = (1.0, -2.0, 1.0)  # along rows and columns: zero on planes, and almost on a blurred picture
FILTER_ENERGY = 36.0
QUIET_SHARE, QUIET_BIAS = 0.1, 0.8  # of blocks without texture; their lowest tenth is about 0.8 of their mean


def photon_gain(data: Tensor) -> Tensor:
    """Estimate how much one photon adds to the data, for photon noise: the variance over the mean.

    The noise of a pixel that receives n photons has the variance n, so data of g times the photons have the variance g
    times their mean. In blocks of 16x16 pixels, the variance is that of a second difference along both axes (Immerkaer,
    "Fast Noise Variance Estimation", CVIU 1996), which a blurred picture hardly has; the lowest tenth of
    the blocks ignores those with texture. Noise that is not white, as after JPEG, is underestimated, and noise of less
    than about 0.003 in a sharp photograph is overestimated.

    Args:
        data: (B, C, H, W), >= 0; zero without light.

    Returns:
        (B,), >= 0: of each image, common to its channels; zero for images that are too small.

    Example:
        >>> random = torch.Generator().manual_seed(0)
        >>> counts = torch.poisson(torch.full((1, 1, 100, 100), 50.0), generator=random)
        >>> 0.9 < 100 * float(photon_gain(counts / 100)) < 1.1
        True
    """
    if min(data.shape[-2:]) < len(FILTER):
        return data.new_zeros(len(data))
    taps = torch.tensor(FILTER, dtype=data.dtype, device=data.device)
    planes = data.flatten(0, 1)[:, None]
    response = F.conv2d(F.conv2d(planes, taps.view(1, 1, 3, 1)), taps.view(1, 1, 1, 3))
    block = tuple(min(BLOCK_SIDE, side) for side in response.shape[-2:])
    variances = F.avg_pool2d(response.square() / FILTER_ENERGY, block).reshape(len(data), -1)
    means = F.avg_pool2d(planes[..., 1:-1, 1:-1], block).reshape(len(data), -1)
    counted = means > MIN_BLOCK_SHARE * means.amax(1, keepdim=True)
    ratios = (variances / means.clamp(min=torch.finfo(data.dtype).tiny)).masked_fill(~counted, torch.nan)
    return (ratios.nanquantile(QUIET_SHARE, 1) / QUIET_BIAS).nan_to_num(nan=0.0)
