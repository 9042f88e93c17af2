"""The encoder-decoder with skip connections of the deep image prior."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from .nonlocal_block import NonLocalBlock
from .prepared_convolution import MixedConv2d, PaddingMode, PreparedConvolution, normalisation

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
        layers = _Layers(channels, kernel_size, padding, negative_slope)
        inner: _Scale | None = None
        for scale in reversed(range(scales)):
            inputs, attention = channels if scale else in_channels, scale >= scales - nonlocal_scales
            inner = _Scale(inputs, skip_channels, inner, layers, upsampling=upsampling, attention=attention)
        assert inner is not None, "a skip network has at least one scale"
        super().__init__(inner, layers.pointwise(out_channels))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name in torch
        """Input (B, in_channels, H, W) -> (B, out_channels, H, W); under autocast all of it in autocast's precision."""
        device = input.device.type
        if torch.is_autocast_enabled(device) and input.dtype == torch.float32:
            input = input.to(torch.get_autocast_dtype(device))  # noqa: A001
        with torch.autocast(device, enabled=False):
            output: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
            return output


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


class _Layers:
    """Makes the layers that a network of so many channels repeats."""

    def __init__(self, channels: int, kernel_size: int, padding: PaddingMode, negative_slope: float) -> None:
        self.channels, self.kernel_size, self.padding, self.slope = channels, kernel_size, padding, negative_slope

    def activation(self, channels: int) -> list[nn.Module]:
        # in place: batch norm needs its input for the gradient, not its output
        return [normalisation(channels), nn.LeakyReLU(self.slope, inplace=True)]

    def halving(self, inputs: int) -> nn.Conv2d:
        size = self.kernel_size
        return MixedConv2d(inputs, self.channels, size, 2, size // 2, padding_mode=self.padding)

    def full(self, inputs: int, slope: float) -> PreparedConvolution:
        size, padding = self.kernel_size, self.padding
        return PreparedConvolution(inputs, self.channels, size, padding=padding, negative_slope=slope)

    def pointwise(self, outputs: int) -> PreparedConvolution:
        return PreparedConvolution(self.channels, outputs, negative_slope=self.slope)


class _Scale(nn.Module):
    """One scale with all deeper ones inside: (B, inputs, H, W) -> (B, channels, H, W), not yet normalised."""

    def __init__(
        self, inputs: int, skip: int, inner: _Scale | None, layers: _Layers, *, upsampling: str, attention: bool
    ) -> None:
        super().__init__()
        channels = layers.channels
        self.across = nn.Sequential(MixedConv2d(inputs, skip, 1), *layers.activation(skip))
        self.down = nn.Sequential(
            layers.halving(inputs),
            *([NonLocalBlock(channels)] if attention else []),
            layers.full(channels, layers.slope),
            *layers.activation(channels),
        )
        self.inner = nn.Sequential(*([] if inner is None else [inner, *layers.activation(channels)]))
        self.upsampling = upsampling
        self.up = nn.Sequential(layers.full(skip + channels, slope=1), layers.pointwise(channels))

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.up(self.joined(features))
        return result

    def joined(self, features: Tensor) -> Tensor:
        """What came across and from below; a method of its own, so that the parts are freed before ``up`` runs."""
        deeper = doubled(self.inner(self.down(features)), self.upsampling, features.shape[-2:])
        return torch.cat([self.across(features), deeper], dim=1)


def doubled(features: Tensor, mode: str, size: tuple[int, ...]) -> Tensor:
    """The central ``size`` of a map enlarged to twice its height and width.

    The cut, of at most one row and column, is at the end; enlarging to ``size`` with the factor 2 never computes them.
    """
    height, width = size
    if mode == "nearest":
        nearest: Tensor = torch.ops.aten.upsample_nearest2d(features, [height, width], 2.0, 2.0)
        return nearest
    enlarge = torch.ops.aten.upsample_bicubic2d if mode == "bicubic" else torch.ops.aten.upsample_bilinear2d
    enlarged: Tensor = enlarge(features, [height, width], False, 2.0, 2.0)
    return enlarged


def crop_centre(features: Tensor, height: int, width: int) -> Tensor:
    """The central (height, width) of a larger map; of two middles, the upper and left one."""
    top, left = (features.shape[-2] - height) // 2, (features.shape[-1] - width) // 2
    return features[..., top : top + height, left : left + width]
