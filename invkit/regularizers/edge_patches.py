"""Patches along edges, drawn towards the sharp edges of a dictionary (Sun, Cho, Wang, Hays 2013)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from ..core.interfaces import Attracting
from ..core.parameters import Positive, PositiveFraction, PositiveInt, validated
from ..numerics.edge_patterns import edge_patterns, nearest_pattern, normalised_patches
from ..numerics.thin_edges import thin_edge_strength
from .local_minima import odd
from .shrinkage import values_per_image

__all__ = ["EdgePatches"]

PatchSide = Annotated[PositiveInt, Field(ge=3, le=5), AfterValidator(odd)]


class EdgePatches(Attracting):
    """Distance of the patches along an image's edges from sharp edges, as Sun, Cho, Wang & Hays (ICCP 2013) define it.

        ``R(u) = sum over i in M of sum over the pixels of rho(P_i u - q_i) / (C H W)``,
        ``rho(e) = tolerance^2 log(1 + e^2 / (2 tolerance^2))``,   ``q_i = contrast_i Z_i + mean_i``.

    M are the strongest thinned edges of u (`invkit.numerics.thin_edges`), P_i u is the patch around pixel i, mean_i and
    contrast_i are its mean and standard deviation, and Z_i is the nearest pattern of a dictionary of sharp steps,
    corners and bars (`invkit.numerics.edge_patterns`). rho is Lorentzian: it is ``e^2 / 2`` for small errors, and lets
    go of a patch that the dictionary does not explain. The channels are separate.

    For fixed M and q, R is majorised by ``sum w_p (u_p - t_p)^2 / 2``, where t_p is the weighted mean of what the
    patches over pixel p want it to be. M and q follow the image, so that R attracts an image rather than penalises it:
    the solvers ``irls`` and ``half-quadratic`` move the image towards the target, and make a new one from the result.

    The paper's dictionary is learned from photographs, or made of synthetic edges as here. It divides by the size of M;
    this size is here a share of the pixels, so that the quotient is a constant factor of the weight. It also raises the
    contrasts to those of sharp photographs, which brought nothing on eight photographs of our calibration set.

    Args:
        share: share of the pixels of M; fewer if there are not as many thinned edges.
        tolerance: error of a pixel, in [0, 1] units, about which rho changes from a parabola to a logarithm.
        side: side of the patches, pixels, 3 or 5.
        sigma: standard deviation of the Gaussian before the differences that find edges, pixels.

    Example:
        >>> step = torch.tensor([0.2, 0.2, 0.2, 0.2, 0.8, 0.8, 0.8, 0.8]).expand(1, 1, 9, 8)
        >>> soft = torch.tensor([0.2, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.8]).expand(1, 1, 9, 8)
        >>> bool(EdgePatches()(step) < 0.1 * EdgePatches()(soft))
        True
    """

    @validated
    def __init__(
        self,
        *,
        share: PositiveFraction = 0.05,
        tolerance: Positive = 0.05,
        side: PatchSide = 5,
        sigma: Annotated[Positive, Field(le=10)] = 1.0,
    ) -> None:
        super().__init__()
        self.share, self.tolerance, self.side, self.sigma = share, tolerance, side, sigma

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Image (1, B, C, H, W) -> (B,), >= 0; the gradients are those for fixed patches and targets."""
        planes = coefficients[0].flatten(0, 1)
        selected = self.selected(planes.detach())
        scale = 2 * self.tolerance**2
        error = selected.patches(planes) - selected.targets
        cost = (error.square() / scale).log1p().mul(scale / 2) * selected.counted[..., None]
        return cost.sum((1, 2)).view(coefficients.shape[1:3]).sum(1) / values_per_image(coefficients)

    @torch.no_grad()
    def attraction(self, value: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Image (B, C, H, W) -> the summed weights of the patches over each pixel, and their weighted mean target.

        The target of a pixel without a patch is the pixel itself, with weight zero. The source is not used.
        """
        planes = value.flatten(0, 1)
        selected = self.selected(planes)
        error = selected.patches(planes) - selected.targets
        weights = selected.counted[..., None] / (1 + error.square() / (2 * self.tolerance**2))
        total = selected.summed(weights, planes)
        wanted = selected.summed(weights * selected.targets, planes)
        targets = torch.where(total > 0, wanted / total.where(total > 0, 1.0), planes)
        return (total / value[0].numel()).view_as(value), targets.view_as(value)

    def selected(self, planes: Tensor) -> SelectedPatches:
        """Select the patches of planes (n, H, W), and their targets."""
        radius, (height, width) = self.side // 2, planes.shape[-2:]
        strength = torch.zeros_like(planes)
        inner = (..., slice(radius, max(radius, height - radius)), slice(radius, max(radius, width - radius)))
        strength[inner] = thin_edge_strength(planes, self.sigma)[inner]
        count = max(1, round(self.share * height * width))
        strongest = strength.flatten(1).topk(count, 1)
        along = torch.arange(-radius, radius + 1, device=planes.device)
        window = (along[:, None] * width + along).flatten()
        # A pixel that does not count may lie at the border; its window is moved into the plane.
        places = (strongest.indices[..., None] + window).clamp(0, height * width - 1)
        counted = (strongest.values > 0).to(planes)
        return SelectedPatches(places, counted, sharp_targets(values_at(planes, places), self.side))


@dataclass(frozen=True)
class SelectedPatches:
    """The patches of planes that R compares with targets.

    Attributes:
        places: index of each patch's pixels in its plane, row after row, (n, M, side^2).
        counted: one for patches at an edge, else zero, (n, M).
        targets: q, (n, M, side^2).
    """

    places: Tensor
    counted: Tensor
    targets: Tensor

    def patches(self, planes: Tensor) -> Tensor:
        """P u: planes (n, H, W) -> (n, M, side^2)."""
        return values_at(planes, self.places)

    def summed(self, values: Tensor, planes: Tensor) -> Tensor:
        """``P^T`` of the patches' values (n, M, side^2), of the shape of the planes (n, H, W)."""
        total = torch.zeros_like(planes).flatten(1)
        return total.scatter_add_(1, self.places.flatten(1), values.flatten(1)).view_as(planes)


def values_at(planes: Tensor, places: Tensor) -> Tensor:
    """The values of planes (n, H, W) at indices (n, M, P) into each plane: (n, M, P)."""
    return planes.flatten(1).gather(1, places.flatten(1)).view(places.shape)


def sharp_targets(patches: Tensor, side: int) -> Tensor:
    """Replace the pattern of each patch (n, M, side^2) by the nearest sharp one; mean and contrast are kept."""
    patterns, means, contrasts = normalised_patches(patches)
    sharp = edge_patterns(side).to(patches)
    chosen = torch.stack([sharp[nearest_pattern(plane, sharp)] for plane in patterns])
    return means + contrasts * chosen
