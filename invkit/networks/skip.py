"""The encoder-decoder with skip connections of the deep image prior, and its settings."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from .nonlocal_block import NonLocalBlock
from .prepared_convolution import MixedConv2d, PaddingMode, PreparedConvolution, batch_norm
from .random import seeded

__all__ = ["SkipNetwork", "SkipSettings", "crop_centre", "scales_that_fit", "smallest_side"]


class SkipSettings(BaseModel):
    """Settings of a skip network and of its random input.

    The defaults are those of the image network G_x in Ren et al., "Neural Blind Deconvolution Using Deep Priors", CVPR
    2020. Their released code differs from the paper: it has a ``latent_scale`` of 0.1 and three ``nonlocal_scales``.

    Args:
        latent_channels: channels of the fixed random input.
        latent_scale: the random input is uniform on [0, latent_scale].
        channels: feature channels of every scale, even.
        skip_channels: channels of each skip connection.
        scales: how many times the size is halved.
        kernel_size: side of the convolutions, pixels.
        upsampling: interpolation that doubles the size of a scale.
        padding: how features continue beyond the border.
        negative_slope: slope of the leaky ReLU below zero.
        nonlocal_scales: number of the deepest scales that have a non-local block.

    Example:
        >>> SkipSettings(channels=32).channels
        32
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    latent_channels: PositiveInt = 8
    latent_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    channels: Annotated[int, Field(gt=0, multiple_of=2)] = 128
    skip_channels: PositiveInt = 16
    scales: Annotated[int, Field(gt=0, le=8)] = 5
    kernel_size: Literal[1, 3, 5, 7] = 3
    upsampling: Literal["bilinear", "nearest", "bicubic"] = "bilinear"
    padding: PaddingMode = "reflect"
    negative_slope: Annotated[float, Field(ge=0, lt=1)] = 0.2
    nonlocal_scales: NonNegativeInt = 0

    def fitted(self, side: int) -> SkipSettings:
        """Return these settings with at most as many scales as fit on an image of this side, and at least one.

        Example:
            >>> SkipSettings(scales=5).fitted(20).scales
            4
        """
        return self.model_copy(update={"scales": min(self.scales, max(1, scales_that_fit(side, self.kernel_size)))})

    def draw(self, shape: tuple[int, int, int, int], seed: int) -> tuple[Tensor, SkipNetwork]:
        """Draw the random input and the weights of a network.

        Args:
            shape: (B, C, H, W) of the network's output.
            seed: of the input and the weights.

        Returns:
            The input, (B, latent_channels, H, W), uniform on [0, latent_scale], and the network.
        """
        with seeded(seed):
            latent = self.latent_scale * torch.rand(shape[0], self.latent_channels, *shape[2:])
            return latent, SkipNetwork(self, shape[1])


class SkipNetwork(nn.Sequential):
    """The skip encoder-decoder of the deep image prior; its output has the size of its input.

    Ulyanov, Vedaldi, Lempitsky, "Deep Image Prior", CVPR 2018, in the form of Ren et al., "Neural Blind Deconvolution
    Using Deep Priors", CVPR 2020 (supplement). At every scale two convolutions, the first of stride 2, lead down, and
    a 1x1 convolution is the skip connection. Upsampling, concatenation, batch norm, a convolution and a 1x1
    convolution lead up. A batch norm and a leaky ReLU follow each convolution. Batch norms always use the statistics
    of their input and keep none, so a call changes nothing. The last layer is a 1x1 convolution without a
    non-linearity. A non-local block follows the stride-2 convolution of the deepest ``nonlocal_scales`` scales.

    Args:
        settings: of the network; it takes ``settings.latent_channels`` channels.
        out_channels: channels of the output.
    """

    def __init__(self, settings: SkipSettings, out_channels: int) -> None:
        inner: _Scale | None = None
        for scale in reversed(range(settings.scales)):
            attention = scale >= settings.scales - settings.nonlocal_scales
            inputs = settings.channels if scale else settings.latent_channels
            inner = _Scale(settings, inputs, inner, attention=attention)
        assert inner is not None, "a skip network has at least one scale"
        super().__init__(inner, pointwise(settings, out_channels))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name in torch
        """Map an input (B, latent_channels, H, W) to (B, out_channels, H, W).

        Under autocast the whole network computes in autocast's precision.
        """
        device = input.device.type
        if torch.is_autocast_enabled(device) and input.dtype == torch.float32:
            input = input.to(torch.get_autocast_dtype(device))  # noqa: A001
        with torch.autocast(device, enabled=False):
            output: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
            return output


