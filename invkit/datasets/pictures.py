"""Images and case names of datasets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..core.evaluation import Floats
from ..media.colour import to_luma_chroma
from ..media.images import read_image

__all__ = ["as_luma", "match_channels", "read_pixels", "safe_names", "with_noise"]

UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._]+")  # hyphens too: a double hyphen separates the parts of result names
MAX_NAME_LENGTH = 80  # characters


def read_pixels(path: Path) -> Floats:
    """An image (H, W) or (H, W, 3) in [0, 1] without its opacity; raises `InputError` if it cannot be read."""
    return np.asarray(read_image(path).pixels)


def as_luma(image: Floats) -> Floats:
    """The full-range BT.601 luma, (H, W) in [0, 1]; a grey image is returned unchanged.

    Example:
        >>> import numpy as np
        >>> as_luma(np.array([[[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]])).round(3)
        array([[0.299, 1.   ]])
    """
    return image if image.ndim == 2 else np.asarray(to_luma_chroma(image)[0][..., 0]).clip(0, 1)


def with_noise(image: Floats, sigma: float, seed: Sequence[int], *, rounded: bool = True) -> Floats:
    """An image in [0, 1] with Gaussian noise, clipped to [0, 1], float32.

    Args:
        image: (H, W) or (H, W, 3).
        sigma: the standard deviation of the noise.
        seed: whole numbers >= 0 that determine the noise.
        rounded: round to 8 bits, as in an image file.
    """
    noise = np.random.default_rng(seed).standard_normal(image.shape)
    result = (image + sigma * noise).clip(0, 1)
    return (np.rint(255 * result) / 255 if rounded else result).astype(np.float32)


def match_channels(image: Floats, other: Floats, name: str) -> Floats:
    """An image with the channels of another image: colour becomes luma if the other image is grey.

    Args:
        image: (H, W) or (H, W, 3) in [0, 1].
        other: the same layouts.
        name: the name of ``image`` in the error message.

    Raises:
        InputError: ``image`` is grey, and the other image is in colour.
    """
    if image.ndim == 2 and other.ndim == 3:
        raise InputError(f"{name} is grey and the blurry image is in colour, so that they cannot be compared")
    return as_luma(image) if other.ndim == 2 else image


def safe_names(texts: Iterable[str]) -> list[str]:
    """Texts as parts of file names. All of them differ, even where upper and lower case are the same.

    Example:
        >>> safe_names(["my tree", "My Tree", "house"])
        ['my-tree', 'My-Tree-2', 'house']
    """
    names: list[str] = []
    used: set[str] = set()
    for text in texts:
        name = plain = UNSAFE_CHARACTERS.sub("-", text)[:MAX_NAME_LENGTH].strip("-.") or "image"
        number = 1
        while name.casefold() in used:
            number += 1
            name = f"{plain}-{number}"
        used.add(name.casefold())
        names.append(name)
    return names
