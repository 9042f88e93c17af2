"""Square patches of images, and their discrete cosine transform (DCT)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Size, size_of

__all__ = ["PatchGrid", "cosine_basis"]


def cosine_basis(side: int) -> Tensor:
    """The DCT of patches, without the constant: an orthonormal basis of the patches of zero mean.

    Args:
        side: of a patch, in pixels.

    Returns:
        (side^2 - 1, side^2), float32: one row per basis patch, ordered by frequency.

    Example:
        >>> basis = cosine_basis(8)
        >>> tuple(basis.shape), bool(basis.sum(1).abs().max() < 1e-5)
        ((63, 64), True)
    """
    index = torch.arange(side, dtype=torch.float64)
    waves = torch.cos(math.pi / side * (index + 0.5) * index[:, None]) * math.sqrt(2 / side)
    waves[0] /= math.sqrt(2)
    products = torch.einsum("ai,bj->abij", waves, waves).reshape(side * side, side * side)
    frequency = (index[:, None] ** 2 + index**2).flatten()
    return products[torch.argsort(frequency, stable=True)[1:]].float()


@dataclass(frozen=True)
class PatchGrid:
    """Overlapping patches of an image, one in ``stride`` pixels along each side.

    The first patch begins at the image's first pixel. At the other ends, lines that repeat the last one complete the
    last patches, so that every pixel lies in a patch.

    Attributes:
        size: (H, W) of the image.
        side: of a patch, in pixels.
        stride: pixels between two patches, at most ``side``.
    """

    size: Size
    side: int
    stride: int

    @property
    def padded(self) -> Size:
        """Size of the image with the lines that complete the last patches."""
        height, width = (
            self.side + self.stride * max(0, math.ceil((length - self.side) / self.stride)) for length in self.size
        )
        return height, width

    def patches(self, image: Tensor) -> Tensor:
        """The patches of an image (H, W), (side^2, N), one per column."""
        height, width = self.padded
        beyond = (0, width - self.size[1], 0, height - self.size[0])
        return F.unfold(F.pad(image[None, None], beyond, mode="replicate"), self.side, stride=self.stride)[0]

    def averaged(self, patches: Tensor, weights: Tensor | None = None) -> Tensor:
        """The image (H, W) whose pixels are the means of all patches over them.

        Args:
            patches: (side^2, N).
            weights: of the patches, (N,), > 0; none: all patches count the same.
        """
        if weights is None:
            return self.summed(patches) / self.summed(torch.ones_like(patches[:, :1]).expand_as(patches))
        return self.summed(weights * patches) / self.summed(weights.expand_as(patches))

    def summed(self, patches: Tensor) -> Tensor:
        """The image (H, W) whose pixels are the sums of all patches (side^2, N) over them, without repeated lines."""
        return self.folded(patches)[: self.size[0], : self.size[1]]

    def summed_with_repeated(self, patches: Tensor) -> Tensor:
        """The adjoint of `patches`: as `summed`, with the sums of repeated lines added to the line that they repeat."""
        total = self.folded(patches)
        height, width = self.size
        if size_of(total) == self.size:
            return total
        rows = torch.cat([total[: height - 1], total[height - 1 :].sum(0, keepdim=True)])
        return torch.cat([rows[:, : width - 1], rows[:, width - 1 :].sum(1, keepdim=True)], 1)

    def folded(self, patches: Tensor) -> Tensor:
        """The sums of all patches (side^2, N) over each pixel of the padded image."""
        return F.fold(patches[None], self.padded, self.side, stride=self.stride)[0, 0]
