"""Pictures and kernels among the files of a result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError
from ..core.files import read_array

__all__ = ["read_kernel_file", "read_picture"]


def read_picture(path: Path) -> npt.NDArray[np.floating] | None:
    """A picture file, (H, W) or (H, W, 3) in [0, 1]; None if it cannot be read."""
    from ..media.images import read_image

    try:
        return read_image(path).pixels
    except (InputError, OSError):
        return None


def read_kernel_file(path: Path) -> npt.NDArray[np.float64] | None:
    """A kernel file, (h, w); None if it cannot be read."""
    try:
        values = np.asarray(read_array(path), dtype=np.float64)
    except ValueError:
        return None
    return values.reshape(values.shape[-2:]) if values.ndim >= 2 and values.size else None
