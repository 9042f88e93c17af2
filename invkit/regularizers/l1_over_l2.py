"""The ratio of two norms of the image's differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..core.interfaces import Proximable
from ..core.parameters import Fraction, validated
from ..numerics.finite_differences import GRADIENT, IDENTITY

__all__ = ["L1OverL2"]

SECTIONS, PASSES = 32, 8  # a segment is divided to 2^-40 of it; many points at once cost no more than one
BRACKET_STEPS = 4  # each is a pass over all magnitudes; more steps cost more than they save in sorting
BRACKET_TOLERANCE = 1e-5  # relative; the ends of the bracket have the precision of the magnitudes


class L1OverL2(Proximable):
    """Normalised sparsity ``||D u||_1 / ||D u||_2`` of the differences D u (Krishnan, Tay, Fergus, CVPR 2011).

    R is zero for a constant image. Otherwise it lies between 1 (a single nonzero difference) and the square root of the
    number of differences. It does not depend on contrast. A blur raises it, because it lowers the second norm more than
    the first.

    R is not divided by the number of values, because it describes the image as a whole. As fidelities are means, the
    weight for a paper's ``lambda ||K u - y||^2 + R(u)`` with M values of data is ``1 / (lambda M)``.

    Below a norm e, R is ``||D u||_1 / e``, which is continuous and convex. So R is continuous at constant images too,
    and its gradients are at most about 1 / e.

    Args:
        of: the norms are those of the first differences ("gradient"), or of the values if the image itself consists of
            differences.
        smoothing: root mean square over all coefficients, in [0, 1] units, that defines e. An image with smaller
            variations counts as constant. With 0, e is the fourth root of the smallest float, so that squares do not
            underflow.

    Example:
        >>> step = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 4, 4)  # 4 differences of 1
        >>> L1OverL2()(step), L1OverL2()(0.5 * step)
        (tensor([2.]), tensor([2.]))
    """

    @validated
    def __init__(self, *, of: Literal["gradient", "value"] = "gradient", smoothing: Fraction = 1e-4) -> None:
        super().__init__()
        self.filters = GRADIENT if of == "gradient" else (IDENTITY,)
        self.smoothing = smoothing

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Coefficients (K, B, C, H, W) -> (B,), >= 0."""
        total = coefficients.abs().sum((0, 2, 3, 4))
        squared = coefficients.square().sum((0, 2, 3, 4))
        return total / squared.clamp_min(self.least_norm(coefficients) ** 2).sqrt()

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """The exact proximal map: (K, B, C, H, W) -> the same shape; n log n operations for each image."""
        least = self.least_norm(coefficients)
        images = [proximal_point(image, step, least) for image in coefficients.unbind(1)]
        return torch.stack(images, 1)

    def least_norm(self, coefficients: Tensor) -> float:
        """The lower bound e of the denominator."""
        count = coefficients[:, 0].numel()
        return float(max(self.smoothing * count**0.5, torch.finfo(coefficients.dtype).tiny ** 0.25))


class Segments(NamedTuple):
    """Intervals of a threshold t between neighbouring magnitudes, with sums over the magnitudes above t; (n,) each.

    The sums are float64, because their differences need more digits than the magnitudes have.

    Attributes:
        lower: lower ends of the intervals.
        upper: upper ends.
        number: number of the magnitudes above t.
        linear: their sum.
        square: the sum of their squares.
    """

    lower: Tensor
    upper: Tensor
    number: Tensor
    linear: Tensor
    square: Tensor

    def norm(self, threshold: Tensor) -> Tensor:
        """``||w||`` of `proximal_point`, for one threshold in each segment."""
        squared = self.square - 2 * threshold * self.linear + self.number * threshold.square()
        return squared.clamp_min(0).sqrt()

    def level(self, threshold: Tensor) -> Tensor:
        """The function p of `proximal_point`; infinite where w is too short to be a minimum."""
        norm, along = self.norm(threshold), self.square - threshold * self.linear
        return torch.where(norm > threshold / 2, threshold * along / norm, torch.inf)

    def slope(self, threshold: Tensor) -> Tensor:
        """A decreasing cubic with the sign of p's derivative; its own derivative is ``-3 linear ||w||^2``."""
        first, third = threshold * self.linear, self.number * self.linear * threshold**3
        return self.square.square() - 3 * first * self.square + 3 * first.square() - third

    def where(self, mask: Tensor) -> Segments:
        """The segments where a mask (n,) is true."""
        return Segments(*(part[mask] for part in self))

    def cost(self, threshold: Tensor, step: float) -> Tensor:
        """The cost of the best multiple of w minus the cost of zero, if its norm is above ``least``."""
        norm, along = self.norm(threshold), self.square - threshold * self.linear
        costs = (step * (self.linear - threshold * self.number) - along.square() / (2 * norm)) / norm
        return torch.where(norm > threshold / 2, costs, torch.inf)

    def minima(self, step: float) -> Segments:
        """The segments in which p rises through ``step``, shortened so that this is their upper end."""
        below, above = self.level(self.lower) <= step, self.level(self.upper) > step
        hump = (self.slope(self.lower) > 0) & (self.slope(self.upper) < 0)
        found = self.where(below & (above | hump))
        rising = found.shortened(lambda threshold: found.slope(threshold) > 0)
        return rising.shortened(lambda threshold: rising.level(threshold) <= step)

    def shortened(self, holds: Callable[[Tensor], Tensor]) -> Segments:
        """Shorten each segment to the end of its first part in which a condition holds, by repeated division."""
        lower, upper = self.lower, self.upper
        shares = torch.arange(SECTIONS + 1, device=lower.device, dtype=lower.dtype)[:, None] / SECTIONS
        for _ in range(PASSES):
            points = torch.lerp(lower, upper, shares)
            last = holds(points[1:-1]).cumprod(0).sum(0, keepdim=True)  # number of points in a row
            lower, upper = points.gather(0, last)[0], points.gather(0, last + 1)[0]
        return self._replace(upper=upper)


