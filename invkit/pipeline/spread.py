"""How far images and kernels that explain the data as well lie from those of a result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.interfaces import KernelPrior
from ..core.result import Result
from ..numerics.framing import resize_kernel_support, visible_part
from ..numerics.geometry import size_of
from ..numerics.registration import align
from ..solvers.local_gaussian import LocalGaussian
from .selection import ComparedKernel
from .stages import Stage

__all__ = [
    "Budget",
    "KernelShare",
    "Solved",
    "Spread",
    "candidate_kernels",
    "drawn_kernels",
    "spread_of_kernels",
    "spread_of_samples",
    "spread_of_seeds",
]

KernelShare: TypeAlias = tuple[float, Tensor]
"""The probability of a kernel, and the kernel (B, 1, h, w)."""

Solved: TypeAlias = tuple[Stage, Result]
"""The last stage of a solve, and its result."""

MIN_NOISE = 1e-4  # standard deviation; with less, single precision does not resolve the system
INTERVAL_FACTOR = 0.98  # of deviations about the image; benchmarks/interval_coverage.py learn
CANDIDATE_TEMPERATURE = 1.0  # of the weighted sums of scores; benchmarks/interval_coverage.py learn
MIN_SHARE = 0.01  # candidates that are less likely than this are left out
MAX_SHIFT = 8.0  # pixels, by which image and kernel of another candidate or seed may be displaced


@dataclass
class Budget:
    """Where samples are computed, whether there is time for another one, and how many are done.

    Attributes:
        device: where to compute.
        interrupted: set by Ctrl-C.
        time_limit: seconds; None for no limit.
        stop: why no further sample starts; None if one may.
        show: is called with the number of samples that are done.
        done: that number.
        started: on the monotonic clock.
    """

    device: torch.device
    interrupted: threading.Event
    time_limit: float | None = None
    stop: str | None = None
    show: Callable[[int], None] = lambda done: None
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float | None:
        """Seconds until the time limit; None without one."""
        return None if self.time_limit is None else self.time_limit - (time.monotonic() - self.started)

    def is_over(self) -> bool:
        """Whether no further sample may start; records why."""
        if self.interrupted.is_set():
            self.stop = self.stop or "interrupted"
        elif self.left is not None and self.left <= 0:
            self.stop = self.stop or "time limit"
        return self.stop is not None

    def count(self) -> None:
        """Show that one more sample is done."""
        self.done += 1
        self.show(self.done)


@dataclass(frozen=True)
class Spread:
    """Root mean squares of distances from a result.

    Attributes:
        image: (B, C, H, W), of the part of the image that is shown.
        kernel: (B, 1, h, w); None if the kernel is known.
        count: of the samples.
        facts: for the details of the result.
    """

    image: Tensor
    kernel: Tensor | None
    count: int
    facts: Mapping[str, Any]

    def with_kernels(self, others: Spread) -> Spread:
        """The spread about the image for one kernel and that over kernels, taken as independent."""
        image = torch.hypot(self.image, others.image)
        return replace(self, image=image, kernel=others.kernel, facts={**self.facts, **others.facts})


def spread_of_samples(stage: Stage, last: Result, count: int, budget: Budget) -> Spread | None:
    """The spread about the image for its kernel; None if there was no time for two samples.

    It includes the distance of the image from the mean of the samples. The strength of the regularizers is the one
    under which the data are most likely.

    Args:
        stage: whose problem has the distribution; `obstacle_to_sampling` is None for it.
        last: gives the image and its kernel.
        count: of the samples.
        budget: device, time and progress.
    """
    image, kernel = torch.as_tensor(last.image), torch.as_tensor(last.kernel)
    problem = stage.assembled(size_of(kernel), kernel).problem.to(budget.device)
    noise = max(stage.sigma or 0.0, MIN_NOISE)
    generator = torch.Generator().manual_seed(stage.seed)
    if budget.is_over():
        return None
    here = LocalGaussian.at(problem, image, kernel, noise).with_likely_strength(generator)
    total, done = torch.zeros_like(here.image), 0
    while done < count and not budget.is_over():
        total, done = total + here.sample(generator).square(), done + 1
        budget.count()
    if done < 2:
        return None
    squares = (total / done + (here.mean() - here.image).square()).cpu()
    shown = visible_part(squares.sqrt(), size_of(stage.data), size_of(kernel))
    facts = {"sampler": stage.recipe.name, "strength": round(float(here.strength.mean()), 4)}
    return Spread(INTERVAL_FACTOR * shown, None, done, facts)


def spread_of_kernels(stage: Stage, kernel: Tensor, others: Sequence[KernelShare], budget: Budget) -> Spread | None:
    """The spread over kernels that are likely too, and over their restorations; None without time for one of them.

    Args:
        stage: restores with each kernel.
        kernel: of the result, (B, 1, h, w).
        others: further kernels, of any size, with their shares.
        budget: device, time and progress.
    """
    if not others or budget.is_over():
        return None
    reference = restored(stage, kernel, budget)
    image = kernels = torch.zeros(())
    total = 0.0
    for share, other in others:
        found = None if reference is None or budget.is_over() else restored(stage, other, budget)
        if reference is None or found is None:
            break
        moved_image, moved_kernel = registered(found, other, reference)
        image = image + share * (moved_image - reference).square()
        kernels = kernels + share * (resize_kernel_support(moved_kernel, size_of(kernel)) - kernel).square()
        total += share
    if not total:
        return None
    return Spread((image / total).sqrt(), (kernels / total).sqrt(), 0, {"kernels": len(others)})


def candidate_kernels(compared: Sequence[ComparedKernel]) -> list[KernelShare]:
    """The kernels that are likely enough, by a softmax over the scores by which one was selected; none of a single one.

    Example:
        >>> pair = [ComparedKernel(torch.ones(1, 1, 1, 1), score) for score in (-20.0, -20.0 + CANDIDATE_TEMPERATURE)]
        >>> [round(share, 2) for share, _ in candidate_kernels(pair)]
        [0.73, 0.27]
    """
    if len(compared) < 2:
        return []
    scores = torch.tensor([one.score for one in compared], dtype=torch.float64)
    shares = torch.softmax(-(scores - scores.min()) / CANDIDATE_TEMPERATURE, 0)
    pairs = zip(shares.tolist(), compared, strict=True)
    return [(share, one.kernel) for share, one in pairs if share >= MIN_SHARE]


def drawn_kernels(kernel: Tensor, variances: Tensor, count: int, seed: int) -> list[KernelShare]:
    """Kernels from independent Gaussians about a kernel (B, 1, h, w), each with the same share.

    Args:
        kernel: >= 0, summing to one.
        variances: of its entries, of the same shape.
        count: of the kernels.
        seed: of the random numbers.
    """
    generator, deviation = torch.Generator().manual_seed(seed), variances.sqrt().to(kernel)
    drawn = [kernel + deviation * torch.randn(kernel.shape, generator=generator) for _ in range(count)]
    return [(1 / count, KernelPrior.allowed(one)) for one in drawn]


def restored(stage: Stage, kernel: Tensor, budget: Budget) -> Tensor | None:
    """The shown part of the restoration by a stage with a kernel (B, 1, h, w); None if it was stopped.

    Args:
        stage: that keeps the kernel.
        kernel: of any size.
        budget: device and time left.
    """
    assembly = stage.assembled(size_of(kernel), kernel)
    found = assembly.solver.solve(assembly.problem.to(budget.device), time_limit=budget.left)
    if not found.is_complete:
        budget.stop = budget.stop or found.stopped
        return None
    return visible_part(torch.as_tensor(found.image), size_of(stage.data), size_of(kernel))


def spread_of_seeds(
    first: Solved, solve: Callable[[int], Solved | None], count: int, budget: Budget, *, are_blurred: bool
) -> Spread | None:
    """The spread over solves with other seeds; None if there was no time for a second one.

    Args:
        first: the solve of the result.
        solve: another one, from the number of its seed; None if it was stopped.
        count: of the solves, the first one included.
        budget: device, time and progress.
        are_blurred: whether an unknown kernel blurs the image, so that both are found only up to a common shift.
    """
    images, kernels = [shown_image(*first)], [torch.as_tensor(first[1].kernel)]
    budget.count()
    while len(images) < count and not budget.is_over():
        other = solve(first[0].seed + len(images))
        if other is None:
            break
        image, kernel = shown_image(*other), torch.as_tensor(other[1].kernel)
        if are_blurred:
            image, kernel = registered(image, resize_kernel_support(kernel, size_of(kernels[0])), images[0])
        images.append(image)
        kernels.append(kernel)
        budget.count()
    if len(images) < 2:
        return None
    return Spread(torch.stack(images).std(0), torch.stack(kernels).std(0) if are_blurred else None, len(images), {})


def shown_image(stage: Stage, result: Result) -> Tensor:
    """The part of a stage's image that is shown, (B, C, H, W)."""
    return visible_part(torch.as_tensor(result.image), size_of(stage.data), size_of(torch.as_tensor(result.kernel)))


