"""Evaluation: the cases of a dataset, their images, the result of a recipe on one of them, and the metrics.

A `Dataset` gives `Case` after `Case`. A case becomes a `Sample` when its images are read. A recipe restores the sample,
and the result is a `Trial`. A `Metric` measures the trial. A `NoReferenceMetric` ranks restorations without a truth.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from .parameters import Component

__all__ = [
    "Case",
    "Dataset",
    "DatasetFile",
    "Downloadable",
    "Floats",
    "ImageMetric",
    "ManuallyDownloadable",
    "Metric",
    "NoReferenceMetric",
    "Sample",
    "Trial",
]

Floats: TypeAlias = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Case:
    """One blurry image of a dataset, by name. Its pixels are read later.

    Attributes:
        name: unique in the dataset. It consists of letters, digits, ``.``, ``_`` and ``-``, because it becomes part of
            file names.
        kernel_size: (h, w) in pixels, given to a blind recipe; None leaves the size to the recipe.
        groups: labels by which tables may be split, as ``{"image": "1", "category": "people"}``.
        files: the files of the case. Their contents tell whether a stored result still belongs to this case.
    """

    name: str
    kernel_size: tuple[int, int] | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False)
class Sample:
    """The images of a case.

    Attributes:
        image: the blurry image, (H, W) or (H, W, 3) in [0, 1].
        truth: the sharp image, of about the same size and with the same channels; None if it is unknown.
        kernel: the true-convolution kernel, (h, w), >= 0, summing to one; None if it is unknown.
        references: published results for the same image, with its layout. ``"known-kernel"`` names the deconvolution
            with the true kernel; the error ratio divides by its error.
    """

    image: Floats
    truth: Floats | None = None
    kernel: Floats | None = None
    references: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trial:
    """The result of a recipe on a sample, and its cost.

    Attributes:
        sample: the sample.
        image: the restored image in [0, 1], with the layout and about the size of the sample's image.
        kernel: the estimated kernel, (h, w), summing to one; None if the recipe estimates no kernel.
        seconds: wall-clock time from the array in memory to the restored array.
        cpu_seconds: processor time of all threads of the process over the same interval.
        peak_memory: bytes. On a CPU, the largest growth of the process; on a GPU, the largest allocation.
    """

    sample: Sample
    image: Floats
    kernel: Floats | None
    seconds: float
    cpu_seconds: float
    peak_memory: int


@dataclass(frozen=True)
class DatasetFile:
    """A file of a dataset, and where it is downloaded.

    Attributes:
        url: the address, http or https; empty if the file can only be downloaded by hand.
        size: bytes.
        sha256: the SHA-256 of the contents, in hexadecimal digits.
        path: the place relative to the dataset's folder. For an archive, the folder that receives its contents.
        unpack: True for an archive (zip or tar) that is unpacked after the download.
    """

    url: str
    size: int
    sha256: str
    path: str
    unpack: bool = False


class Dataset(Component, ABC):
    """Blurry images to try recipes on, with the known truths.

    The only positional argument is ``root``, the folder of all data (``--data``, or the environment variable
    ``INVKIT_DATA``), or None.

    Attributes:
        title: a short title.
        citation: the paper to cite, or an empty text.
        licence: what the authors allow.
        homepage: the address of the dataset, or an empty text.
    """

    family: ClassVar[str] = "datasets"
    title: ClassVar[str]
    citation: ClassVar[str]
    licence: ClassVar[str]
    homepage: ClassVar[str]

    def __init__(self, root: Path | None) -> None:
        self.root = root

    @abstractmethod
    def cases(self) -> Sequence[Case]:
        """All cases, in a fixed order.

        Raises:
            InputError: files are missing; the message names them and says how to get them.
        """

    @abstractmethod
    def sample(self, case: Case) -> Sample:
        """The images of one of `cases`; raises `InputError` if they cannot be read."""


class Downloadable(Dataset):
    """The ability of a dataset to be downloaded from its authors.

    Attributes:
        folder: the name of its folder in the folder of all data.
    """

    folder: ClassVar[str]

    @classmethod
    @abstractmethod
    def dataset_files(cls) -> Sequence[DatasetFile]:
        """All files, each with its size and digest."""

    @abstractmethod
    def listed_cases(self) -> Sequence[Case]:
        """The same as `cases`, whether or not the files are present."""


class ManuallyDownloadable(Downloadable):
    """A dataset with files that only a person can download; their `DatasetFile` has an empty ``url``.

    Attributes:
        instructions: how to download these files by hand, in sentences.
    """

    instructions: ClassVar[str]


class Metric(Component, ABC):
    """A figure of merit of a trial.

    Attributes:
        unit: "dB", "s", "MB", or an empty text.
        better: "higher" or "lower", the direction of better figures.
    """

    family: ClassVar[str] = "metrics"
    unit: ClassVar[str]
    better: ClassVar[Literal["higher", "lower"]]

    @abstractmethod
    def measure(self, trial: Trial) -> float | None:
        """The figure; None if the sample lacks something that the metric needs, for example the truth."""


class ImageMetric(Metric, ABC):
    """A figure of the restored image alone, not of its kernel or cost; a benchmark measures the blurry input too."""


class NoReferenceMetric(Component, nn.Module, ABC):
    """Compares restorations of the same data without the truth."""

    family: ClassVar[str] = "no_reference_metrics"

    @abstractmethod
    def forward(self, data: Tensor, images: Tensor, kernels: Tensor) -> Tensor:
        """One number for each of N restorations. Lower is better, and the numbers can be compared with each other.

        Args:
            data: (1, C, H, W) in [0, 1].
            images: (N, C, H, W) in [0, 1], the part of each restoration where the data are.
            kernels: (N, 1, h, w), >= 0, summing to one. The order of the restorations has no meaning.

        Returns:
            (N,), finite.
        """
