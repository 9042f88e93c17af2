"""One network of several images."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from invkit.core.errors import InputError
from invkit.core.interfaces import ImagePrior, LatentPrior
from invkit.core.parameters import PositiveInt, Seed, validated
from invkit.networks.random import seeded
from invkit.networks.skip import (
    Channels,
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
from invkit.numerics.geometry import Shape

__all__ = ["Branched", "BranchedSkipImage"]


class Branched(LatentPrior):
    """The ability of an image prior to give further images of the same scene, which share its features.

    Attributes:
        branches: how many further images.
    """

    branches: int

    @abstractmethod
    def decode_all(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The image (B, C, H, W), and the further ones (B, branches, C, H, W), all in [0, 1]."""

    def decode(self, latent: Tensor) -> Tensor:
        """The image alone."""
        return self.decode_all(latent)[0]


class BranchedSkipImage(Branched, ImagePrior):
    """Deep image prior whose last layer gives the image and several intermediate images from the same features.

    Lee et al., "Blind image deblurring with noise-robust kernel estimation", ECCV 2024; the defaults are those of its
    released code, github.com/csleemooo/BD_noise_robust_kernel_estimation, without its dropout. There the last layer is
    a 3x3 convolution to features of each image and a 1x1 convolution of these, here one 1x1 convolution. An image too
    small for ``scales`` halvings gets as many as fit, at least one.

    Args:
        shape: (B, C, H, W) of the image; H and W at least 3.
        branches: number of intermediate images.
        latent_channels: channels of the fixed random input.
        latent_scale: it is uniform on [0, latent_scale].
        channels: feature channels of every scale.
        skip_channels: channels of each skip connection.
        scales: times the size is halved, at most.
        upsampling: how a scale is doubled in size.
        padding: what convolutions see outside the image.
        negative_slope: slope of the leaky ReLU below zero.
        nonlocal_scales: how many of the deepest scales have a non-local block (3 there), at most all.
        seed: of the latent and of the initial weights.

    Raises:
        InputError: the image is smaller than 3x3 pixels.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        branches: Annotated[PositiveInt, Field(description="number of intermediate images")] = 3,
        latent_channels: LatentChannels = 8,
        latent_scale: LatentScale = 0.1,
        channels: Channels = 128,
        skip_channels: SkipChannels = 64,
        scales: Scales = 5,
        upsampling: Upsampling = "nearest",
        padding: Padding = "reflect",
        negative_slope: NegativeSlope = 0.1,
        nonlocal_scales: NonLocalScales = 0,
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        scales = min(scales, fitting_scales(shape))
        self.branches, self.channels = branches, channels
        with seeded(seed):
            latent = latent_scale * torch.rand(shape[0], latent_channels, *shape[2:])
            self.network = SkipNetwork(
                latent_channels,
                (1 + branches) * shape[1],
                channels=channels,
                skip_channels=skip_channels,
                scales=scales,
                upsampling=upsampling,
                padding=padding,
                negative_slope=negative_slope,
                nonlocal_scales=min(nonlocal_scales, scales),
            )
        self.latent: Tensor
        self.register_buffer("latent", latent)
        self.to(memory_format=torch.channels_last)

    def decode_all(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (B, latent_channels, H, W) -> (B, C, H, W) and (B, branches, C, H, W), in [0, 1]."""
        outputs = torch.sigmoid(self.network(latent).to(latent.dtype))
        batch, channels, height, width = self.shape
        images = outputs.view(batch, 1 + self.branches, channels, height, width)
        return images[:, 0], images[:, 1:]

    def memory_needed(self) -> int:
        """About as much as a skip network of so many channels, a hundred bytes for each and each pixel."""
        batch, _, height, width = self.shape
        return 100 * self.channels * batch * height * width


def fitting_scales(shape: Shape) -> int:
    """The most scales that an image has; raises `InputError` for one that has none."""
    scales = scales_that_fit(min(shape[-2:]))
    if scales == 0:
        least = smallest_side(1)
        raise InputError(
            f"a network of several images needs at least {least}x{least} pixels; got {shape[-2]}x{shape[-1]}; "
            "use a larger image"
        )
    return scales
