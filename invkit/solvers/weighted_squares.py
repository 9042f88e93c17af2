"""Weighted squares of filter responses, by which solvers replace regularizers near an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from ..core.interfaces import Regularizer, Reweightable
from ..core.problem import Problem
from ..numerics.finite_differences import (
    DifferenceFilter,
    apply_filters,
    apply_filters_adjoint,
    offset_of,
    roll_image,
    valid_mask,
)
from ..numerics.geometry import Size, size_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Bands", "WeightedSquares", "add_banded", "add_squares", "majorised", "scaled_regularizers"]

Bands: TypeAlias = dict[Size, Tensor]
"""A symmetric matrix that couples only neighbouring pixels. For each offset (row, column), lexicographically >= 0, the
entries for the pixels n and n + offset, stored at n, (B, C, H, W)."""


def add_squares(bands: Bands, weights: Tensor, filters: Sequence[DifferenceFilter]) -> None:
    """Add ``sum_k D_k^T W_k D_k`` to ``bands``.

    Args:
        bands: changed in place.
        weights: W, (K, B, C, H, W); they are taken as zero where a filter reaches across the border.
        filters: D, K filters.
    """
    for plane, taps in zip(weights, filters, strict=True):
        within = plane * valid_mask(taps, plane)
        for first in taps:
            for second in taps:
                (_, row, column), (_, other_row, other_column) = offset_of(first), offset_of(second)
                offset = (other_row - row, other_column - column)
                if offset >= (0, 0):
                    term = first[-1] * second[-1] * roll_image(within, row, column)
                    bands[offset] = bands[offset].add_(term) if offset in bands else term


def add_banded(bands: Bands, image: Tensor, result: Tensor) -> Tensor:
    """Add the product of a banded matrix and an image to ``result``, in place.

    Args:
        bands: the matrix.
        image: (B, C, H, W).
        result: (B, C, H, W), changed and returned.
    """
    height, width = size_of(image)
    for (row, column), band in bands.items():
        if (row, column) == (0, 0):
            result.addcmul_(band, image)
            continue
        here = (..., slice(0, height - row), slice(max(0, -column), width - max(0, column)))
        there = (..., slice(row, height), slice(max(0, column), width - max(0, -column)))
        result[here].addcmul_(band[here], image[there])
        result[there].addcmul_(band[here], image[here])
    return result


def majorised(problem: Problem) -> list[tuple[float, Reweightable]]:
    """Return the reweightable terms, each with its weight relative to the sum of squares ``|K x - y|^2``."""
    return [(scale, one) for scale, one in scaled_regularizers(problem) if isinstance(one, Reweightable)]


def scaled_regularizers(problem: Problem) -> list[tuple[float, Regularizer]]:
    """Return the regularizers of the image, each with its weight relative to the sum of squares ``|K x - y|^2``."""
    half = problem.data[0].numel() / 2  # the fidelity is a mean, the majoriser has a factor of 1/2
    return [(half * term.weight, term.regularizer) for term in problem.regularizers if term.target == "image"]


@dataclass(frozen=True)
class WeightedSquares:
    """``sum_i |W_i^(1/2) D_i x|^2``, of all reweightable terms of a problem.

    Attributes:
        filters: D, K filters.
        weights: W, zero where a filter reaches across the border, (K, B, C, H, W).
    """

    filters: Sequence[DifferenceFilter]
    weights: Tensor

    @classmethod
    def of(cls, problem: Problem, moments: Tensor) -> Self:
        """The squares of a problem whose regularizers are reweighted at the roots of the moments (K, B, C, H, W)."""
        terms = majorised(problem)
        parts = torch.split(moments.sqrt(), [len(regularizer.filters) for _, regularizer in terms])
        filters = [taps for _, regularizer in terms for taps in regularizer.filters]
        weights = [scale * term.weights(part) for (scale, term), part in zip(terms, parts, strict=True)]
        within = torch.stack([valid_mask(taps, moments) for taps in filters])[:, None, None]
        return cls(filters, torch.cat(weights) * within)

    def differences(self, image: Tensor) -> Tensor:
        """``D x``, zero where a filter reaches across the border; (K, B, C, H, W)."""
        return apply_filters(image, self.filters, wrap=False)

    def differences_adjoint(self, coefficients: Tensor) -> Tensor:
        """``sum_i D_i^T z_i`` for coefficients that are zero where a filter reaches across the border."""
        return apply_filters_adjoint(coefficients, self.filters)
