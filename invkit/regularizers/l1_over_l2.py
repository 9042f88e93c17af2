"""The ratio of two norms of the image's differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Proximable
from ..core.parameters import validated
from ..numerics.finite_differences import GRADIENT, IDENTITY

__all__ = ["L1OverL2"]

SECTIONS, PASSES = 32, 8  # of a segment, to 2^-40 of it: many points at once cost no more than one
NARROWINGS = 4  # of the bracket, each a pass over all magnitudes; more cost more than they save in sorting
ROUNDING = 1e-5  # relative, of the bracket's ends, which are computed in the precision of the magnitudes


class L1OverL2(Proximable):
    """Normalised sparsity ``||D u||_1 / ||D u||_2`` (Krishnan, Tay, Fergus, CVPR 2011), D u the image's differences.

    Zero for a constant image, else between 1, one difference only, and the square root of the number of differences.
    It does not depend on contrast, and a blur, which lowers the second norm more than the first, raises it.

    Not divided by the number of values: it is a property of the image as a whole. As fidelities are means, the weight
    for a paper's ``lambda ||K u - y||^2 + R(u)`` with M values of data is ``1 / (lambda M)``.

    Below a norm e the ratio is ``||D u||_1 / e``, which is continuous and convex there: so R is continuous at constant
    images too, and its gradients are at most about 1 / e.

    Args:
        of: what the norms are of: the first differences, or the values, for an image that is made of differences.
        smoothing: e, as the root of the mean square over all coefficients; an image that varies by less is taken for
            constant. Without it e is the fourth root of the smallest float, so that squares do not underflow.
    """

    @validated
    def __init__(
        self,
        *,
        of: Annotated[
            Literal["gradient", "value"], Field(description="take the norms of the differences or of the values")
        ] = "gradient",
        smoothing: Annotated[
            float, Field(ge=0, le=1, description="root mean square ([0, 1] units) below which it is no longer a ratio")
        ] = 1e-4,
    ) -> None:
        super().__init__()
        self.filters = GRADIENT if of == "gradient" else (IDENTITY,)
        self.smoothing = smoothing

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Coefficients (K, B, C, H, W) -> (B,), >= 0."""
        total = coefficients.abs().sum((0, 2, 3, 4))
        squared = coefficients.square().sum((0, 2, 3, 4))
        return total / squared.clamp_min(self.least_norm(coefficients) ** 2).sqrt()

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """The exact proximal map: (K, B, C, H, W) -> the same shape; each image by itself, in n log n operations."""
        least = self.least_norm(coefficients)
        images = [minimiser(image, step, least) for image in coefficients.unbind(1)]
        return torch.stack(images, 1)

    def least_norm(self, coefficients: Tensor) -> float:
        """The norm e below which the denominator is e."""
        count = coefficients[:, 0].numel()
        return float(max(self.smoothing * count**0.5, torch.finfo(coefficients.dtype).tiny ** 0.25))


class Segments(NamedTuple):
    """Intervals of a threshold t between neighbouring magnitudes, and what the magnitudes above t add up to.

    Float64, because differences of such sums are needed to more digits than the magnitudes have.

    Attributes:
        lower, upper: the ends.
        number, linear, square: how many, sum and sum of squares of the magnitudes above t.
    """

    lower: Tensor
    upper: Tensor
    number: Tensor
    linear: Tensor
    square: Tensor

    def norm(self, threshold: Tensor) -> Tensor:
        """``||w||`` of `minimiser`, one threshold a segment."""
        squared = self.square - 2 * threshold * self.linear + self.number * threshold.square()
        return squared.clamp_min(0).sqrt()

    def level(self, threshold: Tensor) -> Tensor:
        """The p of `minimiser`; infinite where w is so short that it can be left out."""
        norm, along = self.norm(threshold), self.square - threshold * self.linear
        return torch.where(norm > threshold / 2, threshold * along / norm, torch.inf)

    def slope(self, threshold: Tensor) -> Tensor:
        """A cubic with the sign of p's derivative; it falls, its own derivative being ``-3 linear ||w||^2``."""
        first, third = threshold * self.linear, self.number * self.linear * threshold**3
        return self.square.square() - 3 * first * self.square + 3 * first.square() - third

    def where(self, mask: Tensor) -> Segments:
        """Some of the segments."""
        return Segments(*(part[mask] for part in self))

    def cost(self, threshold: Tensor, step: float) -> Tensor:
        """What the best multiple of w costs more than zero does, its norm being above ``least``."""
        norm, along = self.norm(threshold), self.square - threshold * self.linear
        costs = (step * (self.linear - threshold * self.number) - along.square() / (2 * norm)) / norm
        return torch.where(norm > threshold / 2, costs, torch.inf)

    def minima(self, step: float) -> Segments:
        """The segments, cut at the top, whose upper ends are where p rises through ``step``."""
        below, above = self.level(self.lower) <= step, self.level(self.upper) > step
        hump = (self.slope(self.lower) > 0) & (self.slope(self.upper) < 0)
        found = self.where(below & (above | hump))
        rising = found.up_to(lambda threshold: found.slope(threshold) > 0)
        return rising.up_to(lambda threshold: rising.level(threshold) <= step)

    def up_to(self, holds: Callable[[Tensor], Tensor]) -> Segments:
        """The segments, cut where something ceases to hold that holds at first; by repeated division."""
        lower, upper = self.lower, self.upper
        shares = torch.arange(SECTIONS + 1, device=lower.device, dtype=lower.dtype)[:, None] / SECTIONS
        for _ in range(PASSES):
            points = torch.lerp(lower, upper, shares)
            last = holds(points[1:-1]).cumprod(0).sum(0, keepdim=True)  # how many in a row
            lower, upper = points.gather(0, last)[0], points.gather(0, last + 1)[0]
        return self._replace(upper=upper)


