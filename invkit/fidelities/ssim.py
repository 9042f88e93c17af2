"""Structural similarity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import Fidelity

__all__ = ["SSIM"]

WINDOW_SIDE, WINDOW_SIGMA = 11, 1.5  # pixels
C1, C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2 for values in [0, 1]


class SSIM(Fidelity):
    """One minus the mean structural similarity (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004).

    The window is a Gaussian of 11x11 pixels with standard deviation 1.5. Only pixels with the whole window inside the
    image count. K1 = 0.01, K2 = 0.03, dynamic range 1. The computation is in float32 at least, because the local
    variances are differences of nearly equal numbers.
    """

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        position = torch.arange(WINDOW_SIDE, dtype=torch.float64) - WINDOW_SIDE // 2
        weights = torch.exp(-position.square() / (2 * WINDOW_SIGMA**2))
        self.register_buffer("window", (weights / weights.sum()).float(), persistent=False)

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Two tensors (B, C, H, W) in [0, 1] -> (B,), in [0, 2].

        Raises:
            InputError: the images are smaller than the window.
        """
        check_window_fits(predicted)
        exact = torch.promote_types(predicted.dtype, torch.float32)
        with torch.autocast(predicted.device.type, enabled=False):
            return 1 - self.similarity(predicted.to(exact), data.to(exact)).mean((1, 2, 3))

    def similarity(self, x: Tensor, y: Tensor) -> Tensor:
        """The map of local similarities, (B, C, H - 10, W - 10)."""
        # Only the sum of both variances is needed, so four blurred maps suffice instead of five. The moments are those
        # about mid-grey, not zero, which keeps the variances of bright flat regions accurate in float32.
        a, b = x - 0.5, y - 0.5
        mean_a, mean_b, mean_ab, mean_squares = self.blur(torch.cat([a, b, a * b, a * a + b * b], dim=1)).chunk(4, 1)
        covariance, variances = mean_ab - mean_a * mean_b, mean_squares - mean_a * mean_a - mean_b * mean_b
        mean_x, mean_y = mean_a + 0.5, mean_b + 0.5
        luminance = (2 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1)
        return luminance * (2 * covariance + C2) / (variances + C2)

    def blur(self, maps: Tensor) -> Tensor:
        """Weighted means under the window, one axis after the other: (B, N, H, W) -> (B, N, H - 10, W - 10)."""
        batch, channels, height, width = maps.shape
        groups = batch * channels  # as channels of one image, because the backward pass is then ten times as fast
        window = self.window.to(maps.dtype).expand(groups, 1, 1, WINDOW_SIDE)
        rows = F.conv2d(maps.reshape(1, groups, height, width), window.mT, groups=groups)
        blurred = F.conv2d(rows, window, groups=groups)
        return blurred.view(batch, channels, *blurred.shape[2:])


def check_window_fits(image: Tensor) -> None:
    """Refuse an image that is smaller than the window; raises `InputError`."""
    if min(image.shape[-2:]) < WINDOW_SIDE:
        raise InputError(
            f"the fidelity 'ssim' needs images of at least {WINDOW_SIDE}x{WINDOW_SIDE} pixels, got "
            f"{image.shape[-2]}x{image.shape[-1]}; use 'mse' for smaller ones"
        )
