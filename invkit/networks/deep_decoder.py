"""The network of the deep decoder: upsampling, and mixing of channels at each pixel by itself."""

from __future__ import annotations

from torch import Tensor, nn

from .prepared_convolution import normalisation
from .skip import crop_centre

__all__ = ["DeepDecoderNetwork", "coarsest"]


class DeepDecoderNetwork(nn.Sequential):
    """``B_(i+1) = cn(relu(U_i B_i C_i))``, and at the end ``B_d C_d``: Heckel & Hand, "Deep Decoder", ICLR 2019, Eq. 1.

    Each C mixes the channels of a pixel, each U doubles height and width by bilinear interpolation, but for the last,
    which leaves them; cn makes every channel's mean zero and variance one and then scales and shifts it. There are
    no convolutions over pixels: that neighbours are alike comes of the interpolation alone. It has
    ``layers (channels^2 + 2 channels) + channels * out_channels`` weights, commonly fewer than the image has pixels.

    Args:
        out_channels: channels of the output.
        channels: k, of every layer.
        layers: d.
    """

    def __init__(self, out_channels: int, *, channels: int, layers: int) -> None:
        doubling = [
            [*mixing(channels, channels), nn.Upsample(scale_factor=2, mode="bilinear"), *rectifying(channels)]
            for _ in range(layers - 1)
        ]
        last = [*mixing(channels, channels), *rectifying(channels), *mixing(channels, out_channels)]
        super().__init__(*[layer for block in doubling for layer in block], *last)

    def decoded(self, latent: Tensor, height: int, width: int) -> Tensor:
        """Latent (B, channels, h, w) of the size `coarsest` -> the middle (B, out_channels, height, width)."""
        return crop_centre(self(latent), height, width)


def mixing(inputs: int, outputs: int) -> list[nn.Module]:
    """A 1x1 convolution."""
    return [nn.Conv2d(inputs, outputs, 1, bias=False)]


def rectifying(channels: int) -> list[nn.Module]:
    """ReLU and normalisation of the channels."""
    return [nn.ReLU(inplace=True), normalisation(channels)]


def coarsest(height: int, width: int, layers: int) -> tuple[int, int]:
    """The latent's height and width, pixels, that make up an image of that size."""
    factor = 1 << (layers - 1)
    return -(-height // factor), -(-width // factor)
