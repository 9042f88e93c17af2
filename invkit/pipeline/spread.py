"""How far images and kernels that explain the data as well lie from those of a result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.interfaces import KernelPrior
from ..core.result import KERNEL, Result
from ..numerics.framing import resize_kernel_support, visible_part
from ..numerics.geometry import size_of
from ..numerics.registration import align
from ..recipes.model import Recipe
from ..solvers.local_gaussian import LocalGaussian
from .sequence import Outcome, Referee, StageSequence
from .stages import RunControl, Stage

__all__ = ["Budget", "Spread", "spread_of_kernels", "spread_of_samples", "spread_of_seeds"]

MIN_NOISE = 1e-4  # standard deviation; with less, single precision does not resolve the system
INTERVAL_FACTOR = 0.87  # of deviations about the image; benchmarks/interval_coverage.py learn
CANDIDATE_TEMPERATURE = 0.5  # of the weighted sums of scores; benchmarks/interval_coverage.py learn
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


def spread_of_samples(outcome: Outcome, sampler: Recipe, count: int, budget: Budget) -> Spread | None:
    """The spread about the image for its kernel; None if there was no time for two samples.

    It includes the distance of the image from the mean of the samples. The strength of the regularizers is the one
    under which the data are most likely.

    Args:
        outcome: of the solve.
        sampler: the recipe whose problem has the distribution; `obstacle_to_sampling` is None for it.
        count: of the samples.
        budget: device, time and progress.
    """
    stage, last = outcome.last
    image, kernel = torch.as_tensor(last.image), torch.as_tensor(last.kernel)
    problem = stage.restoring(sampler).assembled(size_of(kernel), kernel).problem.to(budget.device)
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
    facts = {"sampler": sampler.name, "noise_sigma": noise, "strength": round(float(here.strength.mean()), 4)}
    return Spread(INTERVAL_FACTOR * shown, None, done, facts)


def spread_of_kernels(outcome: Outcome, sampler: Recipe, count: int, budget: Budget) -> Spread | None:
    """The spread over the kernels that the solve found likely; None for a known kernel, or without time for one more.

    Args:
        outcome: of the solve.
        sampler: the recipe that restores with each of them.
        count: of the kernels to draw, if the kernel has posterior variances.
        budget: device, time and progress.
    """
    stage, last = outcome.last
    stage, kernel = stage.restoring(sampler), torch.as_tensor(last.kernel)
    others = list(candidate_kernels(outcome) or drawn_kernels(outcome, count))
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
    variances = outcome.variances.get(KERNEL)
    spread = (kernels / total).sqrt() if variances is None else torch.as_tensor(variances).sqrt()
    return Spread((image / total).sqrt(), spread, 0, {"kernels": len(others)})


def candidate_kernels(outcome: Outcome) -> list[tuple[float, Tensor]]:
    """The share of belief and the kernel (1, 1, h, w) of each candidate that is likely enough; may be empty.

    The shares are those of a softmax over the weighted sums of scores by which the kernel was selected.
    """
    if len(outcome.compared) < 2:
        return []
    scores = torch.tensor([one.score for one in outcome.compared], dtype=torch.float64)
    shares = torch.softmax(-(scores - scores.min()) / CANDIDATE_TEMPERATURE, 0)
    pairs = zip(shares.tolist(), outcome.compared, strict=True)
    return [(share, one.kernel) for share, one in pairs if share >= MIN_SHARE]


def drawn_kernels(outcome: Outcome, count: int) -> Iterator[tuple[float, Tensor]]:
    """Kernels from independent Gaussians with the posterior variances, each with the same share; none without these."""
    found = outcome.variances.get(KERNEL)
    if found is None:
        return
    stage, last = outcome.last
    kernel, generator = torch.as_tensor(last.kernel), torch.Generator().manual_seed(stage.seed + 1)
    deviation = torch.as_tensor(found).sqrt().to(kernel)
    for _ in range(count):
        drawn = kernel + deviation * torch.randn(kernel.shape, generator=generator)
        yield 1 / count, KernelPrior.allowed(drawn)


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


def spread_of_seeds(outcome: Outcome, count: int, budget: Budget) -> Spread | None:
    """The spread over solves with other seeds; None if there was no time for a second one.

    Args:
        outcome: of the first solve.
        count: of the solves, the first one included.
        budget: device, time and progress.
    """
    stage, last = outcome.last
    images, kernels = [shown_image(stage, last)], [torch.as_tensor(last.kernel)]
    budget.count()
    while len(images) < count and not budget.is_over():
        other = solved_with_seed(outcome, stage.seed + len(images), budget)
        if other.stop is not None:
            budget.stop = budget.stop or other.stop
            break
        image, kernel = shown_image(*other.last), other.kernel
        image, kernel = registered(image, kernel, images[0])
        images.append(image)
        kernels.append(resize_kernel_support(kernel, size_of(kernels[0])))
        budget.count()
    if len(images) < 2:
        return None
    is_given = all(one.recipe.keeps_kernel for one in outcome.stages)
    kernel_spread = None if is_given else torch.stack(kernels).std(0)
    return Spread(torch.stack(images).std(0), kernel_spread, len(images), {})


def solved_with_seed(outcome: Outcome, seed: int, budget: Budget) -> Outcome:
    """The same stages solved with another seed.

    Args:
        outcome: of the first solve.
        seed: of every random number.
        budget: device and time left.
    """
    stages = [replace(one, seed=seed) for one in outcome.stages]
    first = stages[0]
    start = outcome.kernel if first.recipe.keeps_kernel else None
    assembly = first.assembled(size_of(outcome.kernel), start)
    referee, control = Referee.of(stages, budget.device), RunControl(time_limit=budget.left)
    sequence = StageSequence(stages, budget.device, referee, control, budget.interrupted, guarantees_last=False)
    return sequence.solve_all(assembly)


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
