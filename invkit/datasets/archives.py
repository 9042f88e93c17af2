"""Unpacking of archives from unknown sources: plain files only, inside one folder, up to a limit of bytes.

pooch's own unpackers are not used. ``pooch.Untar`` applies no filter before Python 3.12, and ``pooch.Unzip`` writes a
member such as ``../x`` under another name without saying so. The ``data`` filter of `tarfile` permits links. Here, a
path out of the folder, a link and a device are errors, in zip and tar files alike.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, TypeAlias, TypeVar, cast

from ..core.errors import InputError, one_line
from ..core.files import check_regular

__all__ = ["safe_path", "unpack"]

Member: TypeAlias = tuple[PurePosixPath, int, Callable[[], IO[bytes]]]
"""A plain file of an archive: its path, its size in bytes, and a function that opens it."""

Item = TypeVar("Item")
MAX_ARCHIVE_MEMBERS = 100_000
PIECE_BYTES = 2**20  # of a member at a time


def safe_path(name: str) -> PurePosixPath:
    """A relative path that stays in its folder on every operating system.

    Raises:
        InputError: the name is empty or absolute, or contains a drive, a backslash, a null character or ``..``.

    Example:
        >>> str(safe_path("sharp/im1.png"))
        'sharp/im1.png'
    """
    path = PurePosixPath(name)
    leads_out = path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive
    if not path.parts or leads_out or any(character in name for character in "\\\0"):
        raise InputError(f"the path {name!r} leads out of its folder, or is not valid on every operating system")
    return path


def unpack(archive: Path, into: Path, limit: int) -> None:
    """Unpack the plain files of a zip or tar archive, in any compression that Python knows.

    Args:
        archive: the archive.
        into: the folder, created if necessary. It must not contain links. Files with the same names are replaced.
        limit: the largest total size of the contents, in bytes.

    Raises:
        InputError: the file is not an archive, or it is damaged or encrypted, or has too many or too large members, or
            a member is a link, a device or a path out of the folder. Files that were unpacked before remain.
        OSError: the folder cannot be written.
    """
    try:
        for number, (path, size, opened) in enumerate(unless_damaged(partial(members, archive))):
            limit -= size
            if limit < 0 or number >= MAX_ARCHIVE_MEMBERS:
                raise InputError("its contents are larger than expected" if limit < 0 else "it has too many members")
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                file.writelines(unless_damaged(partial(pieces, opened)))
    except InputError as error:
        raise InputError(f"the archive {archive.name} is refused: {error}") from error


def unless_damaged(read: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """What a reader of an archive gives; raises `InputError` if it fails, as it may do in any way on damaged data."""
    try:
        yield from read()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"it is damaged ({one_line(error)}); download it again") from error


def pieces(opened: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    """The content of a member."""
    with opened() as source:
        while piece := source.read(PIECE_BYTES):
            yield piece


def members(archive: Path) -> Iterator[Member]:
    """The plain files of a zip or tar file, in its order; raises `InputError` at the first member that is refused."""
    check_regular(archive, archive.stat())
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if the archive was not made on Unix
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise InputError(f"'{info.filename}' is a link or a device")
                if info.flag_bits & 1:
                    raise InputError(f"'{info.filename}' is encrypted; unpack the archive yourself and give the folder")
                if not info.is_dir():  # zipfile reads no more bytes of a member than its declared size
                    yield safe_path(info.filename), info.file_size, partial(zipped.open, info)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tarred:
            for entry in tarred:
                if entry.isreg():
                    content = cast("Callable[[], IO[bytes]]", partial(tarred.extractfile, entry))
                    yield safe_path(entry.name), entry.size, content
                elif not entry.isdir():
                    raise InputError(f"'{entry.name}' is a link or a device")
    else:
        raise InputError("it is neither a zip nor a tar file; if it was downloaded, the address gave something else")
