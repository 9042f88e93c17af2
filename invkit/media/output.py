"""The folder of a run: its files, and whether it may be written."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InputError
from ..core.files import read_json_table, write_atomically
from ..core.result import Result
from .figures import kernel_stack, overview, picture_of
from .images import encode_npy, encode_png, quantised
from .kernels import kernel_picture, planes_picture
from .layouts import channels_last, drawable_batch
from .run_folder import (
    CHECKPOINT,
    RUN_FILES,
    SUMMARY,
    is_settled,
    locked_folder,
    results,
    run_files,
    working_folder,
    write_results,
)
from .uncertainty_map import uncertainty_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_inputs", "check_output", "save_result", "strict_json", "write_with_room"]

FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk, or the quota
ENDED = ("finished", "converged")  # the ways to stop that leave nothing to resume

DOTS_PER_INCH = 150


def check_output(directory: Path, overwrite: bool = False, resume: bool = False) -> None:
    """Refuse, before any compute, a folder that the results cannot be written to. Nothing is left in the folder.

    Args:
        directory: of the run; it need not exist.
        overwrite: the folder may hold another run, or files of the same names; they will be replaced.
        resume: the folder holds a run to be continued.

    Raises:
        InputError: it is a file, cannot be created or written, or holds another run; there is nothing to resume;
            both ``overwrite`` and ``resume``.
    """
    if overwrite and resume:
        raise InputError(
            f"the run in {directory} can be continued (--resume) or replaced (--overwrite), not both; choose one"
        )
    check_writable(directory)
    if not is_settled(directory):
        with locked_folder(directory):
            pass  # a run that was killed while it replaced another is in its place now
    if resume:
        check_resumable(directory)
    elif not overwrite:
        check_free(directory, run_files(directory))


def check_inputs(directory: Path, inputs: Sequence[Path]) -> None:
    """Refuse inputs that the run would replace by its own files, even if it may overwrite another run.

    Args:
        directory: of the run; it need not exist.
        inputs: the files that the run reads; files that do not exist are ignored.

    Raises:
        InputError: the run writes one of these files, perhaps through another path.
    """
    for given, name in product(inputs, {*RUN_FILES, *run_files(directory)}):
        try:
            is_same = given.samefile(directory / name)
        except (OSError, ValueError):
            continue
        if is_same:
            raise InputError(
                f"{given} is an input, and the run would replace it by its own {name}; choose another output folder, "
                "or give the input another name"
            )


def check_writable(directory: Path) -> None:
    """Raise `InputError` unless the folder can be created and written, by trying, because permissions do not suffice.

    Missing folders are not created, because another run may be about to create them. Folders of the same names are
    created in a temporary folder instead.
    """
    missing = [folder for folder in (directory, *directory.parents) if not os.path.lexists(folder)]
    anchor = missing[-1].parent if missing else directory
    if not anchor.is_dir():
        kind = "a file" if anchor.exists() else "a link to nothing"
        raise InputError(f"the output {directory} cannot be a folder: {anchor} is {kind}; choose another place")
    try:
        trial = Path(tempfile.mkdtemp(prefix=".invkit-", dir=anchor))
        try:
            for name in {folder.name for folder in missing} - {".."}:
                (trial / name).mkdir()
        finally:
            shutil.rmtree(trial, ignore_errors=True)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"the output folder {directory} cannot be written ({reason}); choose another place") from error
    for name in RUN_FILES:
        if (directory / name).is_dir():
            raise InputError(f"{directory / name} is a folder, and the run writes a file of that name; move it away")


def check_free(directory: Path, found: Sequence[str]) -> None:
    """Raise `InputError` if files that a run may have written were found in the folder."""
    if found:
        resumed = working_folder(directory, overwrite=False, resume=True) / CHECKPOINT
        resumable = ", continue that run (--resume)" if resumed.exists() else ""
        raise InputError(
            f"{directory} already holds a run ({', '.join(found)}); choose another folder{resumable} or replace "
            "these files (--overwrite, or overwrite=True)"
        )


def check_resumable(directory: Path) -> None:
    """Raise `InputError` with the reason if the folder holds no checkpoint."""
    if (working_folder(directory, overwrite=False, resume=True) / CHECKPOINT).exists():
        return
    if not (directory / SUMMARY).exists():
        raise InputError(f"there is no run in {directory} to resume; check the folder, or start one without --resume")
    if read_json_table(directory / SUMMARY).get("stopped") in ENDED:
        raise InputError(
            f"the run in {directory} is finished; nothing to resume (one that was started with --extendable, and ended "
            "with its last iteration, can be extended)"
        )
    raise InputError(f"the run in {directory} left no {CHECKPOINT} to resume from; start it anew with --overwrite")


def save_result(result: Result, directory: Path, *, overwrite: bool = False) -> Path:
    """Write a result; an older one is replaced at once, when all files of the new one are written.

    Each file is written completely or not at all: the image first, result.json last.

    - image.png: the restored image with ``result.bits``; 16 bits for floating point (32), which PNG cannot hold;
    - image.npy: the numbers of an image whose data are no picture, of which image.png shows ``result.white`` as white;
    - kernel.npy: the kernel of true convolution, (h, w) float64 summing to one; (B, h, w) of a batch;
    - kernel.png: an enlarged picture of the kernel, for display;
    - operator_parameter.npy and operator_parameter.png instead, if the operator's unknown is not a kernel: its numbers
      unchanged, and a picture of its planes side by side;
    - kernel_variance.npy and gradients_variance.npy: ``result.variances``, if there are any;
    - image_deviation.npy, kernel_deviation.npy and uncertainty.png, a map of the first: ``result.deviations``;
    - overview.png: `figures.overview`;
    - photograph.png: the input, if ``result.details`` has warnings;
    - result.json: ``result.summary()``; numbers that JSON does not know become null.

    A stack is written as image.tif, with the metadata of the input, and image.npy; image.png shows the largest values
    along each axis. The further images of a batch are image-2.png, kernel-2.png and so on. An image of more than four
    channels, which PNG cannot hold, is written as image.npy, (H, W, C). Files of another result are removed, a
    checkpoint is not.

    Args:
        result: of a solve.
        directory: is created if it does not exist.
        overwrite: replace another result.

    Returns:
        The directory.

    Raises:
        InputError: it cannot be written, or holds another result and ``overwrite`` is False. A checkpoint does not
            count as a result.

    Warns:
        RuntimeWarning: the overview could not be drawn; all other files are written.
    """
    check_writable(directory)
    try:
        with locked_folder(directory):
            if not overwrite:
                check_free(directory, results(directory))
            write_result(result, directory)
    except OSError as error:
        raise InputError(f"the results cannot be written to {directory} ({error.strerror or error})") from error
    return directory


def write_result(result: Result, directory: Path) -> None:
    """Write a result to a folder that this process has locked; see `save_result`. Raises ``OSError``."""
    write_results(directory, result_files(result))


def write_with_room(result: Result, checkpoint: Path) -> None:
    """Write a result beside its checkpoint. On a full disk, a complete run gives up its checkpoint for its result.

    Args:
        result: of a run.
        checkpoint: the file, which may not exist, in the folder of the run, which this process has locked.

    Raises:
        InputError: the result cannot be written. The checkpoint is kept.
    """
    directory = checkpoint.parent
    try:
        try:
            write_result(result, directory)
        except OSError as error:
            if error.errno not in FULL or not result.is_complete or not checkpoint.exists():
                raise
            write_instead(result, checkpoint)
    except OSError as error:
        remedy = "make room, and --resume continues from the checkpoint" if checkpoint.exists() else "make room"
        raise InputError(
            f"the results cannot be written to {directory} ({error.strerror or error}); {remedy}"
        ) from error


def write_instead(result: Result, checkpoint: Path) -> None:
    """Write a result in the place of its checkpoint, which comes back if that fails. Raises ``OSError``."""
    content = checkpoint.read_bytes()
    checkpoint.unlink()
    try:
        write_result(result, checkpoint.parent)
    except BaseException:
        write_atomically(checkpoint, content)
        raise


def result_files(result: Result) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files of a result, result.json last."""
    for make in (image_files, kernel_files, variance_files, uncertainty_files, input_files, overview_files):
        yield from make(result).items()
    yield SUMMARY, strict_json(result.summary()).encode()


