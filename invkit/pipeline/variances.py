"""The variances of the data that a user gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.result import Array
from ..media.decoding import decode
from ..media.layouts import Layout, batched
from ..numerics.noise import without_negligible

__all__ = [
    "check_noise_given_once",
    "read_variance",
    "unmeasured_pixels",
    "with_unmeasured_filled",
]

MOST_OF_SPREAD = 4.0  # of the data's variance, to which that of the noise adds: more is in other units


def check_noise_given_once(sigma: float | None) -> None:
    """Refuse a noise level beside variances; raises `InputError`."""
    if sigma is not None:
        raise InputError(
            "sigma and variance both say how strong the noise is; give sigma alone for noise that is the same "
            "everywhere, or variance alone for noise that differs from pixel to pixel"
        )


def read_variance(
    given: Array | str | Path, data: Tensor, layout: Layout, *, are_pictures: bool = True, bits: int = 32
) -> Tensor:
    """Read the variances of data, infinite where nothing was measured.

    Args:
        given: a file or an array: (H, W), for all channels, or in the layout of the data. Arrays of pictures have their
            channels last, tensors and data that are no pictures first. NaN and infinity mean that nothing was measured
            there, and so do the mask of a masked array and a variance of 1e5 times that of the precise data. The
            units are those of the data, squared: of a picture of 8 or 16 bits those of [0, 1]. For a stack of planes,
            a file is one too.
        data: (B, C, H, W), to which they belong.
        layout: of the data.
        are_pictures: whether the data are pictures.
        bits: per sample of the picture; 32 for floating point.

    Returns:
        (B or 1, C or 1, H, W), float64, above 0.

    Raises:
        InputError: they cannot be read or have another size, some are zero or negative, nothing was measured, or they
            are in other units than the data.
    """
    values, name = real_values(given, is_stack=layout.planes)
    if bits < 32 and float(data.max()) <= 1 and values.dtype.kind in "iu":
        raise InputError(
            f"{name} holds whole numbers, and variances of pictures of 8 and 16 bits are in units of [0, 1]; divide "
            f"those of levels by {2**bits - 1}**2"
        )
    if not 2 <= values.ndim <= 4:
        raise InputError(f"{name} has shape {values.shape}; give one variance for each pixel, (H, W)")
    channels_first = isinstance(given, Tensor) or not are_pictures
    found = torch.from_numpy(np.array(batched(values, channels_first), dtype=np.float64))
    allowed = ({1, len(data)}, {1, data.shape[1]}, {data.shape[2]}, {data.shape[3]})
    if any(side not in sides for side, sides in zip(found.shape, allowed, strict=True)):
        raise InputError(
            f"{name} has shape {values.shape}, and the data are {'x'.join(map(str, data.shape[-2:]))} (height x width) "
            f"with {data.shape[1]} channel(s); give one variance for each pixel, (H, W)"
        )
    found = found.nan_to_num(nan=np.inf, posinf=np.inf, neginf=-1)
    if bool(found.isinf().all()):
        raise InputError(f"{name} is NaN or infinite everywhere, so that no pixel was measured")
    if not bool((found > 0).all()):
        raise InputError(
            f"{name} holds zero or negative values; a variance is above 0, and NaN or infinite where a pixel was not "
            "measured"
        )
    found = without_negligible(found)
    check_possible(found, data, name)
    return found


def check_possible(variance: Tensor, data: Tensor, name: str) -> None:
    """Refuse variances that are larger than that of the data, as in other units; raises `InputError`."""
    known = variance.isfinite().expand_as(data)
    spread = float(data[known].double().var(correction=0))
    level = float((1 / variance[variance.isfinite()]).mean() ** -1)
    if spread > 0 and level > MOST_OF_SPREAD * spread:
        raise InputError(
            f"{name} says that the noise has a standard deviation of {level**0.5:.3g}, and the data vary by "
            f"{spread**0.5:.3g} only; give variances in the units of the data squared"
        )


def real_values(given: Array | str | Path, *, is_stack: bool) -> tuple[npt.NDArray[Any], str]:
    """Variances as an array of real numbers without opacity, and their name in errors.

    Raises:
        InputError: as `read_variance`.
    """
    name = "the variance"
    if isinstance(given, str | Path) and is_stack:
        from ..media.stacks import read_stack

        values, name = read_stack(given).values, str(given)
    elif isinstance(given, str | Path):
        stored, name = decode(Path(given)), str(given)
        values = stored.values[..., :-1] if stored.alpha else stored.values
    elif isinstance(given, np.ma.MaskedArray):
        values = np.ma.filled(given.astype(np.float64), np.nan)  # what is masked was not measured
    else:
        values = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
    if values.dtype.kind not in "fiu" or values.size == 0:
        raise InputError(f"{name} must hold real numbers, got {values.dtype} of shape {values.shape}")
    return values, name


def unmeasured_pixels(variance: Tensor, data: Tensor) -> npt.NDArray[np.bool_]:
    """The pixels (H, W) of one picture (1, C, H, W) of which a channel was not measured."""
    return np.asarray(variance.expand(len(variance), *data.shape[1:]).isinf().any(1)[0].numpy())


def with_unmeasured_filled(data: Tensor, variance: Tensor, *, are_pictures: bool) -> Tensor:
    """Data whose unmeasured values are the mean of the others of their channel, so that what stands there is harmless.

    Args:
        data: (B, C, H, W).
        variance: as `read_variance` gives it.
        are_pictures: whether a pixel is unmeasured if one of its channels is.
    """
    unknown = variance.isinf().expand_as(data)
    if are_pictures:
        unknown = unknown.any(1, keepdim=True).expand_as(data)
    if not bool(unknown.any()):
        return data
    known = ~unknown
    means = torch.where(known, data, 0).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
    return torch.where(unknown, means, data)
