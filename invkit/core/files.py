"""Files written completely or not at all, their locks and digests; the only place that opens TOML, JSON and arrays.

A file must be regular, because a pipe may never end and a device has no size. A text must be short enough, may hold
only so many tables and keys, must not be nested deeply, and its whole numbers must fit in 64 bits. Everything that is
read here can be copied, compared and printed without exhausting memory or Python's stack.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
from filelock import FileLock, Timeout

from .errors import InputError, OutOfMemoryError, RecipeError
from .messages import shortened

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "array_of",
    "check_memory",
    "check_regular",
    "locked",
    "parse_json",
    "parse_toml",
    "parse_value",
    "read_array",
    "read_bytes",
    "read_json",
    "read_json_table",
    "read_text",
    "read_toml_text",
    "save_file",
    "sha256_of",
    "sync_folder",
    "write_atomically",
]

READ_BYTES = 2**20  # of a file at a time
LARGE_BYTES = 2**26  # from here on the free memory is asked before a file or picture is read
MAX_JSON_BYTES = 2**24
"""The result of 100,000 iterations at ten stages is shorter."""
MAX_TOML_BYTES = 2**20
"""The largest bundled recipe, with every default, has 46,000; a parser takes seconds for a million."""
MAX_DEPTH = 64  # tables and lists inside each other; the deepest bundled recipe, with every default, has 10
MAX_KEYS = 10_000  # of all tables together; the largest bundled recipe, with every default, has 1,400
LARGEST_INTEGER = 2**63 - 1  # TOML's own limit; neither torch nor NumPy counts further


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
        try:
            with suppress(PermissionError):  # Windows removes no open file
                path.unlink(missing_ok=True)
        finally:
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


def save_file(path: Path, content: bytes | str) -> None:
    """Write a file, and the folder it lies in, for the user.

    Args:
        path: of the file.
        content: of texts in UTF-8; the bytes of a file name that is not UTF-8 are escaped.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content if isinstance(content, bytes) else content.encode(errors="backslashreplace"))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); choose another place") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 digest of a file, in hexadecimal digits; raises `OSError` if the file cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


# --- reading -----------------------------------------------------------------------------------------------------


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The content of a regular file.

    Args:
        path: of the file.
        most: bytes; None for as many as fit in memory.

    Raises:
        InputError: the file is missing, not regular, unreadable or larger than ``most``.
        OutOfMemoryError: it does not fit in memory.
    """
    try:
        with open(path, "rb", opener=open_at_once) as file:
            facts = os.fstat(file.fileno())
            check_regular(path, facts)
            if most is not None and facts.st_size > most:
                raise InputError(too_long(path, most))
            check_memory(facts.st_size)
            content = file.read() if most is None else file.read(most + 1)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}; check its name and folder") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; give a file in it") from error
    except PermissionError as error:
        what = "is a folder; give a file in it" if path.is_dir() else "may not be read; check its permissions"
        raise InputError(f"{path} {what}") from error  # Windows has no other error for a folder
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}; give a regular file") from error
    except MemoryError as error:
        raise OutOfMemoryError(f"{path} does not fit in memory; give a smaller file") from error
    if most is not None and len(content) > most:
        raise InputError(too_long(path, most))
    return content


def open_at_once(name: str, flags: int) -> int:
    """Open a file without waiting for the other end of a pipe, which may never come."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def check_regular(path: Path, facts: os.stat_result) -> None:
    """Refuse a pipe or a device; raises `InputError`."""
    if not stat.S_ISREG(facts.st_mode):
        raise InputError(f"{path} is not a regular file but a pipe or a device; save its content as a file")


def check_memory(size: int) -> None:
    """Raise ``MemoryError`` if so many bytes do not fit in the free memory, before the system ends the process."""
    if size > LARGE_BYTES and size > psutil.virtual_memory().available:
        raise MemoryError


def too_long(path: Path, most: int) -> str:
    """Why a file is refused that has too many bytes."""
    return f"{path} has more than the {most} bytes that invkit reads of such a file; is it the right file?"


def read_text(path: Path, most: int) -> str:
    """The text of a regular UTF-8 file, with or without a byte-order mark.

    Args:
        path: of the file.
        most: bytes.

    Raises:
        InputError: as `read_bytes`, or the file is not UTF-8.
    """
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text in UTF-8 ({error}); save it as UTF-8") from error


# --- TOML and JSON -----------------------------------------------------------------------------------------------


def read_json(path: Path) -> Any:
    """The content of a JSON file; raises `InputError`, as `read_text` and `parse_json`."""
    return parse_json(read_text(path, MAX_JSON_BYTES), str(path))


def read_json_table(path: Path) -> dict[str, Any]:
    """The table in a JSON file; empty if the file is missing, damaged, or holds no table."""
    try:
        table = read_json(path)
    except InputError:
        return {}
    return table if isinstance(table, dict) else {}


