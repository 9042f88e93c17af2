"""What may be uploaded, and whether a file is a photograph, told before much of it is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...core.errors import InputError
from ...media.decoding import FORMATS, Samples, decode, kind_of

__all__ = ["Limits", "read_photo"]

MEGA = 1_000_000
MARK = 16  # bytes, from which a format is known
NOT_HERE = "NPY"  # holds numbers of any kind; the command line takes it


@dataclass(frozen=True)
class Limits:
    """The largest file and picture that are taken.

    Attributes:
        megabytes: of a file, 10^6 bytes each.
        megapixels: of a picture, 10^6 pixels each.
    """

    megabytes: float = 50.0
    megapixels: float = 50.0

    def check_bytes(self, count: int) -> None:
        """Raise `InputError` for a file of more bytes, or none."""
        if count == 0:
            raise InputError("the file is empty; copy or export it again")
        if count > self.megabytes * MEGA:
            raise InputError(
                f"the file is larger than {self.megabytes:g} MB; shrink or crop it, or start invkit ui with a larger "
                "--max-upload"
            )

    def check_pixels(self, width: int, height: int) -> None:
        """Raise `InputError` for a picture of more pixels."""
        if width * height > self.megapixels * MEGA:
            raise InputError(
                f"the picture has {width} x {height} pixels, more than {self.megapixels:g} megapixels; shrink or crop "
                "it, or start invkit ui with a larger --max-pixels"
            )


def read_photo(path: Path, name: str, limits: Limits) -> Samples:
    """A photograph, read in full so that a damaged one is refused here, and not after a wait in the queue.

    Args:
        path: where it lies.
        name: what its owner calls it, for the errors.
        limits: checked before the pixels are read.

    Raises:
        InputError: it is no picture, damaged or too large.
    """
    with named(path, name):
        limits.check_bytes(path.stat().st_size)
        with path.open("rb") as file:
            kind = kind_of(file.read(MARK))
        if kind is None or kind == NOT_HERE:
            known = ", ".join(each for each in FORMATS if each != NOT_HERE)
            raise InputError(f"{name} is not a photograph that invkit reads; give a file of one of these: {known}")
        limits.check_pixels(*dimensions(path, kind))
        return decode(path)


@contextmanager
def named(path: Path, name: str) -> Iterator[None]:
    """Have errors call a file what its owner does."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from error


def dimensions(path: Path, kind: str) -> tuple[int, int]:
    """Width and height from the header alone; nothing where that is damaged, which reading it in full will tell."""
    try:
        if kind == "TIFF":
            import tifffile

            with tifffile.TiffFile(path) as file:
                first = file.pages.first
                return first.imagewidth, first.imagelength
        with Image.open(path, formats=[kind.upper()]) as picture:
            return picture.size
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} holds more pixels than invkit reads; crop or shrink it") from error
    except Exception:  # there is no telling what a decoder raises on damaged data
        return 0, 0
