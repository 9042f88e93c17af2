"""Networks that give a value at every point of the plane: what an image is to an implicit image prior."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["FourierFeatures", "SineLayer", "fourier_network", "sine_network"]


class FourierFeatures(nn.Module):
    """``(cos(pi B v), sin(pi B v))`` with fixed random frequencies B, so that a network sees fine detail.

    Tancik, Srinivasan, Mildenhall et al., "Fourier Features Let Networks Learn High Frequency Functions in Low
    Dimensional Domains", NeurIPS 2020, Eq. 5, with the plane's longer side from -1 to 1 (there it is from 0 to 1).

    Args:
        count: of the frequencies; there are twice as many features.
        bandwidth: their standard deviation, periods along the longer side.
    """

    frequencies: Tensor

    def __init__(self, count: int, bandwidth: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", bandwidth * torch.randn(2, count))

    def forward(self, coordinates: Tensor) -> Tensor:
        """Coordinates (N, 2) -> features (N, 2 count) in [-1, 1]."""
        phases = math.pi * coordinates @ self.frequencies
        return torch.cat([phases.cos(), phases.sin()], dim=-1)


class SineLayer(nn.Module):
    """``sin(omega (W u + b))``, initialised so that activations keep their distribution through any number of layers.

    Sitzmann, Martel, Bergman, Lindell, Wetzstein, "Implicit Neural Representations with Periodic Activation
    Functions", NeurIPS 2020, Section 3.2: weights uniform within ``1 / inputs`` in the first layer and within
    ``sqrt(6 / inputs) / omega`` in the others.

    Args:
        inputs: numbers at a point.
        outputs: likewise.
        omega: angular frequency.
        first: whether coordinates are its input.
    """

    def __init__(self, inputs: int, outputs: int, omega: float, *, first: bool = False) -> None:
        super().__init__()
        self.omega = omega
        self.linear = nn.Linear(inputs, outputs)
        bound = 1 / inputs if first else math.sqrt(6 / inputs) / omega
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, inputs) -> (N, outputs) in [-1, 1]."""
        return torch.sin(self.omega * self.linear(features))


def fourier_network(outputs: int, *, hidden: int, layers: int, frequencies: int, bandwidth: float) -> nn.Sequential:
    """Random Fourier features, ``layers`` of ``hidden`` ReLUs, and a linear layer: (N, 2) -> (N, outputs)."""
    widths = [2 * frequencies, *[hidden] * layers]
    inner: list[nn.Module] = []
    for inputs, width in pairwise(widths):
        inner += [nn.Linear(inputs, width), nn.ReLU(inplace=True)]
    return nn.Sequential(FourierFeatures(frequencies, bandwidth), *inner, nn.Linear(hidden, outputs))


def sine_network(outputs: int, *, hidden: int, layers: int, omega: float) -> nn.Sequential:
    """One sine layer of the coordinates, ``layers`` of ``hidden`` sines, a linear layer: (N, 2) -> (N, outputs)."""
    last = nn.Linear(hidden, outputs)
    bound = math.sqrt(6 / hidden) / omega
    nn.init.uniform_(last.weight, -bound, bound)
    inner = [SineLayer(hidden, hidden, omega) for _ in range(layers)]
    return nn.Sequential(SineLayer(2, hidden, omega, first=True), *inner, last)
