"""The size of an unknown kernel: a frame grows until the kernel fits, and is then reduced to the kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..numerics.framing import resize_kernel_support
from ..numerics.geometry import Size, centre, size_of

__all__ = ["KernelFrame", "auto_kernel_size", "edge_mass", "fitted"]

AUTO_KERNEL_SIZE_RANGE = (15, 65)  # pixels
MAX_SHARE_OF_IMAGE = 1 / 3  # of the shorter side: a larger kernel leaves too few independent edges
GROWTH = 1.5  # of a frame that cuts its kernel off
MAX_GROWTHS = 3  # a kernel that still reaches its edges is scattered noise, which fills any frame
EDGE_WIDTH = 2  # pixels
MAX_EDGE_MASS = 0.01  # share of a kernel's mass at the edges of its frame that means nothing
FAINT_SHARE = 0.02  # of the largest entry; fainter ones do not count as part of the kernel
MARGIN_SHARE, MIN_MARGIN = 0.12, 2  # of the kernel's reach, and pixels, that a refinement may use on each side


@dataclass(frozen=True)
class KernelFrame:
    """The size at which a kernel is estimated.

    Attributes:
        size: (h, w), pixels.
        limit: the largest size; equal to ``size`` if that was given and must not change.
        growths: how often the frame has grown.

    Example:
        >>> frame = KernelFrame.found_for(torch.zeros(1, 1, 240, 320))
        >>> frame.size, frame.limit
        ((31, 31), (79, 79))
        >>> frame.grown(torch.ones(1, 1, 31, 31) / 31**2).size
        (47, 47)
    """

    size: Size
    limit: Size
    growths: int = 0

    @classmethod
    def of_size(cls, size: Size) -> KernelFrame:
        """A frame that must not change."""
        return cls(size, size)

    @classmethod
    def found_for(cls, data: Tensor) -> KernelFrame:
        """The frame to start with for data (B, C, H, W), if nobody knows the size."""
        start = auto_kernel_size(data)
        side = int(MAX_SHARE_OF_IMAGE * min(data.shape[-2:])) // 2 * 2 - 1
        limit = max(side, start[0])
        return cls(start, (limit, limit))

    @property
    def is_fixed(self) -> bool:
        """Whether the size must not change."""
        return self.size == self.limit and not self.growths

    def holds(self, kernel: Tensor) -> bool:
        """Whether hardly anything of a kernel (1, 1, h, w) of this size lies at the edges."""
        return edge_mass(kernel) <= MAX_EDGE_MASS

    def largest(self) -> KernelFrame:
        """The frame at its limit, for an estimate that a far too large frame does not harm.

        Example:
            >>> KernelFrame.found_for(torch.zeros(1, 1, 240, 320)).largest().size
            (79, 79)
        """
        return self if self.is_fixed else replace(self, size=self.limit, growths=MAX_GROWTHS)

    def fitting(self, estimate: Callable[[Size], tuple[Tensor, bool]]) -> KernelFrame:
        """The frame that the kernel fits: it grows, and the kernel is estimated anew, as long as it is cut off.

        Returns this frame if the kernel never fits: it is then scattered noise, which fills any frame, and larger
        frames only add noise.

        Args:
            estimate: of the kernel, (1, 1, h, w), for a size (h, w); and whether it was stopped before its end.

        Example:
            >>> line = torch.zeros(1, 1, 1, 99)
            >>> line[..., 30:70] = 1 / 40
            >>> frame = KernelFrame.found_for(torch.zeros(1, 1, 240, 320))
            >>> frame.fitting(lambda size: (resize_kernel_support(line, size), False)).size
            (47, 47)
        """
        frame = self
        while True:
            kernel, is_stopped = estimate(frame.size)
            larger = frame if is_stopped else frame.grown(kernel)
            if larger == frame:
                return frame if frame.holds(kernel) else self
            frame = larger

    def grown(self, kernel: Tensor) -> KernelFrame:
        """The frame for another estimate of a kernel (1, 1, h, w): larger if this one cut it off, otherwise the same.

        Of the kernels that were estimated in frames too small for them, more than `MAX_EDGE_MASS` lay at the edges.
        """
        if self.growths == MAX_GROWTHS or self.size == self.limit or self.holds(kernel):
            return self
        height, width = (
            min(int(GROWTH * side) // 2 * 2 + 1, most) for side, most in zip(self.size, self.limit, strict=True)
        )
        return replace(self, size=(height, width), growths=self.growths + 1)


def auto_kernel_size(data: Tensor) -> Size:
    """An eighth of the shorter side, odd, from 15 to 65 pixels: enough for most camera shake.

    Example:
        >>> auto_kernel_size(torch.zeros(1, 1, 240, 320))
        (31, 31)
    """
    shorter = min(data.shape[-2:])
    low, high = AUTO_KERNEL_SIZE_RANGE
    side = min(max(shorter // 8, low), high, shorter) // 2 * 2 + 1
    side = side if side <= shorter else side - 2
    return side, side


def edge_mass(kernel: Tensor) -> float:
    """The share of a kernel (1, 1, h, w), summing to one, that lies within `EDGE_WIDTH` pixels of its frame's edges.

    Example:
        >>> edge_mass(torch.full((1, 1, 5, 5), 1 / 25))
        0.96
    """
    inner = kernel[..., EDGE_WIDTH:-EDGE_WIDTH, EDGE_WIDTH:-EDGE_WIDTH]
    return round(float(kernel.sum() - inner.sum()), 7)


def fitted(kernel: Tensor, limit: Size) -> Tensor:
    """A kernel (1, 1, h, w) in the smallest centred frame that holds it with a margin, at most of size ``limit``.

    Entries below `FAINT_SHARE` of the largest do not count, and those outside the frame are cut off.

    Example:
        >>> kernel = torch.zeros(1, 1, 31, 31)
        >>> kernel[..., 15, 12:19] = 1 / 7
        >>> fitted(kernel, (31, 31)).shape
        torch.Size([1, 1, 5, 11])
    """
    significant = (kernel[0, 0] >= FAINT_SHARE * kernel.max()).nonzero()
    reach = (significant - torch.tensor(centre(size_of(kernel)), device=kernel.device)).abs().amax(0).tolist()
    height, width = (
        min(2 * (far + MIN_MARGIN + int(MARGIN_SHARE * far)) + 1, most) for far, most in zip(reach, limit, strict=True)
    )
    return resize_kernel_support(kernel, (height, width))
