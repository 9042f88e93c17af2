"""The deep image prior: an untrained skip network that maps fixed noise to the image."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..core.errors import InputError
from ..core.interfaces import ImagePrior, LatentPrior, Resizable
from ..core.parameters import Seed, flat_settings
from ..networks.branches import apply_each
from ..networks.skip import SkipSettings, scales_that_fit, smallest_side
from ..numerics.framing import new_size
from ..numerics.geometry import Shape
from ..numerics.resampling import resample_noise

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DipSkipImage", "check_skip_size"]


class DipSkipImage(LatentPrior, ImagePrior, Resizable):
    """Deep image prior, a skip network with a sigmoid: ``x = sigmoid(network(latent))``.

    Ulyanov et al., "Deep Image Prior", CVPR 2018; the defaults are those of G_x in Ren et al., "Neural Blind
    Deconvolution Using Deep Priors", CVPR 2020. The latent (B, latent_channels, H, W) is uniform on
    [0, latent_scale] and fixed. Each image of a batch has its own network and latent. They are drawn as for a single
    image whose seed is the sum of ``seed`` and its place in the batch, so a batch can hold several problems, or
    several attempts at one problem.

    Args:
        shape: (B, C, H, W) of the image; H and W at least ``2**scales + 1`` for 3x3 convolutions.
        settings: settings of the network; each is a keyword by itself, such as ``channels=32``.
        seed: seed of the latent and of the initial weights.

    Raises:
        InputError: the image is too small for the number of scales.

    Example:
        >>> image = DipSkipImage((1, 3, 40, 48), channels=4, scales=2)()
        >>> image.shape
        torch.Size([1, 3, 40, 48])
    """

    @flat_settings
    def __init__(self, shape: Shape, *, settings: SkipSettings = SkipSettings(), seed: Seed = 0) -> None:
        super().__init__(shape)
        check_skip_size(shape, settings)
        self.settings = settings
        drawn = [settings.draw((1, *shape[1:]), seed + place) for place in range(shape[0])]
        self.networks = nn.ModuleList(network for _, network in drawn)
        self.latent: Tensor
        self.register_buffer("latent", torch.cat([latent for latent, _ in drawn]))
        self.to(memory_format=torch.channels_last)

    def decode(self, latent: Tensor) -> Tensor:
        """Map a latent (B, latent_channels, H, W) to an image (B, C, H, W) in [0, 1].

        The sigmoid is computed in the latent's precision, even if the network computes in a lower one.
        """
        outputs = apply_each(self.networks, latent.chunk(len(latent)))
        return torch.sigmoid(torch.cat(outputs).to(latent.dtype))

    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the same networks with latents resampled about the centre.

        Only the weights are kept. Convolutions do not scale with their input, so the new image is not the old one
        resampled; a solver fits it again from these weights.

        Args:
            shape: (B, C, H, W) of the new image.
            scale: new pixels per old pixel.

        Raises:
            InputError: the image is too small for the network's scales, or has another batch or number of channels.
        """
        check_skip_size(shape, self.settings)
        latent = resample_noise(self.latent, new_size(self.shape, shape), scale)
        resized = copy.deepcopy(self)
        resized.shape, resized.latent = shape, latent.clone(memory_format=torch.channels_last)
        return resized

    def memory_needed(self) -> int:
        """Estimate the bytes of a gradient: 100 per feature channel and pixel, measured with 32 and 128 channels."""
        batch, _, height, width = self.shape
        return 100 * self.settings.channels * batch * height * width


def check_skip_size(shape: Shape, settings: SkipSettings) -> None:
    """Raise `InputError` if an image (B, C, H, W) is too small for the scales of a skip network."""
    least, side = smallest_side(settings.scales, settings.kernel_size), min(shape[-2:])
    if side < least:
        fitting = scales_that_fit(side, settings.kernel_size)
        remedy = f"use scales={fitting} or a larger image" if fitting else "use a larger image or the prior 'pixels'"
        raise InputError(
            f"a skip network of {settings.scales} scales needs an image of at least {least}x{least} pixels; "
            f"got {shape[-2]}x{shape[-1]}; {remedy}"
        )
