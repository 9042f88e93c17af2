"""Blocks of a stack of planes: what a step computes of each alone, so that only small tensors are temporary."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..core.problem import Problem
from ..core.ranges import Convolving
from ..numerics.geometry import Shape, Sides, sides_of, window_of

__all__ = ["WHOLE", "Block", "assembled", "block_counts", "blocks_of", "mean_of", "spans"]

STACK_AXES = 3

Line = tuple[int, int]
"""The first voxel of a piece of a line, and its length."""


@dataclass(frozen=True)
class Span:
    """A block along one axis of a valid convolution.

    A step of Richardson-Lucy changes a voxel by the data that it reaches, and these depend on the image around it. So a
    block needs more data than it has voxels, by the kernel's size less one on each side, and more of the image again.

    Attributes:
        core: voxels of the image that the block updates. The cores of all blocks are the image.
        image: voxels of the image that the block reads.
        data: voxels of the data that belong to these.
        counted: voxels of the data that the block counts. Those of all blocks are the data.
    """

    core: Line
    image: Line
    data: Line
    counted: Line


@dataclass(frozen=True)
class Block:
    """A block: a span for each of the last axes. Without spans it is the whole. All methods return views."""

    spans: tuple[Span, ...] = ()

    def image_of(self, image: Tensor) -> Tensor:
        """The part of an image that the block reads."""
        return self.window(image, [one.image for one in self.spans])

    def image_shape(self, shape: Shape) -> Shape:
        """The shape of what `image_of` returns, for an image of a shape."""
        if not self.spans:
            return shape
        planes, height, width = (one.image[1] for one in self.spans)
        return shape[0], planes, height, width

    def data_of(self, data: Tensor) -> Tensor:
        """The part of data that the block reads."""
        return self.window(data, [one.data for one in self.spans])

    def weighted(self, part: Tensor, weights: Tensor | None) -> Tensor:
        """What belongs to the data that the block reads, times the weights of all data; None: all 1."""
        return part if weights is None else part * self.data_of(weights)

    def core_of(self, image: Tensor) -> Tensor:
        """The part of an image that the block updates."""
        return self.window(image, [one.core for one in self.spans])

    def core_within(self, part: Tensor) -> Tensor:
        """The block's core, which `core_of` gives, within its part of the image, which `image_of` gives."""
        return self.window(part, [(one.core[0] - one.image[0], one.core[1]) for one in self.spans])

    def counted_within(self, part: Tensor) -> Tensor:
        """The data that the block counts, of what `data_of` returns."""
        return self.window(part, [(one.counted[0] - one.data[0], one.counted[1]) for one in self.spans])

    def share(self, data: Tensor) -> float:
        """The share of all data that the block counts."""
        counted = math.prod(one.counted[1] for one in self.spans)
        return counted / math.prod(data.shape[-len(self.spans) :]) if self.spans else 1.0

    @staticmethod
    def window(tensor: Tensor, lines: Sequence[Line]) -> Tensor:
        """A part along the last axes."""
        return window_of(tensor, tuple(first for first, _ in lines), tuple(side for _, side in lines))


WHOLE = Block()


def blocks_of(problem: Problem, most: int | None) -> list[Block]:
    """The blocks of a stack whose convolution is valid; the whole for other problems, and if it is small enough.

    Args:
        problem: gives the operator and the sizes.
        most: voxels of the image that a block reads; None for no limit.
    """
    operator = problem.operator
    if most is None or not isinstance(operator, Convolving):
        return [WHOLE]
    if operator.axes != STACK_AXES or operator.padding != "valid":
        return [WHOLE]
    data, taps = sides_of(problem.data, STACK_AXES), problem.kernel_prior.shape[-STACK_AXES:]
    counts = block_counts(data, taps, most)
    if max(counts) == 1:
        return [WHOLE]
    lines = (spans(side, count, tap) for side, count, tap in zip(data, counts, taps, strict=True))
    return [Block(one) for one in itertools.product(*lines)]


def spans(side: int, count: int, taps: int) -> list[Span]:
    """The spans of equal blocks along one axis. All read equally many voxels.

    Args:
        side: of the data.
        count: number of blocks, at most ``side``.
        taps: of the kernel.

    Example:
        >>> [one.core for one in spans(10, 2, 3)], [one.data for one in spans(10, 2, 3)]
        ([(0, 5), (5, 7)], [(0, 7), (3, 7)])
    """
    length = data_length(side, count, taps)
    found = []
    for index in range(count):
        first, beyond = index * side // count, (index + 1) * side // count
        core = beyond - first + (taps - 1 if index == count - 1 else 0)
        start = min(max(0, first - taps + 1), side - length)
        found.append(Span((first, core), (start, length + taps - 1), (start, length), (first, beyond - first)))
    return found


def data_length(side: int, count: int, taps: int) -> int:
    """The data that each block reads along an axis; arguments as `spans`."""
    return min(side, math.ceil(side / count) + taps - 1)


def block_counts(data: Sides, taps: Sides, most: int) -> Sides:
    """Blocks along each axis, so that each reads few enough voxels of the image, with the least work for all.

    Where even blocks of one voxel read more, because the kernel is large, the axes are split as far as that helps.

    Args:
        data: sides of the data.
        taps: sides of the kernel.
        most: voxels of the image that a block reads.

    Example:
        >>> block_counts((30, 500, 500), (5, 9, 9), 10**8), block_counts((30, 500, 500), (5, 9, 9), 2 * 10**6)
        ((1, 1, 1), (1, 6, 1))
    """
    counts = [1] * len(data)
    while voxels_read(data, taps, counts) > most:
        finer = [[n + (axis == other) for other, n in enumerate(counts)] for axis in range(len(data))]
        now = voxels_read(data, taps, counts)
        possible = [one for one in finer if all(count <= side for count, side in zip(one, data, strict=True))]
        useful = [one for one in possible if voxels_read(data, taps, one) < now]
        if not useful:
            break
        counts = min(useful, key=lambda one: math.prod(one) * voxels_read(data, taps, one))
    return tuple(counts)


def voxels_read(data: Sides, taps: Sides, counts: Sequence[int]) -> int:
    """The voxels of the image that each block reads; arguments as `block_counts`."""
    sides = zip(data, counts, taps, strict=True)
    return math.prod(data_length(side, count, tap) + tap - 1 for side, count, tap in sides)


def assembled(blocks: Sequence[Block], like: Tensor, function: Callable[[Block], Tensor]) -> Tensor:
    """A tensor of an image whose parts are functions of blocks.

    Args:
        blocks: all of them.
        like: an image, gives sizes, precision and device.
        function: gives what belongs to the part that a block reads.
    """
    if len(blocks) == 1:
        return function(blocks[0])
    result = like.new_empty(like.shape)
    for block in blocks:
        block.core_of(result).copy_(block.core_within(function(block)))
    return result


def mean_of(values: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of values (B, C, H', W') times their weights, over their number, (B,)."""
    return (values if weights is None else values * weights).mean((1, 2, 3))
