"""The folder of a run: what is in it, and whether it may be written."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .encoding import encode_npy, encode_png, quantised
from .figures import kernel_stack, overview
from .files import write_atomically
from .kernels import kernel_picture
from .layouts import channels_last

if TYPE_CHECKING:
    from ..result import Result

__all__ = ["CHECKPOINT", "check_output", "save_result", "strict_json"]

CHECKPOINT = "checkpoint.pt"
RESULT_FILES = ("result.json", "image.png")
"""Whose presence tells that a folder holds a finished run; result.json is written last."""

DOTS_PER_INCH = 150


def check_output(directory: Path, overwrite: bool = False, resume: bool = False) -> None:
    """Refuse, before any compute, a folder that the results cannot be written to; leaves nothing behind.

    Args:
        directory: of the run; it need not exist.
        overwrite: it may hold another run, which will be replaced.
        resume: it may hold a run, which will be continued.

    Raises:
        InputError: it is a file, cannot be created or written, or holds another run.
    """
    check_writable(directory)
    if not (overwrite or resume):
        check_free(directory, (*RESULT_FILES, CHECKPOINT))


def check_writable(directory: Path) -> None:
    """Raise `InputError` unless the folder can be created and written; tries it: permissions do not tell all."""
    missing = [folder for folder in (directory, *directory.parents) if not os.path.lexists(folder)]
    anchor = missing[-1].parent if missing else directory
    if not anchor.is_dir():
        raise InputError(f"the output {directory} cannot be a folder: {anchor} is a file; choose another place")
    trial = [*reversed(missing), directory / f".invkit-{os.getpid()}"]
    made: list[Path] = []
    try:
        for folder in trial:
            folder.mkdir()
            made.append(folder)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"the output folder {directory} cannot be written ({reason}); choose another place") from error
    finally:
        for folder in reversed(made):
            folder.rmdir()


def check_free(directory: Path, names: tuple[str, ...]) -> None:
    """Raise `InputError` when the folder holds one of the files."""
    found = [name for name in names if (directory / name).exists()]
    if found:
        resumable = ", continue that run (--resume)" if CHECKPOINT in found else ""
        raise InputError(
            f"{directory} already holds a run ({', '.join(found)}); choose another folder{resumable} or replace it "
            "(--overwrite, or overwrite=True)"
        )


def save_result(result: Result, directory: Path, *, overwrite: bool = False) -> Path:
    """Write a result; each file is whole or absent, and result.json comes last.

    - image.png: the restored picture at ``result.bits``, 16 bits for floating point (32), which PNG does not hold;
    - kernel.npy: the true-convolution kernel, (h, w) float64 summing to one; (B, h, w) of a batch;
    - kernel.png: a picture of it, enlarged, for looking at;
    - overview.png: `figures.overview`;
    - result.json: ``result.summary()``, numbers that JSON does not know being null.

    The further pictures of a batch are image-2.png, kernel-2.png and so on. An image of more than four channels, which
    is no picture, is written as image.npy, (H, W, C).

    Returns:
        The directory.

    Raises:
        InputError: it cannot be written, or holds another result and ``overwrite`` is False (a checkpoint
            is no result).
    """
    check_writable(directory)
    if not overwrite:
        check_free(directory, RESULT_FILES)
    files = {**image_files(result), **kernel_files(result)}
    files["overview.png"] = overview_file(result)
    files["result.json"] = strict_json(result.summary()).encode()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(directory / name, content)
    except OSError as error:
        raise InputError(f"the results cannot be written to {directory} ({error.strerror or error})") from error
    return directory


def numbered(stem: str, suffix: str, index: int) -> str:
    """image.png, image-2.png, image-3.png, ..."""
    return f"{stem}{suffix}" if index == 0 else f"{stem}-{index + 1}{suffix}"


def image_files(result: Result) -> dict[str, bytes]:
    """The restored pictures."""
    pictures = channels_last(result.image)
    if pictures.shape[-1] > 4:
        return {numbered("image", ".npy", i): encode_npy(picture) for i, picture in enumerate(pictures)}
    bits = min(result.bits, 16)
    return {
        numbered("image", ".png", i): encode_png(quantised(picture, bits), result.icc_profile)
        for i, picture in enumerate(pictures)
    }


def kernel_files(result: Result) -> dict[str, bytes]:
    """The kernels, as numbers and as pictures."""
    kernels = kernel_stack(result.kernel)
    sums = kernels.sum(axis=(1, 2), keepdims=True)
    kernels = np.divide(kernels, sums, out=kernels.copy(), where=sums != 0)  # float32 sums to one within 1e-6 only
    pictures = {numbered("kernel", ".png", i): encode_png(kernel_picture(k)) for i, k in enumerate(kernels)}
    return {"kernel.npy": encode_npy(kernels[0] if len(kernels) == 1 else kernels), **pictures}


def overview_file(result: Result) -> bytes:
    """The figure as PNG."""
    buffer = BytesIO()
    overview(result).savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()


def strict_json(value: Any) -> str:
    """JSON that every reader accepts, indented; NaN and infinities become null."""
    return json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """Only what JSON knows: numbers of NumPy and tensors become Python's, other objects their text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return plain_array(value)


def plain_array(value: Any) -> Any:
    """Arrays, tensors and their scalars as lists and numbers; the text of anything else."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    from torch import Tensor

    return plain(value.detach().cpu().tolist()) if isinstance(value, Tensor) else str(value)
