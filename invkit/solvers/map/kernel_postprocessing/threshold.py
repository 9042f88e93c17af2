"""Threshold, small components, centring."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from ....core.interfaces import KernelPostprocessing
from ....core.parameters import validated
from ....numerics.geometry import centroid

__all__ = ["ThresholdPostprocessing"]

LOST = 0.05  # share of the mass that centring may push out at each side of the frame


class ThresholdPostprocessing(KernelPostprocessing):
    """Drop faint entries and small components, and move the kernel to the centre (as Cho & Lee 2009, Pan et al. 2014).

    In this order: entries under ``threshold`` of the largest become zero; 8-connected components under
    ``smallest_component`` of the mass become zero, except the heaviest; the kernel is shifted by whole pixels so that
    its centroid lies on the centre pixel (`invkit.numerics.geometry`), or as near to it as the frame allows without cutting
    more than a twentieth of the mass at a side, which matters for kernels as large as their frame; what is left is
    scaled to sum one. The largest entry is never dropped.

    A blurry image does not tell where its kernel lies; a shift of the kernel is one of the sharp image. The solver
    that centres a kernel must expect the image to move by as much the other way.

    Args:
        threshold: share of the largest entry under which entries are dropped; 0 drops none.
        smallest_component: share of the mass under which components are dropped; 0 drops none.
        centre: whether to move the centroid to the centre.
    """

    @validated
    def __init__(
        self,
        *,
        threshold: Annotated[
            float, Field(ge=0, le=1, description="share of the largest entry under which entries are dropped")
        ] = 0.05,
        smallest_component: Annotated[
            float, Field(ge=0, le=1, description="share of the mass under which 8-connected components are dropped")
        ] = 0.1,
        centre: Annotated[bool, Field(description="shift by whole pixels, the centroid to the centre pixel")] = True,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.smallest_component = smallest_component
        self.centre = centre

    def forward(self, kernel: Tensor) -> Tensor:
        """Kernel (B, 1, h, w), >= 0, summing to one -> the same, never empty."""
        largest = kernel.amax((-2, -1), keepdim=True)
        kernel = torch.where(kernel >= self.threshold * largest, kernel, 0.0)
        if self.smallest_component > 0:
            kernel = kernel * heavy_components(kernel, self.smallest_component)
        if self.centre:
            kernel = centred(kernel)
        return kernel / kernel.sum((-2, -1), keepdim=True)


def heavy_components(kernel: Tensor, share: float) -> Tensor:
    """One where an entry's 8-connected component has at least ``share`` of the mass or is the heaviest, else zero."""
    planes = kernel.detach().cpu().numpy()  # labelling has no counterpart in torch, and a kernel is small
    kept = np.stack([heavy(plane[0], share)[None] for plane in planes])
    return torch.from_numpy(kept).to(kernel)


def heavy(plane: npt.NDArray[np.floating], share: float) -> npt.NDArray[np.bool_]:
    """`heavy_components` of one kernel (h, w), as booleans."""
    from scipy.ndimage import label

    labels, _ = label(plane > 0, structure=np.ones((3, 3)))
    masses = np.bincount(labels.ravel(), weights=plane.ravel())
    kept = masses >= min(share * masses.sum(), masses.max())
    kept[0] = False  # what is zero already
    found: npt.NDArray[np.bool_] = kept[labels]
    return found


def centred(kernel: Tensor) -> Tensor:
    """Shift each kernel so that its centroid is the centre pixel, rounded, or as near to it as its ends allow."""
    shift = -centroid(kernel).round().to(torch.int64)
    for axis, dim in ((0, -2), (1, -1)):
        before, after = room(kernel, dim)
        kernel = shifted(kernel, shift[..., axis].clamp(-before, after), dim)
    return kernel


def room(kernel: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Pixels, each (B, 1), by which each kernel may move towards either end of ``dim`` and lose next to nothing."""
    profile = kernel.sum(-1 if dim == -2 else -2)
    faint = LOST * profile.sum(-1, keepdim=True)
    before = (profile.cumsum(-1) <= faint).sum(-1)
    after = (profile.flip(-1).cumsum(-1) <= faint).sum(-1)
    return before, after


def shifted(kernel: Tensor, shift: Tensor, dim: int) -> Tensor:
    """Each kernel of (B, 1, h, w) shifted by its own number of pixels, (B, 1), along ``dim``; zeros come in."""
    size = kernel.shape[dim]
    source = torch.arange(size, device=kernel.device) - shift[..., None]
    inside = (source >= 0) & (source < size)
    other = -1 if dim == -2 else -2
    index, mask = (t.unsqueeze(other).expand_as(kernel) for t in (source.clamp(0, size - 1), inside))
    return kernel.gather(dim, index) * mask
