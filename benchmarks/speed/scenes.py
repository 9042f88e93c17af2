"""A photograph of any size, blurred by a kernel of any size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from invkit.datasets.pictures import as_luma, read_pixels
from invkit.datasets.samples import sample_path
from invkit.datasets.synthetic import blur_image, random_kernel

SIGMA, SEED = 0.005, 0


@dataclass(frozen=True)
class Scene:
    """A grey photograph with its truth.

    Attributes:
        data: the blurry photograph, (1, 1, side, side) in [0, 1], float32.
        truth: the sharp photograph, (1, 1, side + k - 1, side + k - 1).
        kernel: (1, 1, k, k), summing to one.
    """

    data: Tensor
    truth: Tensor
    kernel: Tensor

    @property
    def kernel_size(self) -> tuple[int, int]:
        """(k, k)."""
        side = self.kernel.shape[-1]
        return side, side


@cache
def scene(side: int, kernel: int) -> Scene:
    """The bundled photograph, continued by mirror images, with camera shake and noise; always the same.

    Args:
        side: of the data, pixels.
        kernel: side of the kernel, pixels.
    """
    sharp, taps = as_luma(read_pixels(sample_path("coffee-sharp"))), random_kernel("motion", kernel, [SEED, kernel])
    needed = side + kernel - 1
    sharp = np.pad(sharp, [(0, max(0, needed - length)) for length in sharp.shape], mode="symmetric")[:needed, :needed]
    clean = blur_image(sharp, taps)
    noise = np.random.default_rng(SEED).standard_normal(clean.shape)
    data = (clean + SIGMA * noise).clip(0, 1)
    return Scene(*(torch.from_numpy(array.astype(np.float32))[None, None] for array in (data, sharp, taps)))
