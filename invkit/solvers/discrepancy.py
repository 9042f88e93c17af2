"""The discrepancy principle: stop as soon as the data are explained as well as the true image explains them."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.problem import Problem
from ..numerics.noise import estimate_sigma, photon_gain

__all__ = ["StopRule", "estimated_levels", "expected_discrepancy", "expected_divergence", "noise_level"]

TABLED_MEANS, TABLE_POINTS, MOST_PHOTONS = (1e-4, 300.0), 160, 700

StopRule = Literal["never", "poisson", "gaussian"]


def noise_level(rule: StopRule, problem: Problem, data: Tensor, sigma: float | None) -> Tensor:
    """What `expected_discrepancy` needs to know of the noise, (B,): the value of a photon, or the variance.

    Args:
        rule: whether and by which rule to stop.
        problem: says which data are known.
        data: (B, C, H', W'), >= 0, with any values where they are unknown.
        sigma: standard deviation of the noise, its root mean square over the picture; None: estimated.

    Raises:
        InputError: the noise level cannot be estimated.
    """
    if rule == "never":
        return data.new_zeros(len(data))
    if rule == "gaussian":
        levels = estimated_levels(problem, data) if sigma is None else [sigma] * len(data)
        return data.new_tensor(levels).square()
    if sigma is None:
        return photon_gain(data, problem.known)
    return sigma**2 * problem.masked(torch.ones_like(data)).sum((1, 2, 3)) / problem.masked(data).sum((1, 2, 3))


def expected_discrepancy(rule: StopRule, level: Tensor, predicted: Tensor, weights: Tensor | None) -> Tensor:
    """The discrepancy of the true image that is expected from the noise, (B,); minus infinity for the rule "never".

    "poisson": where a pixel receives many photons, twice the divergence, over the value of a photon, is one on average
    (Zanella, Boccacci, Zanni, Bertero, "Efficient gradient projection methods for edge-preserving removal of Poisson
    noise", Inverse Problems 2009; Bardsley, Goldes, "Regularization parameter selection methods for ill-posed Poisson
    maximum likelihood estimation", Inverse Problems 2009). Where it receives less than one, as in a dark sky and in
    most of a stack of cells, it is less (`expected_divergence`); one per pixel would stop the solve in its first steps.
    "gaussian": the mean squared difference is the variance (Morozov 1966). With weights that are not just 0 and 1, the
    variance of a value is the level over its weight.

    Args:
        rule: whether and by which rule to stop.
        level: of `noise_level`, (B,).
        predicted: the data that the image predicts, (B, C, H', W'), >= 0.
        weights: of the data, of their shape; None: all 1.
    """
    if rule == "never":
        return torch.full_like(level, -torch.inf)
    if rule == "gaussian":
        return level * (1 if weights is None else (weights > 0).to(predicted).mean((1, 2, 3)))
    photons = predicted / level.clamp(min=torch.finfo(predicted.dtype).tiny)[:, None, None, None]
    expected = expected_divergence(photons)
    return level * (expected if weights is None else weights * expected).mean((1, 2, 3))


def expected_divergence(photons: Tensor) -> Tensor:
    """The mean of ``n log(n / m) - n + m`` for a Poisson number n of mean m: about 1/2 for large m, 0 for m = 0.

    Interpolated in log m between exact values, within 1e-3.

    Args:
        photons: m >= 0, any shape.

    Example:
        >>> expected_divergence(torch.tensor([0.0, 0.1, 1.0, 1000.0])).round(decimals=2)
        tensor([0.0000, 0.2400, 0.5700, 0.5000])
    """
    low, high = TABLED_MEANS
    table = torch.from_numpy(divergence_table()).to(photons)
    place = (photons.clamp(low, high) / low).log() * ((TABLE_POINTS - 1) / math.log(high / low))
    index = place.long().clamp(max=TABLE_POINTS - 2)
    inside = torch.lerp(table[index], table[index + 1], place - index)
    return torch.where(photons < low, photons * (table[0] / low), inside)


@cache
def divergence_table() -> npt.NDArray[np.float64]:
    """`expected_divergence` of means that form a geometric sequence, from the sum over n."""
    from scipy.special import xlogy
    from scipy.stats import poisson

    means, number = np.geomspace(*TABLED_MEANS, TABLE_POINTS), np.arange(MOST_PHOTONS)
    shares = poisson.pmf(number, means[:, None])
    found: npt.NDArray[np.float64] = (shares * xlogy(number, number)).sum(1) - means * np.log(means)
    return found


def estimated_levels(problem: Problem, data: Tensor) -> list[float]:
    """The noise level of each image of a batch; raises `InputError` if it cannot be estimated."""
    remedy = "give it as solver.sigma, in [0, 1] units"
    if problem.weights is not None:
        raise InputError(
            f"the noise level is not known, because a part of the data is unknown or has other weights; {remedy}"
        )
    try:
        return [estimate_sigma(one) for one in data]
    except InputError as error:
        raise InputError(f"the noise level is not known ({error}); {remedy}") from error
