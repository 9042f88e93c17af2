"""The digest of a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["sha256_of"]

CHUNK = 2**20  # bytes read at once


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's contents, in hexadecimal digits; raises ``OSError`` where it cannot be read."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
