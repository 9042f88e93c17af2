"""Whether a restoration is to be believed, told without the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

__all__ = ["diagnose"]

POINT = 0.9  # of a kernel's mass in one pixel: it leaves the photograph as it is
MARGIN = 0.002  # in [0, 1]: so near to black or white counts as such
INSIDE = 0.15  # so far from both was what must not become either: dark places may well be black
CLIPPED = 0.0075  # of the values: of 1059 restorations better than their photographs less than 1 in 100 have more
AGREEMENT = 0.75  # with the nearer half of the others' kernels: among 52 photographs the least was 0.79
FEWEST = 4  # starts that must have been compared for their agreement to say anything


def diagnose(picture: Tensor, restored: Tensor, kernel: Tensor, candidates: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """What speaks against a restoration, in words; nothing is no proof.

    The limits were found on 20 photographs blurred by invkit itself and on Levin's, with 21 kernels for each, good and
    bad: greys that became black or white show half of the restorations that are farther from the truth than their
    photographs.

    Args:
        picture: the photograph, (B, C, H, W) in [0, 1].
        restored: of the same shape.
        kernel: that was found, (h, w), summing to one.
        candidates: what the result tells of each that the recipe began from.
    """
    found = []
    if kernel.numel() > 1 and float(kernel.max()) > POINT:
        found.append(
            "the kernel found is a point, which leaves the photograph as it is: it may not be blurred, or not in the "
            "same way everywhere"
        )
    grey = (picture > INSIDE) & (picture < 1 - INSIDE)
    lost = float((grey & ((restored <= MARGIN) | (restored >= 1 - MARGIN))).double().mean())
    if lost > CLIPPED:
        found.append(
            f"{lost:.1%} of the image was neither dark nor bright and has become black or white, as rings round a "
            "wrong kernel do; try another --kernel-size or --recipe"
        )
    agreement = chosen_agreement(candidates)
    if agreement is not None and agreement < AGREEMENT:
        found.append(
            f"the starts found different kernels (the one chosen agrees with the others to {agreement:.2f} of 1): "
            "none may be right"
        )
    return found


def chosen_agreement(candidates: Sequence[Mapping[str, Any]]) -> float | None:
    """How similar the chosen kernel is to the others'; None where that was not compared among enough of them."""
    compared = [start for start in candidates if "kernel-agreement" in start.get("selection", {})]
    chosen = [start for start in compared if start["chosen"]]
    return -float(chosen[0]["selection"]["kernel-agreement"]) if chosen and len(compared) >= FEWEST else None
