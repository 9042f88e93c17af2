"""Photographs that visitors upload: limits, reading, and pictures that a browser can show."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...core.errors import InputError
from ...media.containers import opened_tiff
from ...media.decoding import StoredImage, decode, detected_format
from .store import RunStore

__all__ = ["Upload", "UploadLimits", "Uploads", "browser_jpeg", "prepare_photo", "read_photo"]

MEGA = 1_000_000
UNTAKEN_SECONDS = 600.0  # a page takes its upload as soon as the browser has the answer
SIGNATURE_BYTES = 16  # the first bytes of a file, which show its format
PHOTO_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "BMP": ".bmp", "WebP": ".webp"}  # not NPY: any numbers
SCREEN_SIDE = 1600  # pixels of a picture's longer side; a screen shows no more
THUMBNAIL_SIDE = 320  # pixels
BROWSER_JPEG_QUALITY = 92


@dataclass(frozen=True)
class UploadLimits:
    """The largest file and the largest picture that may be uploaded."""

    megabytes: float = 50.0  # of the file, 10^6 bytes each
    megapixels: float = 50.0  # of the picture, 10^6 pixels each

    def check_bytes(self, count: int) -> None:
        """Raise `InputError` if a file of so many bytes is too large or empty."""
        if count == 0:
            raise InputError("the file is empty; copy or export it again")
        if count > self.megabytes * MEGA:
            raise InputError(
                f"the file is larger than {self.megabytes:g} MB; shrink or crop it, or start invkit ui with a larger "
                "--max-upload"
            )

    def check_pixels(self, width: int, height: int) -> None:
        """Raise `InputError` if a picture has too many pixels."""
        if width * height > self.megapixels * MEGA:
            raise InputError(
                f"the picture has {width} x {height} pixels, more than {self.megapixels:g} megapixels; shrink or crop "
                "it, or start invkit ui with a larger --max-pixels"
            )


@dataclass(frozen=True)
class Upload:
    """A photograph that was uploaded and read in full."""

    path: Path  # the file, in a folder of its own
    name: str  # the file name that the visitor sees
    width: int  # of the upright picture, pixels
    height: int

    @property
    def id(self) -> str:
        """The name of the upload's folder."""
        return self.path.parent.name


@dataclass
class Uploads:
    """The uploaded photographs. A page deletes its own when it is closed.

    An upload that no page has taken, because its page was closed before, is removed after `UNTAKEN_SECONDS`.
    """

    store: RunStore
    limits: UploadLimits
    by_id: dict[str, Upload] = field(default_factory=dict)
    untaken: dict[str, float] = field(default_factory=dict)  # when an upload without a page came, monotonic seconds

    async def receive(self, chunks: AsyncIterator[bytes], folder: Path) -> Path:
        """Write a file chunk by chunk; raises `InputError` as soon as it is too large."""
        path, count = folder / "photo", 0
        with path.open("wb") as file:
            async for chunk in chunks:
                count += len(chunk)
                self.limits.check_bytes(max(count, 1))
                file.write(chunk)
        self.limits.check_bytes(count)
        return path

    def add(self, folder: Path, name: str, size: tuple[int, int]) -> Upload:
        """Add a photograph that `prepare_photo` has prepared in a folder of its own.

        Args:
            folder: with the photograph.
            name: the file name that the visitor sees.
            size: width and height of the photograph.
        """
        self.remove_untaken()
        upload = Upload(next(folder.glob("original.*")), name, *size)
        self.by_id[upload.id], self.untaken[upload.id] = upload, time.monotonic()
        return upload

    def copy(self, path: Path, name: str) -> Upload:
        """Add a copy of a file of this computer; raises `InputError` if it is not a photograph."""
        photo = Path(shutil.copyfile(path, self.store.new_work() / "photo"))
        return self.add(photo.parent, name, prepare_photo(photo, name, self.limits))

    def take(self, upload_id: str) -> Upload | None:
        """The upload for the page that shows it and will delete it; None if there is none."""
        self.untaken.pop(upload_id, None)
        return self.by_id.get(upload_id)

    def remove_untaken(self, seconds: float = UNTAKEN_SECONDS) -> None:
        """Delete the uploads that no page has taken for so long."""
        now = time.monotonic()
        for upload_id in [one for one, since in self.untaken.items() if now - since >= seconds]:
            self.delete(upload_id)

    async def sweep(self) -> None:
        """Remove uploads without a page from time to time, without end."""
        while True:
            await asyncio.sleep(UNTAKEN_SECONDS / 10)
            self.remove_untaken()

    def delete(self, upload_id: str) -> None:
        """Forget an upload and delete its file."""
        self.untaken.pop(upload_id, None)
        upload = self.by_id.pop(upload_id, None)
        if upload is not None:
            shutil.rmtree(upload.path.parent, ignore_errors=True)


