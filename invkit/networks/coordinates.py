"""Networks that map the coordinates of a point to a value: an implicit image prior samples them at the pixels."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["FourierFeatures", "SineLayer", "fourier_network", "sine_network"]


class FourierFeatures(nn.Module):
    """``(cos(pi B v), sin(pi B v))`` with fixed random frequencies B, which let a network represent fine detail.

    Tancik, Srinivasan, Mildenhall et al., "Fourier Features Let Networks Learn High Frequency Functions in Low
    Dimensional Domains", NeurIPS 2020, Eq. 5. Here the longer side of the plane extends from -1 to 1; in the paper it
    extends from 0 to 1.

    Args:
        count: number of frequencies; the number of features is twice as large.
        bandwidth: standard deviation of the frequencies, periods along the longer side.
    """

    frequencies: Tensor

    def __init__(self, count: int, bandwidth: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", bandwidth * torch.randn(2, count))

    def forward(self, coordinates: Tensor) -> Tensor:
        """Map coordinates (N, 2) to features (N, 2 count) in [-1, 1]."""
        phases = math.pi * coordinates @ self.frequencies
        return torch.cat([phases.cos(), phases.sin()], dim=-1)


class SineLayer(nn.Module):
    """``sin(omega (W u + b))``, initialised so that the distribution of activations is the same at every depth.

    Sitzmann, Martel, Bergman, Lindell, Wetzstein, "Implicit Neural Representations with Periodic Activation
    Functions", NeurIPS 2020, Section 3.2: weights are uniform within ``1 / inputs`` in the first layer and within
    ``sqrt(6 / inputs) / omega`` in the others.

    Args:
        inputs: features at each point.
        outputs: units of the layer.
        omega: angular frequency.
        first: whether the inputs are coordinates.
    """

    def __init__(self, inputs: int, outputs: int, omega: float, *, first: bool = False) -> None:
        super().__init__()
        self.omega = omega
        self.linear = nn.Linear(inputs, outputs)
        bound = 1 / inputs if first else math.sqrt(6 / inputs) / omega
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, inputs) to (N, outputs) in [-1, 1]."""
        return torch.sin(self.omega * self.linear(features))


def fourier_network(outputs: int, *, hidden: int, layers: int, frequencies: int, bandwidth: float) -> nn.Sequential:
    """Build random Fourier features, ReLU layers and a linear layer: (N, 2) -> (N, outputs).

    Args:
        outputs: values at each point.
        hidden: units of each ReLU layer.
        layers: number of ReLU layers.
        frequencies: number of random frequencies.
        bandwidth: standard deviation of the frequencies, periods along the longer side.

    Example:
        >>> network = fourier_network(3, hidden=16, layers=2, frequencies=8, bandwidth=5.0)
        >>> network(torch.zeros(10, 2)).shape
        torch.Size([10, 3])
    """
    widths = [2 * frequencies, *[hidden] * layers]
    inner: list[nn.Module] = []
    for inputs, width in pairwise(widths):
        inner += [nn.Linear(inputs, width), nn.ReLU(inplace=True)]
    return nn.Sequential(FourierFeatures(frequencies, bandwidth), *inner, nn.Linear(hidden, outputs))


def sine_network(outputs: int, *, hidden: int, layers: int, omega: float) -> nn.Sequential:
    """Build a sine layer of the coordinates, further sine layers and a linear layer: (N, 2) -> (N, outputs).

    Args:
        outputs: values at each point.
        hidden: units of each sine layer.
        layers: number of sine layers after the first.
        omega: angular frequency of the sines.
    """
    last = nn.Linear(hidden, outputs)
    bound = math.sqrt(6 / hidden) / omega
    nn.init.uniform_(last.weight, -bound, bound)
    inner = [SineLayer(hidden, hidden, omega) for _ in range(layers)]
    return nn.Sequential(SineLayer(2, hidden, omega, first=True), *inner, last)
