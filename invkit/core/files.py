"""Files that are written completely or not at all, their digests, and JSON that may be missing or damaged."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["encode_text", "read_json_table", "sha256_of", "write_atomically"]

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