def registered(image: Tensor, kernel: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """An image (1, C, H, W) moved onto a reference, and its kernel (1, 1, h, w) moved against it.

    A blind method finds both only up to a common shift, which is no error. Batches are not moved.

    Example:
        >>> picture = F.avg_pool2d(torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)), 5, 1)
        >>> image, _ = registered(picture.roll(2, -1), torch.eye(5)[None, None] / 5, picture)
        >>> bool((image - picture)[..., 4:-4].abs().max() < 1e-4)
        True
    """
    reach = min(MAX_SHIFT, min(size_of(image)) // 4)
    if len(image) > 1 or reach < 1:
        return image, kernel
    down, right = align(image[0], reference[0], border=int(reach), max_shift=reach).shift
    return moved(image, (down, right), "border"), KernelPrior.allowed(moved(kernel, (-down, -right), "zeros"))


def moved(value: Tensor, shift: tuple[float, float], beyond: str) -> Tensor:
    """``value(y + down, x + right)`` by cubic interpolation, (B, C, H, W); the same tensor for no shift.

    Args:
        value: (B, C, H, W).
        shift: (down, right), pixels.
        beyond: what lies beyond the border: "zeros" or "border".
    """
    if shift == (0, 0):
        return value
    height, width = size_of(value)
    rows, columns = torch.arange(height) + shift[0], torch.arange(width) + shift[1]
    unit = [2 * line / max(1, side - 1) - 1 for line, side in ((rows, height), (columns, width))]
    grid = torch.stack(torch.meshgrid(unit[1], unit[0], indexing="xy"), -1).to(value)
    return F.grid_sample(value, grid.expand(len(value), -1, -1, -1), "bicubic", beyond, align_corners=True)
