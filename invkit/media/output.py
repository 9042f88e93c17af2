"""The folder of a run: what is in it, and whether it may be written."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InputError
from ..core.files import write_atomically
from .encoding import encode_npy, encode_png, quantised
from .figures import kernel_stack, overview
from .kernels import kernel_picture, planes_picture
from .layouts import channels_last

if TYPE_CHECKING:
    from ..core.result import Result

__all__ = ["CHECKPOINT", "check_inputs", "check_output", "clear_run", "save_result", "strict_json"]

CHECKPOINT = "checkpoint.pt"
SUMMARY = "result.json"
USUAL = (
    "image.png",
    "image.npy",
    "kernel.npy",
    "kernel.png",
    "operator_parameter.npy",
    "operator_parameter.png",
    "overview.png",
    "photograph.png",
    SUMMARY,
    CHECKPOINT,
)
"""The files of a run; result.json is written last. A batch has image-2.png, kernel-2.png and so on beside them."""

NUMBER = r"(-([2-9]|[1-9][0-9]+))?"
RUN_FILE = (
    rf"image{NUMBER}\.(png|npy)|(kernel|unknown)\.npy|(kernel|unknown){NUMBER}\.png|(overview|photograph)\.png|"
    r"result\.json|checkpoint\.pt"
)
UNFINISHED = rf"\.({RUN_FILE})\.[a-z0-9_]{{8}}"  # what a write that was killed leaves
ENDS = ("finished", "converged")  # the ways to stop after which there is nothing left to resume

DOTS_PER_INCH = 150


def check_output(directory: Path, overwrite: bool = False, resume: bool = False) -> None:
    """Refuse, before any compute, a folder that the results cannot be written to; leaves nothing behind.

    Args:
        directory: of the run; it need not exist.
        overwrite: it may hold another run, or files of the names that a run writes, which will be replaced.
        resume: it holds a run that is to be continued.

    Raises:
        InputError: it is a file, cannot be created or written, or holds another run; there is nothing to resume;
            both ``overwrite`` and ``resume``.
    """
    if overwrite and resume:
        raise InputError(
            f"the run in {directory} can be continued (--resume) or replaced (--overwrite), not both; choose one"
        )
    check_writable(directory)
    if resume:
        check_resumable(directory)
    elif not overwrite:
        check_free(directory, run_files(directory))


def check_inputs(directory: Path, inputs: Sequence[Path]) -> None:
    """Refuse inputs that the run would replace by its own files, also where it may overwrite another run.

    Args:
        directory: of the run; it need not exist.
        inputs: the files that the run reads; one that does not exist is left to who reads it.

    Raises:
        InputError: one of them is a file that the run writes, perhaps by another path.
    """
    for name in {*USUAL, *run_files(directory)}:
        for given in inputs:
            if is_same(directory / name, given):
                raise InputError(
                    f"{given} is an input, and the run would replace it by its own {name}; choose another output "
                    "folder, or give the input another name"
                )


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file; False where one does not exist or cannot be looked at."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def check_writable(directory: Path) -> None:
    """Raise `InputError` unless the folder can be created and written; tries it: permissions do not tell all.

    Folders that are missing are not created, which would disturb another run that is about to make the same ones;
    their names are tried where they would be.
    """
    missing = [folder for folder in (directory, *directory.parents) if not os.path.lexists(folder)]
    anchor = missing[-1].parent if missing else directory
    if not anchor.is_dir():
        kind = "a file" if anchor.exists() else "a link to nothing"
        raise InputError(f"the output {directory} cannot be a folder: {anchor} is {kind}; choose another place")
    try:
        try_folders(anchor, {folder.name for folder in missing} - {".."})
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"the output folder {directory} cannot be written ({reason}); choose another place") from error
    for name in USUAL:
        if (directory / name).is_dir():
            raise InputError(f"{directory / name} is a folder, and the run writes a file of that name; move it away")


def try_folders(anchor: Path, names: Iterable[str]) -> None:
    """Make folders of those names in one of our own within the anchor, and remove them; raises OSError."""
    trial = Path(tempfile.mkdtemp(prefix=".invkit-", dir=anchor))
    try:
        for name in names:
            (trial / name).mkdir()
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def check_free(directory: Path, found: Sequence[str]) -> None:
    """Raise `InputError` when the folder holds files that a run may have written."""
    if found:
        resumable = ", continue that run (--resume)" if CHECKPOINT in found else ""
        raise InputError(
            f"{directory} already holds a run ({', '.join(found)}); choose another folder{resumable} or replace "
            "these files (--overwrite, or overwrite=True)"
        )


def check_resumable(directory: Path) -> None:
    """Raise `InputError` when the folder holds no checkpoint, saying why."""
    if (directory / CHECKPOINT).exists():
        return
    if not (directory / SUMMARY).exists():
        raise InputError(f"there is no run in {directory} to resume; check the folder, or start one without --resume")
    if stopped_of(directory / SUMMARY) in ENDS:
        raise InputError(f"the run in {directory} is finished; nothing to resume")
    raise InputError(f"the run in {directory} left no {CHECKPOINT} to resume from; start it anew with --overwrite")


def stopped_of(summary: Path) -> object:
    """How a run ended, as its result.json tells; None where that cannot be read."""
    try:
        facts = json.loads(summary.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts.get("stopped") if isinstance(facts, dict) else None


def run_files(directory: Path, pattern: str = RUN_FILE) -> list[str]:
    """The names in a folder that a run writes, sorted; a folder of such a name is none."""
    try:
        named = [path for path in directory.iterdir() if re.fullmatch(pattern, path.name)]
    except (OSError, ValueError):
        return []  # no folder yet; one that cannot be read is refused when it is written to
    return sorted(path.name for path in named if path.is_symlink() or not path.is_dir())


def clear_run(directory: Path) -> None:
    """Remove every file that an earlier run has written, and no other; a folder that does not exist is clear.

    Raises:
        InputError: one of them cannot be removed.
    """
    remove(directory, [*run_files(directory), *run_files(directory, UNFINISHED)])


def remove(directory: Path, names: Iterable[str]) -> None:
    """Remove files, result.json first: a folder without it is no finished run; raises `InputError`."""
    for name in sorted(names, key=lambda name: name != SUMMARY):
        try:
            (directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"{directory / name}, of an earlier run, cannot be removed ({error.strerror or error}); "
                "choose another folder"
            ) from error


def save_result(result: Result, directory: Path, *, overwrite: bool = False) -> Path:
    """Write a result; each file is whole or absent, the most valuable come first and result.json comes last.

    - image.png: the restored picture at ``result.bits``, 16 bits for floating point (32), which PNG does not hold;
    - kernel.npy: the true-convolution kernel, (h, w) float64 summing to one; (B, h, w) of a batch;
    - kernel.png: a picture of it, enlarged, for looking at;
    - operator_parameter.npy and operator_parameter.png instead of these, where the operator's unknown is no kernel: its numbers as they are,
      and a picture of its planes side by side;
    - overview.png: `figures.overview`;
    - photograph.png: what it was made from, where ``result.details`` has doubts;
    - result.json: ``result.summary()``, numbers that JSON does not know being null.

    The further pictures of a batch are image-2.png, kernel-2.png and so on. An image of more than four channels, which
    is no picture, is written as image.npy, (H, W, C). What another result has left is removed, a checkpoint is not.

    Returns:
        The directory.

    Raises:
        InputError: it cannot be written, or holds another result and ``overwrite`` is False (a checkpoint
            is no result).

    Warns:
        RuntimeWarning: the overview could not be drawn; the other files are there.
    """
    check_writable(directory)
    left = {name for name in run_files(directory) if name != CHECKPOINT}
    if not overwrite:
        check_free(directory, sorted(left))
    remove(directory, left & {SUMMARY})
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for make in (image_files, kernel_files, doubted_files, overview_files):
            for name, content in make(result).items():
                write_atomically(directory / name, content)
                left.discard(name)
        remove(directory, left)
        write_atomically(directory / SUMMARY, strict_json(result.summary()).encode())
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
    """The kernels, as numbers and as pictures, or the operator's other unknown."""
    if not result.has_kernel:
        planes = kernel_stack(result.kernel)
        return {
            "operator_parameter.npy": encode_npy(planes),
            "operator_parameter.png": encode_png(planes_picture(planes)),
        }
    kernels = kernel_stack(result.kernel)
    sums = kernels.sum(axis=(1, 2), keepdims=True)
    kernels = np.divide(kernels, sums, out=kernels.copy(), where=sums != 0)  # float32 sums to one within 1e-6 only
    pictures = {numbered("kernel", ".png", i): encode_png(kernel_picture(k)) for i, k in enumerate(kernels)}
    return {"kernel.npy": encode_npy(kernels[0] if len(kernels) == 1 else kernels), **pictures}


def doubted_files(result: Result) -> dict[str, bytes]:
    """The photograph itself, where it may be better than the restoration."""
    if result.blurry is None or "doubts" not in result.details:
        return {}
    picture = channels_last(result.blurry)[0]
    return {"photograph.png": encode_png(quantised(picture, min(result.bits, 16)), result.icc_profile)}


def overview_files(result: Result) -> dict[str, bytes]:
    """The figure as PNG; none, with a warning, where it cannot be drawn: it is no reason to lose the rest."""
    buffer = BytesIO()
    try:
        overview(result).savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    except Exception as error:  # Matplotlib's fonts, caches and settings fail in many ways
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(f"overview.png could not be drawn ({reason}); the rest is written", RuntimeWarning, stacklevel=3)
        return {}
    return {"overview.png": buffer.getvalue()}


def strict_json(value: Any) -> str:
    """JSON that every reader accepts, indented, a list of numbers on one line; NaN and infinities become null."""
    text = json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False)
    # within a text a line break is escaped: what is found are lists, and only those without texts and lists
    return re.sub(r'\[\n[^\[\]{}"]*\]', lambda found: f"[{' '.join(found[0][1:-1].split())}]", text) + "\n"


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
