"""What tells whether two things are the same: digests of files, of plain data and of the program itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import sha256_of

__all__ = ["code_digest", "data_digest", "file_digest", "hash_ahead"]


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits; once a process, unless size or time of the file change.

    Raises:
        InputError: it cannot be read.
    """
    try:
        facts = path.stat()
        return _digest(path, facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        raise InputError(f"the data file {path} cannot be read ({error.strerror or error})") from error


@cache
def _digest(path: Path, size: int, modified: int) -> str:
    return sha256_of(path)


def hash_ahead(paths: Iterable[Path]) -> None:
    """Read and hash many files at once, so that `file_digest` knows them; raises `InputError`."""
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(file_digest, dict.fromkeys(paths)):
            pass


def data_digest(data: Any) -> str:
    """The SHA-256 of JSON-like data, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@cache
def code_digest() -> str:
    """The SHA-256 of invkit's installed sources and recipes, by which a changed program shows in a record."""
    package = Path(__file__).parents[1]
    sources = sorted(path for suffix in (".py", ".toml") for path in package.rglob(f"*{suffix}"))
    return data_digest([[path.relative_to(package).as_posix(), file_digest(path)] for path in sources])
