"""Two images, each with a prior of its own."""

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

LAYERS = ("first", "second")


class Layers(ImagePrior):
    """Two layers, each by a prior of its own: ``x = (first(), second())`` along the batch, for the operator `mixture`.

    Gandelsman, Shocher, Irani, '"Double-DIP": Unsupervised Image Decomposition via Coupled Deep-Image-Priors', CVPR
    2019: what one prior finds easy and the other does not, each layer takes. Any pair will do.

    Args:
        shape: (2 B, C, H, W).
        start: (2 B, C, H', W'), what the layers start from, or None; of each its half.
        first: gives the first layer, (B, C, H, W).
        second: gives the second one.

    Raises:
        AssemblyError: the batch is odd, or a layer is not half of the shape.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        *,
        first: Annotated[ImagePrior, Field(description="gives the first layer", examples=["pixels"])],
        second: Annotated[ImagePrior, Field(description="gives the second layer", examples=["pixels"])],
    ) -> None:
        super().__init__(shape)
        half = half_of(shape)
        for name, prior in zip(LAYERS, (first, second), strict=True):
            if tuple(prior.shape) != half:
                raise AssemblyError(
                    f"the {name} layer is {tuple(prior.shape)}, and of layers {tuple(shape)} it is {half}"
                )
        self.first, self.second = first, second

    @classmethod
    def nested_arguments(cls, slot: str, given: Mapping[str, object]) -> Mapping[str, object]:
        """Half of the shape, and that half of the start which is the layer's own."""
        shape, start = given["shape"], given.get("start")
        theirs = {**given, "shape": half_of(shape)}  # type: ignore[arg-type]
        return theirs | {"start": start.chunk(2)[LAYERS.index(slot)]} if isinstance(start, Tensor) else theirs

    def forward(self) -> Tensor:
        """The layers, (2 B, C, H, W), in [0, 1]: all first ones, then all second ones."""
        return torch.cat([self.first(), self.second()])

    def memory_needed(self) -> int:
        """Bytes that a gradient of both takes, roughly."""
        return self.first.memory_needed() + self.second.memory_needed()


def half_of(shape: Shape) -> Shape:
    """The shape of one of two layers; raises `AssemblyError` for an odd batch."""
    if shape[0] % 2:
        raise AssemblyError(f"layers come in pairs along the batch, and {tuple(shape)} has {shape[0]}")
    return shape[0] // 2, *shape[1:]
