"""A skip network for the kernel, as in the comparison with Double-DIP."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..core.interfaces import KernelPrior, LatentPrior, Resizable
from ..core.parameters import Seed, flat_settings
from ..networks.random import seeded
from ..networks.skip import SkipNetwork, SkipSettings, crop_centre, smallest_side
from ..numerics.framing import new_size
from ..numerics.geometry import Shape, Size
from ..numerics.resampling import resample_noise
from .simplex import softmax_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DipSkipKernel"]


class DipSkipKernel(LatentPrior, KernelPrior, Resizable):
    """Deep image prior for the kernel: ``k = softmax(network(latent))`` over all its pixels.

    The kernel network of the comparison with Double-DIP in Ren et al., "Neural Blind Deconvolution Using Deep Priors",
    CVPR 2020 (Table 1); Double-DIP itself is Gandelsman, Shocher, Irani, CVPR 2019. A kernel of any size is accepted.
    If it is too small for ``scales`` halvings, the network has as many scales as fit, at least one. With 3x3
    convolutions, a kernel of fewer than 3 pixels on a side is the centre of a 3x3 output.

    Args:
        shape: (B, 1, h, w) of the kernel.
        settings: settings of the network; each is a keyword by itself, such as ``channels=32``. ``scales`` is an upper
            limit.
        seed: seed of the latent and of the initial weights.

    Example:
        >>> kernel = DipSkipKernel((1, 1, 9, 7), channels=4)()
        >>> kernel.shape, round(kernel.sum().item(), 5)
        (torch.Size([1, 1, 9, 7]), 1.0)
    """

    @flat_settings
    def __init__(self, shape: Shape, *, settings: SkipSettings = SkipSettings(), seed: Seed = 0) -> None:
        super().__init__(shape)
        self.settings, self.seed = settings, seed
        latent, self.network = self.fitted(shape).draw((shape[0], 1, *self.latent_size(shape)), seed)
        self.latent: Tensor
        self.register_buffer("latent", latent)
        self.to(memory_format=torch.channels_last)

    def decode(self, latent: Tensor) -> Tensor:
        """Map a latent of the shape of ``self.latent`` to a kernel (B, 1, h, w), >= 0 and summing to one."""
        logits = crop_centre(self.network(latent), self.shape[-2], self.shape[-1])
        return softmax_kernel(logits, self.shape)

    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the same network with its latent resampled about the centre pixel.

        The new network has as many scales as one built for the new shape. Scales that no longer fit are removed, and
        new ones are drawn from the seed. Only the weights are kept. Convolutions do not scale with their input, so the
        new kernel is not the old one resampled; a solver fits it again from these weights.

        Args:
            shape: (B, 1, h, w) of the new kernel.
            scale: new pixels per old pixel.

        Raises:
            InputError: the shape has another batch.
        """
        new_size(self.shape, shape)
        latent = resample_noise(self.latent, self.latent_size(shape), scale, about="centre")
        resized = copy.deepcopy(self)
        resized.shape, resized.latent = shape, latent.clone(memory_format=torch.channels_last)
        if self.fitted(shape) != self.fitted(self.shape):
            resized.network = self.regrown(shape).to(latent).to(memory_format=torch.channels_last)
        return resized

    def latent_size(self, shape: Shape) -> Size:
        """Return the size of the network's output: that of the kernel, or the least that a skip network takes."""
        least = smallest_side(1, self.settings.kernel_size)
        return max(shape[-2], least), max(shape[-1], least)

    def fitted(self, shape: Shape) -> SkipSettings:
        """Return the settings with as many scales as fit on a kernel of a shape."""
        return self.settings.fitted(min(self.latent_size(shape)))

    def regrown(self, shape: Shape) -> SkipNetwork:
        """Build a network for another shape with the weights of all scales that both networks have."""
        with seeded(self.seed):
            network = SkipNetwork(self.fitted(shape), 1)
        old, new = self.network.state_dict(), network.state_dict()
        shared = {name: value for name, value in old.items() if name in new and value.shape == new[name].shape}
        network.load_state_dict(new | shared)
        return network
