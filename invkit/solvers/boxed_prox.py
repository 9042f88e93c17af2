"""The proximal map of a sum of regularizers over images within a range."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.interfaces import Denoising, Proximable
from ..core.ranges import UNIT_RANGE, ValueRange
from ..numerics.finite_differences import IDENTITY, DifferenceFilter, apply_filters, apply_filters_adjoint

__all__ = ["WeightedTerm", "boxed_prox", "zero_duals"]

WeightedTerm = tuple[float, Proximable]
"""A weight and the regularizer that it multiplies."""


def is_on_pixels(terms: Sequence[WeightedTerm]) -> bool:
    """Whether there is at most one regularizer, which has the identity as its filter."""
    return not terms or (len(terms) == 1 and terms[0][1].filters == (IDENTITY,))


def zero_duals(image: Tensor, terms: Sequence[WeightedTerm]) -> list[Tensor]:
    """Dual variables to start from, each (K, B, C, H, W); none where `is_on_pixels`."""
    if is_on_pixels(terms):
        return []
    return [torch.zeros_like(apply_filters(image, regularizer.filters, wrap=False)) for _, regularizer in terms]


def boxed_prox(
    image: Tensor,
    terms: Sequence[WeightedTerm],
    step: float,
    duals: list[Tensor],
    iterations: int,
    within: ValueRange = UNIT_RANGE,
) -> tuple[Tensor, list[Tensor]]:
    """``argmin_z step * sum_i w_i R_i(z) + ||z - image||^2 / 2`` over z within a range, and its dual variables.

    For one regularizer on the pixels: `pixel_prox`. Otherwise the fast gradient projection of Beck & Teboulle, "Fast
    Gradient-Based Algorithms for Constrained Total Variation Image Denoising and Deblurring Problems", IEEE TIP 2009,
    Sec. 4, on the dual problem. The projection is written as ``c - prox(c)`` (Moreau), so that every proximal map
    serves. For regularizers that are not convex this is a heuristic, as in all splittings.

    Args:
        image: (B, C, H, W).
        terms: weights and regularizers.
        step: > 0.
        duals: of an earlier call, or `zero_duals`; they are divided by the step, so that they suit another one.
        iterations: of either algorithm, at most.
        within: the range.

    Returns:
        (B, C, H, W) within the range, and the new dual variables.
    """
    if is_on_pixels(terms):
        return (pixel_prox(image, terms[0], step, iterations, within) if terms else image.clamp(*within)), duals
    rate = 1 / (step * sum(squared_norm(regularizer.filters) for _, regularizer in terms))
    current, ahead, momentum = duals, duals, 1.0
    for _ in range(iterations):
        point = primal(image, terms, step, ahead, within)
        new = [ascended(point, term, rate, dual) for term, dual in zip(terms, ahead, strict=True)]
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        share = (momentum - 1) / following
        ahead = [torch.lerp(old, dual, 1 + share) for old, dual in zip(current, new, strict=True)]
        current, momentum = new, following
    return primal(image, terms, step, current, within), current


def pixel_prox(image: Tensor, term: WeightedTerm, step: float, iterations: int, within: ValueRange) -> Tensor:
    """`boxed_prox` of one regularizer on the pixels, (B, C, H, W).

    The minimum over all images, if it lies within the range. Otherwise Dykstra's algorithm for a proximal map and a
    projection (Bauschke & Combettes, "A Dykstra-Like Algorithm for Two Monotone Operators", 2008), of which one
    iteration is exact if the regularizer is a sum over the pixels. A denoiser is applied once.

    Args:
        image: (B, C, H, W).
        term: weight and regularizer.
        step: > 0.
        iterations: at most.
        within: the range.
    """
    weight, regularizer = term
    inside, rest, excess = image, torch.zeros_like(image), torch.zeros_like(image)
    for _ in range(1 if isinstance(regularizer, Denoising) else iterations):
        moved = regularizer.prox((inside + rest)[None], step * weight)[0]
        rest = inside + rest - moved
        inside = (moved + excess).clamp(*within)
        excess = moved + excess - inside
        if torch.equal(inside, moved):
            break
    return inside


def primal(
    image: Tensor, terms: Sequence[WeightedTerm], step: float, duals: Sequence[Tensor], within: ValueRange
) -> Tensor:
    """The image within the range that belongs to dual variables; arguments as `boxed_prox`."""
    moved = image.clone()
    for (_, regularizer), dual in zip(terms, duals, strict=True):
        moved.sub_(apply_filters_adjoint(dual, regularizer.filters), alpha=step)
    return moved.clamp_(*within)


def ascended(point: Tensor, term: WeightedTerm, rate: float, dual: Tensor) -> Tensor:
    """The dual variable of a term after a gradient step and a projection.

    Args:
        point: the image of the dual variables, (B, C, H, W).
        term: weight and regularizer.
        rate: length of the step.
        dual: (K, B, C, H, W).
    """
    weight, regularizer = term
    shifted = apply_filters(point, regularizer.filters, wrap=False).add_(dual, alpha=1 / rate)
    return shifted.sub(regularizer.prox(shifted, weight / rate)).mul_(rate)


def squared_norm(filters: Sequence[DifferenceFilter]) -> float:
    """An upper bound of ``||D||^2``: the sum of the squared sums of the magnitudes of the filters' taps.

    Example:
        >>> from invkit.numerics.finite_differences import GRADIENT
        >>> squared_norm(GRADIENT)
        8.0
    """
    return sum(sum(abs(tap[-1]) for tap in taps) ** 2 for taps in filters)
