"""Deconvolution of a large photograph or stack by overlapping tiles, which need less memory than the whole."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Assignable
from ..core.memory import StatesMemory, memory_needed
from ..core.parameters import NonNegative, PositiveInt, validated
from ..core.problem import Problem, WeightedData
from ..core.ranges import AnyRange, Convolving, ValueRange, usable_range
from ..core.runtime.threads import at_most_threads
from ..core.solver import Solver, State
from ..numerics.finite_differences import GRADIENT, power_spectrum, stack_gradient
from ..numerics.fourier import extend_periodically, grid_sides, inverse_transform, otf, to_image, transform
from ..numerics.geometry import Sides, Size, margin_before, sides_of, window_of
from .inner import run_inner
from .masked_blur import axes_of
from .pixel_state import PixelState, check_padding, image_prior_of, starting_point

__all__ = ["Tiles"]

PICTURE_AXES = 2  # of a blur; a stack has three
NUMBERS_PER_VALUE = 3  # of the image that stay in memory: the image, that of the start, that of the prior
NUMBERS_OF_WIENER = 12  # for each value that is filtered at once
MIN_DIVISOR = 1e-7  # of the Wiener filter, for weights close to zero


@dataclass(kw_only=True)
class TilesState(PixelState):
    """The image, in which the result of tile after tile replaces the starting image.

    Attributes:
        starting_image: the image before the first step, (B, C, H, W); every tile starts from its part of it.
    """

    starting_image: Tensor


@dataclass(frozen=True)
class Tile:
    """One tile of the image.

    Attributes:
        windows: of the data, (first, beyond the last) along each of the last axes: of rows and columns, or of planes,
            rows and columns.
        channels: of the data; all of them of a stack, which are its planes.
        weights: of the tile in the whole image, along each of these axes of the tile's image. Their products, summed
            over all tiles, are one.
    """

    windows: tuple[Size, ...]
    channels: slice
    weights: tuple[Tensor, ...]

    def data(self, data: Tensor) -> Tensor:
        """Return the tile's part of data (B, C, H', W'), as a view."""
        corner = tuple(first for first, _ in self.windows)
        return window_of(data[:, self.channels], corner, tuple(end - first for first, end in self.windows))

    def image(self, image: Tensor) -> Tensor:
        """Return the tile's part of the image (B, C, H, W) of a valid convolution, as a view."""
        corner = tuple(first for first, _ in self.windows)
        return window_of(image[:, self.channels], corner, tuple(map(len, self.weights)))

    def weighted(self, image: Tensor) -> Tensor:
        """Multiply an image of the tile's size by the weights, in place."""
        for dim, along in enumerate(self.weights, start=-len(self.weights)):
            image.mul_(along.to(image).view(-1, *[1] * (-dim - 1)))
        return image


