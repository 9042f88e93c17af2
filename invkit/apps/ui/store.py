"""The folder of the page: work in progress, and the runs that are kept.

Every name in it is made here; none is taken from an upload or an address.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ...core.errors import InputError
from .asked import Asked

__all__ = ["FACTS", "VIEW", "KeptRun", "Store", "new_id"]

ID = r"\d{8}-\d{6}-[0-9a-f]{8}"
VIEW = "view"  # folder of a run with what the page shows of it
FACTS = "facts.json"
SHOWN = ("before.jpg", "after.jpg", "thumbnail.jpg")
WORKING = ("photo.jpg", "image.png", "kernel.png")  # of an upload, and of a job


def new_id() -> str:
    """A name of a folder, which sorts by its time and cannot be guessed."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class KeptRun:
    """A run of the gallery.

    Attributes:
        id: its folder's name.
        folder: with the files that `Result.save` writes, and `VIEW`.
        asked: what was.
        facts: how it went, in words and numbers.
    """

    id: str
    folder: Path
    asked: Asked
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> KeptRun | None:
        """The run in a folder, None where there is none that can be read."""
        try:
            facts = json.loads((folder / VIEW / FACTS).read_text(encoding="utf-8"))
            return cls(folder.name, folder, Asked(**facts.pop("asked")), facts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def files(self) -> dict[str, Path]:
        """What may be downloaded, by name."""
        return {path.name: path for path in sorted(self.folder.iterdir()) if path.is_file()}

    def file(self, name: str) -> Path | None:
        """A file that may be seen or downloaded, None where there is none of that name."""
        path = self.folder / VIEW / name if name in SHOWN else self.files.get(name)
        return path if path is not None and path.is_file() else None


class Store:
    """The folder, which one page at a time may use.

    Args:
        folder: made where it is missing.

    Attributes:
        changes: how often the gallery has changed, so that pages know when to look again.

    Raises:
        InputError: it cannot be written, or another page uses it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.work, self.runs, self.changes = folder, folder / "work", folder / "runs", 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / "lock")
            self._lock.acquire(timeout=0)
            self.clear()
            self.runs.mkdir(exist_ok=True)
        except Timeout as error:
            raise InputError(f"another invkit ui uses {folder}; use its page, or give another --folder") from error
        except OSError as error:
            raise InputError(
                f"the folder {folder} cannot be written ({error.strerror or error}); give another --folder"
            ) from error

    def clear(self) -> None:
        """Remove what is left of work that was not finished."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(exist_ok=True)

    def close(self) -> None:
        """Leave the folder to others."""
        self.clear()
        self._lock.release()

    def new_work(self) -> Path:
        """A fresh folder for an upload or a job."""
        folder = self.work / new_id()
        folder.mkdir()
        return folder

    def working_file(self, work: str, name: str) -> Path | None:
        """A picture of work in progress, None where there is none of that name."""
        path = self.work / work / name
        return path if re.fullmatch(ID, work) and name in WORKING and path.is_file() else None

    def keep(self, made: Path, run: str) -> None:
        """Take over what a job has made, as a run of the gallery."""
        made.replace(self.runs / run)
        self.changes += 1

    def run(self, run: str) -> KeptRun | None:
        """The run of that name."""
        return KeptRun.read(self.runs / run) if re.fullmatch(ID, run) else None

    def gallery(self) -> list[KeptRun]:
        """All runs, the newest first."""
        found = [self.run(folder.name) for folder in sorted(self.runs.iterdir(), reverse=True)]
        return [run for run in found if run]

    def delete(self, run: str) -> None:
        """Remove a run of the gallery."""
        if re.fullmatch(ID, run):
            shutil.rmtree(self.runs / run, ignore_errors=True)
            self.changes += 1

    def zipped(self, run: KeptRun) -> Path:
        """The files of a run in one archive, in the folder of work; whoever asked for it removes it."""
        path = self.work / f"{new_id()}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # pictures are compressed already
            for name, file in run.files.items():
                archive.write(file, f"{run.asked.stem}/{name}")
        return path
