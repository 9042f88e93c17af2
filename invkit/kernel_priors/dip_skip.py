"""A skip network for the kernel too, as in Double-DIP."""

from __future__ import annotations

import torch
from torch import Tensor

from ..interfaces import KernelPrior, LatentPrior
from ..networks.random import seeded
from ..networks.skip import (
    Channels,
    KernelSize,
    LatentChannels,
    LatentScale,
    NegativeSlope,
    NonLocalScales,
    Padding,
    Scales,
    SkipChannels,
    SkipNetwork,
    Upsampling,
    crop_centre,
    scales_that_fit,
    smallest_side,
)
from ..parameters import Seed, Shape, validated
from .simplex import softmax_kernel

__all__ = ["DipSkipKernel"]


class DipSkipKernel(LatentPrior, KernelPrior):
    """Deep image prior for the kernel: ``k = softmax(network(latent))`` over all its pixels.

    The kernel network of the comparison with Double-DIP in Ren et al., "Neural Blind Deconvolution Using Deep Priors",
    CVPR 2020 (Table 1); Double-DIP itself is Gandelsman, Shocher, Irani, CVPR 2019. A kernel too small for ``scales``
    halvings gets as many as fit, at least one; one of fewer than 3 pixels on a side is cut from the centre of a 3x3
    one (for 3x3 convolutions), so every size works.

    Args:
        shape: (B, 1, h, w) of the kernel, any size.
        latent_channels: channels of the fixed random input.
        latent_scale: it is uniform on [0, latent_scale].
        channels: feature channels of every scale.
        skip_channels: channels of each skip connection.
        scales: times the size is halved, at most.
        kernel_size: side of the network's convolutions, pixels.
        upsampling: how a scale is doubled in size.
        padding: what convolutions see outside the kernel.
        negative_slope: slope of the leaky ReLU below zero.
        nonlocal_scales: how many of the deepest scales have a non-local block.
        seed: of the latent and of the initial weights.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        latent_channels: LatentChannels = 8,
        latent_scale: LatentScale = 1.0,
        channels: Channels = 128,
        skip_channels: SkipChannels = 16,
        scales: Scales = 5,
        kernel_size: KernelSize = 3,
        upsampling: Upsampling = "bilinear",
        padding: Padding = "reflect",
        negative_slope: NegativeSlope = 0.2,
        nonlocal_scales: NonLocalScales = 0,
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        least = smallest_side(1, kernel_size)
        height, width = max(shape[-2], least), max(shape[-1], least)
        with seeded(seed):
            latent = latent_scale * torch.rand(shape[0], latent_channels, height, width)
            self.network = SkipNetwork(
                latent_channels,
                1,
                channels=channels,
                skip_channels=skip_channels,
                scales=min(scales, scales_that_fit(min(height, width), kernel_size)),
                kernel_size=kernel_size,
                upsampling=upsampling,
                padding=padding,
                negative_slope=negative_slope,
                nonlocal_scales=nonlocal_scales,
            )
        self.latent: Tensor
        self.register_buffer("latent", latent)
        self.to(memory_format=torch.channels_last)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent of the shape of ``self.latent`` -> kernel (B, 1, h, w), >= 0 and summing to one."""
        logits = crop_centre(self.network(latent), self.shape[-2], self.shape[-1])
        return softmax_kernel(logits, self.shape)
