"""Structural similarity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import Fidelity
from ..core.parameters import validated

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
        # Moments about mid-grey, not zero: in float32 this keeps the variances of bright flat regions accurate.
        a, b = x - 0.5, y - 0.5
        mean_a, mean_b, mean_ab, mean_squares = self.blur(torch.cat([a, b, a * b, a * a + b * b], dim=1)).chunk(4, 1)
        covariance, variances = mean_ab - mean_a * mean_b, mean_squares - mean_a * mean_a - mean_b * mean_b
        mean_x, mean_y = mean_a + 0.5, mean_b + 0.5
        luminance = (2 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1)
        return luminance * (2 * covariance + C2) / (variances + C2)

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
