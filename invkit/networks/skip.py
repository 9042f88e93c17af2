"""The encoder-decoder with skip connections of the deep image prior."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from .nonlocal_block import NonLocalBlock

__all__ = [
    "Channels",
    "KernelSize",
    "LatentChannels",
    "LatentScale",
    "NegativeSlope",
    "NonLocalScales",
    "Padding",
    "Scales",
    "SkipChannels",
    "SkipNetwork",
    "Upsampling",
    "scales_that_fit",
    "smallest_side",
]

LatentChannels = Annotated[int, Field(gt=0, description="channels of the fixed random input")]
LatentScale = Annotated[
    float, Field(gt=0, allow_inf_nan=False, description="a of the uniform distribution on [0, a] of the random input")
]
Channels = Annotated[int, Field(gt=0, multiple_of=2, description="feature channels of every scale, even")]
SkipChannels = Annotated[int, Field(gt=0, description="channels of each skip connection")]
Scales = Annotated[int, Field(gt=0, le=8, description="times the size is halved")]
KernelSize = Annotated[Literal[1, 3, 5, 7], Field(description="side of the convolutions, pixels")]
Upsampling = Annotated[Literal["bilinear", "nearest", "bicubic"], Field(description="how a scale is doubled in size")]
PaddingMode = Literal["reflect", "replicate", "zeros"]
Padding = Annotated[PaddingMode, Field(description="what convolutions see outside")]
NegativeSlope = Annotated[float, Field(ge=0, lt=1, description="slope of the leaky ReLU below zero")]
NonLocalScales = Annotated[int, Field(ge=0, description="how many of the deepest scales have a non-local block")]


class SkipNetwork(nn.Sequential):
    """The skip encoder-decoder of the deep image prior: what it gives is as large as what it is given.

    Ulyanov, Vedaldi, Lempitsky, "Deep Image Prior", CVPR 2018, in the form of Ren et al., "Neural Blind Deconvolution
    Using Deep Priors", CVPR 2020 (supplement): at every scale a stride-2 convolution and another go down, a 1x1
    convolution goes across, and up come upsampling, concatenation, batch norm, a convolution and a 1x1 convolution,
    each followed by batch norm and leaky ReLU. Batch norms always use the statistics of their input and keep none,
    so a call changes nothing. The last layer is a 1x1 convolution without a non-linearity.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        channels: feature channels of every scale.
        skip_channels: channels of each skip connection.
        scales: times the size is halved.
        kernel_size: side of the convolutions, pixels, odd.
        upsampling: "bilinear", "nearest" or "bicubic".
        padding: "reflect", "replicate" or "zeros".
        negative_slope: of the leaky ReLU.
        nonlocal_scales: how many of the deepest scales have a `NonLocalBlock` after the stride-2 convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: int = 128,
        skip_channels: int = 16,
        scales: int = 5,
        kernel_size: int = 3,
        upsampling: str = "bilinear",
        padding: PaddingMode = "reflect",
        negative_slope: float = 0.2,
        nonlocal_scales: int = 0,
    ) -> None:
        inner: _Scale | None = None
        for scale in reversed(range(scales)):
            inner = _Scale(
                channels if scale else in_channels,
                channels,
                skip_channels,
                inner,
                layer=_Layer(kernel_size, padding, negative_slope),
                upsampling=upsampling,
                attention=scale >= scales - nonlocal_scales,
            )
        assert inner is not None, "a skip network has at least one scale"
        super().__init__(inner, nn.Conv2d(channels, out_channels, 1))


def smallest_side(scales: int, kernel_size: int = 3) -> int:
    """The least height and width, pixels, that a `SkipNetwork` takes.

    At the deepest scale, ``ceil(side / 2**scales)`` pixels wide, padding can reflect only what is there, and batch
    norm needs more than one number.
    """
    return (max(2, kernel_size // 2 + 1) - 1) * (1 << scales) + 1


def scales_that_fit(side: int, kernel_size: int = 3) -> int:
    """The most scales a `SkipNetwork` can have on an image of that side, pixels; 0 where none does."""
    scales = 0
    while smallest_side(scales + 1, kernel_size) <= side:
        scales += 1
    return scales


class _Layer:
    """Makes the repeated triple: convolution, batch norm, leaky ReLU."""

    def __init__(self, kernel_size: int, padding: PaddingMode, negative_slope: float) -> None:
        self.kernel_size, self.padding, self.negative_slope = kernel_size, padding, negative_slope

    def convolution(self, inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
        size, mode = self.kernel_size, self.padding
        return nn.Conv2d(inputs, outputs, size, stride, size // 2, padding_mode=mode)

    def activation(self, channels: int) -> list[nn.Module]:
        # in place: batch norm needs its input for the gradient, not its output
        return [normalisation(channels), nn.LeakyReLU(self.negative_slope, inplace=True)]

    def full(self, inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(self.convolution(inputs, outputs), *self.activation(outputs))

    def pointwise(self, inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1), *self.activation(outputs))


class _Scale(nn.Module):
    """One scale with all deeper ones inside: (B, inputs, H, W) -> (B, channels, H, W)."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        skip_channels: int,
        inner: _Scale | None,
        *,
        layer: _Layer,
        upsampling: str,
        attention: bool,
    ) -> None:
        super().__init__()
        self.across = layer.pointwise(inputs, skip_channels)
        self.down = nn.Sequential(
            layer.convolution(inputs, channels, stride=2),
            *([NonLocalBlock(channels)] if attention else []),
            *layer.activation(channels),
            *layer.full(channels, channels),
        )
        self.inner = nn.Identity() if inner is None else inner
        self.upsampling = upsampling
        self.up = nn.Sequential(
            normalisation(skip_channels + channels),
            *layer.full(skip_channels + channels, channels),
            *layer.pointwise(channels, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.up(self.joined(features))
        return result

    def joined(self, features: Tensor) -> Tensor:
        """What came across and what came from below; apart from `forward`, so that its parts are freed before ``up``."""
        deeper = double(self.inner(self.down(features)), self.upsampling)
        return torch.cat([self.across(features), crop_centre(deeper, features.shape[-2], features.shape[-1])], dim=1)


def normalisation(channels: int) -> nn.BatchNorm2d:
    """Batch norm that keeps nothing of what it has seen."""
    return nn.BatchNorm2d(channels, track_running_stats=False)


def double(features: Tensor, mode: str) -> Tensor:
    """Twice the height and width."""
    align = None if mode == "nearest" else False
    return F.interpolate(features, scale_factor=2.0, mode=mode, align_corners=align)


def crop_centre(features: Tensor, height: int, width: int) -> Tensor:
    """The central (height, width) of a larger map; of two middles, the upper and left one."""
    top, left = (features.shape[-2] - height) // 2, (features.shape[-1] - width) // 2
    return features[..., top : top + height, left : left + width]
