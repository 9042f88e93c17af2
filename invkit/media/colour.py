"""Luma and chroma of ITU-R BT.601 in full range: luma in [0, 1], never the 16 to 235 of video.

Y = 0.299 R + 0.587 G + 0.114 B,   Cb = (B - Y) / 1.772,   Cr = (R - Y) / 1.402
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["from_luma_chroma", "to_luma_chroma"]

Picture = TypeVar("Picture", npt.NDArray[np.floating], Tensor)

RED, GREEN, BLUE = 0.299, 0.587, 0.114
CB, CR = 2 * (1 - BLUE), 2 * (1 - RED)


def to_luma_chroma(image: Picture) -> tuple[Picture, Picture]:
    """RGB -> luma, chroma.

    Args:
        image: tensor (..., 3, H, W) or array (..., H, W, 3), floating point in [0, 1].

    Returns:
        Luma, one channel in [0, 1]; chroma, two channels (Cb, Cr) in [-0.5, 0.5], zero where grey. Both in the layout
        of the image.

    Raises:
        ValueError: there are not three channels.
    """
    if image.shape[channel_axis(image)] != 3:
        raise ValueError(f"RGB has three channels on axis {channel_axis(image)}, got shape {tuple(image.shape)}")
    red, green, blue = channels(image)
    luma = RED * red + GREEN * green + BLUE * blue
    return luma, joined([(blue - luma) / CB, (red - luma) / CR])


def from_luma_chroma(luma: Picture, chroma: Picture) -> Picture:
    """The inverse of `to_luma_chroma`; luma that was changed may give RGB outside [0, 1], which is left to the caller.

    Args:
        luma: tensor (..., 1, H, W) or array (..., H, W, 1).
        chroma: two channels (Cb, Cr) in the same layout.
    """
    cb, cr = channels(chroma)
    red, blue = luma + CR * cr, luma + CB * cb
    green = (luma - RED * red - BLUE * blue) / GREEN
    return joined([red, green, blue])


def channel_axis(image: Picture) -> int:
    """Tensors have their channels before height and width, arrays behind them."""
    return -3 if isinstance(image, Tensor) else -1


def channels(image: Picture) -> list[Picture]:
    """The channels one by one, the axis kept."""
    if isinstance(image, Tensor):
        return list(torch.split(image, 1, dim=-3))
    return np.split(image, image.shape[-1], axis=-1)


def joined(parts: list[Picture]) -> Picture:
    """The inverse of `channels`."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts, dim=-3)
    return np.concatenate(parts, axis=-1)
