"""SelfDeblur's kernel network: a fixed random vector, one hidden layer, a softmax."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from ..core.interfaces import KernelPrior, LatentPrior, Resizable
from ..core.parameters import Positive, PositiveInt, Seed, validated
from ..networks.random import seeded
from ..numerics.framing import new_size
from ..numerics.geometry import Shape, Size, size_of
from ..numerics.resampling import resample, resample_kernel, resample_noise
from .simplex import MIN_SOFTMAX_PIXEL, softmax_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SoftmaxFCN"]

Activation = Literal["relu6", "relu", "leaky-relu"]


class SoftmaxFCN(LatentPrior, KernelPrior, Resizable):
    """Fully connected network ``latent -> hidden -> h*w -> softmax`` (Ren et al., CVPR 2020, Sec. 3.3).

    The weights of the network are the unknowns, and its input is fixed. ``layers=0`` and ``layers=2`` are the paper's
    k- and k+. Each kernel of a batch has its own network and input. They are drawn as for a single kernel whose seed
    is the sum of ``seed`` and its place in the batch. Weights and biases start uniform on ``+-1/sqrt(inputs)``.

    Args:
        shape: (B, 1, h, w).
        hidden: neurons of each hidden layer.
        layers: number of hidden layers.
        latent_size: length of the fixed random input; ``latent`` is (B, latent_size).
        latent_scale: the random input is uniform on [0, latent_scale].
        activation: non-linearity after each hidden layer.
        seed: seed of the input and the weights; the global random state is neither read nor changed.

    Example:
        >>> kernel = SoftmaxFCN((1, 1, 9, 7), hidden=20)()
        >>> kernel.shape, round(kernel.sum().item(), 5)
        (torch.Size([1, 1, 9, 7]), 1.0)
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        hidden: PositiveInt = 1000,
        layers: Literal[0, 1, 2] = 1,
        latent_size: PositiveInt = 200,
        latent_scale: Positive = 1.0,
        activation: Activation = "relu6",
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        widths = [latent_size, *[hidden] * layers, shape[-2] * shape[-1]]
        self.networks, latents = nn.ModuleList(), []
        for place in range(shape[0]):
            with seeded(seed + place):
                latents.append(latent_scale * torch.rand(1, latent_size))
                linears = [nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths)]
            network = nn.Sequential(linears[0])
            for layer in linears[1:]:
                network.extend([activation_module(activation), layer])
            self.networks.append(network)
        self.latent: Tensor
        self.register_buffer("latent", torch.cat(latents))

    def decode(self, latent: Tensor) -> Tensor:
        """Map inputs (B, latent_size) to kernels (B, 1, h, w), >= 0, each summing to one."""
        logits = [network(one) for network, one in zip(self.networks, latent.chunk(len(latent)), strict=True)]
        return softmax_kernel(torch.cat(logits), self.shape)

    @torch.no_grad()
    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the networks with new output layers, which give the kernels resampled about their centre pixels.

        The output weights of each hidden neuron form an image of the kernel's size, and so do the biases. These images
        are resampled. Alone they would give a geometric mean of neighbouring pixels, in which thin lines vanish, so
        their smallest change that gives the resampled kernel is added. Pixels are raised to the scaled smallest pixel
        of the old kernel and to 1e-6, so that pixels outside the old frame can still grow.

        Raises `InputError` for another batch.
        """
        size, old = new_size(self.shape, shape), self()
        least = (old.amin((2, 3), keepdim=True) / scale**2).clamp(min=MIN_SOFTMAX_PIXEL)
        kernels = torch.maximum(resample_kernel(old, size, scale), least)
        resized = copy.deepcopy(self)
        resized.shape = shape
        for network, latent, kernel in zip(resized.networks, self.latent.chunk(shape[0]), kernels, strict=True):
            assert isinstance(network, nn.Sequential)
            resize_output(network, size_of(old), size, scale)
            adjust_output(network, latent, kernel.view(1, -1).log())
        return resized


def resize_output(network: nn.Sequential, old: Size, size: Size, scale: float) -> None:
    """Resample the weights and biases of the last layer, which form images of the kernel's size.

    On a coarser grid, the weights keep their standard deviation, and therefore the kernel its speed of learning.

    Args:
        network: its last layer is changed in place.
        old: (h, w) of the old kernel.
        size: (h, w) of the new kernel.
        scale: new pixels per old pixel.
    """
    layer = output_layer(network)
    weight = resample_noise(layer.weight.T.view(1, -1, *old), size, scale, about="centre")[0].flatten(1).T
    bias = resample(layer.bias.view(1, 1, *old), size, scale, about="centre").flatten()
    layer.weight = nn.Parameter(weight.contiguous(), layer.weight.requires_grad)
    layer.bias = nn.Parameter(bias.contiguous(), layer.bias.requires_grad)
    layer.out_features = len(bias)


def adjust_output(network: nn.Sequential, latent: Tensor, logits: Tensor) -> None:
    """Add to the last layer the smallest change that gives these logits, up to a constant, which a softmax ignores.

    Args:
        network: its last layer is changed in place.
        latent: (1, latent_size), the input.
        logits: (1, h * w).
    """
    layer, hidden = output_layer(network), network[:-1](latent)
    missing = logits - layer(hidden)
    missing = (missing - missing.mean(1, keepdim=True)).double()
    inputs = torch.cat([hidden, torch.ones_like(hidden[:, :1])], 1).double()
    change = (torch.linalg.pinv(inputs) @ missing).to(layer.weight)
    layer.weight.add_(change[:-1].T)
    layer.bias.add_(change[-1])


def output_layer(network: nn.Sequential) -> nn.Linear:
    """Return the last layer of a network."""
    layer = network[-1]
    assert isinstance(layer, nn.Linear)
    return layer


def activation_module(name: Activation) -> nn.Module:
    """Build the module of a non-linearity."""
    if name == "leaky-relu":
        return nn.LeakyReLU(0.2)
    return nn.ReLU6() if name == "relu6" else nn.ReLU()
