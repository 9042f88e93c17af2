"""Warnings about a restoration that may be wrong, found without the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

__all__ = ["diagnose"]

MAX_KERNEL_ENTRY = 0.9  # above this share of the mass in one pixel, a kernel leaves the image unchanged
NEAR_BLACK_OR_WHITE = 0.002  # in [0, 1]
INTERIOR_MARGIN = 0.15  # in [0, 1]: greys this far from black and white must not become either
MAX_LOST_SHARE = 0.0075  # of the values; fewer than 1 in 100 of 1059 restorations that improved their images had more
MIN_AGREEMENT = 0.75  # with the nearer half of the other kernels; the lowest among 52 good restorations was 0.79
MIN_COMPARED = 4  # candidates, below which their agreement says nothing


def diagnose(
    picture: Tensor, restored: Tensor, kernel: Tensor, candidates: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """Sentences that say why a restoration may be wrong; an empty list proves nothing.

    The limits were found on Levin's images and on 20 photographs that invkit blurred, with 21 good and bad kernels
    each. Greys that became black or white reveal half of the restorations that are farther from the truth than their
    blurry images.

    Args:
        picture: the blurry image, (B, C, H, W) in [0, 1].
        restored: of the same shape.
        kernel: the estimate, (h, w), summing to one.
        candidates: the entries of the result's details about each candidate.
    """
    found = []
    if kernel.numel() > 1 and float(kernel.max()) > MAX_KERNEL_ENTRY:
        found.append(
            "the estimated kernel is a point, which leaves the image unchanged: the image may be sharp, or its blur "
            "may vary over the image"
        )
    grey = (picture > INTERIOR_MARGIN) & (picture < 1 - INTERIOR_MARGIN)
    lost = (restored <= NEAR_BLACK_OR_WHITE) | (restored >= 1 - NEAR_BLACK_OR_WHITE)
    share = float((grey & lost).double().mean())
    if share > MAX_LOST_SHARE:
        found.append(
            f"{share:.1%} of the image was neither dark nor bright and became black or white, as in the rings of a "
            "wrong kernel; try another --kernel-size or --recipe"
        )
    agreement = agreement_of_selected(candidates)
    if agreement is not None and agreement < MIN_AGREEMENT:
        found.append(
            f"the candidates found different kernels (the selected one agrees with the others to {agreement:.2f} of "
            "1): none may be right"
        )
    return found


def agreement_of_selected(candidates: Sequence[Mapping[str, Any]]) -> float | None:
    """The similarity of the selected kernel to the others; None if too few were compared."""
    compared = [one for one in candidates if "kernel-agreement" in one.get("scores", {})]
    selected = [one for one in compared if one["selected"]]
    return -float(selected[0]["scores"]["kernel-agreement"]) if selected and len(compared) >= MIN_COMPARED else None
