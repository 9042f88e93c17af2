"""Luma and chroma of ITU-R BT.601 in full range: luma lies in [0, 1], not in the 16 to 235 of video.

Y = 0.299 R + 0.587 G + 0.114 B,   Cb = (B - Y) / 1.772,   Cr = (R - Y) / 1.402
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["from_luma_chroma", "to_luma_chroma"]

ImageLike = TypeVar("ImageLike", npt.NDArray[np.floating], Tensor)

RED, GREEN, BLUE = 0.299, 0.587, 0.114
CB, CR = 2 * (1 - BLUE), 2 * (1 - RED)


def to_luma_chroma(image: ImageLike) -> tuple[ImageLike, ImageLike]:
    """Luma and chroma of an RGB image.

    Args:
        image: tensor (..., 3, H, W) or array (..., H, W, 3), floating point in [0, 1].

    Returns:
        Luma, one channel in [0, 1]; chroma, two channels (Cb, Cr) in [-0.5, 0.5] that are zero for grey. Both have the
        layout of the image.

    Raises:
        ValueError: the image does not have three channels.

    Example:
        >>> luma, chroma = to_luma_chroma(np.array([[[1.0, 0.0, 0.0]]]))
        >>> luma.round(3).tolist(), chroma.round(3).tolist()
        ([[[0.299]]], [[[-0.169, 0.5]]])
    """
    if image.shape[channel_axis(image)] != 3:
        raise ValueError(f"RGB has three channels on axis {channel_axis(image)}, got shape {tuple(image.shape)}")
    red, green, blue = channels(image)
    luma = RED * red + GREEN * green + BLUE * blue
    return luma, joined_channels([(blue - luma) / CB, (red - luma) / CR])


def from_luma_chroma(luma: ImageLike, chroma: ImageLike) -> ImageLike:
    """The inverse of `to_luma_chroma`. Luma that was changed may give RGB outside [0, 1]; the caller clips it.

    Args:
        luma: tensor (..., 1, H, W) or array (..., H, W, 1).
        chroma: two channels (Cb, Cr) in the same layout.
    """
    cb, cr = channels(chroma)
    red, blue = luma + CR * cr, luma + CB * cb
    green = (luma - RED * red - BLUE * blue) / GREEN
    return joined_channels([red, green, blue])


def channel_axis(image: ImageLike) -> int:
    """The axis of the channels: before height and width in tensors, last in arrays."""
    return -3 if isinstance(image, Tensor) else -1


def channels(image: ImageLike) -> list[ImageLike]:
    """The channels one by one, with their axis kept."""
    if isinstance(image, Tensor):
        return list(torch.split(image, 1, dim=-3))
    return np.split(image, image.shape[-1], axis=-1)


def joined_channels(parts: list[ImageLike]) -> ImageLike:
    """The inverse of `channels`."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts, dim=-3)
    return np.concatenate(parts, axis=-1)
