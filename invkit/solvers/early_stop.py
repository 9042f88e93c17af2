"""When to stop a network before it fits the noise, without knowing the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["EarlyStop"]

FORGET = 0.1  # the paper's alpha: a running mean over about the last ten iterations
WARM_UP = 50  # iterations, five times as many


@dataclass
class EarlyStop:
    """The running variance of the output: it is least when the image is found and the noise not yet.

    Wang, Li, Zhuang, Chen, Liang, Sun, "Early Stopping for Deep Image Prior", TMLR 2023, the variant with moving
    averages (ES-EMV). The first 50 iterations are not judged: the averages have to forget how they began. Numbers are
    tensors on the images' device, which `update` never waits for. Once the patience is over nothing changes any more,
    so that looking up whether it is can wait.

    Attributes:
        patience: iterations without a new minimum of the variance after which to stop.
        mean: running mean of the image, (B, C, H, W), None before the first look.
        variance: running variance of the image, summed over pixels.
        least: the least variance so far.
        best: image and kernel where it was least, None before the first is judged.
        waited: iterations since then.
        seen: iterations looked at.
    """

    patience: int
    mean: Tensor | None = None
    variance: Tensor | float = 0.0
    least: Tensor | float = float("inf")
    best: tuple[Tensor, Tensor] | None = None
    waited: Tensor | int = 0
    seen: int = 0

    def update(self, image: Tensor, kernel: Tensor) -> None:
        """Look at the image and kernel of one iteration, without gradients; what is kept of them is copied."""
        self.seen += 1
        mean = image if self.mean is None else self.mean
        self.variance = (1 - FORGET) * (self.variance + FORGET * (image - mean).square().sum())
        self.mean = torch.lerp(mean, image, FORGET)
        if self.seen > WARM_UP:
            self.judge(self.variance, image, kernel)

    def judge(self, variance: Tensor, image: Tensor, kernel: Tensor) -> None:
        """Keep what is better than all before, unless it is over."""
        if self.best is None:
            self.least, self.best, self.waited = variance, (image.clone(), kernel.clone()), image.new_zeros(())
            return
        waiting = torch.as_tensor(self.waited < self.patience)
        better = waiting & (variance < self.least)
        self.least = torch.where(better, variance, self.least)
        self.best = torch.where(better, image, self.best[0]), torch.where(better, kernel, self.best[1])
        self.waited = torch.where(better, 0, self.waited + waiting)

    def is_over(self) -> bool:
        """Whether to stop; waits for the device."""
        return bool(self.waited >= self.patience)

    def state_dict(self) -> dict[str, Any]:
        """All of it but the patience; images that are not there yet are empty lists."""
        return {
            "mean": [] if self.mean is None else [self.mean],
            "best": [] if self.best is None else list(self.best),
            "variance": self.variance,
            "least": self.least,
            "waited": self.waited,
            "seen": self.seen,
        }

    def load_state_dict(self, saved: Mapping[str, Any], device: torch.device) -> None:
        """Take over what `state_dict` gave."""
        self.mean = saved["mean"][0].to(device) if saved["mean"] else None
        best = [tensor.to(device) for tensor in saved["best"]]
        self.best = (best[0], best[1]) if best else None
        self.variance, self.least, self.waited = (
            value.to(device) if isinstance(value, Tensor) else value
            for value in (saved["variance"], saved["least"], saved["waited"])
        )
        self.seen = int(saved["seen"])
