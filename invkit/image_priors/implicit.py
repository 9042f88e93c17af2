"""The image as a function of the plane: a network maps coordinates to values."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import ImagePrior, Resizable
from ..core.parameters import Positive, PositiveInt, Seed, validated
from ..networks.coordinates import fourier_network, sine_network
from ..networks.random import seeded
from ..numerics.framing import new_size
from ..numerics.geometry import Shape

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ImplicitImage"]


class ImplicitImage(ImagePrior, Resizable):
    """Implicit image: ``x[i, j] = sigmoid(network(v_ij))``, where v_ij are the coordinates of a pixel.

    ``features="fourier"``: fixed random Fourier features of v, then ReLU layers (Tancik et al., NeurIPS 2020). Detail
    finer than ``bandwidth`` is fitted late or never. ``features="siren"``: sine layers only (Sitzmann et al., NeurIPS
    2020). It needs a learning rate of 1e-3 or less; with the 1e-2 of a deep image prior it does not converge.

    The centre of the image is the origin, and its longer side extends from -1 to 1. On another grid the same function
    is sampled at other points, so a finer grid shows the detail that the network has learnt. A coarser grid takes
    samples, not means. Each image of a batch has its own network.

    Args:
        shape: (B, C, H, W).
        features: the first layer: "fourier" (random Fourier features, then ReLUs) or "siren" (sines only).
        hidden: units of each layer.
        layers: number of layers between the features and the last layer, which is linear.
        frequencies: number of random frequencies; not for "siren".
        bandwidth: standard deviation of the random frequencies, periods along the image's longer side; not for "siren".
        omega: angular frequency of the sines, w0 in the paper; not for "fourier".
        seed: seed of the initial weights and the frequencies.

    Example:
        >>> prior = ImplicitImage((1, 1, 8, 6), hidden=8, layers=1, frequencies=4)
        >>> prior.resized((1, 1, 16, 12), 2.0)().shape
        torch.Size([1, 1, 16, 12])
    """

    pitch: Tensor

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        features: Literal["fourier", "siren"] = "fourier",
        hidden: PositiveInt = 128,
        layers: Annotated[int, Field(gt=0, le=8)] = 3,
        frequencies: PositiveInt = 128,
        bandwidth: Positive = 5.0,
        omega: Positive = 30.0,
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        self.units = hidden * (layers + 1)
        batch, channels, height, width = shape

        def network() -> nn.Module:
            if features == "siren":
                return sine_network(channels, hidden=hidden, layers=layers, omega=omega)
            return fourier_network(channels, hidden=hidden, layers=layers, frequencies=frequencies, bandwidth=bandwidth)

        with seeded(seed):
            self.networks = nn.ModuleList(network() for _ in range(batch))
        self.register_buffer("pitch", torch.tensor(2 / max(height, width)))  # distance of two pixels in the plane

    def forward(self) -> Tensor:
        """Give the image, (B, C, H, W), in [0, 1]."""
        points = self.coordinates()
        values = torch.stack([network(points).mT for network in self.networks])
        return values.sigmoid().view(self.shape)

    def coordinates(self) -> Tensor:
        """Return the coordinates of the pixels, row by row: (H W, 2)."""
        rows, columns = (
            self.pitch * (torch.arange(length, device=self.pitch.device).to(self.pitch) - (length - 1) / 2)
            for length in self.shape[-2:]
        )
        return torch.cartesian_prod(rows, columns)

    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the same function on a grid with ``scale`` times as many pixels per length.

        If the new grid extends beyond the old one, the network extrapolates. Raises `InputError` for another batch or
        number of channels.
        """
        new_size(self.shape, shape)
        resized = copy.deepcopy(self)
        resized.shape, resized.pitch = shape, self.pitch / scale
        return resized

    def memory_needed(self) -> int:
        """Estimate the bytes of a gradient: 10 per unit and pixel, measured in float32."""
        batch, _, height, width = self.shape
        return 10 * self.units * batch * height * width
