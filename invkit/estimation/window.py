"""The part of a large picture that tells most about its blur."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError

__all__ = ["informative_window"]

SCALE = 31  # pixels: objects of about a kernel's size and more count, fine texture does not
OFFSET = 0.5  # of summed gradients, in [0, 1] units: windows of noise alone do not count
CLIPPED = 0.98  # in [0, 1]: from here on, a pixel may be brighter than it says
STEP = 16  # pixels between the places that are compared


def informative_window(data: Tensor, side: int) -> tuple[slice, slice]:
    """Rows and columns of the square, at most ``side`` pixels wide and high, that holds most of the useful edges.

    An edge is as useful as Xu & Jia's ``r = |sum grad| / (sum |grad| + offset)`` over a neighbourhood says (ECCV 2010,
    Eq. 2): one of something smaller than the blur, or of noise, has gradients of both signs, which cancel. Counted is
    the sum of ``r |grad|``, in which no edge counts for more than a tenth of the range, without clipped pixels.

    Args:
        data: (1, C, H, W) in [0, 1].
        side: pixels.

    Returns:
        The place; the whole picture where it is no larger.

    Raises:
        InputError: the side is not positive.
    """
    if side < 1:
        raise InputError(f"the side of a window must be at least 1 pixel, got {side}")
    height, width = data.shape[-2:]
    rows, columns = min(side, height), min(side, width)
    if (rows, columns) == (height, width):
        return slice(0, height), slice(0, width)
    sums = F.avg_pool2d(F.pad(usefulness(data), (0, 1, 0, 1)), (rows, columns), stride=STEP)
    best = int(sums.flatten().argmax())
    top, left = (STEP * place for place in divmod(best, sums.shape[-1]))
    return slice(top, top + rows), slice(left, left + columns)


@torch.no_grad()
def usefulness(data: Tensor) -> Tensor:
    """How much each pixel of (1, C, H, W) tells about the blur, (1, 1, H - 1, W - 1), >= 0."""
    grey = data.float().mean(dim=1, keepdim=True)
    down, right = grey[..., 1:, :-1] - grey[..., :-1, :-1], grey[..., :-1, 1:] - grey[..., :-1, :-1]
    length = (down.square() + right.square()).sqrt()
    along = torch.cat([local_sum(down), local_sum(right)]).square().sum(dim=0, keepdim=True).sqrt()
    useful = along / (local_sum(length) + OFFSET)
    clipped = F.max_pool2d((grey >= CLIPPED).float(), SCALE, stride=1, padding=SCALE // 2)[..., :-1, :-1]
    return useful * length.clamp(max=0.1) * (1 - clipped)


def local_sum(values: Tensor) -> Tensor:
    """The sum over the neighbourhood of each pixel of (1, 1, H, W), zero beyond the border."""
    return F.avg_pool2d(values, SCALE, stride=1, padding=SCALE // 2, divisor_override=1)
