"""Powers of differences from one down to negative ones, with a schedule (Zuo, Ren, Zhang, Gu, Zhang 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Proximable
from ..core.parameters import Positive, validated
from ..core.problem import Scheduled
from ..numerics.finite_differences import GRADIENT
from .hyper_laplacian import smoothed_powers
from .shrinkage import Shrinkage, blockwise, mean_penalty, power_shrinkage, squared_length, values_per_image

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["GeneralisedShrinkage"]

MIN_DIFFERENCE = 1e-4  # in [0, 1] units; the penalty of a smaller one, for powers up to 0, is that of a parabola
TINY = 1e-30  # keeps a root differentiable and a quotient finite
NEWTON_ROUNDS = 8  # the error of the gain is then below 1e-6 for all powers

Power = Annotated[float, Field(ge=-4, le=1)]
ScheduleEntry = tuple[Positive, Power]
"""The factor of the weight, and the power."""
Row = Annotated[tuple[ScheduleEntry, ...], Field(min_length=1)]
"""The entries of one scale, one for each alternation."""


class GeneralisedShrinkage(Proximable, Scheduled):
    """Mean of ``|d|^power`` over the differences that are not zero, by generalised shrinkage (Zuo et al., TIP 2016).

    The sum over first differences (vertical and horizontal, each alone; zero across the border) is divided by the
    number C H W of the image's values. A difference of zero costs nothing, whatever the power.

    The proximal map is exact. It sets differences to zero up to a threshold (Zuo et al. 2013),

        ``tau = T + step power T^(power - 1)``,   ``T = (2 step (1 - power))^(1 / (2 - power))``,

    and moves others to the larger root x of ``x + step power x^(power - 1) = d``; none comes below T. For a power in
    (0, 1] the differences shrink, as with ``hyper-laplacian``. A power of 0 counts the differences and keeps the large
    ones, as ``l0-gradient`` does. For a negative power the differences above the threshold grow, the more the nearer
    they are to it: edges become sharper than those of the image. Such a penalty is no model of photographs, but it
    helps a kernel estimation, which needs a few salient edges.

    Zuo et al. begin with negative powers and end with positive ones. The solver ``alternating-map`` follows the
    schedule from one outer iteration to the next, and ``pyramid`` from one scale to the next. Other solvers, and the
    objective, take ``power``.

    For powers up to 0 the penalty of a difference below 1e-4 is that of the parabola through zero that meets the power
    there. The proximal map takes it for zero.

    Args:
        power: of a difference's magnitude, from -4 to 1, where there is no schedule.
        isotropic: whether the two differences of a pixel are shrunk together, by their length, or one by one.
        schedule: one row for each scale, the coarsest first, with one [factor, power] for each outer iteration; the
            factor multiplies the regularizer's weight. If there are more scales than rows, or more iterations than
            entries, the last one is repeated. A solver without scales follows the last row.

    Example:
        >>> step = torch.tensor([0.0, 0.0, 0.5, 0.5]).expand(1, 1, 4, 4)  # 4 differences, 16 values
        >>> GeneralisedShrinkage(power=-1.0)(step)
        tensor([0.5000])
    """

    filters = GRADIENT

    @validated
    def __init__(self, *, power: Power = 0.5, isotropic: bool = False, schedule: tuple[Row, ...] = ()) -> None:
        super().__init__()
        self.power, self.isotropic, self.schedule = power, isotropic, schedule

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Differences (K, B, C, H, W) -> (B,), >= 0."""
        magnitude = squared_length(coefficients, (0,)).add(TINY).sqrt() if self.isotropic else coefficients.abs()
        return mean_penalty(signless_powers(magnitude, self.power), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Differences (K, B, C, H, W), step > 0 -> the same shape; without gradients."""
        shrink = generalised_shrinkage(self.power, step / values_per_image(coefficients))

        def along(block: Tensor) -> Tensor:
            length = squared_length(block, (0,)).sqrt_()
            return block * (shrink(length) / length.clamp(min=TINY))

        return blockwise(along if self.isotropic else shrink, coefficients)

    def at_scale(self, scale: int) -> Self:
        """The regularizer with the row of a scale, counted from 0 at the coarsest."""
        return self._with(self.power, self.schedule[: scale + 1][-1:])

    def at(self, iteration: int) -> tuple[Self, float]:
        """The regularizer with the power of an outer iteration, counted from 0, and the factor of its weight."""
        if not self.schedule:
            return self, 1.0
        factor, power = self.schedule[-1][: iteration + 1][-1]
        return self._with(power, ()), factor

    def _with(self, power: float, schedule: tuple[Row, ...]) -> Self:
        return type(self)(power=power, isotropic=self.isotropic, schedule=schedule)


def generalised_shrinkage(power: float, step: float) -> Shrinkage:
    """The proximal map of ``step |t|^power``, which counts as zero at zero.

    Args:
        power: at most 1.
        step: > 0.

    Example:
        >>> generalised_shrinkage(power=-1.0, step=0.25)(torch.tensor([0.7, 0.8, 2.0]))  # the threshold is 0.75
        tensor([0.0000, 1.0339, 2.0590])
    """
    if power > 0:
        return power_shrinkage(power, 0.0, step)
    smallest = (2 * step * (1 - power)) ** (1 / (2 - power))
    threshold = smallest + step * power * smallest ** (power - 1)

    def apply(values: Tensor) -> Tensor:
        floor = max(threshold, torch.finfo(values.dtype).tiny)
        growth = values.abs().clamp_(min=floor).pow_(power - 2).mul_(-step * power)
        return values * growing_gain(growth, power).mul_(values.abs() > threshold)

    return apply


def growing_gain(growth: Tensor, power: float) -> Tensor:
    """The gain g >= 1 with ``g = 1 + growth g^(power - 1)``, by Newton's method.

    The difference of the sides is concave and increases, so that the method, started from 1, climbs to the root.

    Args:
        growth: >= 0, any shape.
        power: at most 0.
    """
    gain = torch.ones_like(growth)
    for _ in range(NEWTON_ROUNDS if power < 0 else 0):
        pull = gain.pow(power - 1).mul_(growth)
        slope = (pull / gain).mul_(1 - power).add_(1)
        gain += (pull - gain).add_(1).div_(slope)
    return gain


def signless_powers(magnitude: Tensor, power: float) -> Tensor:
    """``|t|^power``, zero at zero, differentiable; see the class for small values.

    Args:
        magnitude: |t|, any shape.
        power: at most 1.
    """
    if power > 0:
        return smoothed_powers(magnitude, power, 0.0)
    large = magnitude.clamp(min=MIN_DIFFERENCE).pow(power)
    small = (magnitude.clamp(max=MIN_DIFFERENCE) / MIN_DIFFERENCE).square()
    return large * small