def minimiser(value: Tensor, step: float, least: float) -> Tensor:
    """``argmin_z step ||z||_1 / max(||z||_2, least) + ||z - value||^2 / 2``, of the shape of ``value``.

    Given the norm r of the solution the denominator is known, so z is ``r w / ||w||`` with the soft thresholding
    ``w = soft(value, t)``, ``t = step / max(r, least)``, and costs ``r^2 / 2 - r ||w||`` more than zero does. What is
    left is one variable.

    For r <= least, t is fixed, and the best r is ||w|| or least. For r > least a stationary point has ``p(t) = step``,
    ``p(t) = t <value, w> / ||w||``, and is a minimum where p rises. As long as t passes no magnitude, p rises first
    and then falls: each segment between two of the sorted magnitudes holds one minimum at most, found by bisection.
    Of all the best is taken.

    One with w shorter than t can be left out: there ``r = step / t = p(t) / t = ||w|| + t ||w||_1 / ||w||``, at least
    ||w|| + t and so more than 2 ||w||, and it costs more than zero does.
    """
    threshold = best_threshold(value.abs().flatten(), step, least)
    thresholded = value.sign() * (value.abs() - threshold).clamp_min(0)
    norm = float(torch.linalg.vector_norm(thresholded))
    if norm == 0:
        return thresholded
    # <value, w> / ||w|| is r, and the best multiple of w also when t is not quite the root.
    length = float((thresholded * value).sum()) / norm if threshold < step / least else min(norm, least)
    return thresholded * (length / norm)


def best_threshold(magnitudes: Tensor, step: float, least: float) -> float:
    """The t of the best z of `minimiser`; magnitudes (N,), in any order."""
    fixed = step / least
    norm = float(torch.linalg.vector_norm((magnitudes - fixed).clamp_min(0)))
    cost = min(norm, least) * (min(norm, least) / 2 - norm)
    low, high = bracket(magnitudes, step)
    minima = segments(magnitudes, low, min(high, fixed)).minima(step)
    costs = minima.cost(minima.upper, step)
    return float(minima.upper[costs.argmin()]) if len(costs) and float(costs.min()) < cost else fixed


def bracket(magnitudes: Tensor, step: float) -> tuple[float, float]:
    """Two thresholds between which p of `minimiser` takes the value ``step``, wherever it does.

    So that few magnitudes need to be sorted. ``q(t) = <value, w> / ||w||`` falls from ||value|| to the largest
    magnitude or more, so that all t with ``t q(t) = step`` lie between ``step / q`` of any two t that they lie between.
    """
    largest = float(magnitudes.max())
    if largest == 0:
        return 0.0, 0.0
    low, high = 0.0, largest
    for _ in range(NARROWINGS):
        low, high = (step / max(projection(magnitudes, end), largest) for end in (low, high))
    return low * (1 - ROUNDING), high * (1 + ROUNDING)


def projection(magnitudes: Tensor, threshold: float) -> float:
    """The q of `bracket`, zero where no magnitude is above the threshold."""
    thresholded = (magnitudes - threshold).clamp_min(0)
    norm = float(torch.linalg.vector_norm(thresholded))
    return float(thresholded @ magnitudes) / norm if norm > 0 else 0.0


def segments(magnitudes: Tensor, low: float, high: float) -> Segments:
    """Those between ``low`` and ``high``, divided by the magnitudes that lie there."""
    above = magnitudes[magnitudes >= high].double()
    between = magnitudes[(magnitudes > low) & (magnitudes < high)].sort(descending=True).values.double()
    ends = torch.cat([between.new_tensor([high]), between, between.new_tensor([low])])
    sums = (torch.cat([(above**power).sum()[None], between**power]).cumsum(0) for power in (0, 1, 2))
    every = Segments(ends[1:], ends[:-1], *sums)
    return every.where(every.lower < every.upper)
