"""One network that gives several images."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from invkit.core.interfaces import ImagePrior, LatentPrior
from invkit.core.parameters import PositiveInt, Seed, flat_settings
from invkit.image_priors.dip_skip import check_skip_size
from invkit.networks.skip import SkipSettings
from invkit.numerics.geometry import Shape

__all__ = ["Branched", "BranchedSkipImage"]


class Branched(LatentPrior):
    """The ability of an image prior to give further images of the same scene from shared features.

    Attributes:
        branches: number of further images.
    """

    branches: int

    @abstractmethod
    def decode_all(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image (B, C, H, W) and the further images (B, branches, C, H, W), all in [0, 1]."""

    def decode(self, latent: Tensor) -> Tensor:
        """Return the image (B, C, H, W) alone."""
        return self.decode_all(latent)[0]


class BranchedSkipImage(Branched, ImagePrior):
    """Deep image prior whose last layer gives the image and several intermediate images from the same features.

    Lee et al., "Blind image deblurring with noise-robust kernel estimation", ECCV 2024; the defaults are those of its
    released code, github.com/csleemooo/BD_noise_robust_kernel_estimation, without its dropout and its 3
    ``nonlocal_scales``. There a 3x3 convolution gives features of each image, and a 1x1 convolution maps these to the
    image. Here one 1x1 convolution gives all images. An image too small for ``scales`` halvings has as many as fit, at
    least one.

    Args:
        shape: (B, C, H, W) of the image; H and W at least 3 for 3x3 convolutions.
        branches: number of intermediate images.
        settings: settings of the network; each is a keyword by itself, such as ``channels=32``.
        seed: seed of the latent and of the initial weights.

    Raises:
        InputError: the image is too small for one scale.

    Example:
        >>> prior = BranchedSkipImage((1, 1, 16, 20), branches=2, channels=4)
        >>> prior.decode_all(prior.latent)[1].shape
        torch.Size([1, 2, 1, 16, 20])
    """

    @flat_settings
    def __init__(
        self,
        shape: Shape,
        *,
        branches: PositiveInt = 3,
        settings: SkipSettings = SkipSettings(
            latent_scale=0.1, skip_channels=64, upsampling="nearest", negative_slope=0.1
        ),
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        fitted = settings.fitted(min(shape[2:]))
        check_skip_size(shape, fitted)
        self.branches, self.channels = branches, settings.channels
        latent, self.network = fitted.draw((shape[0], (1 + branches) * shape[1], *shape[2:]), seed)
        self.latent: Tensor
        self.register_buffer("latent", latent)
        self.to(memory_format=torch.channels_last)

    def decode_all(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Map a latent (B, latent_channels, H, W) to (B, C, H, W) and (B, branches, C, H, W), in [0, 1]."""
        outputs = torch.sigmoid(self.network(latent).to(latent.dtype))
        batch, channels, height, width = self.shape
        images = outputs.view(batch, 1 + self.branches, channels, height, width)
        return images[:, 0], images[:, 1:]

    def memory_needed(self) -> int:
        """Estimate the bytes of a gradient: 100 per feature channel and pixel, as for one image."""
        batch, _, height, width = self.shape
        return 100 * self.channels * batch * height * width
