"""Free photographs, blurred, and what people draw over them: frames, date stamps, watermarks."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.signal import fftconvolve

Picture = npt.NDArray[np.float32]
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"


def photograph(name: str = "camera", height: int = 240, width: int = 260, top: int = 40, left: int = 100) -> Picture:
    """A part of a photograph that scikit-image brings with it, (C, H, W) in [0, 1]."""
    import skimage.data

    pixels = np.asarray(getattr(skimage.data, name)(), dtype=np.float32) / 255
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels[..., :3], -1, 0)
    return np.ascontiguousarray(planes[:, top : top + height, left : left + width])


def curved_kernel(side: int = 15) -> Picture:
    """A path of constant speed that turns by a right angle, (h, w), summing to one."""
    kernel = np.zeros((side, side), dtype=np.float32)
    for angle in np.linspace(0, np.pi / 2, 40 * side):
        kernel[round((side - 1) * np.sin(angle)), round((side - 1) * np.cos(angle))] += 1
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def box_kernel(side: int) -> Picture:
    """The mean of side x side pixels."""
    return np.full((side, side), 1 / side**2, dtype=np.float32)


def blurry(picture: Picture, kernel: Picture, noise: float = 0.003, seed: int = 0) -> Picture:
    """A picture (C, H, W) blurred by a kernel (h, w), without what lies beyond, with noise and rounded to 8 bits."""
    blurred = np.stack([fftconvolve(plane, kernel, mode="valid") for plane in picture])
    noisy = blurred + noise * np.random.default_rng(seed).standard_normal(blurred.shape)
    return np.asarray(np.rint(255 * noisy.clip(0, 1)) / 255, dtype=np.float32)


def with_text(picture: Picture, text: str, place: tuple[int, int], size: int, opacity: float = 1.0,
              colour: tuple[float, ...] = (1.0, 0.6, 0.1)) -> Picture:  # fmt: skip
    """A picture (C, H, W) with text that begins at (row, column), in a colour, or its mean for a grey picture."""
    mask = Image.new("L", (picture.shape[2], picture.shape[1]), 0)
    ImageDraw.Draw(mask).text(place[::-1], text, fill=255, font=ImageFont.truetype(str(FONT), size))
    weight = opacity * np.asarray(mask, dtype=np.float32) / 255
    levels = np.array(colour if len(picture) == 3 else [np.mean(colour)], dtype=np.float32)
    mixed = (1 - weight) * picture + weight * levels[:, None, None]
    return (np.rint(255 * mixed) / 255).astype(np.float32)
