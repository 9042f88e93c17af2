"""One layout inside, (B, C, H, W) in [0, 1]; results go out in the layout that came in.

The rules that make every shape unambiguous: an array has its channels last, a tensor has its channels first; of two or
four channels the last is alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.errors import InputError, scaling_advice
from ..core.result import Array, Result

__all__ = [
    "Layout",
    "channels_last",
    "check_image",
    "depth_of",
    "drawable_batch",
    "from_bchw",
    "projections",
    "to_bchw",
    "unit_range",
    "without_single_batch",
]

BitDepth: TypeAlias = Literal[8, 16, 32]

UNIT_TOLERANCE = 1e-6  # a value may leave [0, 1] by the rounding of a colour conversion in float32
ROUNDED_SHARE = 1e-3  # of the largest value; negative values beyond it are no rounding, as of numbers around 1e-7
INTEGERS_IN_FLOAT32 = 4  # bytes; those of fewer are exact in float32
DRAWN_BELOW_WHITE = 0.995  # of the values of projections
GAP = 2  # pixels between two projections
WHITE_VALUES = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


@dataclass(frozen=True)
class Layout:
    """The layout of an image that was given, for returning a result in the same layout.

    Attributes:
        kind: a NumPy array (channels last) or a tensor (channels first).
        ndim: the number of its dimensions.
        bits: bits per sample, 32 for floating point.
        alpha: (B, 1, H, W), its opacity, or None.
        planes: whether the image is a stack, (D, H, W) also as an array.
    """

    kind: Literal["array", "tensor"]
    ndim: int
    bits: BitDepth
    alpha: Tensor | None = None
    planes: bool = False


def to_bchw(image: Array, *, in_units: bool = False) -> tuple[Tensor, Layout]:
    """Any image as a tensor for a problem. It is a copy, on the CPU, without gradient.

    Args:
        image: array (H, W) or (H, W, C), or tensor (H, W), (C, H, W) or (B, C, H, W), with C from 1 to 4; the second
            and the fourth channel are alpha. Floating point in [0, 1], uint8 or uint16.
        in_units: as for `unit_range`.

    Returns:
        (B, C, H, W), float32, in [0, 1] unless they keep their units, with C 1 or 3; and the layout for `from_bchw`.

    Raises:
        InputError: as `check_image`.

    Example:
        >>> tensor, layout = to_bchw(np.arange(12, dtype=np.uint8).reshape(3, 4))
        >>> tensor.shape, from_bchw(tensor, layout).shape
        (torch.Size([1, 1, 3, 4]), (3, 4))
    """
    unit = checked_image(image, "the image", in_units)
    # one copy and no more: the caller's array may be read-only, and a photograph takes hundreds of megabytes
    planes = torch.from_numpy(np.array(unit, dtype=np.float32, order="C"))
    alpha = planes[:, -1:].clone() if planes.shape[1] in (2, 4) else None
    colour = planes if alpha is None else planes[:, :-1].clone()
    kind: Literal["array", "tensor"] = "tensor" if isinstance(image, Tensor) else "array"
    return colour, Layout(kind, image.ndim, depth_of(numpy_view(image, "the image").dtype), alpha)


def from_bchw(tensor: Tensor, layout: Layout) -> Array:
    """The inverse of `to_bchw`, in floating point: (B, C, H, W) in the kind, dimensions and alpha of a layout.

    Raises:
        ValueError: the tensor does not fit the layout: it is a batch, or its size differs from the alpha's.
    """
    whole = tensor.detach()
    if layout.alpha is not None:
        whole = torch.cat([whole, layout.alpha.to(whole)], dim=1)
    if layout.ndim < 4:
        if len(whole) != 1 or (layout.ndim == 2 and whole.shape[1] != 1):
            raise ValueError(
                f"the image had {layout.ndim} dimensions; {tuple(whole.shape)} cannot be returned in that layout"
            )
        whole = whole[0, 0] if layout.ndim == 2 else whole[0]
    if layout.kind == "tensor":
        return whole
    array: npt.NDArray[Any] = whole.cpu().numpy()
    return np.ascontiguousarray(np.moveaxis(array, 0, -1)) if array.ndim == 3 and not layout.planes else array


def channels_last(image: Array, white: float = 1.0) -> npt.NDArray[Any]:
    """An image of any layout as (B, H, W, C), for drawing and writing, with the given value as 1.

    Of complex values the magnitude.
    """
    tensor = isinstance(image, Tensor)
    values = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    values = np.abs(values) if np.iscomplexobj(values) else values.astype(np.float32) if tensor else values
    return np.moveaxis(batched(values if white == 1 else values / white, tensor), 1, -1)


def drawable_batch(image: Array, result: Result) -> npt.NDArray[Any]:
    """An image of a result as (B, H, W, C), its white as 1, for drawing; of a stack its projections."""
    if not result.is_stack:
        return scaled_to_draw(channels_last(image), result.black, result.white)
    values = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    return drawn_stacks(values if values.ndim == 4 else values[None])


def scaled_to_draw(batch: npt.NDArray[Any], black: float, white: float) -> npt.NDArray[Any]:
    """Images (B, H, W, C) with two values as 0 and 1; their opacity is kept.

    Args:
        batch: of the images.
        black: the value that becomes 0.
        white: the value that becomes 1.
    """
    if (black, white) == (0.0, 1.0):
        return batch
    colours = batch.shape[-1] - (batch.shape[-1] in (2, 4))
    scaled = (batch[..., :colours] - black) / (white - black)
    return np.concatenate([scaled, batch[..., colours:]], axis=-1)


def drawn_stacks(stacks: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The projections of stacks (B, D, H, W) as pictures (B, h, w, 1).

    Nearly all of their values are drawn below white, whatever these are: a restored point is many times brighter than
    its blurry one.
    """
    drawn = np.stack([projections(stack) for stack in stacks])
    return (drawn / (np.quantile(drawn, DRAWN_BELOW_WHITE) or 1))[..., None]


