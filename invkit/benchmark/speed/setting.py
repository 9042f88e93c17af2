"""What is timed, and how large; known to the command and to the processes that do the work, without torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ASIDE", "SAME_WORK", "SIZES", "TITLES", "VERSIONS", "WHOLE", "Setting", "Size"]

WHOLE, ASIDE = "whole", "of which "
"""A stage that is all of it, done without looking in between; where there is none, the sum of the stages is. What the
names of those begin with that are part of another one, and no part of the sum."""


@dataclass(frozen=True)
class Size:
    """How large what is timed is.

    Attributes:
        channels: of the image network.
        side: of the data, pixels.
        kernel: side of the kernel, pixels, odd.
        matrix: side of the matrices by which the rate of arithmetic is measured; on a GPU four times that.
        megabytes: copied to measure the bandwidth; more than a cache holds.
    """

    channels: int = 128
    side: int = 255
    kernel: int = 27
    matrix: int = 2048
    megabytes: int = 256


SIZES = {"paper": Size(), "small": Size(channels=32)}

TITLES = {
    "plain": "selfdeblur, plain PyTorch",
    "float32": "selfdeblur, float32",
    "bfloat16": "selfdeblur, bfloat16",
    "graph": "selfdeblur, float32, replayed",
    "graph-bfloat16": "selfdeblur, bfloat16, replayed",
    "fast": "fast",
    "machine": "what the machine reaches",
}
"""What takes turns, in that order: the same iteration in several versions, a whole run, and the yardsticks."""

SAME_WORK = {"plain": "float32", "graph": "float32", "graph-bfloat16": "bfloat16"}
"""Versions whose arithmetic cannot be counted while they do it, or is done otherwise, and of which it is the same."""

VERSIONS = tuple(TITLES)


@dataclass(frozen=True)
class Setting:
    """Where and how large; ``threads`` of each process, None for torch's choice."""

    size: Size
    device: str = "auto"
    threads: int | None = None
