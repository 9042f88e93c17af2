"""The 32 images of Levin et al., the standard benchmark of blind deblurring since 2009."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..core.evaluation import Case, DatasetFile, Downloadable, Floats, Sample
from ..core.parameters import NonNegative, validated
from ..media.kernels import read_kernel
from .pictures import read_pixels, with_noise
from .places import check_present, data_folder, read_file_list

__all__ = ["Levin"]

LEVIN_IMAGES = (1, 2, 3, 4)
LEVIN_KERNEL_SIDES = {1: 19, 2: 17, 3: 15, 4: 27, 5: 13, 6: 21, 7: 23, 8: 23}  # pixels
LEVIN_KERNELS = tuple(LEVIN_KERNEL_SIDES)
CORRELATION_KERNELS = (1, 2, 3, 5, 6, 7)  # deconvolution with both orientations shows it
PINNED_COMMITS = {
    "csdwren/SelfDeblur": "e1c79ee528eb333416b032e4bc002337c2d5c0f3",
    "gbredell/W_DIP": "1a9c8e60fac5d65cbdbebd10a6490b4f32037640",
}
PUBLISHED_RESULTS = {  # the name of a reference -> its file
    "known-kernel": "results/known_kernel/{}_img.png",
    "selfdeblur": "results/selfdeblur/{}_img_x.png",
    "w-dip": "results/wdip/{}_img_x.png",
}


class Levin(Downloadable):
    """Levin et al. 2009: 4 photographs x 8 camera shakes, grey, 8 bits, almost without noise.

    Levin, Weiss, Durand, Freeman, "Understanding and evaluating blind deconvolution algorithms", CVPR 2009. The blur is
    real, and the kernels were measured with it. Blurry and sharp images are (255, 255) in [0, 1], kernels (h, w) of 13
    to 27 pixels. The images come from the SelfDeblur repository. The references come from the W-DIP repository, if
    their files are present: ``known-kernel``, the deconvolution with the true kernel, and the published outputs
    ``selfdeblur`` and ``w-dip``. The authors state no licence; the images are for research. Groups: image, kernel.

    Args:
        root: the folder of all data, or None.
        kernel_sizes: kernel sizes that are given to a recipe. "plus4": the true size, made odd, plus 4 pixels. "true":
            the true size. "unknown": no size.
        sigma: standard deviation of added noise, in [0, 1] units. The noisy image is clipped to [0, 1] and rounded to 8
            bits again. A case always has the same noise. The images' own noise is about 0.001. The references stay
            without it.
        images: numbers of the images to keep, 1 to 4.
        kernels: numbers of the kernels to keep, 1 to 8.
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
        kernel_sizes: Literal["plus4", "true", "unknown"] = "plus4",
        sigma: NonNegative = 0.0,
        images: Annotated[tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(min_length=1)] = LEVIN_IMAGES,
        kernels: Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=1)] = LEVIN_KERNELS,
    ) -> None:
        super().__init__(root)
        self.kernel_sizes = kernel_sizes
        self.sigma = sigma
        self.images, self.kernels = sorted(set(images)), sorted(set(kernels))

    def cases(self) -> Sequence[Case]:
        """All cases that are kept, image by image; raises `InputError` if an image or a kernel is missing."""
        pairs = product(self.images, self.kernels)
        check_present(self.place, [path for pair in pairs for path in levin_files(*pair)], self.folder)
        return self.listed_cases()

    def listed_cases(self) -> Sequence[Case]:
        """The same cases, whether or not the files are present."""
        return [self.case(image, kernel) for image, kernel in product(self.images, self.kernels)]

    def case(self, image: int, kernel: int) -> Case:
        """One case. Its files include the known-kernel result if that is present."""
        name = levin_case(image, kernel)
        side = LEVIN_KERNEL_SIDES[kernel]
        side = side // 2 * 2 + 5 if self.kernel_sizes == "plus4" else side
        kernel_size = None if self.kernel_sizes == "unknown" else (side, side)
        paths = [*levin_files(image, kernel), PUBLISHED_RESULTS["known-kernel"].format(name)]
        files = tuple(file for path in paths if (file := self.place / path).is_file())
        return Case(name, kernel_size, {"image": str(image), "kernel": str(kernel)}, files)

    def sample(self, case: Case) -> Sample:
        """Image and truth, (255, 255), kernel (h, w) and references; raises `InputError` if one cannot be read."""
        number = int(case.groups["kernel"])
        blurry, sharp, _ = (self.place / path for path in levin_files(int(case.groups["image"]), number))
        results = {name: self.place / path.format(case.name) for name, path in PUBLISHED_RESULTS.items()}
        references = {name: read_pixels(path) for name, path in results.items() if path.is_file()}
        image = read_pixels(blurry)
        if self.sigma > 0:
            image = with_noise(image, self.sigma, [int(case.groups[name]) for name in ("image", "kernel")])
        return Sample(image, read_pixels(sharp), self.true_kernel(number), references)

    def true_kernel(self, number: int) -> Floats:
        """The true-convolution kernel, (h, w), summing to one."""
        kernel = read_kernel(self.place / f"kernels/kernel{number}.png")
        return rotated_180(kernel) if number in CORRELATION_KERNELS else kernel

    def published_kernel(self, case: Case, reference: Literal["selfdeblur", "w-dip"]) -> Floats | None:
        """The true-convolution kernel (h, w) of a published output, or None if its file is missing."""
        path = self.place / PUBLISHED_RESULTS[reference].format(case.name).replace("_x.png", "_k.png")
        return rotated_180(read_kernel(path)) if path.is_file() else None

    @property
    def place(self) -> Path:
        """The folder of the dataset."""
        return data_folder(self.root) / self.folder

    @classmethod
    def dataset_files(cls) -> Sequence[DatasetFile]:
        """All 204 files, in the authors' public repositories at the commits of `PINNED_COMMITS`."""
        return [
            DatasetFile(github_address(row["repository"], row["file"]), int(row["size"]), row["sha256"], row["path"])
            for row in read_file_list(cls.folder)
        ]


def levin_case(image: int, kernel: int) -> str:
    """The name of a case, as in the names of the published files."""
    return f"im{image}_kernel{kernel}"


def levin_files(image: int, kernel: int) -> tuple[str, str, str]:
    """The files that a case must have: blurry image, sharp image, kernel."""
    return f"blurry/{levin_case(image, kernel)}_img.png", f"sharp/im{image}.png", f"kernels/kernel{kernel}.png"


def rotated_180(kernel: Floats) -> Floats:
    """The true-convolution kernel of a correlation kernel, or the reverse."""
    return np.ascontiguousarray(kernel[::-1, ::-1])


def github_address(repository: str, file: str) -> str:
    """The address of a file in a repository at its pinned commit."""
    return f"https://raw.githubusercontent.com/{repository}/{PINNED_COMMITS[repository]}/{file}"
