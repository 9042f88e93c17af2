"""Night scenes with lamps, blurred in linear light and clipped, as a camera records them."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

__all__ = ["blurred_night", "hook", "night"]

GAMMA = 2.2
PLACES = [(30, 40), (36, 110), (42, 170), (85, 30), (90, 95), (95, 160), (128, 60), (132, 128)]  # of the lamps


def hook(size: int = 19) -> np.ndarray:
    """A bent path with a bright end, (size, size), summing to one."""
    kernel = np.zeros((size, size))
    inner, middle = size - 4, size // 2
    kernel[middle, 2 : 2 + inner] = np.linspace(1, 2, inner)
    kernel[2:middle, 1 + inner] = 1.5
    kernel[middle + 1, 2] = 4.0
    return np.asarray(kernel / kernel.sum())


def night(brightness: float = 8.0, places: list[tuple[int, int]] = PLACES, side: int = 160) -> np.ndarray:
    """A dark ground with a faint structure and lamps of one pixel, in linear light, (side, side + 40)."""
    row, column = np.mgrid[:side, : side + 40]
    light = 0.004 + 0.003 * ((row // 23 + column // 31) % 2)
    for index, (down, right) in enumerate(places):
        light[down, right] = brightness * (0.6 + 0.1 * index)  # lamps differ
    return np.asarray(light)


def blurred_night(light: np.ndarray, kernel: np.ndarray, noise: float = 0.005, seed: int = 0) -> np.ndarray:
    """The photograph, in [0, 1] with gamma, of a scene (H, W) or (H, W, 3): the valid part of the convolution."""
    blurry = fftconvolve(light, kernel if light.ndim == 2 else kernel[..., None], mode="valid", axes=(0, 1))
    recorded = np.clip(blurry, 0, 1) ** (1 / GAMMA)
    drawn = np.random.default_rng(seed).normal(scale=noise, size=recorded.shape)
    return np.asarray(np.round(255 * np.clip(recorded + drawn, 0, 1)) / 255)
