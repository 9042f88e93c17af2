"""A large photograph by pieces that stay in the processor's caches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Assignable, Blur
from ..core.parameters import NonNegative, PositiveInt, validated
from ..core.problem import Problem
from ..core.runtime.threads import at_most_threads
from ..core.solver import Solver, State
from ..numerics.finite_differences import GRADIENT, power_spectrum
from ..numerics.fourier import extend_periodically, grid_size, otf, to_image
from ..numerics.geometry import Size, margins, size_of
from .inner import run_inner
from .pixel_state import PixelState, check_padding, image_prior_of, starting_point

__all__ = ["Tiles"]

LEAST = 1e-7  # of what the Wiener filter divides by, for weights next to nothing


@dataclass(kw_only=True)
class TilesState(PixelState):
    """The image, in which tile after tile takes the place of what was there.

    Attributes:
        begun: the image before the first step, (B, C, H, W), from which every tile starts.
    """

    begun: Tensor

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over a copy of what `state_dict` gave: tiles are added to the image in place."""
        super().load_state_dict(saved)
        self.image = self.image.clone()


@dataclass(frozen=True)
class Tile:
    """One problem of the many.

    Attributes:
        rows: of the data, (first, beyond the last).
        columns: likewise.
        channels: which of them.
        down: share of the result in the whole, from row to row of the tile's image, (H,).
        across: likewise from column to column, (W,); the products of all tiles add up to one.
    """

    rows: Size
    columns: Size
    channels: slice
    down: Tensor
    across: Tensor

    def data(self, data: Tensor) -> Tensor:
        """The tile's part of data (B, C, H', W'), a view."""
        return data[:, self.channels, slice(*self.rows), slice(*self.columns)]

    def image(self, image: Tensor) -> Tensor:
        """The tile's part of the image (B, C, H, W) of a valid convolution, a view."""
        (top, left), (height, width) = (self.rows[0], self.columns[0]), (len(self.down), len(self.across))
        return image[:, self.channels, top : top + height, left : left + width]


