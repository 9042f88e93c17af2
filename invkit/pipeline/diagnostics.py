"""Warnings about a restoration that may be wrong, found without the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..numerics.restoration_scores import lost_share

__all__ = ["diagnose", "probability_worse"]

MAX_KERNEL_ENTRY = 0.9  # above this share of the mass in one pixel, a kernel leaves the image unchanged
MAX_LOST_SHARE = 0.0075  # of the values; fewer than 1 in 100 of 1059 restorations that improved their images had more
MIN_AGREEMENT = 0.75  # with the nearer half of the other kernels; the lowest among 52 good restorations was 0.79
MIN_COMPARED = 3  # candidates, below which their agreement says nothing
MAX_PROBABILITY_WORSE = 0.2  # from here on a result is doubtful
MODEL = (24.4, -12.5, 6.1)  # of `probability_worse`: root of the lost share, agreement, constant
MODELLED_LOST_SHARE = 0.05  # more counts as much


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
    share = float(lost_share(picture, restored).mean())
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
    doubt = probability_worse(picture, restored, candidates)
    if doubt is not None and doubt >= MAX_PROBABILITY_WORSE:
        found.append(
            f"the restoration may be farther from the truth than the input: of photographs with results like this one, "
            f"about {doubt:.0%} were"
        )
    return found


def probability_worse(picture: Tensor, restored: Tensor, candidates: Sequence[Mapping[str, Any]] = ()) -> float | None:
    """The probability that a restoration is farther from the truth than the picture, by more than 0.2 dB.

    A logistic model of two numbers: the root of `lost_share`, and the agreement of the candidates' kernels. It was
    fitted to 67 cases of the calibration set (``benchmarks/calibration/judge.py``). Cross-validated, it told 1, 6, 15
    and 45 % on the mean of four groups, of which 2, 0, 20 and 33 % were worse.

    Args:
        picture: the blurry image, (B, C, H, W) in [0, 1].
        restored: of the same shape.
        candidates: the entries of the result's details about each candidate.

    Returns:
        None without the selection for whose results it was fitted, that of fast and best.
    """
    agreement = agreement_of_selected(candidates)
    if agreement is None or not all("residual" in one["scores"] for one in candidates if one["selected"]):
        return None
    lost = min(float(lost_share(picture, restored).mean()), MODELLED_LOST_SHARE) ** 0.5
    weighted = zip(MODEL, (lost, agreement, 1.0), strict=True)
    return 1 / (1 + math.exp(-sum(weight * value for weight, value in weighted)))


def agreement_of_selected(candidates: Sequence[Mapping[str, Any]]) -> float | None:
    """The similarity of the selected kernel to the others; None if too few were compared."""
    compared = [one for one in candidates if "kernel-agreement" in one.get("scores", {})]
    selected = [one for one in compared if one["selected"]]
    return -float(selected[0]["scores"]["kernel-agreement"]) if selected and len(compared) >= MIN_COMPARED else None
