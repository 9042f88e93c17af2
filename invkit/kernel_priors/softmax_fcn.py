"""SelfDeblur's kernel network: a fixed random vector, one hidden layer, a softmax."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import KernelPrior, LatentPrior, Resizable
from ..core.parameters import Seed, validated
from ..networks.random import seeded
from ..numerics.geometry import Shape, Size, new_size, resample, resample_kernel, size_of
from .simplex import SMALLEST, softmax_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SoftmaxFCN"]

Activation = Literal["relu6", "relu", "leaky-relu"]


class SoftmaxFCN(LatentPrior, KernelPrior, Resizable):
    """Fully connected network ``latent -> hidden -> h*w -> softmax`` (Ren et al., CVPR 2020, Sec. 3.3).

    The parameters of the network are the unknowns, its input stays fixed. ``layers=0`` and ``layers=2`` are the
    paper's k- and k+. Of several kernels (B > 1) each has a network and an input of its own, drawn as one alone would
    draw them with the seed plus its place. Weights and biases start uniform in ``+-1/sqrt(inputs)``, the inputs
    uniform in ``[0, latent_scale]``.

    Args:
        shape: (B, 1, h, w).
        hidden: neurons of each hidden layer.
        layers: number of hidden layers.
        latent_size: length of the input; `latent` is (B, latent_size).
        latent_scale: largest value of the input.
        activation: after each hidden layer.
        seed: of the input and the weights; the global random state is neither read nor changed.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        hidden: Annotated[int, Field(gt=0, description="neurons of each hidden layer")] = 1000,
        layers: Annotated[Literal[0, 1, 2], Field(description="number of hidden layers")] = 1,
        latent_size: Annotated[int, Field(gt=0, description="length of the fixed random input")] = 200,
        latent_scale: Annotated[
            float, Field(gt=0, allow_inf_nan=False, description="the input is uniform in [0, latent_scale]")
        ] = 1.0,
        activation: Annotated[Activation, Field(description="after each hidden layer")] = "relu6",
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
        """The kernels for inputs (B, latent_size): (B, 1, h, w), >= 0, each summing to one."""
        logits = [network(one) for network, one in zip(self.networks, latent.chunk(len(latent)), strict=True)]
        return softmax_kernel(torch.cat(logits), self.shape)

    @torch.no_grad()
    def resized(self, shape: Shape, scale: float) -> Self:
        """The networks with other output layers, which give the kernels resampled about their centre pixels.

        The weights of each hidden neuron are a picture of the kernel's size, and so are the biases. Resampled, they
        would give a product of powers of neighbouring pixels, in which thin lines vanish; the least change of them
        then gives their average. Pixels are raised to the smallest of the old kernel, scaled, and to 1e-6, so that
        what lies beyond the old frame can still grow. Raises `InputError` for another batch.
        """
        size, old = new_size(self.shape, shape), self()
        least = (old.amin((2, 3), keepdim=True) / scale**2).clamp(min=SMALLEST)
        kernels = torch.maximum(resample_kernel(old, size, scale), least)
        resized = copy.deepcopy(self)
        resized.shape = shape
        for network, latent, kernel in zip(resized.networks, self.latent.chunk(shape[0]), kernels, strict=True):
            assert isinstance(network, nn.Sequential)
            resize_output(network, size_of(old), size, scale)
            adjust_output(network, latent, kernel.view(1, -1).log())
        return resized


def resize_output(network: nn.Sequential, old: Size, size: Size, scale: float) -> None:
    """Resample the weights and biases of the last layer as the pictures of the old size that they are."""
    layer = output_layer(network)
    rows = torch.cat([layer.weight, layer.bias[:, None]], 1)
    pictures = resample(rows.T.view(1, -1, *old), size, scale, about="centre")
    rows = pictures[0].flatten(1).T
    layer.weight = nn.Parameter(rows[:, :-1].contiguous(), layer.weight.requires_grad)
    layer.bias = nn.Parameter(rows[:, -1].contiguous(), layer.bias.requires_grad)
    layer.out_features = len(rows)


def adjust_output(network: nn.Sequential, latent: Tensor, logits: Tensor) -> None:
    """The least change of the last layer that gives these logits, (1, h*w), up to what the softmax ignores."""
    layer, hidden = output_layer(network), network[:-1](latent)
    missing = logits - layer(hidden)
    missing = (missing - missing.mean(1, keepdim=True)).double()
    inputs = torch.cat([hidden, torch.ones_like(hidden[:, :1])], 1).double()
    change = (torch.linalg.pinv(inputs) @ missing).to(layer.weight)
    layer.weight.add_(change[:-1].T)
    layer.bias.add_(change[-1])


def output_layer(network: nn.Sequential) -> nn.Linear:
    """The last layer of a network."""
    layer = network[-1]
    assert isinstance(layer, nn.Linear)
    return layer


def activation_module(name: Activation) -> nn.Module:
    """The module a recipe's word stands for."""
    if name == "leaky-relu":
        return nn.LeakyReLU(0.2)
    return nn.ReLU6() if name == "relu6" else nn.ReLU()
