"""The deep decoder: an untrained network with fewer weights than the image has pixels."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import ImagePrior, LatentPrior, Resizable
from ..core.parameters import PositiveInt, Seed, validated
from ..networks.deep_decoder import DeepDecoderNetwork, coarsest
from ..networks.random import seeded
from ..numerics.geometry import Shape, new_size, resample

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DeepDecoderImage"]


class DeepDecoderImage(LatentPrior, ImagePrior, Resizable):
    """Deep decoder, no convolutions but of single pixels: ``x = sigmoid(network(latent))``.

    Heckel & Hand, "Deep Decoder: Concise Image Representations from Untrained Non-convolutional Networks", ICLR 2019.
    Where it has fewer weights than the image has pixels it cannot fit noise, and needs no early stop; its image is
    the smoother the fewer channels. The latent (B, channels, h, w), ``2**(layers - 1)`` times coarser than the image,
    is uniform on [0, 1] and fixed; a batch shares one network.

    Args:
        shape: (B, C, H, W) of the image; H and W above ``2**(layers - 1)``.
        channels: of every layer; 64 or 128 in the paper for 512x512 pixels.
        layers: of the network; all but the last double the size. A latent of about 16x16 pixels served best, as the
            paper's does: 4 layers for images of 128 pixels, 5 for 256, 6 for 512.
        seed: of the latent and of the initial weights.

    Raises:
        InputError: the image is too small for that many layers.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        channels: Annotated[PositiveInt, Field(description="feature channels of every layer")] = 64,
        layers: Annotated[int, Field(gt=0, le=10, description="layers; all but the last double the size")] = 4,
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        check_size(shape, layers)
        self.channels, self.layers = channels, layers
        batch, out_channels, height, width = shape
        with seeded(seed):
            latent = torch.rand(batch, channels, *coarsest(height, width, layers))
            self.network = DeepDecoderNetwork(out_channels, channels=channels, layers=layers)
        self.latent: Tensor
        self.register_buffer("latent", latent)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent (B, channels, h, w) -> image (B, C, H, W) in [0, 1]; the sigmoid never in low precision."""
        return torch.sigmoid(self.network.decoded(latent, *self.shape[-2:]).to(latent.dtype))

    def resized(self, shape: Shape, scale: float) -> Self:
        """The same network on its latent resampled about the middle: about the same image, within a coarse pixel.

        Raises:
            InputError: the image is too small for the network's layers, or of another batch or number of channels.
        """
        check_size(shape, self.layers)
        height, width = new_size(self.shape, shape)
        resized = copy.deepcopy(self)
        resized.shape = shape
        resized.latent = resample(self.latent, coarsest(height, width, self.layers), scale).clone()
        return resized

    def memory_needed(self) -> int:
        """About thirty bytes for each channel and pixel, as measured in float32."""
        batch, _, height, width = self.shape
        return 30 * self.channels * batch * height * width


def check_size(shape: Shape, layers: int) -> None:
    """Refuse an image whose latent would be a single row or column, which normalises to nothing; `InputError`."""
    side, doublings = min(shape[-2:]), layers - 1
    if side > 1 << doublings:
        return
    fitting = (side - 1).bit_length()
    remedy = f"use layers={fitting} or a larger image" if fitting else "use the prior 'pixels'"
    raise InputError(
        f"a deep decoder of {layers} layers needs an image of at least {(1 << doublings) + 1} pixels each way; "
        f"got {shape[-2]}x{shape[-1]}; {remedy}"
    )