class Tiles(Solver[State], WeightedData, AnyRange, StatesMemory):
    """Deconvolves an image or a stack by overlapping tiles, each with a solver that keeps the kernel fixed.

    The solver of a tile does not know what lies beyond the tile's data, as it does not know what lies beyond the
    photograph (padding "valid"). The middle of its result is kept; at the seams a raised cosine blends it with its
    neighbours. Tiles fit into the processor's caches and a whole photograph does not, so tiles take a fraction of the
    time and of the memory. Data term and regularizers are means, so weights keep their meaning. A stack has tiles along
    its planes too. Solvers that decide for the image as a whole, as ``richardson-lucy`` when to stop, decide here for
    each tile; that solver does stacks block by block by itself, without seams.

    All tiles start from one Wiener filter of the whole photograph, with squared gradients as regularizer. Its result
    approximates what lies beyond a tile's data, so neighbours agree with less overlap. For kernels as large as those
    of photographs, the solver also converges in fewer iterations.

    A regularizer on windows (``dark-channel``, ``patch-minimum``) sees no window across a tile's border; an overlap
    wider than the windows compensates for this. A regularizer on the image as a whole (``l1-over-l2``) is applied to
    each tile as a whole, which makes it another regularizer.

    One step solves ``parallel_tiles`` tiles. If the solve stops early, the image holds the finished tiles and the
    starting image elsewhere. The loss is the mean of the last losses of a step's tiles. An image of one tile is solved
    step by step by the inner solver, from the image of the image prior.

    Args:
        inner: solver of each tile; it keeps the kernel fixed.
        tile_size: largest number of data pixels along each side that a tile contributes away from the photograph's
            border. All tiles have the same size.
        overlap: width of the data on each side beyond these pixels, in kernel sizes.
        wiener_weight: weight of the squared gradients in the Wiener filter, as a multiple of the largest weight. With
            0, or without regularizers, tiles start from the image of the image prior.
        separate_channels: whether to solve each channel separately, of pictures. The result is the same for
            regularizers that treat channels separately; for other regularizers the problem changes.
        parallel_tiles: tiles that are solved at the same time on a CPU. They share torch's threads, since threads on
            separate tiles need not wait for each other.
    """

    keeps_large_blocks = True
    memory_remedy = "set a smaller solver.tile_size"
    needs: ClassVar = {"operator": Convolving, "image_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        inner: Annotated[Solver[Any], Field(examples=["admm"])],
        tile_size: Annotated[int, Field(ge=8)] = 1024,
        overlap: Annotated[float, Field(gt=0, le=16)] = 1.0,
        wiener_weight: NonNegative = 10.0,
        separate_channels: bool = False,
        parallel_tiles: PositiveInt = 2,
    ) -> None:
        self.inner = inner
        self.tile_size = tile_size
        self.overlap = overlap
        self.wiener_weight = wiener_weight
        self.separate_channels = separate_channels
        self.parallel_tiles = parallel_tiles
        self.iterations, self.remedy = inner.iterations, inner.remedy

    def usable(self, value_range: ValueRange) -> ValueRange:
        """Return what the inner solver can use of a range."""
        return usable_range(self.inner, value_range)

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the inner solver cannot solve, or with another padding."""
        super().check(problem)
        self.inner.check(problem)
        if not self._is_single(problem):
            check_padding(problem, "tiles", ("valid",))

    def memory_needed(self, problem: Problem) -> int:
        """Return about how many bytes a solve takes besides the problem: of the Wiener filter, or of tiles."""
        if self._is_single(problem):
            return memory_needed(self.inner, problem)
        image, size = math.prod(problem.image_prior.shape), problem.data.element_size()
        channel = image // problem.data.shape[1] if axes_of(problem) == PICTURE_AXES else image
        filtered = NUMBERS_OF_WIENER * channel if self._start_weight(problem) > 0 else 0
        tile = part_of(problem, self._tiles(problem)[0], problem.image_prior())
        tiles = self.parallel_tiles * memory_needed(self.inner, tile)
        return size * NUMBERS_PER_VALUE * image + max(size * filtered, tiles)

    def steps(self, problem: Problem) -> int:
        """Return the number of tiles, times that of separate channels, divided by the tiles per step."""
        if self._is_single(problem):
            return self.inner.steps(problem)
        return math.ceil(len(self._tiles(problem)) / self.parallel_tiles)

    def start(self, problem: Problem) -> State:
        """Compute the Wiener filter of the whole image."""
        if self._is_single(problem):
            return self._inner.start(problem)
        image, kernel = starting_point(problem)
        weight = self._start_weight(problem)
        starting_image = wiener_filtered(problem, image, kernel, weight) if weight > 0 else image
        return TilesState(
            image=starting_image.clone(),
            kernel=kernel,
            range=problem.image_prior.range,
            starting_image=starting_image,
        )

    def step(self, problem: Problem, state: State) -> State:
        """Solve the next tiles, each from its part of the starting image."""
        if self._is_single(problem) or not isinstance(state, TilesState):
            return self._inner.step(problem, state)
        first = state.iteration * self.parallel_tiles
        tiles = self._tiles(problem)[first : first + self.parallel_tiles]
        solved = self._solved([part_of(problem, tile, state.starting_image) for tile in tiles])
        losses = [self._insert(tile, one, state) for tile, one in zip(tiles, solved, strict=True)]
        state.losses.append(torch.stack(losses).mean())
        return state

    def _solved(self, problems: Sequence[Problem]) -> list[State]:
        if len(problems) == 1 or problems[0].data.device.type != "cpu":
            return [run_inner(self.inner, problem) for problem in problems]
        threads = max(1, torch.get_num_threads() // self.parallel_tiles)
        with at_most_threads(threads), ThreadPoolExecutor(self.parallel_tiles) as pool:
            return list(pool.map(lambda problem: run_inner(self.inner, problem), problems))

    def _insert(self, tile: Tile, solved: State, state: TilesState) -> Tensor:
        """Replace the starting image by a tile's result; return the tile's last loss."""
        image, kernel = (value.detach() for value in solved.estimate())
        if not torch.equal(kernel, state.kernel):
            raise AssemblyError(
                f"tiles needs a solver that keeps the kernel fixed, and {type(self.inner).__name__} estimates another "
                "kernel for each tile; use it without tiles, or set kernel_prior=known"
            )
        change = image - tile.image(state.starting_image)
        tile.image(state.image).add_(tile.weighted(change))
        return solved.losses[-1].detach()

    def _start_weight(self, problem: Problem) -> float:
        """The weight of the Wiener filter from which tiles start; with 0 there is none."""
        return self.wiener_weight * max((term.weight for term in problem.regularizers), default=0.0)

    @property
    def _inner(self) -> Solver[State]:
        return self.inner

    def _is_single(self, problem: Problem) -> bool:
        return max(self._counts(problem)) == 1

    def _counts(self, problem: Problem) -> Sides:
        """Return the number of tiles along each axis: down and across, of a stack also in depth."""
        return tuple(
            max(1, math.ceil((side - 2 * overlap) / self.tile_size))
            for side, overlap in zip(sides_of(problem.data, axes_of(problem)), self._overlaps(problem), strict=True)
        )

    def _overlaps(self, problem: Problem) -> Sides:
        """Return the overlap in pixels along each axis."""
        return tuple(math.ceil(self.overlap * taps) for taps in problem.kernel_prior.shape[-axes_of(problem) :])

    def _tiles(self, problem: Problem) -> list[Tile]:
        axes = axes_of(problem)
        lines = zip(
            sides_of(problem.data, axes),
            self._counts(problem),
            self._overlaps(problem),
            problem.kernel_prior.shape[-axes:],
            strict=True,
        )
        along, number = [tile_windows(*line) for line in lines], problem.data.shape[1]
        are_apart = self.separate_channels and axes == PICTURE_AXES
        channels = [slice(i, i + 1) for i in range(number)] if are_apart else [slice(None)]
        return [
            Tile(tuple(window for window, _ in one), channel, tuple(weights for _, weights in one))
            for one in itertools.product(*along)
            for channel in channels
        ]


@torch.no_grad()
def wiener_filtered(problem: Problem, image: Tensor, kernel: Tensor, weight: float) -> Tensor:
    """Return the image within its range that explains the data under squared gradients, for padding "valid".

    It filters one channel at a time, since the spectra of a large photograph take most of the memory.

    Args:
        problem: gives the data.
        image: (B, C, H, W), gives the size of the result, and its blur stands in for unknown data.
        kernel: (B, 1, h, w), or (B, d, h, w) of a stack, which is filtered as a whole.
        weight: of the squared gradients, > 0; planes of a stack are taken as one pixel apart.
    """
    axes = axes_of(problem)
    taps = sides_of(kernel, axes)
    size = grid_sides(sides_of(problem.data, axes), taps)
    gradient = GRADIENT if axes == PICTURE_AXES else stack_gradient()
    blur = otf(kernel, size)
    divisor = (blur.abs().square() + weight * power_spectrum(gradient, size, image)).clamp_(min=MIN_DIVISOR)
    inverse = blur.conj() / divisor
    data = problem.data if problem.weights is None else problem.observed(problem.operator(image, kernel))
    parts = []
    for part in torch.split(data, 1, 1) if axes == PICTURE_AXES else (data,):
        spectrum = transform(extend_periodically(part, taps, size), size).mul_(inverse)
        found = to_image(inverse_transform(spectrum, size), sides_of(image, axes))
        parts.append(found.clamp(*problem.image_prior.range))
    return torch.cat(parts, 1)


def part_of(problem: Problem, tile: Tile, image: Tensor) -> Problem:
    """Return the problem of one tile, which starts from the tile's part of an image.

    Args:
        problem: the whole problem.
        tile: the tile.
        image: (B, C, H, W), the whole starting image.
    """
    prior = image_prior_of(problem.image_prior, tile.image(image))
    weights = None if problem.weights is None else tile.data(problem.weights)
    return replace(problem, data=tile.data(problem.data), image_prior=prior, weights=weights)


def tile_windows(size: int, count: int, overlap: int, taps: int) -> list[tuple[Size, Tensor]]:
    """Return equal windows on a line of data; two neighbours share ``2 * overlap`` pixels, or one or two more.

    Args:
        size: of the data along the line, pixels.
        count: number of windows.
        overlap: pixels.
        taps: of the kernel along the line.

    Returns:
        For each window, the first data pixel and the one beyond the last, and its weights for the image's pixels,
        (length + taps - 1,). Weights are one, with raised cosines over half of the overlap at seams; they sum to one.
    """
    length = math.ceil((size + 2 * overlap * (count - 1)) / count)
    firsts = [round(i * (size - length) / max(1, count - 1)) for i in range(count)]
    seams = [margin_before(taps) + (later + earlier + length) / 2 for earlier, later in itertools.pairwise(firsts)]
    position = torch.arange(size + taps - 1, dtype=torch.float64) + 0.5
    steps = [raised_cosine(position - seam, overlap / 2) for seam in seams]
    ends = [torch.ones_like(position), *steps, torch.zeros_like(position)]
    return [
        ((first, first + length), (ends[i] - ends[i + 1])[first : first + length + taps - 1])
        for i, first in enumerate(firsts)
    ]


def raised_cosine(distance: Tensor, reach: float) -> Tensor:
    """Rise from 0 to 1 by a raised cosine, as the distance grows from ``-reach`` to ``reach``."""
    return 0.5 + 0.5 * torch.sin((distance / reach).clamp(-1, 1) * (torch.pi / 2))
