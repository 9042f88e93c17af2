"""What the image priors share that can give every image: the box [0, 1], and the data to start from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..numerics.geometry import Shape, extend_to

__all__ = ["Initial", "boxed", "starting_image"]

Initial = Annotated[Literal["data", "grey"], Field(description="what the pixels start from; 'grey' is 0.5")]


def boxed(free: Tensor) -> Tensor:
    """Free numbers clamped to [0, 1], with gradients that vanish only where descent would leave the box."""
    image: Tensor = _Box.apply(free)
    return image


class _Box(torch.autograd.Function):
    """Clamp to [0, 1] whose gradient vanishes only where descent would leave the box."""

    @staticmethod
    def forward(ctx: Any, free: Tensor) -> Tensor:
        ctx.save_for_backward(free)
        return free.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (free,), (gradient,) = ctx.saved_tensors, gradients
        outward = ((free <= 0) & (gradient > 0)) | ((free >= 1) & (gradient < 0))
        return gradient.masked_fill(outward, 0)


def starting_image(data: Tensor | None, shape: Shape, *, initial: Initial, prior: str) -> Tensor:
    """The data as an image of ``shape`` in [0, 1], or grey; on the CPU in the default floating type.

    Args:
        data: (B, C, H', W') with H' <= H and W' <= W; extended by its edge pixels about the centre.
        shape: (B, C, H, W) of the image.
        initial: "data" or "grey".
        prior: the name of the prior that asks.

    Raises:
        InputError: ``initial="data"`` and the data are missing, not finite, larger than the image or of another batch
            or number of channels.
    """
    if initial == "grey":
        return torch.full(shape, 0.5)
    if data is None:
        raise InputError(f"the image prior '{prior}' starts from the data, and none are given; set initial to 'grey'")
    fits = (
        data.ndim == 4 and data.shape[:2] == shape[:2] and all(d <= s for d, s in zip(data.shape, shape, strict=True))
    )
    if not fits:
        raise InputError(
            f"the image prior '{prior}' cannot start an image of {tuple(shape)} from data of {tuple(data.shape)}; "
            "set initial to 'grey'"
        )
    if not bool(torch.isfinite(data).all()):
        raise InputError("the data hold NaN or infinite values; mask or replace them first")
    image = data.detach().to("cpu", torch.get_default_dtype(), copy=True).clamp(0, 1)
    return extend_to(image, (shape[-2], shape[-1]))
