"""A run replaces another only when all of its own files are there, and no other process writes in between.

    OUTPUT/.lock         held by the process that writes
    OUTPUT/.replacing    where a run works that will replace the run in OUTPUT: its checkpoint and its snapshots
    OUTPUT/.unfinished   results that are being written
    OUTPUT/.complete     complete results; the files of the older run are being removed
    OUTPUT/.arriving     complete results; they are being moved to OUTPUT, result.json last

A folder is renamed to enter the next state, so the process may be killed at any moment, and `settle` does the rest.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import InputError
from ..core.files import locked, sync_folder, write_atomically
from ..core.result import GRADIENTS, IMAGE, KERNEL

__all__ = [
    "CHECKPOINT",
    "RUN_FILES",
    "SNAPSHOT_FILE",
    "SNAPSHOT_FOLDER",
    "SUMMARY",
    "is_settled",
    "locked_folder",
    "made_folder",
    "replace_run",
    "results",
    "run_files",
    "working_folder",
    "write_results",
]

CHECKPOINT = "checkpoint.pt"
SUMMARY = "result.json"
RUN_FILES = (
    *(f"{stem}.{kind}" for stem in ("image", "kernel", "operator_parameter") for kind in ("png", "npy")),
    "image.tif",
    *(f"{name}_variance.npy" for name in (KERNEL, GRADIENTS)),
    *(f"{name}_deviation.npy" for name in (IMAGE, KERNEL)),
    *("overview.png", "uncertainty.png", "photograph.png", "terms.csv", SUMMARY, CHECKPOINT),
)
"""The files of a run; result.json is written last. A batch also has image-2.png, kernel-2.png and so on."""

NUMBERED = (
    "image.png",
    "image.npy",
    "image.tif",
    "kernel.png",
    "operator_parameter.png",
)  # an .npy file of kernels holds the batch
NUMBER = r"(-([2-9]|[1-9][0-9]+))?"
RUN_FILE = "|".join(
    re.escape(name) if name not in NUMBERED else re.escape(name).replace(r"\.", NUMBER + r"\.") for name in RUN_FILES
)
UNFINISHED_FILE = rf"\.({RUN_FILE})\.[a-z0-9_]{{8}}"  # a write that was killed leaves such a file
SNAPSHOT_FOLDER = "snapshots"
SNAPSHOT_FILE = re.compile(r"(\d{2,})-(\d{5,})-(image|kernel|operator_parameter)(-\d+)?\.(png|npy)")
"""The files that the observer 'snapshots' writes: solve, iteration, content, number in a batch."""

LOCK, REPLACING = ".lock", ".replacing"
UNFINISHED, COMPLETE, ARRIVING = ".unfinished", ".complete", ".arriving"


def run_files(directory: Path) -> list[str]:
    """The sorted names of the files of a run in a folder; subfolders of such names do not count."""
    return matching(directory, RUN_FILE)


def results(directory: Path) -> list[str]:
    """The sorted names of the files of a run in a folder, without its checkpoint."""
    return [name for name in run_files(directory) if name != CHECKPOINT]


def matching(directory: Path, pattern: str) -> list[str]:
    """The sorted names in a folder, other than of subfolders, that match a pattern; none if it cannot be read."""
    try:
        named = [path for path in directory.iterdir() if re.fullmatch(pattern, path.name)]
    except (OSError, ValueError):
        return []  # the folder does not exist; a folder that cannot be read is refused when it is written to
    return sorted(path.name for path in named if path.is_symlink() or not path.is_dir())


def working_folder(directory: Path, *, overwrite: bool, resume: bool) -> Path:
    """The folder of a run's checkpoint and snapshots: that of its results, or one inside if it replaces another run.

    Args:
        directory: of the results.
        overwrite: the run replaces the one in the folder, if there is one.
        resume: the run continues one that replaces another, if such a run has left a checkpoint.
    """
    replacing = directory / REPLACING
    if resume:
        return replacing if (replacing / CHECKPOINT).exists() else directory
    return replacing if overwrite and run_files(directory) else directory


@contextmanager
def locked_folder(directory: Path) -> Iterator[None]:
    """Make and settle a folder, and hold it alone; it is removed if it is new and nothing is written to it.

    Raises:
        InputError: another process writes a run there.
        OSError: the folder cannot be made.
    """
    new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    busy = f"another process is writing a run to {directory}; wait for it, or choose another folder"
    try:
        with locked(directory / LOCK, busy):
            settle(directory)
            yield
    finally:
        if new and not any(directory.iterdir()):
            directory.rmdir()


@contextmanager
def made_folder(working: Path, *, resume: bool) -> Iterator[None]:
    """The working folder of a run. One inside another run's folder begins empty, and goes if nothing is kept in it.

    Args:
        working: as `working_folder` gives it.
        resume: the run continues what is in the folder.
    """
    inside = working.name == REPLACING
    if inside and not resume:
        shutil.rmtree(working, ignore_errors=True)
    working.mkdir(exist_ok=True)
    if inside and (working.parent / SNAPSHOT_FOLDER).is_dir():
        (working / SNAPSHOT_FOLDER).mkdir(exist_ok=True)  # so that the older snapshots are replaced, be it by none
    try:
        yield
    finally:
        if inside and not run_files(working):
            shutil.rmtree(working, ignore_errors=True)


def write_results(directory: Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Replace the results in a folder, all at once. A checkpoint and other files are kept.

    If a file cannot be written, older results are unchanged; where there are none, the files that were written stay.

    Args:
        directory: of the run, locked.
        contents: names and contents; result.json is the last one.

    Raises:
        OSError: a file cannot be written.
        InputError: a file of the older results cannot be removed.
    """
    settle(directory)
    unfinished = directory / UNFINISHED
    unfinished.mkdir()
    try:
        for name, content in contents:
            write_atomically(unfinished / name, content)
        sync_folder(unfinished)
    except BaseException:
        if not results(directory):
            move_into(unfinished, directory)
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    replace_run(directory, unfinished)


