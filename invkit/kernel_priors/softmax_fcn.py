"""SelfDeblur's kernel network: a fixed random vector, one hidden layer, a softmax."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..interfaces import KernelPrior, LatentPrior
from ..networks.random import seeded
from ..parameters import Seed, Shape, validated
from .simplex import softmax_kernel

__all__ = ["SoftmaxFCN"]

Activation = Literal["relu6", "relu", "leaky-relu"]


class SoftmaxFCN(LatentPrior, KernelPrior):
    """Fully connected network ``latent -> hidden -> h*w -> softmax`` (Ren et al., CVPR 2020, Sec. 3.3).

    The parameters of the network are the unknowns, its input stays fixed. ``layers=0`` and ``layers=2`` are the
    paper's k- and k+. With several kernels (B > 1) each has an input of its own and all share one network.
    Weights and biases start uniform in ``+-1/sqrt(inputs)``, the inputs uniform in ``[0, latent_scale]``.

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
        with seeded(seed):
            self.register_buffer("latent", latent_scale * torch.rand(shape[0], latent_size))
            linears = [nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths)]
        self.network = nn.Sequential(linears[0])
        for layer in linears[1:]:
            self.network.extend([activation_module(activation), layer])

    def decode(self, latent: Tensor) -> Tensor:
        """The kernel for an input (B, latent_size): (B, 1, h, w), >= 0, each summing to one."""
        return softmax_kernel(self.network(latent), self.shape)


def activation_module(name: Activation) -> nn.Module:
    """The module a recipe's word stands for."""
    if name == "leaky-relu":
        return nn.LeakyReLU(0.2)
    return nn.ReLU6() if name == "relu6" else nn.ReLU()