def projections(stack: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The largest values along each axis of (D, H, W), side by side: along z; at its right along x, below it along y.

    Returns:
        (H + 2 + D, W + 2 + D); the corner at the lower right is the least value.

    Example:
        >>> projections(np.zeros((3, 10, 20))).shape
        (15, 25)
    """
    depth, height, width = stack.shape
    canvas = np.full((height + GAP + depth, width + GAP + depth), stack.min(), dtype=stack.dtype)
    canvas[:height, :width] = stack.max(0)
    canvas[:height, width + GAP :] = stack.max(2).T
    canvas[height + GAP :, :width] = stack.max(1)
    return canvas


def batched(values: npt.NDArray[Any], channels_first: bool) -> npt.NDArray[Any]:
    """(H, W), (H, W, C) or (C, H, W), or (B, C, H, W) as (B, C, H, W)."""
    if values.ndim == 4:
        return values
    if values.ndim == 2:
        return values[None, None]
    return values[None] if channels_first else np.moveaxis(values, -1, 0)[None]


def check_image(image: Array, name: str = "the image", in_units: bool = False) -> None:
    """Refuse an image that cannot be restored.

    Args:
        image: as for `to_bchw`.
        name: the image's name in the message.
        in_units: as for `unit_range`.

    Raises:
        InputError: not an array or tensor; another number of dimensions or channels; no pixels; not floating point,
            uint8 or uint16; NaN or infinite values; values outside [0, 1]; the same colour everywhere.
    """
    checked_image(image, name, in_units)


def checked_image(image: Array, name: str, in_units: bool = False) -> npt.NDArray[Any]:
    """The image as (B, C, H, W), perhaps as a view; arguments and errors as `check_image`."""
    if not isinstance(image, np.ndarray | Tensor):
        raise InputError(f"{name} must be a NumPy array or a tensor, got {type(image).__name__}; try np.asarray(image)")
    values, is_tensor = numpy_view(image, name), isinstance(image, Tensor)
    shape = values.shape
    allowed = (
        "a tensor must be (H, W), (C, H, W) or (B, C, H, W)" if is_tensor else "an array must be (H, W) or (H, W, C)"
    )
    if len(shape) not in ((2, 3, 4) if is_tensor else (2, 3)):
        raise InputError(f"{name} has shape {shape}; {allowed}")
    channels = 1 if len(shape) == 2 else shape[-3] if is_tensor else shape[-1]
    if not 1 <= channels <= 4:
        other = shape[-1] if is_tensor else shape[0]
        mend = "permute(2, 0, 1)" if is_tensor else "np.moveaxis(image, 0, -1)"
        hint = f"; move its channels with {mend}" if len(shape) == 3 and 1 <= other <= 4 else ""
        raise InputError(f"{name} has shape {shape}; {allowed} with 1 to 4 channels C{hint}")
    if 0 in shape:
        raise InputError(f"{name} has shape {shape}, so it has no pixels; give an image with at least one")
    unit = batched(unit_range(values, name, in_units=in_units), is_tensor)
    colour = unit[:, :-1] if unit.shape[1] in (2, 4) else unit
    if any(map(is_constant, colour)):
        raise InputError(
            f"{name} is constant: every pixel has the same colour, so there is nothing to restore; give another image"
        )
    return unit


def is_constant(picture: npt.NDArray[Any]) -> bool:
    """Whether every pixel of (C, H, W) has the colour of the first one; stops at the first row that differs."""
    first = picture[:, :1, 0]
    return all(bool((picture[:, row] == first).all()) for row in range(picture.shape[1]))


def numpy_view(image: Array, name: str) -> npt.NDArray[Any]:
    """The values of an array or tensor; raises `InputError` for a type that NumPy does not know."""
    if not isinstance(image, Tensor):
        return image
    if image.dtype is torch.bfloat16:
        raise InputError(f"{name} is bfloat16, too coarse for an image; give it as float32")
    values: npt.NDArray[Any] = image.detach().cpu().numpy()
    return values


def depth_of(dtype: np.dtype[Any]) -> BitDepth:
    """Bits per sample of a type: 8, 16, or 32 for every floating-point type."""
    return 32 if dtype.kind == "f" else 8 if dtype.itemsize == 1 else 16


def unit_range(
    values: npt.NDArray[Any], name: str, white: float | None = None, *, in_units: bool = False
) -> npt.NDArray[Any]:
    """Values as floating point in [0, 1]: integers are divided by their white, floats are checked and kept.

    Args:
        values: of any shape.
        name: the image's name in the message.
        white: the integer that means 1; None for the largest of the type.
        in_units: whether floats outside [0, 1] and integers of other types than uint8 and uint16 are numbers in units
            of their own, which are kept; otherwise they are refused.

    Raises:
        InputError: no numbers, NaN, infinite; or, unless they keep their units, another type than uint8, uint16 and
            floating point, or outside [0, 1].
    """
    native = values.dtype.newbyteorder("=")
    if native in WHITE_VALUES:
        unit: npt.NDArray[Any] = np.divide(values, np.float32(white or WHITE_VALUES[native]), dtype=np.float32)
        return unit
    if in_units and native.kind in "iu":
        return values.astype(np.float32 if native.itemsize < INTEGERS_IN_FLOAT32 else np.float64)
    if native.kind != "f":
        raise InputError(
            f"{name} holds {native} values, whose white is unknown; give floats in [0, 1], uint8 or uint16"
        )
    if not bool(np.isfinite(values).all()):
        raise InputError(f"{name} holds NaN or infinite values; replace them, or crop them away, first")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    kept = values.astype(np.promote_types(native, np.float32), copy=False)
    if low < -min(UNIT_TOLERANCE, ROUNDED_SHARE * max(high, -low)) or high > 1 + UNIT_TOLERANCE:
        if in_units:
            return kept
        advice = scaling_advice(low, high, are_whole=bool((values == np.rint(values)).all()))
        raise InputError(f"{name} runs from {low:.4g} to {high:.4g}, not within [0, 1]; {advice}")
    return kept if low >= 0 and high <= 1 else np.clip(kept, 0, 1)


def without_single_batch(value: Tensor, layout: Layout) -> Array:
    """A batch (B, ...) as an array, or as a tensor if the input was one; a batch of one without the batch."""
    value = value[0] if len(value) == 1 else value
    return value if layout.kind == "tensor" else np.asarray(value)
