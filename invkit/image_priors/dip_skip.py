"""The deep image prior: an untrained skip network that turns fixed noise into the image."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..core.errors import InputError
from ..core.interfaces import ImagePrior, LatentPrior, Resizable
from ..core.parameters import Seed, validated
from ..networks.branches import each_on_its_own
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
    scales_that_fit,
    smallest_side,
)
from ..numerics.geometry import Shape, new_size, resample

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DipSkipImage"]


class DipSkipImage(LatentPrior, ImagePrior, Resizable):
    """Deep image prior, a skip network with a sigmoid: ``x = sigmoid(network(latent))``.

    Ulyanov et al., "Deep Image Prior", CVPR 2018; the defaults are those of G_x in Ren et al., "Neural Blind
    Deconvolution Using Deep Priors", CVPR 2020. The latent (B, latent_channels, H, W) is uniform on
    [0, latent_scale] and fixed. Each image of a batch has a network and a latent of its own, drawn as one alone would
    draw them with the seed plus its place: a batch is several problems, or several attempts at one.

    Args:
        shape: (B, C, H, W) of the image; H and W at least ``2**scales + 1`` for 3x3 convolutions.
        latent_channels: channels of the fixed random input.
        latent_scale: it is uniform on [0, latent_scale] (1 in the paper, 0.1 in its released code).
        channels: feature channels of every scale.
        skip_channels: channels of each skip connection.
        scales: times the size is halved.
        kernel_size: side of the convolutions, pixels.
        upsampling: how a scale is doubled in size.
        padding: what convolutions see outside the image.
        negative_slope: slope of the leaky ReLU below zero.
        nonlocal_scales: how many of the deepest scales have a non-local block (0 in the paper, 3 in its code).
        seed: of the latent and of the initial weights.

    Raises:
        InputError: the image is too small for that many scales.
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
        check_size(shape, scales, kernel_size)
        self.channels, self.scales, self.kernel_size = channels, scales, kernel_size
        self.networks, latents = nn.ModuleList(), []
        for place in range(shape[0]):
            with seeded(seed + place):
                latents.append(latent_scale * torch.rand(1, latent_channels, *shape[2:]))
                network = SkipNetwork(
                    latent_channels,
                    shape[1],
                    channels=channels,
                    skip_channels=skip_channels,
                    scales=scales,
                    kernel_size=kernel_size,
                    upsampling=upsampling,
                    padding=padding,
                    negative_slope=negative_slope,
                    nonlocal_scales=nonlocal_scales,
                )
            self.networks.append(network)
        self.latent: Tensor
        self.register_buffer("latent", torch.cat(latents))
        self.to(memory_format=torch.channels_last)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent (B, latent_channels, H, W) -> image (B, C, H, W) in [0, 1]; the sigmoid never in low precision."""
        outputs = each_on_its_own(self.networks, latent.chunk(len(latent)))
        return torch.sigmoid(torch.cat(outputs).to(latent.dtype))

    def resized(self, shape: Shape, scale: float) -> Self:
        """The same networks on their latents resampled about the middle.

        Only the weights go on: convolutions do not scale with what they are given, so the new image is not the old
        one resampled, and is fitted anew, from there.

        Raises:
            InputError: the image is too small for the network's scales, or of another batch or number of channels.
        """
        check_size(shape, self.scales, self.kernel_size)
        latent = resample(self.latent, new_size(self.shape, shape), scale)
        resized = copy.deepcopy(self)
        resized.shape, resized.latent = shape, latent.clone(memory_format=torch.channels_last)
        return resized

    def memory_needed(self) -> int:
        """About a hundred bytes for each feature channel and pixel, as measured in float32 with 32 and 128 channels."""
        batch, _, height, width = self.shape
        return 100 * self.channels * batch * height * width


def check_size(shape: Shape, scales: int, kernel_size: int) -> None:
    """Refuse an image that vanishes on the way down; raises `InputError`."""
    least, side = smallest_side(scales, kernel_size), min(shape[-2:])
    if side < least:
        fitting = scales_that_fit(side, kernel_size)
        remedy = f"use scales={fitting} or a larger image" if fitting else "use a larger image or the prior 'pixels'"
        raise InputError(
            f"a skip network of {scales} scales needs an image of at least {least}x{least} pixels; "
            f"got {shape[-2]}x{shape[-1]}; {remedy}"
        )
