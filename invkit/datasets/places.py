"""Where data lie, which files a set consists of, and what to say when they are not there."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from ..core.errors import InputError

__all__ = ["VARIABLE", "check_present", "data_folder", "file_list", "located"]

VARIABLE = "INVKIT_DATA"


def data_folder(given: Path | None = None) -> Path:
    """The folder of all data: the one given, else ``INVKIT_DATA``, else one in the user's cache; it need not exist."""
    if given is not None:
        return given.expanduser()
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("invkit", appauthor=False) / "data"


def check_present(folder: Path, needed: Iterable[str], name: str) -> None:
    """Refuse a set of which files are missing.

    Args:
        folder: of the set.
        needed: paths of its files, relative to the folder.
        name: of the dataset, for the command that gets it.

    Raises:
        InputError: says what is missing, and how to get it.
    """
    missing = [path for path in needed if not (folder / path).is_file()]
    if not missing:
        return
    what = f"has no {missing[0]}" + (f" and {len(missing) - 1} more files are missing" if missing[1:] else "")
    what = what if folder.is_dir() else "is not there"
    raise InputError(
        f"the dataset '{name}' was looked for in {folder}, which {what}; get it with 'invkit data fetch {name}', "
        f"or name the folder of all data with --data or the environment variable {VARIABLE}"
    )


def file_list(name: str) -> Sequence[dict[str, str]]:
    """The rows of ``<name>_files.csv``: path, size and sha256 of each file of a set, and where it comes from."""
    text = files(__package__).joinpath(f"{name}_files.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def located(path: Path, root: Path | None) -> Path:
    """One's own file or folder; a relative path is looked for in the current folder, then in the folder of all data.

    Raises:
        InputError: it is in neither.
    """
    path = path.expanduser()
    places = [path] if path.is_absolute() else [Path.cwd() / path, data_folder(root) / path]
    found = [place for place in places if place.exists()]
    if not found:
        nowhere = " nor ".join(map(str, dict.fromkeys(places)))
        raise InputError(f"there is no {nowhere}; give 'path' in full, or from the current folder or that of all data")
    return found[0]