def proximal_point(value: Tensor, step: float, least: float) -> Tensor:
    """``argmin_z step ||z||_1 / max(||z||_2, least) + ||z - value||^2 / 2``.

    The norm r of the solution determines the denominator. So z is ``r w / ||w||`` with the soft thresholding
    ``w = soft(value, t)``, ``t = step / max(r, least)``. Its cost minus that of zero is ``r^2 / 2 - r ||w||``. The
    problem has only one variable left.

    For r <= least, t is fixed, and the best r is ||w|| or least. For r > least a stationary point has ``p(t) = step``,
    where ``p(t) = t <value, w> / ||w||``. It is a minimum if p increases there. Between two neighbours of the sorted
    magnitudes p first increases, then decreases. So each such segment has at most one minimum, which bisection finds.
    The best of all minima is the solution.

    A point with w shorter than t cannot be the solution: there ``r = step / t = p(t) / t = ||w|| + t ||w||_1 / ||w||``
    is at least ||w|| + t, hence more than 2 ||w||, and the cost is above that of zero.

    Args:
        value: the coefficients of one image, any shape.
        step: > 0.
        least: > 0, the lower bound of the denominator.
    """
    threshold = best_threshold(value.abs().flatten(), step, least)
    thresholded = value.sign() * (value.abs() - threshold).clamp_min(0)
    norm = float(torch.linalg.vector_norm(thresholded))
    if norm == 0:
        return thresholded
    # <value, w> / ||w|| is r. It is also the best multiple of w if t is not exactly the root.
    length = float((thresholded * value).sum()) / norm if threshold < step / least else min(norm, least)
    return thresholded * (length / norm)


def best_threshold(magnitudes: Tensor, step: float, least: float) -> float:
    """The threshold t of the solution of `proximal_point`.

    Args:
        magnitudes: (N,), in any order.
        step: > 0.
        least: > 0.
    """
    fixed = step / least
    norm = float(torch.linalg.vector_norm((magnitudes - fixed).clamp_min(0)))
    cost = min(norm, least) * (min(norm, least) / 2 - norm)
    low, high = bracket(magnitudes, step)
    minima = segments(magnitudes, low, min(high, fixed)).minima(step)
    costs = minima.cost(minima.upper, step)
    return float(minima.upper[costs.argmin()]) if len(costs) and float(costs.min()) < cost else fixed


def bracket(magnitudes: Tensor, step: float) -> tuple[float, float]:
    """Two thresholds that enclose every t with ``p(t) = step``, so that few magnitudes need to be sorted.

    ``q(t) = <value, w> / ||w||`` decreases from ||value||, and never below the largest magnitude. If all t with
    ``t q(t) = step`` lie between two thresholds, they also lie between the values of ``step / q`` at these thresholds.
    """
    largest = float(magnitudes.max())
    if largest == 0:
        return 0.0, 0.0
    low, high = 0.0, largest
    for _ in range(BRACKET_STEPS):
        low, high = (step / max(projection(magnitudes, end), largest) for end in (low, high))
    return low * (1 - BRACKET_TOLERANCE), high * (1 + BRACKET_TOLERANCE)


def projection(magnitudes: Tensor, threshold: float) -> float:
    """The function q of `bracket`; zero if no magnitude is above the threshold."""
    thresholded = (magnitudes - threshold).clamp_min(0)
    norm = float(torch.linalg.vector_norm(thresholded))
    return float(thresholded @ magnitudes) / norm if norm > 0 else 0.0


def segments(magnitudes: Tensor, low: float, high: float) -> Segments:
    """The segments between two thresholds, divided by the magnitudes there.

    Args:
        magnitudes: (N,), in any order.
        low: the lower threshold.
        high: the upper threshold.
    """
    above = magnitudes[magnitudes >= high].double()
    between = magnitudes[(magnitudes > low) & (magnitudes < high)].sort(descending=True).values.double()
    ends = torch.cat([between.new_tensor([high]), between, between.new_tensor([low])])
    sums = (torch.cat([(above**power).sum()[None], between**power]).cumsum(0) for power in (0, 1, 2))
    every = Segments(ends[1:], ends[:-1], *sums)
    return every.where(every.lower < every.upper)