def parse_json(text: str, origin: str) -> Any:
    """The value of a JSON text; raises `InputError` that names ``origin``.

    Example:
        >>> parse_json('{"seed": 3}', "result.json")
        {'seed': 3}
    """
    return parsed(text, origin, json.loads, "JSON", MAX_JSON_BYTES, InputError)


def read_toml_text(path: Path) -> str:
    """The text of a TOML file; raises `InputError`, as `read_text`."""
    return read_text(path, MAX_TOML_BYTES)


def parse_toml(text: str, origin: str) -> dict[str, Any]:
    """The document of a TOML text; raises `RecipeError` that names ``origin`` and the line.

    Example:
        >>> parse_toml("seed = 3", "recipe")
        {'seed': 3}
    """
    document: dict[str, Any] = parsed(text, origin, tomllib.loads, "TOML", MAX_TOML_BYTES, RecipeError)
    return document


def parse_value(text: str) -> Any:
    """The value of a setting: TOML, or text that is not TOML.

    Raises:
        RecipeError: it is too long, nested too deeply, or holds a whole number beyond 64 bits.

    Example:
        >>> parse_value("[3, 5]"), parse_value("true"), parse_value("luma")
        ([3, 5], True, 'luma')
    """

    def load(value: str) -> Any:
        try:
            document = tomllib.loads(f"value = {value}")
        except tomllib.TOMLDecodeError:
            return value
        return document["value"] if len(document) == 1 else value  # a line break may begin further settings

    return parsed(text, f"the value '{shortened(text)}'", load, "TOML", MAX_TOML_BYTES, RecipeError)


def parsed(
    text: str,
    origin: str,
    load: Callable[[str], Any],
    language: str,
    most: int,
    refusal: type[InputError] | type[RecipeError],
) -> Any:
    """The value of a text, within the bounds of this module.

    Args:
        text: to be parsed.
        origin: of the text, for errors.
        load: the parser.
        language: its name.
        most: characters.
        refusal: the error to raise.
    """
    if len(text) > most:
        raise refusal(f"{origin} has {len(text)} characters, and invkit reads at most {most} of {language}")
    try:
        value = load(text)
    except RecursionError as error:
        raise refusal(f"{origin} {TOO_DEEP}") from error
    except ValueError as error:  # also for a whole number of thousands of digits, which Python does not convert
        raise refusal(f"{origin} is not valid {language}: {str(error).partition(';')[0]}") from error
    flaw = flaw_of(value)
    if flaw:
        raise refusal(f"{origin} {flaw}")
    return value


TOO_DEEP = f"holds tables or lists that are nested more than {MAX_DEPTH} levels deep"


def flaw_of(value: Any) -> str | None:
    """How a parsed value exceeds the bounds of this module; None if it does not.

    >>> flaw_of({"seed": [2**63]})
    'holds the whole number 9223372036854775808, beyond 64 bits'
    """
    level, depth, keys = [value], 0, 0
    while level:  # level by level, because a function that calls itself would exhaust the stack
        following: list[Any] = []
        for one in level:
            if isinstance(one, int) and not -LARGEST_INTEGER - 1 <= one <= LARGEST_INTEGER:
                number = hex(one) if one.bit_length() > 1000 else str(one)
                return f"holds the whole number {shortened(number)}, beyond 64 bits"
            if isinstance(one, dict):
                keys += len(one)
            following += inner_values(one)
        if keys > MAX_KEYS:
            return f"holds more than {MAX_KEYS} keys"
        depth += 1
        if depth > MAX_DEPTH:
            return TOO_DEEP
        level = following
    return None


def inner_values(value: Any) -> Iterable[Any]:
    """The values of a table or the items of a list; nothing for other values."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


# --- arrays ------------------------------------------------------------------------------------------------------


def read_array(path: Path) -> npt.NDArray[Any]:
    """The array in an .npy file; objects, whose reading could run code, are refused; raises as `array_of`."""
    try:
        return array_of(read_bytes(path))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as an array; give a whole .npy file ({error})") from error


def array_of(content: bytes) -> npt.NDArray[Any]:
    """The array in the bytes of an .npy file.

    The header is compared with the number of bytes before memory is allocated, so that it cannot ask for more than the
    file holds.

    Raises:
        ValueError: the bytes are no array, are incomplete, or hold objects.
    """
    stream = BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read_header(stream)
        if dtype.hasobject:
            raise ValueError("it holds objects, not numbers")
        start, count = stream.tell(), int(np.prod(shape, dtype=object))
        if count < 0 or count * dtype.itemsize > len(content) - start:
            raise ValueError(f"it is cut off: shape {shape} takes {count * dtype.itemsize} bytes")
        values = np.frombuffer(content, dtype, count, start)
        return values.reshape(shape, order="F" if is_fortran else "C").copy()
    except ValueError:
        raise
    except Exception as error:  # NumPy evaluates the header as Python, and that may fail in many ways
        raise ValueError(f"its header is damaged ({type(error).__name__})") from error
