"""The photographs of the calibration set: a table of where they are, downloaded once and checked."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

TABLE = Path(__file__).with_name("photographs.csv")
PACKAGE = "package:"  # a photograph that comes with an installed package

Picture = NDArray[np.float64]


@dataclass(frozen=True)
class Photograph:
    """A photograph of the table; it is used ``scale`` times smaller, without a margin of ``margin`` pixels."""

    name: str
    kind: str
    split: str
    url: str
    sha256: str
    licence: str
    author: str
    margin: int
    scale: int

    def file(self, folder: Path) -> Path:
        """The file, downloaded into ``folder`` unless it is there already; a file that differs is refused."""
        import pooch

        if self.url.startswith(PACKAGE):
            return in_package(self.url.removeprefix(PACKAGE), self.sha256)
        return Path(pooch.retrieve(self.url, f"sha256:{self.sha256}", fname=self.name, path=folder))

    def read(self, folder: Path) -> Picture:
        """The photograph in [0, 1], (height, width, 3)."""
        upright = ImageOps.exif_transpose(Image.open(self.file(folder))).convert("RGB")
        width, height = upright.size
        inner = upright.crop((self.margin, self.margin, width - self.margin, height - self.margin))
        return np.asarray(inner.reduce(self.scale), dtype=np.float64) / 255


def table(file: Path = TABLE) -> list[Photograph]:
    """All photographs, in the order of the table."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [
        Photograph(
            row["name"],
            row["kind"],
            row["split"],
            row["url"],
            row["sha256"],
            row["licence"],
            row["author"],
            margin=int(row["margin"]),
            scale=int(row["scale"]),
        )
        for row in rows
    ]


def in_package(path: str, sha256: str) -> Path:
    """A file that an installed package brings along, given as package/folder/file."""
    import pooch

    package, _, inner = path.partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the photograph {path} comes with the package '{package}', which is not installed")
    file = Path(spec.origin).parent / inner
    if pooch.file_hash(str(file)) != sha256:
        raise ValueError(
            f"{file} is not the photograph that the calibration set was made of; install another '{package}'"
        )
    return file
