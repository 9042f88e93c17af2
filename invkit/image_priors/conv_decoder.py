"""deepinv's convolutional decoder as a deep image prior."""

from __future__ import annotations

from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.errors import InputError
from ..core.interfaces import ImagePrior, LatentPrior
from ..core.parameters import PositiveInt, Seed, validated
from ..networks.prepared_convolution import normalisation
from ..networks.random import seeded
from ..numerics.geometry import Shape

__all__ = ["ConvDecoderImage"]


class ConvDecoderImage(LatentPrior, ImagePrior):
    """A convolutional decoder with a sigmoid: ``x = sigmoid(network(latent))``, the latent a few pixels of noise.

    Darestani & Heckel, "Accelerated MRI with Un-trained Neural Networks", 2021: nearest-neighbour upsampling, 3x3
    convolution, ReLU and normalisation, layer by layer from the latent's size to the image's. The network is
    ``deepinv.models.ConvDecoder``, whose batch norms here keep no running statistics, so that a call changes nothing.
    The latent (B, channels, latent_size, latent_size) is Gaussian and fixed; a batch shares one network.

    Args:
        shape: (B, C, H, W) of the image; H and W at least ``latent_size``.
        channels: of every layer; 256 in the paper.
        layers: with a 3x3 convolution each; all but the last are larger than the one before by the same factor.
        latent_size: height and width of the latent, pixels.
        seed: of the latent and of the initial weights.

    Raises:
        InputError: the image is smaller than the latent.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        channels: Annotated[PositiveInt, Field(description="feature channels of every layer")] = 64,
        layers: Annotated[int, Field(gt=1, le=12, description="layers with a 3x3 convolution each")] = 7,
        latent_size: Annotated[int, Field(gt=1, description="height and width of the random input, pixels")] = 4,
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        if min(shape[-2:]) < latent_size:
            raise InputError(
                f"a conv decoder that starts from {latent_size}x{latent_size} pixels cannot give fewer; got an image "
                f"of {shape[-2]}x{shape[-1]}; use a smaller latent_size or a larger image"
            )
        self.channels = channels
        with seeded(seed):
            latent = torch.randn(shape[0], channels, latent_size, latent_size)
            self.network = decoder(shape, latent_size, layers, channels)
        self.latent: Tensor
        self.register_buffer("latent", latent)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent (B, channels, latent_size, latent_size) -> image (B, C, H, W) in [0, 1]."""
        return torch.sigmoid(self.network(latent).to(latent.dtype))  # the sigmoid never in low precision

    def memory_needed(self) -> int:
        """About thirty-five bytes for each channel and pixel, as measured in float32."""
        batch, _, height, width = self.shape
        return 35 * self.channels * batch * height * width


def decoder(shape: Shape, latent_size: int, layers: int, channels: int) -> nn.Module:
    """The network for an image of ``shape``, with batch norms that keep nothing of what they have seen."""
    from deepinv.models import ConvDecoder

    network = ConvDecoder(shape[1:], (latent_size, latent_size), layers, channels)
    for index, layer in enumerate(network.net):
        if isinstance(layer, nn.BatchNorm2d):
            network.net[index] = normalisation(layer.num_features)
    return cast("nn.Module", network)
