"""Stacks of planes from and to files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..core.errors import InputError
from ..core.files import array_of, check_memory, read_bytes
from ..core.result import Array
from .containers import opened_tiff
from .decoding import detected_format, refused_by_path
from .kernels import as_kernel

__all__ = [
    "MIN_PLANES",
    "Stack",
    "check_not_colour",
    "encode_stack",
    "is_stack_file",
    "read_stack",
    "read_stack_kernels",
]

MIN_PLANES = 5  # fewer values along the first axis of three may be channels
DEPTH_AXES = "ZIQ"  # of TIFF files: depth, or pages of unknown meaning
STACK_SUFFIXES = (".tif", ".tiff", ".npy")
KEPT = ("spacing", "unit", "finterval", "Info", "Labels")  # of ImageJ's description of a stack


@dataclass(frozen=True)
class Stack:
    """A stack as read from a file.

    Attributes:
        values: (D, H, W), in the type of the file.
        metadata: what ImageJ writes about it, such as the distance of the planes ("spacing") and its unit.
        resolution: pixels per unit along x and y; None if the file does not say.
    """

    values: npt.NDArray[Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    resolution: tuple[float, float] | None = None


def read_stack(path: str | Path) -> Stack:
    """Read a stack (D, H, W): a TIFF file of several pages, also ImageJ's and OME's, or an .npy file.

    Raises:
        InputError: it is no such file, is damaged, or holds several channels or time points.
        OutOfMemoryError: it does not fit in memory.
    """
    path = Path(path)
    content = read_bytes(path)
    kind = detected_format(content)
    with refused_by_path(path, kind):
        stack = Stack(array_of(content)) if kind == "NPY" else stack_of_tiff(content) if kind == "TIFF" else None
    if stack is None:
        raise InputError(f"{path} is no stack; give a TIFF file of several pages, or an .npy file (D, H, W)")
    if stack.values.ndim == 2:  # a file of one plane
        stack = replace(stack, values=stack.values[None])
    if stack.values.ndim != 3 or 0 in stack.values.shape:
        raise InputError(
            f"{path} has shape {stack.values.shape}; give one channel and one time point, (planes, height, width)"
        )
    return stack


def read_stack_kernels(given: Array | str | Path) -> npt.NDArray[np.float64]:
    """The kernel of a stack, (B, D, h, w), from (D, h, w) or several of them.

    Raises:
        InputError: the file cannot be read, or it is the kernel of a picture; or as `as_kernel`.
    """
    if isinstance(given, str | Path):
        values, name = read_stack(given).values, str(given)
    else:
        values, name = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given), "the kernel"
    if values.ndim == 2:
        raise InputError(
            f"{name} has shape {values.shape}, and the kernel of a stack has planes, (planes, h, w); kernel[None] has "
            "one, which blurs each plane of the data alone"
        )
    several = values if values.ndim == 4 else values[None]
    return np.stack([as_kernel(one, name, axes=3) for one in several])


def check_not_colour(given: Array | str | Path, what: str) -> None:
    """Refuse an array of planes in colour, (D, H, W, 3) or with opacity, for several stacks; raises `InputError`."""
    if isinstance(given, np.ndarray) and given.ndim == 4 and given.shape[-1] in (2, 3, 4):
        raise InputError(
            f"{what} has shape {given.shape}, planes in colour; restore each channel by itself, as array[..., 0]"
        )


def stack_of_tiff(content: bytes) -> Stack:
    """The first series of a TIFF file; raises `InputError` if it does not fit in memory."""
    with opened_tiff(content) as file:
        series = file.series[0]
        check_memory(2 * series.size * series.dtype.itemsize)
        values = np.asarray(series.asarray())
        described = file.imagej_metadata or {}
        tags = file.pages.first.tags
        found = [tags[name].value for name in ("XResolution", "YResolution") if name in tags]
    resolution = (found[0][0] / found[0][1], found[1][0] / found[1][1]) if len(found) == 2 and found[1][1] else None
    shape = tuple(side for side in values.shape if side > 1) if values.ndim > 3 else values.shape
    return Stack(values.reshape(shape), {name: described[name] for name in KEPT if name in described}, resolution)


def is_stack_file(path: Path) -> bool:
    """Whether a file holds a stack: a TIFF of several equal pages, or an array of more planes than colours."""
    if path.suffix.lower() not in STACK_SUFFIXES:
        return False
    content = read_bytes(path)
    try:
        return shows_stack(content, detected_format(content))
    except Exception:  # a damaged file is no stack; its reader says what is wrong
        return False


def shows_stack(content: bytes, kind: str | None) -> bool:
    """Whether the bytes of a file of a format describe a stack; may raise anything for damaged bytes."""
    if kind == "NPY":
        shape = array_of(content).shape
        return len(shape) == 3 and min(shape[0], shape[2]) >= MIN_PLANES
    if kind != "TIFF":
        return False
    with opened_tiff(content) as file:
        series = file.series[0]
        has_more = len(series.shape) > 3 and "Z" in series.axes  # channels or times: `read_stack` says what to do
        return has_more or (len(series.shape) == 3 and series.axes[0] in DEPTH_AXES and series.axes[-1] == "X")


def encode_stack(
    values: npt.NDArray[Any], metadata: Mapping[str, Any], resolution: tuple[float, float] | None
) -> bytes:
    """A TIFF file of planes (D, H, W) in float32, which ImageJ opens as a stack.

    Args:
        values: of the planes.
        metadata: as `Stack` has it.
        resolution: pixels per unit along x and y, or None.
    """
    import tifffile

    buffer = BytesIO()
    planes = np.asarray(values, dtype=np.float32)
    tifffile.imwrite(
        buffer,
        planes,
        imagej=True,
        resolution=resolution,
        metadata={"axes": "ZYX", **metadata},
        photometric="minisblack",
    )
    return buffer.getvalue()
