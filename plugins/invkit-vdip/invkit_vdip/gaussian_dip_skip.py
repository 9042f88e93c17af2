"""A deep image prior that gives a distribution: a mean and a standard deviation for each pixel."""

from __future__ import annotations

from typing import final

from torch import Tensor

from invkit.core.parameters import Seed, validated
from invkit.image_priors.dip_skip import DipSkipImage
from invkit.networks.skip import (
    Channels,
    KernelSize,
    LatentChannels,
    LatentScale,
    NegativeSlope,
    NonLocalScales,
    Padding,
    Scales,
    SkipChannels,
    Upsampling,
    scales_that_fit,
)
from invkit.numerics.geometry import Shape

from .abilities import GaussianPrior

__all__ = ["GaussianDipSkip"]


@final
class GaussianDipSkip(GaussianPrior, DipSkipImage):
    """A skip network that gives ``N(mean, std^2)`` for each pixel; the image is the mean.

    Huo, Masoumzadeh, Kushol, Yang, "Blind Image Deconvolution Using Variational Deep Image Prior", IEEE TPAMI 2023:
    the network of `dip-skip` with twice the channels behind its sigmoid, the first half of which are the means and the
    second the standard deviations, all of them in [0, 1]. The latent is that of the released code.

    Args:
        shape: (B, C, H, W) of the image.
        latent_channels: channels of the fixed random input.
        latent_scale: it is uniform on [0, latent_scale].
        channels: feature channels of every scale.
        skip_channels: channels of each skip connection.
        scales: times the size is halved; fewer where the image is too small for them.
        kernel_size: side of the convolutions, pixels.
        upsampling: how a scale is doubled in size.
        padding: what convolutions see outside the image.
        negative_slope: slope of the leaky ReLU below zero.
        nonlocal_scales: how many of the deepest scales have a non-local block (3 in the released code).
        seed: of the latent and of the initial weights.

    Raises:
        InputError: the image is too small for a single scale.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        latent_channels: LatentChannels = 3,
        latent_scale: LatentScale = 0.1,
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
        fitting = scales_that_fit(min(shape[2:]), kernel_size)
        super().__init__(
            (shape[0], 2 * shape[1], *shape[2:]),
            latent_channels=latent_channels,
            latent_scale=latent_scale,
            channels=channels,
            skip_channels=skip_channels,
            scales=min(scales, max(1, fitting)),
            kernel_size=kernel_size,
            upsampling=upsampling,
            padding=padding,
            negative_slope=negative_slope,
            nonlocal_scales=nonlocal_scales,
            seed=seed,
        )
        self.shape = shape

    def distribution(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation for the prior's own latent, each (B, C, H, W) in [0, 1]."""
        return self.halves(self.latent)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent (B, latent_channels, H, W) -> mean (B, C, H, W) in [0, 1]."""
        return self.halves(latent)[0]

    def halves(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """What the network gives for a latent, cut in two along the channels."""
        mean, std = super().decode(latent).chunk(2, dim=1)
        return mean, std
