"""The ability of an operator to be a convolution, whatever the number of its dimensions."""

from __future__ import annotations

from typing import ClassVar, Literal

from .ranges import NonNegative

__all__ = ["Convolving"]


class Convolving(NonNegative):
    """The ability of a linear operator to be a convolution by its kernel, which solvers may compute by transforms.

    Attributes:
        axes: number of the image's last dimensions along which it convolves: 2 for pictures, 3 for stacks (B, D, H, W).
        padding: "valid" (the image is larger than the data by the kernel's size less one), or how an image of the
            data's size continues beyond its border: "circular", "replicate", "reflect".
    """

    axes: ClassVar[int]
    padding: Literal["valid", "circular", "replicate", "reflect"]
