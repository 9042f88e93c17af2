"""Early stopping of a network before it fits the noise, without the true image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["EarlyStop"]

AVERAGE_DECAY = 0.1  # the paper's alpha: a running mean over about the last ten iterations
WARMUP_ITERATIONS = 50  # five times as many: the averages must forget their initial values


@dataclass
class EarlyStop:
    """The running variance of the output, which is smallest when the image is found and the noise is not fitted yet.

    Wang, Li, Zhuang, Chen, Liang, Sun, "Early Stopping for Deep Image Prior", TMLR 2023, the variant with moving
    averages (ES-EMV). The first 50 iterations are ignored. Numbers are tensors on the images' device, and `update`
    never waits for them. Nothing changes once the patience is exhausted, so the check may come later.

    Attributes:
        patience: iterations without a new minimum of the variance after which to stop.
        mean: running mean of the image, (B, C, H, W); None before the first iteration.
        variance: running variance of the image, summed over pixels.
        least: the smallest variance so far.
        best: image and kernel at the smallest variance; None during the warm-up.
        waited: iterations since then.
        seen: iterations seen.
    """

    patience: int
    mean: Tensor | None = None
    variance: Tensor | float = 0.0
    least: Tensor | float = float("inf")
    best: tuple[Tensor, Tensor] | None = None
    waited: Tensor | int = 0
    seen: int = 0

    def update(self, image: Tensor, kernel: Tensor) -> None:
        """Observe the image and kernel of one iteration, without gradients; they are copied where they are kept."""
        self.seen += 1
        mean = image if self.mean is None else self.mean
        self.variance = (1 - AVERAGE_DECAY) * (self.variance + AVERAGE_DECAY * (image - mean).square().sum())
        self.mean = torch.lerp(mean, image, AVERAGE_DECAY)
        if self.seen > WARMUP_ITERATIONS:
            self.compare(self.variance, image, kernel)

    def compare(self, variance: Tensor, image: Tensor, kernel: Tensor) -> None:
        """Keep image and kernel if their variance is the smallest so far and the patience is not exhausted.

        Args:
            variance: scalar tensor.
            image: (B, C, H, W).
            kernel: (B, 1, h, w).
        """
        if self.best is None:
            self.least, self.best, self.waited = variance, (image.clone(), kernel.clone()), image.new_zeros(())
            return
        waiting = torch.as_tensor(self.waited < self.patience)
        better = waiting & (variance < self.least)
        self.least = torch.where(better, variance, self.least)
        self.best = torch.where(better, image, self.best[0]), torch.where(better, kernel, self.best[1])
        self.waited = torch.where(better, 0, self.waited + waiting)

    def is_over(self) -> bool:
        """Whether the patience is exhausted; waits for the device."""
        return bool(self.waited >= self.patience)

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the patience; an empty list stands for an image that does not exist yet."""
        return {
            "mean": [] if self.mean is None else [self.mean],
            "best": [] if self.best is None else list(self.best),
            "variance": self.variance,
            "least": self.least,
            "waited": self.waited,
            "seen": self.seen,
        }

    def load_state_dict(self, saved: Mapping[str, Any], device: torch.device) -> None:
        """Load what `state_dict` returned."""
        self.mean = saved["mean"][0].to(device) if saved["mean"] else None
        best = [tensor.to(device) for tensor in saved["best"]]
        self.best = (best[0], best[1]) if best else None
        self.variance, self.least, self.waited = (
            value.to(device) if isinstance(value, Tensor) else value
            for value in (saved["variance"], saved["least"], saved["waited"])
        )
        self.seen = int(saved["seen"])