def numbered(stem: str, suffix: str, contents: Iterable[bytes]) -> dict[str, bytes]:
    """Contents by name: image.png, image-2.png, image-3.png, ..."""
    return {f"{stem}-{number}{suffix}" if number > 1 else f"{stem}{suffix}": c for number, c in enumerate(contents, 1)}


def image_files(result: Result) -> dict[str, bytes]:
    """The restored images, as pictures or as numbers or, if a picture cannot hold the numbers, as both."""
    if result.is_stack:
        return stack_files(result)
    images, pictures = channels_last(result.image), drawable_batch(result.image, result)
    are_numbers, are_pictures = (result.black, result.white) != (0, 1), images.shape[-1] <= 4
    plain = [image[..., 0] if image.shape[-1] == 1 else image for image in images]
    if np.iscomplexobj(result.image):  # pictures show magnitudes, and numbers keep the phase
        plain = list(np.asarray(result.image).reshape(-1, *images.shape[1:3]))
    numbers = numbered("image", ".npy", map(encode_npy, plain)) if are_numbers or not are_pictures else {}
    shown = numbered("image", ".png", (png_of(picture, result) for picture in pictures)) if are_pictures else {}
    return {**shown, **numbers}


def stack_files(result: Result) -> dict[str, bytes]:
    """The planes as TIFF, which microscopists' programs open, the numbers, and a picture of the largest values."""
    from .stacks import encode_stack

    stacks = np.asarray(result.image)[None] if np.asarray(result.image).ndim == 3 else np.asarray(result.image)
    about = result.details.get("stack", {})
    resolution = tuple(about["resolution"]) if about.get("resolution") else None
    tiffs = numbered("image", ".tif", (encode_stack(one, about.get("metadata", {}), resolution) for one in stacks))
    pictures = (png_of(picture, result) for picture in drawable_batch(result.image, result))
    return {**tiffs, **numbered("image", ".npy", map(encode_npy, stacks)), **numbered("image", ".png", pictures)}


