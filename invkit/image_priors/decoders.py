"""Decoders as deep image priors: untrained networks that enlarge a small random latent to the image."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.errors import InputError
from ..core.interfaces import ImagePrior, LatentPrior, Resizable
from ..core.parameters import PositiveInt, Seed, validated
from ..networks.deep_decoder import DeepDecoderNetwork, coarsest_size
from ..networks.prepared_convolution import batch_norm
from ..networks.random import seeded
from ..numerics.framing import new_size
from ..numerics.geometry import Shape
from ..numerics.resampling import resample

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ConvDecoderImage", "DeepDecoderImage"]


class ConvDecoderImage(LatentPrior, ImagePrior):
    """A convolutional decoder with a sigmoid: ``x = sigmoid(network(latent))``.

    Darestani & Heckel, "Accelerated MRI with Un-trained Neural Networks", 2021. Each layer is nearest-neighbour
    upsampling, a 3x3 convolution, a ReLU and a normalisation. The network is ``deepinv.models.ConvDecoder`` with batch
    norms that keep no running statistics, so that a call changes nothing. The latent (B, channels, latent_size,
    latent_size) is Gaussian and fixed. The images of a batch share one network.

    Args:
        shape: (B, C, H, W) of the image; H and W at least ``latent_size``.
        channels: feature channels of every layer; 256 in the paper.
        layers: number of layers with a 3x3 convolution; each but the last enlarges the size by the same factor.
        latent_size: height and width of the random input, pixels.
        seed: seed of the latent and of the initial weights.

    Raises:
        InputError: the image is smaller than the latent.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        channels: PositiveInt = 64,
        layers: Annotated[int, Field(gt=1, le=12)] = 7,
        latent_size: Annotated[int, Field(gt=1)] = 4,
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        if min(shape[-2:]) < latent_size:
            raise InputError(
                f"a conv decoder with a latent of {latent_size}x{latent_size} pixels cannot give an image of "
                f"{shape[-2]}x{shape[-1]}; use a smaller latent_size or a larger image"
            )
        self.channels = channels
        with seeded(seed):
            latent = torch.randn(shape[0], channels, latent_size, latent_size)
            self.network = conv_decoder(shape, latent_size, layers, channels)
        self.latent: Tensor
        self.register_buffer("latent", latent)

    def decode(self, latent: Tensor) -> Tensor:
        """Map a latent (B, channels, latent_size, latent_size) to an image (B, C, H, W) in [0, 1].

        The sigmoid is computed in the latent's precision, even if the network computes in a lower one.
        """
        return torch.sigmoid(self.network(latent).to(latent.dtype))

    def memory_needed(self) -> int:
        """Estimate the bytes of a gradient: 35 per channel and pixel, measured in float32."""
        batch, _, height, width = self.shape
        return 35 * self.channels * batch * height * width


class DeepDecoderImage(LatentPrior, ImagePrior, Resizable):
    """Deep decoder with 1x1 convolutions only: ``x = sigmoid(network(latent))``.

    Heckel & Hand, "Deep Decoder: Concise Image Representations from Untrained Non-convolutional Networks", ICLR 2019.
    If the network has fewer weights than the image has pixels, it cannot fit noise and needs no early stop. Fewer
    channels give a smoother image. The latent (B, channels, h, w) is ``2**(layers - 1)`` times coarser than the image,
    uniform on [0, 1] and fixed. The images of a batch share one network.

    Args:
        shape: (B, C, H, W) of the image; H and W above ``2**(layers - 1)``.
        channels: feature channels of every layer; 64 or 128 in the paper for 512x512 pixels.
        layers: number of layers; all but the last double the size. A latent of about 16x16 pixels, as in the paper,
            gave the best results: 4 layers for images of 128 pixels, 5 for 256, 6 for 512.
        seed: seed of the latent and of the initial weights.

    Raises:
        InputError: the image is too small for the number of layers.

    Example:
        >>> DeepDecoderImage((1, 3, 40, 48), channels=8, layers=3)().shape
        torch.Size([1, 3, 40, 48])
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        channels: PositiveInt = 64,
        layers: Annotated[int, Field(gt=0, le=10)] = 4,
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        check_decoder_size(shape, layers)
        self.channels, self.layers = channels, layers
        batch, out_channels, height, width = shape
        with seeded(seed):
            latent = torch.rand(batch, channels, *coarsest_size(height, width, layers))
            self.network = DeepDecoderNetwork(out_channels, channels=channels, layers=layers)
        self.latent: Tensor
        self.register_buffer("latent", latent)

    def decode(self, latent: Tensor) -> Tensor:
        """Map a latent (B, channels, h, w) to an image (B, C, H, W) in [0, 1].

        The sigmoid is computed in the latent's precision, even if the network computes in a lower one.
        """
        return torch.sigmoid(self.network.decoded(latent, *self.shape[-2:]).to(latent.dtype))

    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the same network with its latent resampled about the centre.

        The new image is about the old one, within a pixel of the latent.

        Args:
            shape: (B, C, H, W) of the new image.
            scale: new pixels per old pixel.

        Raises:
            InputError: the image is too small for the network's layers, or has another batch or number of channels.
        """
        check_decoder_size(shape, self.layers)
        height, width = new_size(self.shape, shape)
        resized = copy.deepcopy(self)
        resized.shape = shape
        resized.latent = resample(self.latent, coarsest_size(height, width, self.layers), scale).clone()
        return resized

    def memory_needed(self) -> int:
        """Estimate the bytes of a gradient: 30 per channel and pixel, measured in float32."""
        batch, _, height, width = self.shape
        return 30 * self.channels * batch * height * width


def conv_decoder(shape: Shape, latent_size: int, layers: int, channels: int) -> nn.Module:
    """Build deepinv's network with batch norms that keep no running statistics.

    Args:
        shape: (B, C, H, W) of the image.
        latent_size: height and width of the latent, pixels.
        layers: number of layers with a 3x3 convolution.
        channels: feature channels of every layer.
    """
    from deepinv.models import ConvDecoder

    network = ConvDecoder(shape[1:], (latent_size, latent_size), layers, channels)
    for index, layer in enumerate(network.net):
        if isinstance(layer, nn.BatchNorm2d):
            network.net[index] = batch_norm(layer.num_features)
    return cast("nn.Module", network)


def check_decoder_size(shape: Shape, layers: int) -> None:
    """Raise `InputError` for an image whose latent would be one row or column, which normalisation maps to zero."""
    side, doublings = min(shape[-2:]), layers - 1
    if side > 1 << doublings:
        return
    fitting = (side - 1).bit_length()
    remedy = f"use layers={fitting} or a larger image" if fitting else "use the prior 'pixels'"
    raise InputError(
        f"a deep decoder of {layers} layers needs an image of at least {(1 << doublings) + 1} pixels on each side; "
        f"got {shape[-2]}x{shape[-1]}; {remedy}"
    )
