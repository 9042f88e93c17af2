"""What an evaluation speaks of: the cases of a dataset, their pictures, and what a recipe has made of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Case", "Floats", "Sample", "Source", "Trial"]

Floats: TypeAlias = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Case:
    """One blurry image of a dataset, by name; its pixels are read when they are needed.

    Attributes:
        name: unique in its dataset, of letters, digits, ``.``, ``_`` and ``-``, as it becomes part of file names.
        kernel_size: (h, w), what a blind recipe is told, pixels; None leaves it to the recipe.
        groups: what it belongs to, by which tables may be split, as ``{"image": "1", "category": "people"}``.
        files: what it is made of; their contents tell whether a result is still of this case.
    """

    name: str
    kernel_size: tuple[int, int] | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False)
class Sample:
    """The pictures of a case.

    Attributes:
        image: the blurry one, (H, W) or (H, W, 3) in [0, 1].
        truth: the sharp one, of about the same size and as many channels, or None where nobody knows it.
        kernel: the true-convolution kernel, (h, w), >= 0, summing to one, or None where nobody knows it.
        references: results of others for the same image, as the image is: under ``"known-kernel"`` the deconvolution
            with the true kernel, by whose error the error ratio divides.
    """

    image: Floats
    truth: Floats | None = None
    kernel: Floats | None = None
    references: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trial:
    """What a recipe has made of a sample, and what that took.

    Attributes:
        sample: the sample.
        image: the restored image, of the layout and about the size of the sample's, in [0, 1].
        kernel: the estimated kernel, (h, w), summing to one, or None where the recipe has none.
        seconds: of the clock, from the array in memory to the restored array.
        cpu_seconds: of all threads of the process, over the same.
        peak_memory: bytes, the most that the process has grown by meanwhile; on a GPU, the most allocated there.
    """

    sample: Sample
    image: Floats
    kernel: Floats | None
    seconds: float
    cpu_seconds: float
    peak_memory: int


@dataclass(frozen=True)
class Source:
    """A file to download.

    Attributes:
        url: of the file.
        size: bytes.
        sha256: of its contents, in hexadecimal digits.
        path: where it belongs, relative to the dataset's folder; of an archive, the folder its contents go to.
        unpack: whether it is an archive (zip or tar) whose contents are wanted.
    """

    url: str
    size: int
    sha256: str
    path: str
    unpack: bool = False
