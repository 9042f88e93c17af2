"""Structural similarity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..interfaces import Fidelity
from ..parameters import validated

__all__ = ["SSIM"]

SIZE, SIGMA = 11, 1.5  # pixels
C1, C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2 for values in [0, 1]


class SSIM(Fidelity):
    """One minus the mean structural similarity (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004).

    Gaussian window of 11x11 pixels and standard deviation 1.5, only where it lies wholly inside the image;
    K1 = 0.01, K2 = 0.03, dynamic range 1. Always computed in at least float32, as the local variances are
    differences of nearly equal numbers.
    """

    window: Tensor

    @validated
    def __init__(self) -> None:
        super().__init__()
        position = torch.arange(SIZE, dtype=torch.float64) - SIZE // 2
        weights = torch.exp(-position.square() / (2 * SIGMA**2))
        self.register_buffer("window", (weights / weights.sum()).float(), persistent=False)

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Two tensors (B, C, H, W) in [0, 1] -> (B,), in [0, 2].

        Raises:
            InputError: the images are smaller than the window.
        """
        check_size(predicted)
        exact = torch.promote_types(predicted.dtype, torch.float32)
        with torch.autocast(predicted.device.type, enabled=False):
            return 1 - self.similarity(predicted.to(exact), data.to(exact)).mean((1, 2, 3))

    def similarity(self, x: Tensor, y: Tensor) -> Tensor:
        """The map of local similarities, (B, C, H - 10, W - 10)."""
        # Both variances enter only as their sum, so four blurred maps suffice instead of five.
        maps = torch.cat([x, y, x * y, x * x + y * y], dim=1)
        mean_x, mean_y, mean_xy, mean_squares = self.blur(maps).chunk(4, dim=1)
        product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        luminance = (2 * product + C1) / (squares + C1)
        structure = (2 * (mean_xy - product) + C2) / (mean_squares - squares + C2)
        return luminance * structure

    def blur(self, maps: Tensor) -> Tensor:
        """Weighted means under the window, (B, N, H, W) -> (B, N, H - 10, W - 10), one axis after the other."""
        batch, channels, height, width = maps.shape
        groups = batch * channels  # one image of many channels: ten times faster backwards than many of one
        window = self.window.to(maps.dtype).expand(groups, 1, 1, SIZE)
        rows = F.conv2d(maps.reshape(1, groups, height, width), window.mT, groups=groups)
        return F.conv2d(rows, window, groups=groups).view(batch, channels, height - SIZE + 1, width - SIZE + 1)


def check_size(image: Tensor) -> None:
    """Raise `InputError` for an image smaller than the window."""
    if min(image.shape[-2:]) < SIZE:
        raise InputError(
            f"the fidelity 'ssim' needs images of at least {SIZE}x{SIZE} pixels, got "
            f"{image.shape[-2]}x{image.shape[-1]}; use 'mse' for smaller ones"
        )