def smallest_side(scales: int, kernel_size: int = 3) -> int:
    """Return the least height and width, pixels, that a `SkipNetwork` takes.

    The deepest scale is ``ceil(side / 2**scales)`` pixels wide. There, reflection needs as many pixels as the padding
    is wide plus one, and batch norm needs more than one number.

    Example:
        >>> smallest_side(scales=5), smallest_side(scales=5, kernel_size=5)
        (33, 65)
    """
    return (max(2, kernel_size // 2 + 1) - 1) * (1 << scales) + 1


def scales_that_fit(side: int, kernel_size: int = 3) -> int:
    """Return the most scales that a `SkipNetwork` can have on an image of this side, pixels; 0 if none fits."""
    scales = 0
    while smallest_side(scales + 1, kernel_size) <= side:
        scales += 1
    return scales


def activation(settings: SkipSettings, channels: int) -> list[nn.Module]:
    """Build a batch norm and a leaky ReLU."""
    # in place: batch norm needs its input for the gradient, not its output
    return [batch_norm(channels), nn.LeakyReLU(settings.negative_slope, inplace=True)]


def pointwise(settings: SkipSettings, outputs: int) -> PreparedConvolution:
    """Build an activation and a 1x1 convolution of all feature channels."""
    return PreparedConvolution(settings.channels, outputs, negative_slope=settings.negative_slope)


class _Scale(nn.Module):
    """One scale and all deeper ones: (B, inputs, H, W) -> (B, channels, H, W), not yet normalised."""

    def __init__(self, settings: SkipSettings, inputs: int, inner: _Scale | None, *, attention: bool) -> None:
        super().__init__()
        channels, skip, size = settings.channels, settings.skip_channels, settings.kernel_size
        padding, slope = settings.padding, settings.negative_slope
        self.upsampling = settings.upsampling
        self.across = nn.Sequential(MixedConv2d(inputs, skip, 1), *activation(settings, skip))
        self.down = nn.Sequential(
            MixedConv2d(inputs, channels, size, 2, size // 2, padding_mode=padding),
            *([NonLocalBlock(channels)] if attention else []),
            PreparedConvolution(channels, channels, size, padding=padding, negative_slope=slope),
            *activation(settings, channels),
        )
        self.inner = nn.Sequential(*([] if inner is None else [inner, *activation(settings, channels)]))
        self.up = nn.Sequential(
            PreparedConvolution(skip + channels, channels, size, padding=padding), pointwise(settings, channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.up(self.joined(features))
        return result

    def joined(self, features: Tensor) -> Tensor:
        """Concatenate both paths; a separate method, so that its temporary maps are freed before ``up`` runs."""
        deeper = doubled(self.inner(self.down(features)), self.upsampling, features.shape[-2:])
        return torch.cat([self.across(features), deeper], dim=1)


def doubled(features: Tensor, mode: str, size: tuple[int, ...]) -> Tensor:
    """Double height and width of a map and cut it to a size.

    The cut removes at most the last row and column. Interpolation to ``size`` with the factor 2 never computes them.

    Args:
        features: (B, C, h, w).
        mode: "bilinear", "nearest" or "bicubic".
        size: (H, W), each 2 h or 2 h - 1 and 2 w or 2 w - 1.

    Returns:
        (B, C, H, W).
    """
    height, width = size
    if mode == "nearest":
        nearest: Tensor = torch.ops.aten.upsample_nearest2d(features, [height, width], 2.0, 2.0)
        return nearest
    enlarge = torch.ops.aten.upsample_bicubic2d if mode == "bicubic" else torch.ops.aten.upsample_bilinear2d
    enlarged: Tensor = enlarge(features, [height, width], False, 2.0, 2.0)
    return enlarged


def crop_centre(features: Tensor, height: int, width: int) -> Tensor:
    """Crop the central part of a larger map; of two central positions, the upper left one.

    Args:
        features: (B, C, H, W).
        height: of the part, pixels, at most H.
        width: of the part, pixels, at most W.

    Example:
        >>> crop_centre(torch.arange(4.0).view(1, 1, 2, 2), 1, 2).tolist()
        [[[[0.0, 1.0]]]]
    """
    top, left = (features.shape[-2] - height) // 2, (features.shape[-1] - width) // 2
    return features[..., top : top + height, left : left + width]
