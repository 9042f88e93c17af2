"""The files from which an earlier run was made, for repeating it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import sha256_of
from ..core.messages import shortened

__all__ = ["earlier_input"]


def earlier_input(source: Any, name: str, result: str | Path) -> Any:
    """The file, or the files, of an earlier run.

    Args:
        source: as `source_of` describes the input.
        name: "image", "kernel" or "variance".
        result: the result.json of the run, for errors.

    Raises:
        InputError: the earlier input was an array or is not named, or the file is gone or has changed.
    """
    if source is None:
        raise InputError(f"the {name} of {result} was an array, which the file does not hold; {give_again(name)}")
    if isinstance(source, list):
        return [earlier_input(one, name, result) for one in source]
    if not isinstance(source, Mapping):
        raise InputError(f"{result} does not name the file of the {name}; {give_again(name)}")
    return same_file(source, name, result)


def give_again(name: str) -> str:
    """What to do about an earlier input that cannot be had, "image", "kernel" or "variance"."""
    return f"give it again (--{name}, {name}=...)"


def same_file(source: Mapping[str, Any], name: str, result: str | Path) -> Path:
    """The earlier file, where it was or beside the result; raises `InputError` if it is gone or has changed.

    Args:
        source: as `source_of` describes the input.
        name: "image", "kernel" or "variance".
        result: the result.json of the run.
    """
    told = source.get("path")
    if not isinstance(told, str):
        raise InputError(f"{result} does not name the file of the {name}; {give_again(name)}")
    path = Path(told)
    try:
        places = [one for one in (path, Path(result).parent / path.name) if one.is_file()]
        same = [one for one in places if sha256_of(one) == source.get("sha256")]
    except (OSError, ValueError) as error:  # a name that is too long, or a file that may not be read
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{shortened(told)}, from which {result} was made, cannot be read ({reason}); "
                         f"{give_again(name)}") from error  # fmt: skip
    if not same:
        why = "has changed since" if path.is_file() else "is not there"
        raise InputError(f"{path}, from which {result} was made, {why}; give the {name} (--{name}, {name}=...)")
    return same[0]
