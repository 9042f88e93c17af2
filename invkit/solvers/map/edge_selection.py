"""Edge selections: the edges of a latent image to which a kernel is fitted."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ...core.parameters import NonNegative, Positive, PositiveFraction, PositiveInt, validated
from ...numerics.finite_differences import gaussian_blur
from ...numerics.framing import crop_to_data
from ...numerics.geometry import Size, size_of
from .edge_filters import bilateral_5x5, box_sum, forward_differences, immerkaer_sigma, shock_filter
from .gradient_selection import (
    GradientSelection,
    Relax,
    edge_directions,
    embed_in_image,
    gradient_magnitude,
    threshold_per_direction,
)
from .interfaces import EdgeSelection

__all__ = ["Gradients", "Intensities", "RMap", "Shock", "usefulness_map"]

MIN_SIGMA_RANGE = 1e-6  # its square must not underflow


class Intensities(EdgeSelection):
    """The image and the data themselves, without gradients, as Chan & Wong (1998) and Perrone & Favaro (2014) use them.

    The data's mean is subtracted from both. A kernel that sums to one does not change a constant, and without the mean
    the sum of the image does not dominate a gradient step on the kernel.
    """

    @validated
    def __init__(self) -> None:
        super().__init__()

    def forward(self, image: Tensor, data: Tensor, kernel_size: Size, iteration: int) -> tuple[Tensor, Tensor]:
        """Subtract the mean of each channel of the data from image and data; S = C. See `EdgeSelection`."""
        mean = data.mean((-2, -1), keepdim=True)
        return image - mean, data - mean


class Gradients(EdgeSelection):
    """The strongest gradients of the latent image, the others set to zero, as Pan et al. (2014) select them.

    Weak gradients are mostly noise and ringing, and carry little information about the kernel.
    `invkit.solvers.map.gradient_selection.GradientSelection` selects them by ``share`` or by ``per_kernel``, only in
    the data's frame, since the deconvolution invents the image beyond it.

    Args:
        share: share of the data's pixels, those with the strongest gradients, that is kept in the first iteration of a
            scale.
        per_kernel: replaces ``share``: minimum number of pixels kept of each of four directions, per pixel of the
            kernel's side; Pan et al. use 20.
        relax: the threshold is divided by this factor at every iteration of a scale.
        max_pixels: largest number of pixels that ``share`` keeps; None for no limit.
        noise_factor: no gradient is kept below this multiple of the standard deviation of the data's noise, since
            gradients of noise carry no information about the kernel; 0 for no such limit.

    Example:
        >>> image = torch.zeros(1, 1, 6, 6)
        >>> image[..., 3:] = 1
        >>> sharp, blurred = Gradients()(image, image[..., 1:5, 1:5], (3, 3), 0)
        >>> tuple(sharp.shape), int(sharp.sum())
        ((1, 2, 6, 6), 4)
    """

    @validated
    def __init__(
        self,
        *,
        share: PositiveFraction = 0.1,
        per_kernel: Positive | None = None,
        relax: Relax = 1.1,
        max_pixels: PositiveInt | None = None,
        noise_factor: NonNegative = 0.0,
    ) -> None:
        super().__init__()
        self.noise_factor = noise_factor
        self.selection = GradientSelection(share, per_kernel, relax, max_pixels)

    @torch.no_grad()
    def forward(self, image: Tensor, data: Tensor, kernel_size: Size, iteration: int) -> tuple[Tensor, Tensor]:
        """Return selected gradients of the image and all gradients of the data; S = 2 C. See `EdgeSelection`."""
        gradients = forward_differences(crop_to_data(image, kernel_size, size_of(data)))
        minimum = self.noise_factor * immerkaer_sigma(data) if self.noise_factor > 0 else None
        selected = self.selection.of(gradients, kernel_size, iteration, minimum)
        return embed_in_image(selected, kernel_size), forward_differences(data)


class Shock(EdgeSelection):
    """Edges sharpened by a shock filter after a bilateral filter (Cho & Lee 2009, section 4: prediction).

    The bilateral filter removes noise and small detail, and the shock filter turns the slopes of blurred edges into
    steps. The strongest gradients of the result are kept, as by `Gradients`, only in the data's frame. Both filters
    weaken as the image becomes sharper, by ``decay`` at every iteration.

    The defaults of both filters are the paper's; its selection is ``per_kernel=2``. The paper does not define the
    gradient's length in the shock filter. Here it is that of the smaller difference of two neighbours, which causes
    no ringing.

    Args:
        sigma_space: standard deviation of the bilateral filter by distance, pixels; its support is 5 x 5.
        sigma_range: standard deviation of the bilateral filter by value in the first iteration of a scale, in [0, 1]
            units.
        shock_iterations: number of steps of the shock filter.
        step: length of the shock filter's steps in the first iteration of a scale.
        decay: ``sigma_range`` and ``step`` are multiplied by this factor at every iteration.
        share: share of the data's pixels, those with the strongest gradients, that is kept in the first iteration of a
            scale.
        per_kernel: replaces ``share``: minimum number of pixels kept of each of four directions, per pixel of the
            kernel's side.
        relax: the threshold is divided by this factor at every iteration of a scale.
    """

    @validated
    def __init__(
        self,
        *,
        sigma_space: Positive = 2.0,
        sigma_range: Positive = 0.5,
        shock_iterations: PositiveInt = 1,
        step: PositiveFraction = 1.0,
        decay: PositiveFraction = 0.9,
        share: PositiveFraction = 0.1,
        per_kernel: Positive | None = None,
        relax: Relax = 1.1,
    ) -> None:
        super().__init__()
        self.sigma_space, self.sigma_range = sigma_space, sigma_range
        self.shock_iterations, self.step, self.decay = shock_iterations, step, decay
        self.selection = GradientSelection(share, per_kernel, relax)

    @torch.no_grad()
    def forward(self, image: Tensor, data: Tensor, kernel_size: Size, iteration: int) -> tuple[Tensor, Tensor]:
        """Return selected gradients of the sharpened image and all of the data; S = 2 C. See `EdgeSelection`."""
        weaker = self.decay**iteration
        smooth = bilateral_5x5(image, self.sigma_space, max(weaker * self.sigma_range, MIN_SIGMA_RANGE))
        sharp = shock_filter(smooth, self.shock_iterations, weaker * self.step)
        gradients = forward_differences(crop_to_data(sharp, kernel_size, size_of(data)))
        selected = self.selection.of(gradients, kernel_size, iteration)
        return embed_in_image(selected, kernel_size), forward_differences(data)


class RMap(EdgeSelection):
    """Sharpened edges of objects larger than the kernel (Xu & Jia 2010, section 3.1).

    An edge of an object smaller than the kernel misleads, because its blurred sides cancel. Such edges have a small

        ``r = |sum grad B| / (sum |grad B| + offset)``,  with sums over a window of the kernel's size,

    where B is the data. Where ``r`` is above a threshold, the latent image is smoothed by a Gaussian and sharpened by a
    shock filter, and its gradients are kept if they are above a second threshold.

    Both thresholds are the largest that keep a number of pixels of each of four directions: the first at least
    ``useful * sqrt(H W h w)`` (of the data's directions), the second ``per_kernel * sqrt(h w)``. Both are divided by
    ``relax`` at every iteration. They are computed from the current image, whereas the paper keeps those of the first
    iteration of a scale. Edges are kept only in the data's frame, where ``r`` is known.

    The paper gives the offset, 0.5, without units. It is taken in [0, 1] units, where it suppresses windows with a
    smaller sum of gradients; in [0, 255] units it would have no effect.

    Args:
        offset: summed gradient, in [0, 1] units, below which r is small.
        useful: minimum number of pixels that r keeps of each direction, per root of data pixels times kernel pixels.
        per_kernel: minimum number of pixels that the second threshold keeps of each direction, per pixel of the
            kernel's side.
        sigma: standard deviation of the Gaussian before the shock filter, pixels; 0 for none.
        shock_iterations: number of steps of the shock filter.
        step: length of the shock filter's steps.
        relax: the thresholds are divided by this factor at every iteration of a scale.
    """

    @validated
    def __init__(
        self,
        *,
        offset: Positive = 0.5,
        useful: Positive = 0.5,
        per_kernel: Positive = 2.0,
        sigma: Annotated[NonNegative, Field(le=100)] = 0.5,
        shock_iterations: PositiveInt = 1,
        step: PositiveFraction = 1.0,
        relax: Relax = 1.1,
    ) -> None:
        super().__init__()
        self.offset, self.useful, self.per_kernel, self.relax = offset, useful, per_kernel, relax
        self.sigma, self.shock_iterations, self.step = sigma, shock_iterations, step

    @torch.no_grad()
    def forward(self, image: Tensor, data: Tensor, kernel_size: Size, iteration: int) -> tuple[Tensor, Tensor]:
        """Return selected gradients of the sharpened image and all of the data; S = 2 C. See `EdgeSelection`."""
        blurred = forward_differences(data)
        useful = self.useful_mask(blurred, kernel_size, iteration)
        sharp = shock_filter(gaussian_blur(image, self.sigma), self.shock_iterations, self.step)
        gradients = forward_differences(crop_to_data(sharp, kernel_size, size_of(data))) * useful[:, None]
        count = math.ceil(self.per_kernel * math.sqrt(math.prod(kernel_size)))
        strength, direction = gradient_magnitude(gradients), edge_directions(gradients)
        kept = mask_above(strength, direction, count, self.relax**iteration)
        return embed_in_image(gradients * kept[:, None], kernel_size), blurred

    def useful_mask(self, blurred: Tensor, kernel_size: Size, iteration: int) -> Tensor:
        """Return where the data's gradients are useful, (B, H, W), bool.

        Args:
            blurred: (B, 2C, H, W), the data's gradients.
            kernel_size: (h, w).
            iteration: of the scale, from 0.
        """
        count = math.ceil(self.useful * math.sqrt(math.prod(kernel_size) * math.prod(size_of(blurred))))
        useful = usefulness_map(blurred, kernel_size, self.offset)
        return mask_above(useful, edge_directions(blurred), count, self.relax**iteration)


def mask_above(value: Tensor, direction: Tensor, count: int, divisor: float) -> Tensor:
    """Return where a value reaches its threshold divided by ``divisor``: (B, H, W), bool.

    Args:
        value: (B, H, W), float32.
        direction: (B, H, W), int32, 0 to 3.
        count: pixels of each direction for `threshold_per_direction`.
        divisor: >= 1.
    """
    return value >= threshold_per_direction(value, direction, count)[:, None, None] / divisor


def usefulness_map(gradients: Tensor, window: Size, offset: float) -> Tensor:
    """Xu & Jia's r, their Eq. 2; for several channels, lengths are roots of mean squares.

    Args:
        gradients: (B, 2C, H, W).
        window: (h, w), pixels.
        offset: in the denominator, > 0.

    Returns:
        (B, H, W), float32, in [0, 1).
    """
    strength = gradient_magnitude(gradients)
    together = gradient_magnitude(box_sum(gradients.float(), window))
    return together / (box_sum(strength, window) + offset)
