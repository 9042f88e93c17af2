"""Interfaces of the steps that alternate with a latent image in classical maximum-a-posteriori methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from ...core.parameters import Component
from ...numerics.geometry import Size

__all__ = ["EdgeSelection", "KernelEstimation", "KernelPostprocessing"]


class EdgeSelection(Component, nn.Module, ABC):
    """Selects or sharpens the salient edges of a latent image. The kernel is estimated from them."""

    family: ClassVar[str] = "edge_selection"

    @abstractmethod
    def forward(self, image: Tensor, data: Tensor, kernel_size: Size, iteration: int) -> tuple[Tensor, Tensor]:
        """Return the selected edges of the latent image and the corresponding edges of the data.

        Args:
            image: (B, C, H + h - 1, W + w - 1), the latent image under a valid convolution.
            data: (B, C, H, W).
            kernel_size: (h, w).
            iteration: alternations done at this scale, from 0. Selections relax as it grows.

        Returns:
            sharp (B, S, H + h - 1, W + w - 1) and blurred (B, S, H, W). The valid convolution of ``sharp`` by the
            kernel is about ``blurred``. Usually S = 2 C gradients.
        """


class KernelEstimation(Component, nn.Module, ABC):
    """Estimates a kernel from sharp edges and their blurred counterparts."""

    family: ClassVar[str] = "kernel_estimation"

    @abstractmethod
    def forward(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Tensor:
        """Estimate the kernel whose valid convolution maps ``sharp`` to ``blurred``.

        Args:
            sharp: (B, S, H + h - 1, W + w - 1).
            blurred: (B, S, H, W).
            kernel: (B, 1, h, w), the current kernel, >= 0, summing to one.

        Returns:
            (B, 1, h, w), >= 0, each summing to one.
        """


class KernelPostprocessing(Component, nn.Module, ABC):
    """Removes artefacts from an estimated kernel, which no camera motion produces."""

    family: ClassVar[str] = "kernel_postprocessing"

    @abstractmethod
    def forward(self, kernel: Tensor) -> Tensor:
        """Kernel (B, 1, h, w), >= 0, summing to one -> the same, never empty."""
