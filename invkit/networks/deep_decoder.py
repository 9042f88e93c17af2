"""The network of the deep decoder: it upsamples, and mixes the channels of each pixel separately."""

from __future__ import annotations

from torch import Tensor, nn

from .prepared_convolution import batch_norm
from .skip import crop_centre

__all__ = ["DeepDecoderNetwork", "coarsest_size"]


class DeepDecoderNetwork(nn.Sequential):
    """``B_(i+1) = cn(relu(U_i B_i C_i))``, and at the end ``B_d C_d``: Heckel & Hand, "Deep Decoder", ICLR 2019, Eq. 1.

    C mixes the channels of a pixel. U doubles height and width by bilinear interpolation; the last U leaves the size.
    cn normalises every channel to mean zero and variance one, then scales and shifts it. No convolution extends over
    several pixels, so only the interpolation makes neighbouring pixels similar. The network has
    ``layers (channels^2 + 2 channels) + channels * out_channels`` weights, usually fewer than the image has pixels.

    Args:
        out_channels: channels of the output.
        channels: k, channels of every layer.
        layers: d, number of layers.
    """

    def __init__(self, out_channels: int, *, channels: int, layers: int) -> None:
        doubling = [
            [*mixing(channels, channels), nn.Upsample(scale_factor=2, mode="bilinear"), *rectifying(channels)]
            for _ in range(layers - 1)
        ]
        last = [*mixing(channels, channels), *rectifying(channels), *mixing(channels, out_channels)]
        super().__init__(*[layer for block in doubling for layer in block], *last)

    def decoded(self, latent: Tensor, height: int, width: int) -> Tensor:
        """Decode a latent and crop the output to the size of the image.

        Args:
            latent: (B, channels, h, w) of the size that `coarsest_size` gives.
            height: of the image, pixels.
            width: of the image, pixels.

        Returns:
            (B, out_channels, height, width).
        """
        return crop_centre(self(latent), height, width)


def mixing(inputs: int, outputs: int) -> list[nn.Module]:
    """Build a 1x1 convolution."""
    return [nn.Conv2d(inputs, outputs, 1, bias=False)]


def rectifying(channels: int) -> list[nn.Module]:
    """Build a ReLU and a normalisation of the channels."""
    return [nn.ReLU(inplace=True), batch_norm(channels)]


def coarsest_size(height: int, width: int, layers: int) -> tuple[int, int]:
    """Return height and width of the latent for an image.

    Args:
        height: of the image, pixels.
        width: of the image, pixels.
        layers: of the network; all but the last double the size.

    Example:
        >>> coarsest_size(100, 64, layers=4)
        (13, 8)
    """
    factor = 1 << (layers - 1)
    return -(-height // factor), -(-width // factor)