def png_of(image: np.ndarray[Any, Any], result: Result) -> bytes:
    """An image (H, W, C) with the depth and the colour profile of a result."""
    return encode_png(quantised(image, min(result.bits, 16)), result.icc_profile)


def kernel_files(result: Result) -> dict[str, bytes]:
    """The kernels, or another operator parameter, as numbers and as pictures."""
    kernels = kernel_stack(result.kernel)
    if not result.has_kernel:
        picture = encode_png(planes_picture(kernels))
        return {"operator_parameter.npy": encode_npy(kernels), "operator_parameter.png": picture}
    sums = kernels.sum(axis=(1, 2), keepdims=True)
    kernels = np.divide(kernels, sums, out=kernels.copy(), where=sums != 0)  # float32 sums to one only within 1e-6
    numbers = encode_npy(kernels[0] if len(kernels) == 1 else kernels)
    return {"kernel.npy": numbers, **numbered("kernel", ".png", (encode_png(kernel_picture(k)) for k in kernels))}


def variance_files(result: Result) -> dict[str, bytes]:
    """The posterior variances, as numbers."""
    return {f"{name}_variance.npy": encode_npy(np.asarray(value)) for name, value in result.variances.items()}


def input_files(result: Result) -> dict[str, bytes]:
    """The input, if a warning says that it may be better than the restoration."""
    if result.blurry is None or "warnings" not in result.details:
        return {}
    return {"photograph.png": png_of(drawable_batch(result.blurry, result)[0], result)}


def uncertainty_files(result: Result) -> dict[str, bytes]:
    """The standard deviations, as numbers and as a map."""
    numbers = {f"{name}_deviation.npy": encode_npy(np.asarray(value)) for name, value in result.deviations.items()}
    return numbers | (drawn("uncertainty.png", lambda: uncertainty_map(result)) if numbers else {})


def overview_files(result: Result) -> dict[str, bytes]:
    """The overview as PNG."""
    return drawn("overview.png", lambda: overview(result))


def drawn(name: str, draw: Callable[[], Figure]) -> dict[str, bytes]:
    """A figure as PNG; nothing, with a warning, if it cannot be drawn, so that the other files are not lost.

    Args:
        name: of the file.
        draw: makes the figure.
    """
    try:
        picture = encode_png(picture_of(draw(), DOTS_PER_INCH))
    except Exception as error:  # Matplotlib's fonts, caches and settings fail in many ways
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"{name} could not be drawn ({reason}); all other files are written", RuntimeWarning, stacklevel=3
        )
        return {}
    return {name: picture}


def strict_json(value: Any) -> str:
    r"""Indented JSON that every reader accepts, with lists of numbers on one line; NaN and infinities become null.

    It is ASCII, so that it can be printed and stored under any encoding. A file name that is not UTF-8 keeps its bytes:
    Python reads it back as the same name.

    >>> strict_json({"losses": [1.5, float("nan")]})
    '{\n  "losses": [1.5, null]\n}\n'
    """
    text = json.dumps(plain(value), indent=2, allow_nan=False)
    # JSON escapes line breaks in texts, so the pattern finds only lists, and only those without texts and lists
    return re.sub(r'\[\n[^\[\]{}"]*\]', lambda found: f"[{' '.join(found[0][1:-1].split())}]", text) + "\n"


def plain(value: Any) -> Any:
    """Types that JSON knows: numbers of NumPy and tensors become Python's, other objects their text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    from torch import Tensor

    return plain(value.detach().cpu().tolist()) if isinstance(value, Tensor) else str(value)
