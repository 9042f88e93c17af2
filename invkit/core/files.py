"""Files that are written completely or not at all, their locks and digests, and JSON that may be missing or damaged."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .errors import InputError

__all__ = ["encode_text", "locked", "read_json_table", "sha256_of", "sync_folder", "write_atomically"]

READ_BYTES = 2**20  # of a file at a time


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file. A reader, or a crash, sees the old content or the new content, never a part.

    Raises:
        OSError: the folder cannot be written or is full.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)  # only their owner can read the files that mkstemp makes
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock that the system releases when the process ends in any way; its file is removed at the end.

    On a file system without locks nothing is locked.

    Args:
        path: of the file.
        busy: the error if another process, or another thread, holds the lock.

    Raises:
        InputError: the lock is held.
    """
    guard = FileLock(path)
    try:
        with suppress(NotImplementedError):
            guard.acquire(timeout=0)
    except Timeout as error:
        raise InputError(busy) from error
    try:
        yield
    finally:
        with suppress(PermissionError):  # Windows removes no open file
            path.unlink(missing_ok=True)
        guard.release()


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk itself, if the system can; raises ``OSError``."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def encode_text(text: str) -> bytes:
    r"""UTF-8, in which the bytes of a file name that is not UTF-8 are escaped.

    >>> encode_text("\udcfcbung")
    b'\\udcfcbung'
    """
    return text.encode(errors="backslashreplace")


def sha256_of(path: Path) -> str:
    """The SHA-256 digest of a file, in hexadecimal digits; raises `OSError` if the file cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_json_table(path: Path) -> dict[str, Any]:
    """The table in a JSON file; empty if the file is missing, damaged, or holds no table."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}
