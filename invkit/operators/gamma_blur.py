"""Blur of the light, seen through the response curve of a camera."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import ForwardOperator
from ..core.parameters import validated
from ..numerics.geometry import Shape
from .convolution import Convolution

__all__ = ["GammaBlur"]

TOE = 1e-2  # value below which the curve is a line: a power has no finite slope at black


class GammaBlur(ForwardOperator):
    """A blur of light, and values that are its ``1 / gamma``-th power: ``y = (k * x^gamma)^(1 / gamma)``.

    A camera's sensor adds light, and a photograph's values are a concave function of the light, its response curve.
    Image and data both have values of photographs, and a constant image stays constant. Tai, Chen, Kim, Kim, Li, Yang,
    Yu, Matsushita, Brown, "Nonlinear Camera Response Functions and Image Deblurring: Theoretical Analysis and
    Practice", IEEE TPAMI 2013, show what a blur of the values themselves costs at bright edges: ringing, because the
    data are then no convolution. The operator is not linear in the image, and not a `Blur`.

    Below the value 0.01 the curve is a line through black, as that of sRGB below 0.04: its slope stays finite.

    Args:
        gamma: of the curve: 2.2 for photographs, 1 for values that are linear.
        padding: as of `Convolution`.

    Example:
        >>> kernel, edge = torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]])
        >>> GammaBlur()(edge, kernel)  # half of the light is more than half of white
        tensor([[[[0.0000, 0.7297, 1.0000]]]])
    """

    @validated
    def __init__(
        self,
        *,
        gamma: Annotated[float, Field(ge=1, le=5)] = 2.2,
        padding: Literal["valid", "circular", "replicate", "reflect"] = "valid",
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.blur = Convolution(padding=padding)

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) in [0, 1] and kernel (B or 1, 1, h, w) -> data (B, C, H', W'); raises as `Convolution`."""
        blurred: Tensor = self.blur(to_light(image, self.gamma), kernel)
        return to_values(blurred, self.gamma)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """As of `Convolution`."""
        return self.blur.image_shape(data_shape, kernel_shape)

    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data, (B, C, H', W'), which are the middle of the image."""
        return data

    def extra_repr(self) -> str:
        """The text that ``print`` shows."""
        return f"gamma={self.gamma:g}"


def to_light(values: Tensor, gamma: float) -> Tensor:
    """The light of values of any shape: their power, and a line below `TOE`, also for negative values."""
    return torch.where(values > TOE, values.clamp(min=TOE) ** gamma, values * TOE ** (gamma - 1))


def to_values(light: Tensor, gamma: float) -> Tensor:
    """The values of light of any shape, the inverse of `to_light`.

    Example:
        >>> to_values(to_light(torch.tensor([-0.5, 0.0, 0.005, 0.5, 1.0]), 2.2), 2.2)
        tensor([-0.5000,  0.0000,  0.0050,  0.5000,  1.0000])
    """
    toe = TOE**gamma
    return torch.where(light > toe, light.clamp(min=toe) ** (1 / gamma), light / TOE ** (gamma - 1))
