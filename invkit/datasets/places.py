"""The folders of data, the lists of a dataset's files, and the messages for missing files."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from ..core.errors import InputError

__all__ = ["DATA_VARIABLE", "check_present", "data_folder", "find_path", "read_file_list"]

DATA_VARIABLE = "INVKIT_DATA"


def data_folder(given: Path | None = None) -> Path:
    """The folder of all data, which need not exist.

    It is the given folder, else the one that ``INVKIT_DATA`` names, else a folder in the user's cache.
    """
    if given is not None:
        return given.expanduser()
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("invkit", appauthor=False) / "data"


def check_present(folder: Path, needed: Iterable[str], name: str) -> None:
    """Check that the files of a dataset are present.

    Args:
        folder: the dataset's folder.
        needed: the paths of the files, relative to the folder.
        name: the name of the dataset, for the command that fetches it.

    Raises:
        InputError: files are missing; the message names them and the command.
    """
    missing = [path for path in needed if not (folder / path).is_file()]
    if not missing:
        return
    problem = f"has no {missing[0]}" + (f" and lacks {len(missing) - 1} more files" if missing[1:] else "")
    problem = problem if folder.is_dir() else "does not exist"
    raise InputError(
        f"the folder {folder} of the dataset '{name}' {problem}; fetch the dataset with 'invkit data fetch {name}', "
        f"or name the folder of all data with --data or the environment variable {DATA_VARIABLE}"
    )


def read_file_list(name: str) -> Sequence[dict[str, str]]:
    """The rows of ``<name>_files.csv``: path, size, SHA-256 and origin of each file of a dataset."""
    text = files(__package__).joinpath(f"{name}_files.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def find_path(path: Path, root: Path | None) -> Path:
    """A file or folder of the user. A relative path is searched in the current folder, then in that of all data.

    Raises:
        InputError: neither folder contains it.
    """
    path = path.expanduser()
    places = [path] if path.is_absolute() else [Path.cwd() / path, data_folder(root) / path]
    found = [place for place in places if place.exists()]
    if not found:
        searched = " nor ".join(map(str, dict.fromkeys(places)))
        raise InputError(
            f"there is no {searched}; give an absolute 'path', or one relative to the current folder or the data folder"
        )
    return found[0]
