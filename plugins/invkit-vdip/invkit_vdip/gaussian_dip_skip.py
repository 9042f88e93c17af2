"""A deep image prior that gives a distribution: a mean and a standard deviation for each pixel."""

from __future__ import annotations

from typing import final

from torch import Tensor

from invkit.core.parameters import Seed, flat_settings
from invkit.image_priors.dip_skip import DipSkipImage
from invkit.networks.skip import SkipSettings
from invkit.numerics.geometry import Shape

from .abilities import GaussianPrior

__all__ = ["GaussianDipSkip"]


@final
class GaussianDipSkip(GaussianPrior, DipSkipImage):
    """A skip network that gives ``N(mean, std^2)`` for each pixel; the image is the mean.

    Huo, Masoumzadeh, Kushol, Yang, "Blind Image Deconvolution Using Variational Deep Image Prior", IEEE TPAMI 2023.
    The network of `dip-skip` has twice the channels after its sigmoid. The first half are the means and the second
    half the standard deviations, all in [0, 1]. The latent is that of the released code, which also has 3
    ``nonlocal_scales``.

    Args:
        shape: (B, C, H, W) of the image.
        settings: settings of the network; each is a keyword by itself. An image too small for ``scales`` halvings has
            as many as fit.
        seed: seed of the latent and of the initial weights.

    Raises:
        InputError: the image is too small for one scale.

    Example:
        >>> mean, std = GaussianDipSkip((1, 3, 24, 28), channels=4).distribution()
        >>> mean.shape == std.shape == (1, 3, 24, 28)
        True
    """

    @flat_settings
    def __init__(
        self,
        shape: Shape,
        *,
        settings: SkipSettings = SkipSettings(latent_channels=3, latent_scale=0.1),
        seed: Seed = 0,
    ) -> None:
        doubled = (shape[0], 2 * shape[1], *shape[2:])
        super().__init__(doubled, settings=settings.fitted(min(shape[2:])), seed=seed)
        self.shape = shape

    def distribution(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation for the fixed latent, each (B, C, H, W) in [0, 1]."""
        return self.halves(self.latent)

    def decode(self, latent: Tensor) -> Tensor:
        """Map a latent (B, latent_channels, H, W) to the mean (B, C, H, W) in [0, 1]."""
        return self.halves(latent)[0]

    def halves(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Map a latent to mean and standard deviation."""
        mean, std = super().decode(latent).chunk(2, dim=1)
        return mean, std
