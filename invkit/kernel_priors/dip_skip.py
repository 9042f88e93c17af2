"""A skip network for the kernel too, as in Double-DIP."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..core.interfaces import KernelPrior, LatentPrior, Resizable
from ..core.parameters import Seed, validated
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
from ..numerics.geometry import Shape, Size, new_size, resample, size_of
from .simplex import softmax_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DipSkipKernel"]


class DipSkipKernel(LatentPrior, KernelPrior, Resizable):
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
        self.scales, self.kernel_size, self.seed = scales, kernel_size, seed
        self.layers: dict[str, Any] = {
            "channels": channels,
            "skip_channels": skip_channels,
            "upsampling": upsampling,
            "padding": padding,
            "negative_slope": negative_slope,
            "nonlocal_scales": nonlocal_scales,
        }
        size = self.latent_size(shape)
        with seeded(seed):
            latent = latent_scale * torch.rand(shape[0], latent_channels, *size)
            self.network = self.network_for(latent)
        self.latent: Tensor
        self.register_buffer("latent", latent)
        self.to(memory_format=torch.channels_last)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent of the shape of ``self.latent`` -> kernel (B, 1, h, w), >= 0 and summing to one."""
        logits = crop_centre(self.network(latent), self.shape[-2], self.shape[-1])
        return softmax_kernel(logits, self.shape)

    def resized(self, shape: Shape, scale: float) -> Self:
        """The same network on its latent resampled about the centre pixel.

        It has as many scales as one built for the new shape: those that no longer fit go, those that fit now begin
        as they would there. Only the weights go on: convolutions do not scale with what they are given, so the new
        kernel is not the old one resampled, and is fitted anew, from there.

        Raises:
            InputError: the shape is of another batch.
        """
        new_size(self.shape, shape)
        latent = resample(self.latent, self.latent_size(shape), scale, about="centre")
        resized = copy.deepcopy(self)
        resized.shape, resized.latent = shape, latent.clone(memory_format=torch.channels_last)
        if self.scales_for(latent) != self.scales_for(self.latent):
            resized.network = self.regrown(latent)
        return resized

    def latent_size(self, shape: Shape) -> Size:
        """The size of the kernel, or the least that a skip network takes."""
        least = smallest_side(1, self.kernel_size)
        return max(shape[-2], least), max(shape[-1], least)

    def scales_for(self, latent: Tensor) -> int:
        """How many scales the network has on a latent."""
        return min(self.scales, scales_that_fit(min(size_of(latent)), self.kernel_size))

    def network_for(self, latent: Tensor) -> SkipNetwork:
        """A new network for a latent, (B, latent_channels, H, W), drawn from the global generator."""
        scales = self.scales_for(latent)
        return SkipNetwork(latent.shape[1], 1, scales=scales, kernel_size=self.kernel_size, **self.layers)

    def regrown(self, latent: Tensor) -> SkipNetwork:
        """A network for another latent with the weights of the scales that this one has too."""
        with seeded(self.seed):
            network = self.network_for(latent)
        old, new = self.network.state_dict(), network.state_dict()
        shared = {name: value for name, value in old.items() if name in new and value.shape == new[name].shape}
        network.load_state_dict(new | shared)
        return network.to(latent).to(memory_format=torch.channels_last)