def prepare_photo(path: Path, name: str, limits: UploadLimits) -> tuple[int, int]:
    """Read a photograph, write photo.jpg for the browser beside it, and rename it to "original" with its own suffix.

    Args:
        path: the file, in a folder of its own.
        name: the file name that the visitor sees, for the errors.
        limits: the largest file and picture.

    Returns:
        Width and height.

    Raises:
        InputError: as `read_photo`.
    """
    stored = read_photo(path, name, limits)
    path.with_name("photo.jpg").write_bytes(stored_jpeg(stored))
    path.replace(path.with_name("original" + PHOTO_SUFFIXES[stored.format]))
    height, width = stored.values.shape[:2]
    return width, height


def read_photo(path: Path, name: str, limits: UploadLimits) -> StoredImage:
    """Read a photograph in full, so that a damaged file is refused now, not after a wait in the queue.

    Args:
        path: the file.
        name: the file name that the visitor sees, for the errors.
        limits: the limits, which are checked before the pixels are read.

    Raises:
        InputError: the file is not a photograph, is damaged or is too large.
    """
    try:
        limits.check_bytes(path.stat().st_size)
        with path.open("rb") as file:
            kind = detected_format(file.read(SIGNATURE_BYTES))
        if kind is None or kind not in PHOTO_SUFFIXES:
            known = ", ".join(PHOTO_SUFFIXES)
            raise InputError(f"{name} is not a photograph that invkit can read; give a file of one of these: {known}")
        limits.check_pixels(*header_size(path, kind))
        return decode(path)
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from error


def header_size(path: Path, kind: str) -> tuple[int, int]:
    """Width and height from the header alone; (0, 0) for a damaged header, which `decode` then reports."""
    try:
        if kind == "TIFF":
            with opened_tiff(path.read_bytes()) as file:
                first = file.pages.first
                return first.imagewidth, first.imagelength
        with Image.open(path, formats=[kind.upper()]) as picture:
            return picture.size
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} holds more pixels than invkit can read; crop or shrink it") from error
    except Exception:  # a decoder may raise anything on damaged data
        return 0, 0


def browser_jpeg(pixels: npt.NDArray[Any], side: int = SCREEN_SIDE, icc_profile: bytes | None = None) -> bytes:
    """A JPEG for the browser, which can show neither TIFF nor 16 bits, and is slow with 50 megapixels.

    Args:
        pixels: (H, W), (H, W, 1), (H, W, 3), or with an opacity, which is left out, (H, W, 2), (H, W, 4); uint8, or
            floats in [0, 1].
        side: the longer side of the JPEG has at most so many pixels.
        icc_profile: colour profile of the pixels, without which colours may look dull.
    """
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    planes = planes[..., 0] if planes.shape[-1] <= 2 else planes[..., :3]
    if planes.dtype.kind == "f":
        planes = np.rint(255 * np.clip(np.nan_to_num(planes), 0, 1)).astype(np.uint8)
    picture, buffer = Image.fromarray(planes), BytesIO()
    picture.thumbnail((side, side))
    profile = {"icc_profile": icc_profile} if icc_profile else {}
    picture.save(buffer, format="JPEG", quality=BROWSER_JPEG_QUALITY, **profile)
    return buffer.getvalue()


def stored_jpeg(stored: StoredImage) -> bytes:
    """A JPEG for the browser from the samples of a file. It skips pixels of a large picture."""
    step = max(1, max(stored.values.shape[:2]) // (2 * SCREEN_SIDE))
    values = stored.values[::step, ::step]
    if values.dtype != np.uint8:
        white = stored.white or (
            max(1.0, float(np.nanmax(values))) if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
        )
        values = values.astype(np.float32) / white
    return browser_jpeg(values, icc_profile=stored.icc_profile)
