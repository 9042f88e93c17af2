"""The 32 images of Levin et al., with which blind deblurring has been measured since 2009."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..core.evaluation import Case, Floats, Sample, Source
from ..core.interfaces import Downloadable
from ..core.parameters import NonNegative, validated
from ..media.kernels import read_kernel
from .pictures import noisy, picture
from .places import check_present, data_folder, file_list

__all__ = ["Levin"]

IMAGES = (1, 2, 3, 4)
KERNELS = (1, 2, 3, 4, 5, 6, 7, 8)
SIDES = {1: 19, 2: 17, 3: 15, 4: 27, 5: 13, 6: 21, 7: 23, 8: 23}  # of the kernels, pixels
TURNED = (1, 2, 3, 5, 6, 7)  # files that hold correlation kernels, as deconvolving with both shows
COMMITS = {
    "csdwren/SelfDeblur": "e1c79ee528eb333416b032e4bc002337c2d5c0f3",
    "gbredell/W_DIP": "1a9c8e60fac5d65cbdbebd10a6490b4f32037640",
}
RESULTS = {  # name -> file of a result that others have published
    "known-kernel": "results/known_kernel/{}_img.png",
    "selfdeblur": "results/selfdeblur/{}_img_x.png",
    "w-dip": "results/wdip/{}_img_x.png",
}


class Levin(Downloadable):
    """Levin et al. 2009: 4 photographs x 8 camera shakes, 255x255 pixels, grey, 8 bits, almost without noise.

    Levin, Weiss, Durand, Freeman, "Understanding and evaluating blind deconvolution algorithms", CVPR 2009. The blur
    was real; the kernels were measured with it. The pictures are those of the SelfDeblur repository; the references,
    where their files are present, those of the W-DIP repository: ``known-kernel``, the deconvolution with the true
    kernel, and the published outputs ``selfdeblur`` and ``w-dip``. Groups: image, kernel.

    Args:
        root: the folder of all data, or None.
        kernel_sizes: what a recipe is told.
        sigma: noise that is added to the pictures, whose own is about .001, before they are cut to [0, 1] and rounded
            to 8 bits again; the same noise for a case every time. The references are of the pictures without it.
        images: those to keep.
        kernels: those to keep.
    """

    title: ClassVar[str] = "Levin et al. 2009: 4 images x 8 kernels, grey"
    citation: ClassVar[str] = (
        "A. Levin, Y. Weiss, F. Durand, W. T. Freeman, Understanding and evaluating blind deconvolution algorithms, "
        "CVPR 2009; results: D. Ren et al., CVPR 2020, and G. Bredell et al., WACV 2023"
    )
    licence: ClassVar[str] = "none stated; for research"
    homepage: ClassVar[str] = "https://github.com/csdwren/SelfDeblur"
    folder: ClassVar[str] = "levin"

    @validated
    def __init__(
        self,
        root: Path | None = None,
        *,
        kernel_sizes: Annotated[
            Literal["plus4", "true", "unknown"],
            Field(description="what a recipe is told: the true size made odd, plus 4 pixels; the true one; or nothing"),
        ] = "plus4",
        sigma: Annotated[NonNegative, Field(description="std of noise that is added, in [0, 1] units")] = 0.0,
        images: Annotated[
            tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(description="numbers of the images", min_length=1)
        ] = IMAGES,
        kernels: Annotated[
            tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(description="numbers of the kernels", min_length=1)
        ] = KERNELS,
    ) -> None:
        super().__init__(root)
        self.kernel_sizes = kernel_sizes
        self.sigma = sigma
        self.images, self.kernels = sorted(set(images)), sorted(set(kernels))

    def cases(self) -> Sequence[Case]:
        """All cases that are kept, image by image; raises `InputError` where a picture or kernel is missing."""
        pairs = list(product(self.images, self.kernels))
        check_present(self.place, [part for pair in pairs for part in parts(*pair)], self.folder)
        return [self.case(image, kernel) for image, kernel in pairs]

    def case(self, image: int, kernel: int) -> Case:
        """One case; the known-kernel result is among its files where it is present."""
        name = case_name(image, kernel)
        side = SIDES[kernel] // 2 * 2 + 5 if self.kernel_sizes == "plus4" else SIDES[kernel]
        told = None if self.kernel_sizes == "unknown" else (side, side)
        made_of = [self.place / path for path in (*parts(image, kernel), RESULTS["known-kernel"].format(name))]
        groups = {"image": str(image), "kernel": str(kernel)}
        return Case(name, told, groups, tuple(path for path in made_of if path.is_file()))

    def sample(self, case: Case) -> Sample:
        """Image, truth (255, 255), kernel and references; raises `InputError` where one cannot be read."""
        number = int(case.groups["kernel"])
        blurry, sharp, _ = (self.place / part for part in parts(int(case.groups["image"]), number))
        results = {name: self.place / path.format(case.name) for name, path in RESULTS.items()}
        references = {name: picture(path) for name, path in results.items() if path.is_file()}
        image = picture(blurry)
        if self.sigma > 0:
            image = noisy(image, self.sigma, [int(case.groups[name]) for name in ("image", "kernel")])
        return Sample(image, picture(sharp), self.true_kernel(number), references)

    def true_kernel(self, number: int) -> Floats:
        """The true-convolution kernel, (h, w), summing to one."""
        kernel = read_kernel(self.place / f"kernels/kernel{number}.png")
        return turned(kernel) if number in TURNED else kernel

    def published_kernel(self, case: Case, reference: Literal["selfdeblur", "w-dip"]) -> Floats | None:
        """The true-convolution kernel (h, w) that goes with a published output, or None where its file is missing."""
        path = self.place / RESULTS[reference].format(case.name).replace("_x.png", "_k.png")
        return turned(read_kernel(path)) if path.is_file() else None

    @property
    def place(self) -> Path:
        """The folder of the set."""
        return data_folder(self.root) / self.folder

    @classmethod
    def sources(cls) -> Sequence[Source]:
        """All 204 files, from the authors' public repositories at the commits of `COMMITS`."""
        return [
            Source(address(row["repository"], row["file"]), int(row["size"]), row["sha256"], row["path"])
            for row in file_list(cls.folder)
        ]


def case_name(image: int, kernel: int) -> str:
    """A case's name, after the published files."""
    return f"im{image}_kernel{kernel}"


def parts(image: int, kernel: int) -> tuple[str, str, str]:
    """The files that a case must have: blurry image, sharp image, kernel."""
    return f"blurry/{case_name(image, kernel)}_img.png", f"sharp/im{image}.png", f"kernels/kernel{kernel}.png"


def turned(kernel: Floats) -> Floats:
    """The true-convolution kernel of a correlation kernel, and the other way round."""
    return np.ascontiguousarray(kernel[::-1, ::-1])


def address(repository: str, file: str) -> str:
    """Where GitHub gives a file of a commit."""
    return f"https://raw.githubusercontent.com/{repository}/{COMMITS[repository]}/{file}"
