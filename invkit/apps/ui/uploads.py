"""Photographs that were dropped and may be restored, perhaps more than once; gone with the page they were given to."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import InputError
from ...media.files import write_atomically
from .limits import Limits, read_photo
from .pictures import shown_samples
from .store import Store

__all__ = ["Upload", "Uploads", "without_path"]

SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "BMP": ".bmp", "WebP": ".webp"}


@dataclass(frozen=True)
class Upload:
    """A photograph that was read once, in full.

    Attributes:
        folder: its own; the name of that is the upload's.
        path: the file as it came.
        name: what its owner calls it.
        width, height: pixels, upright.
    """

    folder: Path
    path: Path
    name: str
    width: int
    height: int

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.name


@dataclass
class Uploads:
    """All of them, by their names.

    Attributes:
        store: where they lie.
        limits: on each.
    """

    store: Store
    limits: Limits
    held: dict[str, Upload] = field(default_factory=dict)

    async def receive(self, chunks: AsyncIterator[bytes], folder: Path) -> Path:
        """Write a file as it comes; raises `InputError` as soon as it is too large."""
        path, count = folder / "photo", 0
        with path.open("wb") as file:
            async for chunk in chunks:
                count += len(chunk)
                self.limits.check_bytes(max(count, 1))
                file.write(chunk)
        self.limits.check_bytes(count)
        return path

    def read(self, path: Path, name: str) -> Upload:
        """Take in a file that lies in a folder of its own; raises `InputError` where it is no photograph."""
        samples = read_photo(path, name, self.limits)
        write_atomically(path.parent / "photo.jpg", shown_samples(samples))
        suffixed = path.replace(path.with_name("original" + SUFFIXES[samples.format]))
        height, width = samples.values.shape[:2]
        upload = Upload(path.parent, suffixed, name, width, height)
        self.held[upload.id] = upload
        return upload

    def take(self, path: Path, name: str) -> Upload:
        """Take in a copy of a file of this machine; raises as `read`."""
        folder = self.store.new_work()
        return self.read(Path(shutil.copyfile(path, folder / "photo")), name)

    def drop(self, upload: str) -> None:
        """Forget one and remove its file."""
        found = self.held.pop(upload, None)
        if found is not None:
            shutil.rmtree(found.folder, ignore_errors=True)

    def refuse(self, folder: Path) -> None:
        """Remove the folder of a file that was no photograph."""
        shutil.rmtree(folder, ignore_errors=True)


def without_path(name: str) -> str:
    """What a file is called, without folders; raises `InputError` for a name that is longer than any."""
    if len(name) > 500:
        raise InputError("the name of the file is longer than any file system takes; rename it")
    return name.replace("\\", "/").rpartition("/")[2] or "photo"
