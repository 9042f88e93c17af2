"""Post-processing of an estimated kernel: threshold, small components, centring."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...core.parameters import Fraction, validated
from ...numerics.framing import centroid
from .interfaces import KernelPostprocessing

__all__ = ["ThresholdPostprocessing"]

MAX_LOST_MASS = 0.05  # share of the mass that centring may push out at each side of the frame


class ThresholdPostprocessing(KernelPostprocessing):
    """Removes faint entries and small components and centres the kernel (as Cho & Lee 2009, Pan et al. 2014).

    First, entries below ``threshold`` times the largest become zero. Then 8-connected components with less than
    ``min_component`` of the mass become zero, except the heaviest. Then the kernel is shifted by whole pixels so that
    its centroid lies on the centre pixel (`invkit.numerics.geometry`), or as near to it as the frame allows without
    losing more than a twentieth of the mass at a side, which matters for kernels as large as their frame. Finally the
    kernel is scaled to sum to one. The largest entry is never removed.

    A blurry image does not determine the position of its kernel; a shifted kernel belongs to an image shifted by as
    much in the opposite direction. A solver that centres kernels must expect such shifts.

    Args:
        threshold: share of the largest entry below which entries are removed; 0 removes none.
        min_component: share of the mass below which 8-connected components are removed; 0 removes none.
        centre: whether to move the centroid to the centre pixel, by whole pixels.

    Example:
        >>> kernel = torch.tensor([[[[0.01, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.99]]]])
        >>> ThresholdPostprocessing()(kernel)
        tensor([[[[0., 0., 0.],
                  [0., 1., 0.],
                  [0., 0., 0.]]]])
    """

    @validated
    def __init__(self, *, threshold: Fraction = 0.05, min_component: Fraction = 0.1, centre: bool = True) -> None:
        super().__init__()
        self.threshold = threshold
        self.min_component = min_component
        self.centre = centre

    def forward(self, kernel: Tensor) -> Tensor:
        """Kernel (B, 1, h, w), >= 0, summing to one -> the same, never empty."""
        largest = kernel.amax((-2, -1), keepdim=True)
        kernel = torch.where(kernel >= self.threshold * largest, kernel, 0.0)
        if self.min_component > 0:
            kernel = kernel * heavy_components(kernel, self.min_component)
        if self.centre:
            kernel = shifted_to_centre(kernel)
        return kernel / kernel.sum((-2, -1), keepdim=True)


def heavy_components(kernel: Tensor, share: float) -> Tensor:
    """One where an entry's 8-connected component has at least ``share`` of the mass or is the heaviest, else zero."""
    planes = kernel.detach().cpu().numpy()  # torch has no labelling, and a kernel is small
    kept = np.stack([heavy_components_of_plane(plane[0], share)[None] for plane in planes])
    return torch.from_numpy(kept).to(kernel)


def heavy_components_of_plane(plane: npt.NDArray[np.floating], share: float) -> npt.NDArray[np.bool_]:
    """`heavy_components` of one kernel (h, w), as booleans."""
    from scipy.ndimage import label

    labels, _ = label(plane > 0, structure=np.ones((3, 3)))
    masses = np.bincount(labels.ravel(), weights=plane.ravel())
    kept = masses >= min(share * masses.sum(), masses.max())
    kept[0] = False  # the label of entries that are zero
    found: npt.NDArray[np.bool_] = kept[labels]
    return found


def shifted_to_centre(kernel: Tensor) -> Tensor:
    """Shift each kernel until its rounded centroid is the centre pixel, or as near to it as its ends allow."""
    shift = -centroid(kernel).round().to(torch.int64)
    for axis, dim in ((0, -2), (1, -1)):
        before, after = free_pixels(kernel, dim)
        kernel = shifted_along(kernel, shift[..., axis].clamp(-before, after), dim)
    return kernel


def free_pixels(kernel: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Pixels, each (B, 1), by which each kernel may move towards either end of ``dim`` within `MAX_LOST_MASS`."""
    profile = kernel.sum(-1 if dim == -2 else -2)
    faint = MAX_LOST_MASS * profile.sum(-1, keepdim=True)
    before = (profile.cumsum(-1) <= faint).sum(-1)
    after = (profile.flip(-1).cumsum(-1) <= faint).sum(-1)
    return before, after


def shifted_along(kernel: Tensor, shift: Tensor, dim: int) -> Tensor:
    """Shift each kernel by its own number of pixels along a dimension, and fill with zeros.

    Args:
        kernel: (B, 1, h, w).
        shift: (B, 1), integers.
        dim: -2 or -1.
    """
    size = kernel.shape[dim]
    source = torch.arange(size, device=kernel.device) - shift[..., None]
    inside = (source >= 0) & (source < size)
    other = -1 if dim == -2 else -2
    index, mask = (t.unsqueeze(other).expand_as(kernel) for t in (source.clamp(0, size - 1), inside))
    return kernel.gather(dim, index) * mask
