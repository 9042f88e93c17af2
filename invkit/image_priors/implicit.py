"""The image as a function of the plane, given by a network of the coordinates."""

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
from ..numerics.geometry import Shape, new_size

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ImplicitImage"]


class ImplicitImage(ImagePrior, Resizable):
    """An implicit image: ``x[i, j] = sigmoid(network(v_ij))``, v being where a pixel lies in the plane.

    ``features="fourier"``: fixed random Fourier features of v, then ReLU layers (Tancik et al., NeurIPS 2020); what is
    finer than ``bandwidth`` comes late in the fit or never. ``features="siren"``: sines all the way (Sitzmann et al.,
    NeurIPS 2020); it wants a learning rate of 1e-3 or less, and finds nothing with a deep image prior's 1e-2.

    The middle of the image lies at the origin, and its longer side reaches from -1 to 1. On another grid the same
    function is sampled at other points: it is what it was, and finer where the network knows more. A coarser grid
    takes samples, not means. Each image of a batch has a network of its own.

    Args:
        shape: (B, C, H, W).
        features: what the first layer makes of the coordinates.
        hidden: units of each layer.
        layers: between the features and the last layer, which is linear.
        frequencies: number of random Fourier features' frequencies; not for "siren".
        bandwidth: their standard deviation, periods along the image's longer side; not for "siren".
        omega: angular frequency of the sines, w0 in the paper; not for "fourier".
        seed: of the initial weights and the frequencies.
    """

    pitch: Tensor

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        features: Annotated[
            Literal["fourier", "siren"], Field(description="random Fourier features and ReLUs, or sines")
        ] = "fourier",
        hidden: Annotated[PositiveInt, Field(description="units of each layer")] = 128,
        layers: Annotated[int, Field(gt=0, le=8, description="layers between the features and the last layer")] = 3,
        frequencies: Annotated[PositiveInt, Field(description="frequencies of the Fourier features")] = 128,
        bandwidth: Annotated[
            Positive, Field(description="std of these frequencies, periods along the image's longer side")
        ] = 5.0,
        omega: Annotated[Positive, Field(description="angular frequency of the sines")] = 30.0,
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
        self.register_buffer("pitch", torch.tensor(2 / max(height, width)))  # of the pixels in the plane

    def forward(self) -> Tensor:
        """The image, (B, C, H, W), in [0, 1]."""
        points = self.coordinates()
        values = torch.stack([network(points).mT for network in self.networks])
        return values.sigmoid().view(self.shape)

    def coordinates(self) -> Tensor:
        """Where the pixels lie, row by row: (H W, 2)."""
        rows, columns = (
            self.pitch * (torch.arange(length, device=self.pitch.device).to(self.pitch) - (length - 1) / 2)
            for length in self.shape[-2:]
        )
        return torch.cartesian_prod(rows, columns)

    def resized(self, shape: Shape, scale: float) -> Self:
        """The same function on a grid ``scale`` times as fine; raises `InputError` for another batch or channels.

        Where the new grid reaches beyond the old one, the function goes on as the network has it.
        """
        new_size(self.shape, shape)
        resized = copy.deepcopy(self)
        resized.shape, resized.pitch = shape, self.pitch / scale
        return resized

    def memory_needed(self) -> int:
        """Some ten bytes for each unit at each pixel, as measured in float32: its value, and what passes through."""
        batch, _, height, width = self.shape
        return 10 * self.units * batch * height * width
