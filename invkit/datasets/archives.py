"""Archives of unknown makers: nothing is written outside the folder, no links, no bombs."""

from __future__ import annotations

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from ..core.errors import InputError

__all__ = ["safe_path", "unpack"]

CHUNK = 1 << 18  # bytes
MOST_MEMBERS = 100_000
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression that Python does not know
)


@dataclass(frozen=True)
class Member:
    """A file of an archive."""

    path: PurePosixPath
    open: Callable[[], IO[bytes]]


def safe_path(name: str) -> PurePosixPath:
    """A relative path that stays in its folder, on any system.

    Raises:
        InputError: the name is absolute, empty, has a drive, a backslash, a null character or a ``..``.
    """
    path = PurePosixPath(name)
    if (
        not path.parts
        or path.is_absolute()
        or ".." in path.parts
        or PureWindowsPath(name).drive
        or any(sign in name for sign in "\\\0")
    ):
        raise InputError(f"the path {name!r} leads out of the folder it belongs to, or is none on every system")
    return path


def unpack(archive: Path, into: Path, limit: int) -> None:
    """Unpack a zip or tar file, of any compression that Python knows; folders and plain files only.

    Args:
        archive: the file.
        into: the folder, made where it does not exist; files of the same names are replaced. It must hold no links.
        limit: bytes that the contents may take together.

    Raises:
        InputError: it is no archive, damaged, encrypted, larger than the limit, of too many members, or has a member
            that is a link, a device or a path out of the folder. What was unpacked before stays.
        OSError: the folder cannot be written.
    """
    left = limit
    try:
        for number, member in enumerate(members(archive)):
            if number >= MOST_MEMBERS:
                raise InputError(f"it has more than {MOST_MEMBERS} members")
            left -= write(member, into, left)
    except InputError as error:
        raise InputError(f"the archive {archive.name} is refused: {error}") from error
    except DAMAGED as error:
        raise InputError(f"the archive {archive.name} is damaged ({error}); get it again") from error


def write(member: Member, into: Path, left: int) -> int:
    """Write one file, at most ``left`` bytes of it, and say how many it had; raises `InputError` where it has more."""
    target = into / member.path
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with member.open() as source, target.open("wb") as file:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > left:
                raise InputError("its contents are larger than such a set can be")
            file.write(chunk)
    return written


def members(archive: Path) -> Iterator[Member]:
    """The files of an archive, in its order; raises `InputError` at the first that is refused."""
    if zipfile.is_zipfile(archive):
        yield from zip_members(archive)
    elif tarfile.is_tarfile(archive):
        yield from tar_members(archive)
    else:
        raise InputError("it is neither a zip nor a tar file; if it was downloaded, the address gave something else")


def zip_members(archive: Path) -> Iterator[Member]:
    """The files of a zip file."""
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            path = safe_path(info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where it was not made on Unix
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise InputError(f"'{info.filename}' is a link or a device")
            if info.flag_bits & 1:
                raise InputError(f"'{info.filename}' is encrypted; unpack it yourself and give the folder")
            if not info.is_dir():
                yield Member(path, lambda info=info: opened.open(info))  # type: ignore[misc]


def tar_members(archive: Path) -> Iterator[Member]:
    """The files of a tar file."""
    with tarfile.open(archive) as opened:
        for info in opened:
            if info.isdir() and PurePosixPath(info.name) == PurePosixPath("."):
                continue
            path = safe_path(info.name)
            if not (info.isreg() or info.isdir()):
                raise InputError(f"'{info.name}' is a link or a device")
            if info.isreg():
                yield Member(path, lambda info=info: content(opened, info))  # type: ignore[misc]


def content(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    """The contents of a plain file of a tar file."""
    file = opened.extractfile(info)
    if file is None:
        raise InputError(f"'{info.name}' has no contents")
    return file
