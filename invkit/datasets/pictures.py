"""Pictures and names as datasets give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..core.evaluation import Floats
from ..media.colour import to_luma_chroma
from ..media.images import read_image

__all__ = ["like", "luma", "noisy", "picture", "safe_names"]

UNSAFE = re.compile(r"[^A-Za-z0-9._]+")  # and hyphens, of which two in a row part the names of a result
LONGEST = 80  # letters


def picture(path: Path) -> Floats:
    """(H, W) or (H, W, 3) in [0, 1], opacity left out; raises `InputError` where it cannot be read."""
    return np.asarray(read_image(path).pixels)


def luma(image: Floats) -> Floats:
    """The full-range BT.601 luma of a colour image, (H, W) in [0, 1]; a grey one as it is."""
    return image if image.ndim == 2 else np.asarray(to_luma_chroma(image)[0][..., 0]).clip(0, 1)


def noisy(image: Floats, sigma: float, seed: Sequence[int], *, rounded: bool = True) -> Floats:
    """An image in [0, 1] with Gaussian noise, cut to [0, 1], to 8 bits if asked, as a file would be; float32.

    Args:
        image: (H, W) or (H, W, 3).
        sigma: standard deviation of the noise.
        seed: whole numbers; the same ones give the same noise.
        rounded: to 8 bits.
    """
    noise = np.random.default_rng(seed).standard_normal(image.shape)
    taken = (image + sigma * noise).clip(0, 1)
    return (np.rint(255 * taken) / 255 if rounded else taken).astype(np.float32)


def like(image: Floats, other: Floats, name: str) -> Floats:
    """An image with the channels of another one: colour becomes luma.

    Raises:
        InputError: it is grey, and the other in colour.
    """
    if image.ndim == 2 and other.ndim == 3:
        raise InputError(f"{name} is grey and the blurry image in colour, so that they cannot be compared")
    return luma(image) if other.ndim == 2 else image


def safe_names(texts: Iterable[str]) -> list[str]:
    """Texts as parts of file names, each another one even where upper and lower case are the same."""
    names: list[str] = []
    taken: set[str] = set()
    for text in texts:
        name = plain = UNSAFE.sub("-", text)[:LONGEST].strip("-.") or "image"
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names
