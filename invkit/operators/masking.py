"""Operators whose unknown is a mask: inpainting, the mixture of two layers, and haze."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.interfaces import ForwardOperator, MaskPrior
from ..core.parameters import validated
from ..numerics.geometry import Shape

__all__ = ["Haze", "Inpainting", "Mixture"]

HAZIEST = 1000  # one of so many pixels may be the airlight's, as in He et al.


class Inpainting(ForwardOperator):
    """Some pixels are missing: ``y = m x``, the mask m being one where the image was seen.

    What the data hold where the mask is zero should be zero; nothing explains anything else there.
    """

    parameter_prior = MaskPrior

    def __init__(self) -> None:
        super().__init__()

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) and mask (B or 1, 1, H, W) -> (B, C, H, W)."""
        return kernel * image

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """As `forward`."""
        return kernel * data

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """That of the data."""
        return data_shape

    def parameter_shape(self, data_shape: Shape, kernel_size: tuple[int, int]) -> Shape:
        """(B, 1, H, W)."""
        return data_shape[0], 1, *data_shape[2:]

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """What was seen, and the mean of each channel of it elsewhere; (B, C, H, W)."""
        seen = kernel.sum((-2, -1), keepdim=True).clamp(min=1)
        mean = (kernel * data).sum((-2, -1), keepdim=True) / seen
        return torch.lerp(mean, data, kernel).clamp(0, 1)


class Mixture(ForwardOperator):
    """Two layers and how they mix in each pixel: ``y = m x_1 + (1 - m) x_2``, the mask m being in [0, 1].

    Gandelsman, Shocher, Irani, '"Double-DIP": Unsupervised Image Decomposition via Coupled Deep-Image-Priors', CVPR
    2019, Eq. 1: segmentation, dehazing (the second layer is the airlight, m the transmission), transparent layers.

    Data are (B, C, H, W); the layers lie along the image's batch, first all first ones: (2 B, C, H, W).
    """

    parameter_prior = MaskPrior

    def __init__(self) -> None:
        super().__init__()

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Layers (2 B, C, H, W) and mask (B or 1, 1, H, W) -> (B, C, H, W)."""
        first, second = image.chunk(2)
        return torch.lerp(second, first, kernel.to(image.dtype))

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """(B, C, H, W) -> (2 B, C, H, W)."""
        return torch.cat([kernel * data, (1 - kernel) * data])

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(2 B, C, H, W)."""
        return 2 * data_shape[0], *data_shape[1:]

    def parameter_shape(self, data_shape: Shape, kernel_size: tuple[int, int]) -> Shape:
        """(B, 1, H, W)."""
        return data_shape[0], 1, *data_shape[2:]

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Both layers the data, (2 B, C, H, W)."""
        return torch.cat([data, data])


class Haze(Mixture):
    """A scene through haze: ``y = m x + (1 - m) a``, the mask m being the transmission and the layer a the airlight.

    Koschmieder's law, as in He, Sun, Tang, "Single Image Haze Removal Using Dark Channel Prior", CVPR 2009, Eq. 1.
    What the data tell of airlight and transmission follows them (Eq. 12, section 4.4): outdoors the darkest value of
    the colours around a pixel is about 0, so what there is of it is haze.

    Args:
        window: side of the window in which the darkest value is sought, of the picture's shorter side (in the paper
            15 of some 400 pixels).
        clearing: share of the haze that is taken away; the rest tells the eye what is far (0.95 in the paper).
        least: transmission that is trusted, for the first image.
    """

    @validated
    def __init__(
        self,
        *,
        window: Annotated[
            float, Field(gt=0, le=1, description="side of the dark channel's window, of the picture's shorter side")
        ] = 0.05,
        clearing: Annotated[float, Field(gt=0, le=1, description="share of the haze that is taken away")] = 0.95,
        least: Annotated[float, Field(gt=0, le=1, description="transmission that is trusted")] = 0.1,
    ) -> None:
        super().__init__()
        self.window, self.clearing, self.least = window, clearing, least

    def dark(self, image: Tensor) -> Tensor:
        """The dark channel, (B, 1, H, W): the least value of all channels in the window about each pixel."""
        reach = round(self.window * min(image.shape[-2:]) / 2)
        padded, side = F.pad(image.amin(1, keepdim=True), 4 * (reach,), value=torch.inf), 2 * reach + 1
        # one side after the other, which is the same at the cost of a window's side instead of its area
        return -F.max_pool2d(F.max_pool2d(-padded, (side, 1), stride=1), (1, side), stride=1)

    def airlight(self, data: Tensor) -> Tensor:
        """The brightest (B, C, 1, 1) of the thousandth of the pixels whose dark channel is brightest."""
        dark = self.dark(data).flatten(1)
        haziest = dark.topk(max(1, dark.shape[1] // HAZIEST)).indices
        colours = data.flatten(2).gather(2, haziest[:, None].expand(-1, data.shape[1], -1))
        brightest = colours.sum(1, keepdim=True).argmax(2, keepdim=True)
        return colours.gather(2, brightest.expand(-1, data.shape[1], 1))[..., None]

    @torch.no_grad()
    def initial_parameter(self, data: Tensor, shape: Shape) -> Tensor:
        """The transmission (B, 1, H, W) that leaves so little haze."""
        share = data / self.airlight(data).clamp(min=torch.finfo(data.dtype).eps)
        return (1 - self.clearing * self.dark(share)).clamp(self.least, 1)

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """What the transmission leaves of the scene, and the airlight, (2 B, C, H, W)."""
        airlight = self.airlight(data)
        scene = airlight + (data - airlight) / kernel.clamp(min=self.least)
        return torch.cat([scene.clamp(0, 1), airlight.expand_as(data)])
