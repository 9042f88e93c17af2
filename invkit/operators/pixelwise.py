"""Operators that act on each pixel alone: denoising, inpainting, the mixture of two layers, haze."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.interfaces import LinearOperator
from ..core.operator_parameters import MaskPrior, MeasuredPixels
from ..core.parameters import PositiveFraction, validated
from ..core.without_parameter import LinearWithoutParameter
from ..numerics.geometry import Shape, Size

__all__ = ["Haze", "Identity", "Inpainting", "Mixture"]

AIRLIGHT_SHARE = 1000  # one of so many pixels may show the airlight alone, as in He et al.


class Identity(LinearWithoutParameter):
    """``y = x``: the data are the image itself, as in denoising."""

    def predicted(self, image: Tensor) -> Tensor:
        """The image, (B, C, H, W)."""
        return image

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data, (B, C, H, W)."""
        return data

    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data, (B, C, H, W)."""
        return data


class MaskOperator(LinearOperator):
    """An operator whose parameter is a mask."""

    parameter_prior = MaskPrior

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """(B, 1, H, W)."""
        return data_shape[0], 1, *data_shape[2:]


class Inpainting(MaskOperator, MeasuredPixels):
    """Missing pixels: ``y = m x``, where the mask m is one for each measured pixel.

    The data should be zero where the mask is zero; the model cannot explain another value there.

    Example:
        >>> mask = torch.tensor([[[[1.0, 0.0]]]])
        >>> Inpainting()(torch.tensor([[[[0.3, 0.8]]]]), mask)
        tensor([[[[0.3000, 0.0000]]]])
    """

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) and mask (B or 1, 1, H, W) -> (B, C, H, W)."""
        return kernel * image

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (B, C, H, W) and mask -> (B, C, H, W); the operator is its own adjoint."""
        return kernel * data

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """The shape of the data."""
        return data_shape

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The measured pixels, and elsewhere the mean of the measured pixels of each channel; (B, C, H, W)."""
        seen = kernel.sum((-2, -1), keepdim=True).clamp(min=1)
        mean = (kernel * data).sum((-2, -1), keepdim=True) / seen
        return torch.lerp(mean, data, kernel).clamp(0, 1)


class Mixture(MaskOperator):
    """Two layers that mix in each pixel: ``y = m x_1 + (1 - m) x_2`` with a mask m in [0, 1].

    Gandelsman, Shocher, Irani, '"Double-DIP": Unsupervised Image Decomposition via Coupled Deep-Image-Priors', CVPR
    2019, Eq. 1. Examples are segmentation, dehazing (the second layer is the airlight, m the transmission), and
    transparent layers.

    Data are (B, C, H, W). The layers are the batch of the image, (2 B, C, H, W), all first layers before the second.
    """

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

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Both layers equal to the data, (2 B, C, H, W)."""
        return torch.cat([data, data])


class Haze(Mixture):
    """A scene in haze: ``y = m x + (1 - m) a``, where the mask m is the transmission and the layer a is the airlight.

    Koschmieder's law, as in He, Sun, Tang, "Single Image Haze Removal Using Dark Channel Prior", CVPR 2009, Eq. 1. The
    first airlight and transmission are theirs too (Eq. 12, section 4.4): outdoors the darkest value of all colours
    around a pixel is about 0, so any larger value comes from haze.

    Args:
        window: side of the dark channel's window, as a fraction of the image's shorter side (in the paper 15 of some
            400 pixels).
        clearing: fraction of the haze to remove; the rest keeps distant objects looking distant (0.95 in the paper).
        min_transmission: lower bound of the transmission for the first image.
    """

    @validated
    def __init__(
        self,
        *,
        window: PositiveFraction = 0.05,
        clearing: PositiveFraction = 0.95,
        min_transmission: PositiveFraction = 0.1,
    ) -> None:
        super().__init__()
        self.window, self.clearing, self.min_transmission = window, clearing, min_transmission

    def dark_channel(self, image: Tensor) -> Tensor:
        """The least value of all channels in the window about each pixel, (B, 1, H, W)."""
        reach = round(self.window * min(image.shape[-2:]) / 2)
        padded, side = F.pad(image.amin(1, keepdim=True), 4 * (reach,), value=torch.inf), 2 * reach + 1
        # One side after the other gives the same result, at the cost of the window's side instead of its area.
        return -F.max_pool2d(F.max_pool2d(-padded, (side, 1), stride=1), (1, side), stride=1)

    def airlight(self, data: Tensor) -> Tensor:
        """The brightest colour (B, C, 1, 1) among the thousandth of the pixels with the brightest dark channel."""
        dark = self.dark_channel(data).flatten(1)
        haziest = dark.topk(max(1, dark.shape[1] // AIRLIGHT_SHARE)).indices
        colours = data.flatten(2).gather(2, haziest[:, None].expand(-1, data.shape[1], -1))
        brightest = colours.sum(1, keepdim=True).argmax(2, keepdim=True)
        return colours.gather(2, brightest.expand(-1, data.shape[1], 1))[..., None]

    @torch.no_grad()
    def initial_parameter(self, data: Tensor, shape: Shape) -> Tensor:
        """The transmission that follows from the dark channel, (B, 1, H, W)."""
        relative = data / self.airlight(data).clamp(min=torch.finfo(data.dtype).eps)
        return (1 - self.clearing * self.dark_channel(relative)).clamp(self.min_transmission, 1)

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The scene without haze for a given transmission, and the airlight, (2 B, C, H, W)."""
        airlight = self.airlight(data)
        scene = airlight + (data - airlight) / kernel.clamp(min=self.min_transmission)
        return torch.cat([scene.clamp(0, 1), airlight.expand_as(data)])
