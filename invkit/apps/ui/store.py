"""The page's folder: unfinished work, finished runs, and the addresses of their files.

Every name in the folder is made here; no name comes from an upload or an address.
"""

from __future__ import annotations

import re
import secrets
import shutil
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ...core.errors import InputError
from ...core.files import read_json
from .messages import RestorationRequest, RunFacts

__all__ = ["KeptRun", "RunStore", "new_id", "work_address"]

UPLOAD_ADDRESS = "/upload"
ARCHIVE_NAME = "all.zip"
ID_PATTERN = r"\d{8}-\d{6}-[0-9a-f]{8}"
VIEW_FOLDER = "view"  # the folder of a run with the page's own files
FACTS_FILE = "facts.json"
VIEW_PICTURES = ("before.jpg", "after.jpg", "thumbnail.jpg")
WORK_PICTURES = ("photo.jpg", "image.png", "kernel.png")  # of an upload, and of a job


def new_id() -> str:
    """A new folder name. Names sort by time, and nobody can guess them."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def work_address(work: str, name: str) -> str:
    """The address of a picture of an upload or a job. A query after the name makes the browser load it again."""
    return f"/work/{work}/{name}"


@dataclass(frozen=True)
class KeptRun:
    """A finished run of the gallery."""

    id: str  # the folder's name
    folder: Path  # with the files that `Result.save` writes and `VIEW_FOLDER`
    facts: RunFacts

    @classmethod
    def read(cls, folder: Path) -> KeptRun | None:
        """The run in a folder, or None if the folder holds no readable run."""
        try:
            return cls(folder.name, folder, RunFacts.model_validate(read_json(folder / VIEW_FOLDER / FACTS_FILE)))
        except ValueError:  # of the file, or of its content
            return None

    @property
    def request(self) -> RestorationRequest:
        """The visitor's request."""
        return self.facts.request

    @property
    def files(self) -> dict[str, Path]:
        """The files that may be downloaded, by name."""
        return {path.name: path for path in sorted(self.folder.iterdir()) if path.is_file()}

    def file(self, name: str) -> Path | None:
        """A file that the page may show or that may be downloaded, or None if there is no such file."""
        path = self.folder / VIEW_FOLDER / name if name in VIEW_PICTURES else self.files.get(name)
        return path if path is not None and path.is_file() else None

    def address(self, name: str, *, download: bool = False) -> str:
        """The address of a file of the run."""
        return f"/runs/{self.id}/{name}{'?download=true' if download else ''}"


class RunStore:
    """The page's folder, which is made if it is missing. One server at a time may use it.

    Attributes:
        changes: number of changes of the gallery, by which pages notice that they must show it again.

    Raises:
        InputError: the folder cannot be written, or another server uses it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.work, self.runs, self.changes = folder, folder / "work", folder / "runs", 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / "lock")
            self._lock.acquire(timeout=0)
            self.clear_work()
            self.runs.mkdir(exist_ok=True)
        except Timeout as error:
            raise InputError(f"another invkit ui uses {folder}; use its page, or give another --folder") from error
        except OSError as error:
            raise InputError(
                f"the folder {folder} cannot be written ({error.strerror or error}); give another --folder"
            ) from error

    def clear_work(self) -> None:
        """Remove uploads and unfinished jobs."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(exist_ok=True)

    def close(self) -> None:
        """Remove unfinished work and release the folder."""
        self.clear_work()
        self._lock.release()

    def new_work(self) -> Path:
        """A new folder for an upload or a job."""
        folder = self.work / new_id()
        folder.mkdir()
        return folder

    def work_file(self, work: str, name: str) -> Path | None:
        """A picture of an upload or a job, or None if there is no such picture."""
        path = self.work / work / name
        return path if re.fullmatch(ID_PATTERN, work) and name in WORK_PICTURES and path.is_file() else None

    def keep(self, folder: Path, run_id: str) -> None:
        """Move a finished run into the gallery."""
        folder.replace(self.runs / run_id)
        self.changes += 1

    def find(self, run_id: str) -> KeptRun | None:
        """The run of that name, or None."""
        return KeptRun.read(self.runs / run_id) if re.fullmatch(ID_PATTERN, run_id) else None

    def gallery(self) -> list[KeptRun]:
        """All runs, the newest first."""
        found = [self.find(folder.name) for folder in sorted(self.runs.iterdir(), reverse=True)]
        return [run for run in found if run]

    def damaged(self) -> list[str]:
        """The names of the folders of runs that cannot be read."""
        names = (folder.name for folder in sorted(self.runs.iterdir()))
        return [name for name in names if re.fullmatch(ID_PATTERN, name) and self.find(name) is None]

    def delete(self, run_id: str) -> None:
        """Delete a run of the gallery."""
        if re.fullmatch(ID_PATTERN, run_id):
            shutil.rmtree(self.runs / run_id, ignore_errors=True)
            self.changes += 1

    def write_archive(self, run: KeptRun) -> Path:
        """Write all files of a run into a zip file; the caller must delete it."""
        path = self.work / f"{new_id()}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # pictures are compressed already
            for name, file in run.files.items():
                archive.write(file, f"{run.request.file_stem}/{name}")
        return path
