"""The discrepancy principle: stop as soon as the data are explained as well as the true image explains them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.problem import Problem
from ..numerics.noise import estimate_sigma, photon_gain

__all__ = ["StopRule", "estimated_levels", "expected_discrepancy"]

StopRule = Literal["never", "poisson", "gaussian"]


def expected_discrepancy(rule: StopRule, problem: Problem, data: Tensor, sigma: float | None) -> Tensor:
    """The discrepancy of the true image that is expected from the noise, (B,); minus infinity for the rule "never".

    "poisson": twice the mean divergence, over the value g of a photon, is about one (Zanella, Boccacci, Zanni,
    Bertero, "Efficient gradient projection methods for edge-preserving removal of Poisson noise", Inverse Problems
    2009; Bardsley, Goldes, "Regularization parameter selection methods for ill-posed Poisson maximum likelihood
    estimation", Inverse Problems 2009). "gaussian": the mean squared difference is the variance (Morozov 1966).

    Args:
        rule: whether and by which rule to stop.
        problem: says which data are measured.
        data: (B, C, H', W'), >= 0, with any values where they are not measured.
        sigma: standard deviation of the noise, its root mean square over the picture; None: estimated.

    Raises:
        InputError: the noise level cannot be estimated.
    """
    if rule == "never":
        return data.new_full((len(data),), -torch.inf)
    measured = torch.ones_like(data) if problem.measured is None else problem.measured.to(data)
    share = measured.mean((1, 2, 3))
    if rule == "gaussian":
        levels = estimated_levels(problem, data) if sigma is None else [sigma] * len(data)
        return share * data.new_tensor(levels).square()
    if sigma is None:
        return share * photon_gain(data, problem.measured) / 2
    mean = (data * measured).mean((1, 2, 3)) / share
    return share * sigma**2 / mean / 2


def estimated_levels(problem: Problem, data: Tensor) -> list[float]:
    """The noise level of each image of a batch; raises `InputError` if it cannot be estimated."""
    remedy = "give it as solver.sigma, in [0, 1] units"
    if problem.measured is not None:
        raise InputError(f"the noise level is not known, because a part of the data is unknown; {remedy}")
    try:
        return [estimate_sigma(one) for one in data]
    except InputError as error:
        raise InputError(f"the noise level is not known ({error}); {remedy}") from error
