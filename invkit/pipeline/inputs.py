"""What a caller gives, taken in: pictures, numbers of other instruments, the operator's unknown; and given back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError
from ..core.files import sha256_of
from ..core.interfaces import ForwardOperator, KernelPrior
from ..core.result import Array
from ..media.images import Layout, Photo, from_bchw, read_image, to_bchw
from ..media.kernels import as_kernel, read_kernel
from ..numerics.geometry import Size, size_of

__all__ = ["Measured", "Picture", "Taken", "digest", "scaled_to", "take", "take_truth", "read_operator_parameter"]

Picture: TypeAlias = Array | str | Path
Measured: TypeAlias = Picture | list[Picture] | tuple[Picture, ...]
"""A picture, or several of the same size."""


@dataclass(frozen=True)
class Taken:
    """What was measured, and how to give an image of it back.

    Attributes:
        data: (B, C, H, W), float32; pictures in [0, 1].
        layout: of what was given, of several the first.
        photo: the file that it came from, with the depth, alpha and colour profile to put back but without its
            pixels; None for an array.
    """

    data: Tensor
    layout: Layout
    photo: Photo | None = None

    def given_back(self, picture: Tensor) -> Array:
        """An image (B, C, H, W) as the data came; of another size the opacity is scaled, of more images none is kept.

        Several images come back as (B, C, H, W) where one was given.
        """
        size = size_of(picture)
        if len(picture) > 1 and (self.layout.ndim < 4 or len(picture) != len(self.data)):
            return from_bchw(picture, Layout(self.layout.kind, 4, self.layout.bits))
        ndim = 3 if self.layout.ndim == 2 and picture.shape[1] > 1 else self.layout.ndim
        alpha = None if self.layout.alpha is None else scaled_to(self.layout.alpha, size)
        array = from_bchw(picture, replace(self.layout, ndim=ndim, alpha=alpha))
        if self.photo is None or self.photo.alpha is None:
            return array
        opacity = scaled_to(torch.from_numpy(self.photo.alpha)[None, None].float(), size)[0, 0].numpy()
        return replace(self.photo, alpha=opacity).put_back(np.asarray(array))

    @property
    def bits(self) -> int:
        """Bits per sample in which to write what becomes of it."""
        return self.layout.bits if self.photo is None else self.photo.bits


def scaled_to(planes: Tensor, size: Size) -> Tensor:
    """Planes (B, C, H, W) of the same view on another grid, bilinear; those of the size as they are."""
    if size_of(planes) == tuple(size):
        return planes
    return F.interpolate(planes, size, mode="bilinear", align_corners=False, antialias=True)


def take(image: Measured, operator: type[ForwardOperator] | None = None) -> Taken:
    """What was measured, as an operator of that class takes it, in most a picture.

    Raises:
        InputError: it cannot be read or used, or several are not of one size.
    """
    if isinstance(image, list | tuple):
        return together([take(one, operator) for one in image])
    if operator is not None and operator.data_range is None:
        return take_numbers(image)
    photo = read_image(image) if isinstance(image, str | Path) else None
    picture, layout = to_bchw(image if photo is None else photo.pixels)  # type: ignore[arg-type]
    return Taken(picture, layout, None if photo is None else replace(photo, pixels=np.empty((0, 0))))


def together(several: Sequence[Taken]) -> Taken:
    """Several pictures along the batch, to be given back as the first; raises `InputError` for other sizes or none."""
    if not several:
        raise InputError("an empty list was given for the image; give at least one picture")
    shapes = {tuple(one.data.shape[1:]) for one in several}
    if len(shapes) > 1:
        told = " and ".join("x".join(map(str, shape)) for shape in sorted(shapes))
        raise InputError(f"the pictures given differ in size (channels x height x width): {told}; give equal ones")
    first = several[0]
    opaque = replace(first.layout, alpha=None)
    photo = first.photo and replace(first.photo, alpha=None)
    return Taken(torch.cat([one.data for one in several]), opaque, photo)


def take_numbers(numbers: Picture) -> Taken:
    """What no camera made, (C, H, W) or (B, C, H, W) of any finite real numbers, channels first also in an array.

    Raises:
        InputError: it is of another shape or type, or a file that is no .npy.
    """
    values, name = numbers_of(numbers)
    if values.ndim not in (3, 4) or 0 in values.shape:
        raise InputError(f"{name} has shape {values.shape}; such data are (C, H, W) or (B, C, H, W), channels first")
    data = torch.from_numpy(np.array(values if values.ndim == 4 else values[None], dtype=np.float32))
    if not bool(torch.isfinite(data).all()):
        raise InputError(f"{name} holds NaN or infinite values; replace them first")
    if isinstance(numbers, Tensor):
        return Taken(data, Layout("tensor", values.ndim, 32))
    return Taken(data, Layout("array", 2 if values.ndim == 3 else 4, 32))  # back as (H, W) or (H, W, C) where it can be


def numbers_of(given: Picture) -> tuple[npt.NDArray[Any], str]:
    """An array, a tensor or an .npy file as an array of real numbers, and what to call it; raises `InputError`."""
    if isinstance(given, str | Path):
        try:
            values, name = np.load(given, allow_pickle=False), str(given)
        except (OSError, ValueError) as error:
            raise InputError(f"{given} cannot be read as an array; give a .npy file ({error})") from error
    else:
        values, name = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given), "what was measured"
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        raise InputError(f"{name} holds no real numbers; of complex ones give real and imaginary parts as channels")
    return values, name


def take_truth(truth: Picture, size: Size) -> Tensor:
    """The true image as (1, C, H, W); raises `InputError` when it is not of the size of what is restored."""
    sharp = take(truth).data
    if size_of(sharp) != tuple(size):
        raise InputError(
            f"the truth is {size_of(sharp)} and the image {tuple(size)} (height, width); "
            "they must show the same part of the scene"
        )
    return sharp


def read_operator_parameter(given: Picture, operator: type[ForwardOperator]) -> Tensor:
    """What there is of the operator's unknown, from a file or an array.

    Returns:
        Kernels (B, 1, h, w) of an array (h, w) or (B, h, w), each >= 0 and summing to one; other unknowns as they
        are, (B, C, H, W) of an array of as many dimensions or fewer.

    Raises:
        InputError: it cannot be read, or is no kernel; warns as `as_kernel`.
    """
    if issubclass(operator.parameter_prior, KernelPrior):
        return take_kernels(given)
    if isinstance(given, str | Path) and Path(given).suffix.lower() != ".npy":
        return take(given).data.mean(1, keepdim=True)
    values, name = numbers_of(given)
    if not 2 <= values.ndim <= 4:
        raise InputError(f"{name} has shape {values.shape}; give (H, W), (C, H, W) or (B, C, H, W)")
    return torch.from_numpy(np.array(values, dtype=np.float32)).view((1,) * (4 - values.ndim) + values.shape)


def take_kernels(given: Picture) -> Tensor:
    """Kernels (B, 1, h, w) from a file or an array (h, w), or an array or .npy file of several, (B, h, w)."""
    several = None if isinstance(given, str | Path) and Path(given).suffix.lower() != ".npy" else stack_of(given)
    if several is not None:
        each = [as_kernel(one, f"kernel {index}") for index, one in enumerate(several, start=1)]
        return torch.from_numpy(np.stack(each)).float()[:, None]
    kernel = read_kernel(given) if isinstance(given, str | Path) else as_kernel(numbers_of(given)[0])
    return torch.from_numpy(kernel).float()[None, None]


def stack_of(given: Picture) -> npt.NDArray[Any] | None:
    """Several kernels (B, h, w), given as such or as (B, 1, h, w); None for anything else, readable or not."""
    try:
        values, _ = numbers_of(given)
    except InputError:
        return None
    values = values[:, 0] if values.ndim == 4 and values.shape[1] == 1 else values
    return values if values.ndim == 3 and len(values) > 1 else None


def digest(picture: Measured | None) -> Any:
    """Name and SHA-256 of a file, or of each of several, to say later what a result was made from; else None."""
    if isinstance(picture, list | tuple):
        return [digest(one) for one in picture] if any(isinstance(one, str | Path) for one in picture) else None
    if not isinstance(picture, str | Path):
        return None
    path = Path(picture)
    return {"file": path.name, "sha256": sha256_of(path)}
