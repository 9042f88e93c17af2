"""Two images, each with its own prior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import ImagePrior
from ..core.parameters import validated
from ..numerics.geometry import Shape

__all__ = ["Layers"]

LAYER_NAMES = ("first", "second")


class Layers(ImagePrior):
    """Two layers for the operator `mixture`, stacked along the batch: ``x = (first(), second())``.

    Gandelsman, Shocher, Irani, '"Double-DIP": Unsupervised Image Decomposition via Coupled Deep-Image-Priors', CVPR
    2019: each layer takes the part of the data that is easy for its prior and hard for the other. Any two image priors
    can be combined.

    Args:
        shape: (2 B, C, H, W).
        start: (2 B, C, H', W'), or None; each layer starts from its half.
        first: prior of the first layer, (B, C, H, W).
        second: prior of the second layer, (B, C, H, W).

    Raises:
        AssemblyError: the batch is odd, or the shape of a layer is not half of the shape.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        *,
        first: Annotated[ImagePrior, Field(examples=["pixels"])],
        second: Annotated[ImagePrior, Field(examples=["pixels"])],
    ) -> None:
        super().__init__(shape)
        half = half_of(shape)
        for name, prior in zip(LAYER_NAMES, (first, second), strict=True):
            if tuple(prior.shape) != half:
                raise AssemblyError(
                    f"the {name} layer has shape {tuple(prior.shape)}; layers of {tuple(shape)} need {half}"
                )
        self.first, self.second = first, second

    @classmethod
    def nested_arguments(cls, keyword: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Return half of the shape, and the half of the start that belongs to a layer."""
        shape, start = arguments["shape"], arguments.get("start")
        theirs = {**arguments, "shape": half_of(shape)}  # type: ignore[arg-type]
        return theirs | {"start": start.chunk(2)[LAYER_NAMES.index(keyword)]} if isinstance(start, Tensor) else theirs

    def forward(self) -> Tensor:
        """Give the layers, (2 B, C, H, W), in [0, 1]: all first ones, then all second ones."""
        return torch.cat([self.first(), self.second()])

    def memory_needed(self) -> int:
        """Estimate the bytes of a gradient of both layers."""
        return self.first.memory_needed() + self.second.memory_needed()


def half_of(shape: Shape) -> Shape:
    """Return the shape of one of two layers; raises `AssemblyError` for an odd batch."""
    if shape[0] % 2:
        raise AssemblyError(f"two layers need an even batch; {tuple(shape)} has a batch of {shape[0]}")
    return shape[0] // 2, *shape[1:]
