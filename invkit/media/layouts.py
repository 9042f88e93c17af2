"""One layout inside, (B, C, H, W) in [0, 1]; whatever came in is what goes out.

The rule, so that no shape is ambiguous: an array has its channels last, a tensor has them first; two or four channels
are one or three and alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.errors import InputError, scaling_advice

__all__ = ["Array", "Layout", "channels_last", "check_image", "depth_of", "from_bchw", "to_bchw", "unit_range"]

Array: TypeAlias = npt.NDArray[Any] | Tensor
Bits: TypeAlias = Literal[8, 16, 32]

ROUNDING = 1e-6  # by so much may a value leave [0, 1]: the rounding of a colour conversion in float32
WHITE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


@dataclass(frozen=True)
class Layout:
    """How to give an image back as it came.

    Attributes:
        kind: a NumPy array (channels last) or a tensor (channels first).
        ndim: number of dimensions it had.
        bits: bits per sample it had, 32 for floating point.
        alpha: (B, 1, H, W), its opacity kept aside, or None.
    """

    kind: Literal["array", "tensor"]
    ndim: int
    bits: Bits
    alpha: Tensor | None = None


def to_bchw(image: Array) -> tuple[Tensor, Layout]:
    """Any picture as the tensor that problems are made of; a copy, on the CPU, without gradient.

    Args:
        image: array (H, W) or (H, W, C); tensor (H, W), (C, H, W) or (B, C, H, W); C from 1 to 4, the second and
            fourth being alpha. In [0, 1], or uint8 or uint16, which are scaled to it.

    Returns:
        (B, C, H, W), float32, in [0, 1], C being 1 or 3; and the layout for `from_bchw`.

    Raises:
        InputError: as `check_image`.
    """
    unit = checked(image, "the image")
    # a copy, and only one: the caller's array may be read-only, and a photograph takes hundreds of megabytes
    planes = torch.from_numpy(np.array(unit, dtype=np.float32, order="C"))
    alpha = planes[:, -1:].clone() if planes.shape[1] in (2, 4) else None
    colour = planes if alpha is None else planes[:, :-1].clone()
    kind: Literal["array", "tensor"] = "tensor" if isinstance(image, Tensor) else "array"
    return colour, Layout(kind, image.ndim, depth_of(numpy_view(image, "the image").dtype), alpha)


def from_bchw(tensor: Tensor, layout: Layout) -> Array:
    """The inverse of `to_bchw`, in floating point: (B, C, H, W) -> the kind, dimensions and alpha that came in.

    Raises:
        ValueError: the tensor does not fit the layout: a batch for a single picture, or not of the alpha's size.
    """
    whole = tensor.detach()
    if layout.alpha is not None:
        whole = torch.cat([whole, layout.alpha.to(whole)], dim=1)
    if layout.ndim < 4:
        whole = single(whole, layout.ndim)
    if layout.kind == "tensor":
        return whole
    array: npt.NDArray[Any] = whole.cpu().numpy()
    return np.ascontiguousarray(np.moveaxis(array, 0, -1)) if array.ndim == 3 else array


def single(batch: Tensor, ndim: int) -> Tensor:
    """The one picture of a batch, (C, H, W), or (H, W) for ``ndim`` 2."""
    if len(batch) != 1 or (ndim == 2 and batch.shape[1] != 1):
        raise ValueError(f"a picture of {ndim} dimensions was given; {tuple(batch.shape)} cannot be given back as one")
    return batch[0, 0] if ndim == 2 else batch[0]


def channels_last(image: Array) -> npt.NDArray[Any]:
    """A picture of any layout as (B, H, W, C), for looking at and writing; see the rule above."""
    tensor = isinstance(image, Tensor)
    values = image.detach().cpu().float().numpy() if isinstance(image, Tensor) else np.asarray(image)
    return np.moveaxis(batched(values, tensor), 1, -1)


def batched(values: npt.NDArray[Any], channels_first: bool) -> npt.NDArray[Any]:
    """(H, W), (H, W, C) or (C, H, W), or (B, C, H, W) -> (B, C, H, W)."""
    if values.ndim == 4:
        return values
    if values.ndim == 2:
        return values[None, None]
    return values[None] if channels_first else np.moveaxis(values, -1, 0)[None]


def check_image(image: Array, name: str = "the image") -> None:
    """Refuse a picture that cannot be restored.

    Args:
        image: as for `to_bchw`.
        name: what the message calls it.

    Raises:
        InputError: not an array or tensor; another number of dimensions or channels; no pixels; not floating point,
            uint8 or uint16; NaN or infinite values; values outside [0, 1]; the same colour everywhere.
    """
    checked(image, name)


def checked(image: Array, name: str) -> npt.NDArray[Any]:
    """The picture as (B, C, H, W) in [0, 1], perhaps a view of it; raises as `check_image`."""
    if not isinstance(image, np.ndarray | Tensor):
        raise InputError(f"{name} must be a NumPy array or a tensor, got {type(image).__name__}; try np.asarray(image)")
    values = numpy_view(image, name)
    check_shape(values.shape, isinstance(image, Tensor), name)
    unit = batched(unit_range(values, name), isinstance(image, Tensor))
    colour = unit[:, :-1] if unit.shape[1] in (2, 4) else unit
    if any(map(is_constant, colour)):
        raise InputError(f"{name} is constant, the same colour in every pixel, so there is no blur to see in it")
    return unit


def is_constant(picture: npt.NDArray[Any]) -> bool:
    """Whether every pixel of (C, H, W) has the colour of the first; looks no further than to one that has not."""
    first = picture[:, :1, 0]
    return all(bool((picture[:, row] == first).all()) for row in range(picture.shape[1]))


def numpy_view(image: Array, name: str) -> npt.NDArray[Any]:
    """The values of an array or tensor of a type that NumPy knows."""
    if not isinstance(image, Tensor):
        return image
    if image.dtype is torch.bfloat16:
        raise InputError(f"{name} is bfloat16, too coarse for a picture; give it as float32")
    values: npt.NDArray[Any] = image.detach().cpu().numpy()
    return values


def check_shape(shape: tuple[int, ...], tensor: bool, name: str) -> None:
    """Refuse a shape that no picture has; raises `InputError`."""
    allowed = "(H, W), (C, H, W) or (B, C, H, W)" if tensor else "(H, W) or (H, W, C)"
    kind = "a tensor" if tensor else "an array"
    if len(shape) not in ((2, 3, 4) if tensor else (2, 3)):
        raise InputError(f"{name} has shape {shape}; {kind} must be {allowed}")
    channels = 1 if len(shape) == 2 else shape[-3] if tensor else shape[-1]
    if not 1 <= channels <= 4:
        other = shape[-1] if tensor else shape[0]
        mend = "permute(2, 0, 1)" if tensor else "np.moveaxis(image, 0, -1)"
        hint = f"; move its channels with {mend}" if len(shape) == 3 and 1 <= other <= 4 else ""
        raise InputError(f"{name} has shape {shape}; {kind} must be {allowed} with 1 to 4 channels C{hint}")
    if 0 in shape:
        raise InputError(f"{name} has shape {shape}, so it has no pixels; give one with at least one")


def depth_of(dtype: np.dtype[Any]) -> Bits:
    """Bits per sample: 8, 16, or 32 for every floating-point type."""
    return 32 if dtype.kind == "f" else 8 if dtype.itemsize == 1 else 16


def unit_range(values: npt.NDArray[Any], name: str, white: float | None = None) -> npt.NDArray[Any]:
    """Values as floating point in [0, 1]: integers divided by their white, floats checked and kept.

    Args:
        values: of any shape.
        name: what the message calls them.
        white: the integer that means 1; None for the largest of the type.

    Raises:
        InputError: another type than uint8, uint16 and floating point, NaN, infinite, or outside [0, 1].
    """
    native = values.dtype.newbyteorder("=")
    if native in WHITE:
        unit: npt.NDArray[Any] = np.divide(values, np.float32(white or WHITE[native]), dtype=np.float32)
        return unit
    if native.kind != "f":
        raise InputError(
            f"{name} holds {native} values, whose white is unknown; give floats in [0, 1], uint8 or uint16"
        )
    if not bool(np.isfinite(values).all()):
        raise InputError(f"{name} holds NaN or infinite values; replace them, or crop them away, first")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise InputError(f"{name} runs from {low:.4g} to {high:.4g}, not within [0, 1]; {scaling_advice(low, high)}")
    kept = values.astype(np.promote_types(native, np.float32), copy=False)
    return kept if low >= 0 and high <= 1 else np.clip(kept, 0, 1)