def replace_run(directory: Path, complete: Path) -> None:
    """Replace the run in a folder by another one, which lies inside the folder on the same disk.

    Args:
        directory: of the run, locked.
        complete: folder of the new run, which is moved.
    """
    complete.replace(directory / COMPLETE)
    settle(directory)


def is_settled(directory: Path) -> bool:
    """Whether no process that was killed has left a complete run on its way to the folder."""
    return not any((directory / state).is_dir() for state in (COMPLETE, ARRIVING))


def settle(directory: Path) -> None:
    """Do what a process that was killed has left to do: move a complete run to its place, remove an unfinished one.

    Args:
        directory: of the run, locked.
    """
    complete, arriving = directory / COMPLETE, directory / ARRIVING
    if complete.is_dir():
        remove_files(directory, [*results(directory), *matching(directory, UNFINISHED_FILE)])
        if (complete / SNAPSHOT_FOLDER).is_dir():
            snapshots = directory / SNAPSHOT_FOLDER
            remove_files(snapshots, matching(snapshots, SNAPSHOT_FILE.pattern))
        complete.replace(arriving)
    if arriving.is_dir():
        move_into(arriving, directory)
        sync_folder(directory)
    shutil.rmtree(directory / UNFINISHED, ignore_errors=True)


def move_into(source: Path, target: Path) -> None:
    """Move what is in a folder into another one, result.json last, and remove the empty folder."""
    target.mkdir(exist_ok=True)
    for path in sorted(source.iterdir(), key=lambda path: path.name == SUMMARY):
        if path.is_dir():
            move_into(path, target / path.name)
        else:
            path.replace(target / path.name)
    source.rmdir()
    if not any(target.iterdir()):
        target.rmdir()


def remove_files(directory: Path, names: Iterable[str]) -> None:
    """Remove files, result.json first, because a folder without it is no finished run; raises `InputError`."""
    for name in sorted(names, key=lambda name: name != SUMMARY):
        try:
            (directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"{directory / name}, of an earlier run, cannot be removed ({error.strerror or error}); "
                "choose another folder"
            ) from error