class Tiles(Solver[State]):
    """Deconvolves an image by overlapping tiles, each with a solver that takes the kernel as given.

    What lies beyond a tile's data is unknown to its solver, as what lies beyond the photograph is (padding "valid"); of
    its result the middle counts, which at the seams goes over into the neighbour's by a raised cosine. Tiles fit into
    the processor's caches, where a whole photograph does not: that takes a fraction of the time and of the memory. Data
    term and regularizers are means, so that weights keep their meaning.

    All tiles start from one Wiener filter of the whole photograph, with squared gradients for the regularizers. What a
    tile cannot know, since it lies beyond its data, is nearly right in it, so that neighbours agree with less overlap;
    under kernels as large as photographs have, the solver also gets farther in as many iterations.

    A regularizer that looks at windows (``dark-channel``, ``patch-minimum``) sees no window across a tile's border,
    which the overlap makes up for if it is wider than they are. One that looks at the image as a whole
    (``l1-over-l2``) looks at each tile as a whole, and is another regularizer that way.

    A step gives as many tiles as are worked on at once. Stopped early, the image holds those done, and elsewhere what
    they start from. The loss is the mean of the last losses of a step's tiles. An image of one tile is the inner
    solver's, step by step, from what the image prior gives.

    Args:
        inner: of each tile.
        tile: the most data pixels along each side that a tile contributes, far from the photograph's border; sizes are
            chosen so that all tiles are of the same size.
        overlap: how far beyond that its data reach, on each side, in sizes of the kernel.
        wiener: weight of the squared gradients in the Wiener filter, as a multiple of the largest weight; 0: tiles
            start from what the image prior gives, as they do where there is no regularizer.
        apart: solve each channel by itself. That is the same for regularizers that take each channel by itself, and
            for others another problem.
        together: tiles worked on at once on a CPU, the threads that torch uses shared out among them: threads that
            work on tiles of their own need not wait for each other.
    """

    needs: ClassVar = {"operator": Blur, "image_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        inner: Annotated[Solver[Any], Field(description="deconvolves each tile", examples=["admm"])],
        tile: Annotated[int, Field(ge=8, description="data pixels along each side that a tile contributes")] = 1024,
        overlap: Annotated[
            float, Field(gt=0, le=16, description="data beyond them on each side, in sizes of the kernel")
        ] = 1.0,
        wiener: Annotated[
            NonNegative, Field(description="weight in the Wiener filter that tiles start from, times the largest")
        ] = 10.0,
        apart: Annotated[bool, Field(description="solve each channel by itself")] = False,
        together: Annotated[PositiveInt, Field(description="tiles worked on at once on a CPU")] = 2,
    ) -> None:
        self.inner = inner
        self.tile = tile
        self.overlap = overlap
        self.wiener = wiener
        self.apart = apart
        self.together = together
        self.iterations = inner.iterations

    def check(self, problem: Problem) -> None:
        """Refuse what the inner solver refuses, and a border that tiles do not have; raises `AssemblyError`."""
        super().check(problem)
        self.inner.check(problem)
        if not self._whole(problem):
            check_padding(problem, "tiles", ("valid",))

    def steps(self, problem: Problem) -> int:
        """Tiles, times channels where these are apart, over the tiles of a step."""
        if self._whole(problem):
            return self.inner.steps(problem)
        return math.ceil(len(self._tiles(problem)) / self.together)

    def start(self, problem: Problem) -> State:
        """The Wiener filter's image."""
        if self._whole(problem):
            return self._inner.start(problem)
        image, kernel = starting_point(problem)
        weight = self.wiener * max((term.weight for term in problem.regularizers), default=0.0)
        begun = wiener_filtered(problem, image, kernel, weight) if weight > 0 else image
        return TilesState(image=begun.clone(), kernel=kernel, begun=begun)

    def step(self, problem: Problem, state: State) -> State:
        """The next tiles, each from its part of the image before the first."""
        if self._whole(problem) or not isinstance(state, TilesState):
            return self._inner.step(problem, state)
        first = state.iteration * self.together
        tiles = self._tiles(problem)[first : first + self.together]
        solved = self._solved([part_of(problem, tile, state.begun) for tile in tiles])
        losses = [self._put(tile, one, state) for tile, one in zip(tiles, solved, strict=True)]
        state.losses.append(torch.stack(losses).mean())
        return state

    def _solved(self, problems: Sequence[Problem]) -> list[State]:
        if len(problems) == 1 or problems[0].data.device.type != "cpu":
            return [run_inner(self.inner, problem) for problem in problems]
        each = max(1, torch.get_num_threads() // self.together)
        with at_most_threads(each), ThreadPoolExecutor(self.together) as pool:
            return list(pool.map(lambda problem: run_inner(self.inner, problem), problems))

    def _put(self, tile: Tile, solved: State, state: TilesState) -> Tensor:
        """Let a tile's image take the place of the prior's; its last loss."""
        image, kernel = (value.detach() for value in solved.estimate())
        if not torch.equal(kernel, state.kernel):
            raise AssemblyError(
                f"tiles is for solvers that take the kernel as given, and {type(self.inner).__name__} finds another "
                "for each tile; use it without tiles, or set kernel_prior=known"
            )
        change = (image - tile.image(state.begun)).mul_(tile.down.to(image)[:, None]).mul_(tile.across.to(image))
        tile.image(state.image).add_(change)
        return solved.losses[-1].detach()

    @property
    def _inner(self) -> Solver[State]:
        return self.inner

    def _whole(self, problem: Problem) -> bool:
        return self._counts(problem) == (1, 1)

    def _counts(self, problem: Problem) -> Size:
        """Tiles down and across."""
        rows, columns = (
            max(1, math.ceil((size - 2 * reach) / self.tile))
            for size, reach in zip(size_of(problem.data), self._reach(problem), strict=True)
        )
        return rows, columns

    def _reach(self, problem: Problem) -> Size:
        """Overlap in pixels down and across."""
        rows, columns = problem.kernel_prior.shape[-2:]
        return math.ceil(self.overlap * rows), math.ceil(self.overlap * columns)

    def _tiles(self, problem: Problem) -> list[Tile]:
        (counts, reach), kernel = (self._counts(problem), self._reach(problem)), problem.kernel_prior.shape[-2:]
        down, across = (
            windows(size, count, overlap, taps)
            for size, count, overlap, taps in zip(size_of(problem.data), counts, reach, kernel, strict=True)
        )
        number = problem.data.shape[1]
        channels = [slice(i, i + 1) for i in range(number)] if self.apart else [slice(None)]
        return [
            Tile(rows, columns, channel, share_down, share_across)
            for rows, share_down in down
            for columns, share_across in across
            for channel in channels
        ]


@torch.no_grad()
def wiener_filtered(problem: Problem, image: Tensor, kernel: Tensor, weight: float) -> Tensor:
    """The image, in [0, 1], that explains the data of a problem with padding "valid" under squared gradients.

    Channel after channel: a large photograph's spectra are what takes the memory.
    """
    size = grid_size(size_of(problem.data), size_of(kernel))
    blur = otf(kernel, size)
    inverse = blur.conj() / (blur.abs().square() + weight * power_spectrum(GRADIENT, size, image)).clamp_(min=LEAST)
    channels = []
    for channel in torch.split(problem.data, 1, 1):
        spectrum = torch.fft.rfft2(extend_periodically(channel, size_of(kernel), size)).mul_(inverse)
        channels.append(to_image(torch.fft.irfft2(spectrum, size), size_of(image)).clamp(0, 1))
    return torch.cat(channels, 1)


def part_of(problem: Problem, tile: Tile, image: Tensor) -> Problem:
    """The problem of one tile, starting from its part of an image."""
    prior = image_prior_of(problem.image_prior, tile.image(image))
    return replace(problem, data=tile.data(problem.data), image_prior=prior)


def windows(size: int, count: int, overlap: int, taps: int) -> list[tuple[Size, Tensor]]:
    """Equal windows on a line of data, two neighbours sharing ``2 * overlap`` pixels, or one or two more.

    Args:
        size: of the data along the line, pixels.
        count: how many windows.
        overlap: pixels.
        taps: of the kernel along the line.

    Returns:
        For each window first data pixel and the one beyond the last, and its share, (length + taps - 1,), of the
        image's pixels: one, but at the seams a raised cosine over half of what is shared; the shares add up to one.
    """
    length = math.ceil((size + 2 * overlap * (count - 1)) / count)
    firsts = [round(i * (size - length) / max(1, count - 1)) for i in range(count)]
    (before, _), _ = margins((taps, 1))
    seams = [before + (later + earlier + length) / 2 for earlier, later in pairwise(firsts)]
    position = torch.arange(size + taps - 1, dtype=torch.float64) + 0.5
    rises = [rise(position - seam, overlap / 2) for seam in seams]
    ends = [torch.ones_like(position), *rises, torch.zeros_like(position)]
    return [
        ((first, first + length), (ends[i] - ends[i + 1])[first : first + length + taps - 1])
        for i, first in enumerate(firsts)
    ]


def rise(distance: Tensor, reach: float) -> Tensor:
    """From 0 to 1 by a raised cosine, where the distance goes from ``-reach`` to ``reach``."""
    return 0.5 + 0.5 * torch.sin((distance / reach).clamp(-1, 1) * (torch.pi / 2))
