"""The hundred uniformly blurred images of Lai et al., as luma."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..core.evaluation import Case, DatasetFile, ManuallyDownloadable, Sample
from ..core.parameters import validated
from .pictures import match_channels, read_pixels
from .places import check_present, data_folder, read_file_list

__all__ = ["Lai"]

Category = Literal["manmade", "natural", "people", "saturated", "text"]

LAI_CATEGORIES: tuple[Category, ...] = ("manmade", "natural", "people", "saturated", "text")
LAI_IMAGES = (1, 2, 3, 4, 5)
LAI_KERNEL_SIDES = {1: 31, 2: 51, 3: 55, 4: 75}  # pixels, as in SelfDeblur's script
LAI_KERNELS = tuple(LAI_KERNEL_SIDES)


class Lai(ManuallyDownloadable):
    """Lai et al. 2016, uniform blur: 5 categories x 5 images x 4 kernels, luma of 8 bits.

    Lai, Huang, Hu, Ahuja, Yang, "A comparative study for single image blind deblurring", CVPR 2016. The blurry images
    are the full-range luma that Ren et al. (SelfDeblur, CVPR 2020) computed, (H, W) in [0, 1], about 700 x 1024 pixels.
    The truth is the full-range BT.601 luma of the sharp RGB images, (H, W). The dataset does not contain the true
    kernels. A recipe is given the kernel sizes of SelfDeblur's protocol: 31, 51, 55 and 75 pixels. The authors state no
    licence; the images are for research. Groups: category, image, kernel.

    Args:
        root: the folder of all data, or None.
        categories: categories of the images to keep.
        images: numbers of the images to keep in each category, 1 to 5.
        kernels: numbers of the kernels to keep, 1 to 4.
    """

    title: ClassVar[str] = "Lai et al. 2016, uniform: 25 images x 4 kernels, luma"
    citation: ClassVar[str] = (
        "W.-S. Lai, J.-B. Huang, Z. Hu, N. Ahuja, M.-H. Yang, A comparative study for single image blind deblurring, "
        "CVPR 2016; luma: D. Ren et al., CVPR 2020"
    )
    licence: ClassVar[str] = "none stated; for research"
    homepage: ClassVar[str] = "https://www.wslai.net/publications/deblur_study/"
    folder: ClassVar[str] = "lai"
    instructions: ClassVar[str] = (
        "The blurry luma images are in the archive of datasets that https://github.com/csdwren/SelfDeblur#datasets "
        "offers on OneDrive and BaiduYun, in the folder lai/uniform_ycbcr. The 25 sharp images are there too, or among "
        "the synthetic data on https://www.wslai.net/publications/deblur_study/. Download them with a browser."
    )

    @validated
    def __init__(
        self,
        root: Path | None = None,
        *,
        categories: Annotated[tuple[Category, ...], Field(min_length=1)] = LAI_CATEGORIES,
        images: Annotated[tuple[Annotated[int, Field(ge=1, le=5)], ...], Field(min_length=1)] = LAI_IMAGES,
        kernels: Annotated[tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(min_length=1)] = LAI_KERNELS,
    ) -> None:
        super().__init__(root)
        self.categories = [category for category in LAI_CATEGORIES if category in categories]
        self.images, self.kernels = sorted(set(images)), sorted(set(kernels))

    def cases(self) -> Sequence[Case]:
        """All cases that are kept, category by category; raises `InputError` if a file is missing."""
        kept = product(self.categories, self.images, self.kernels)
        check_present(self.place, [path for numbers in kept for path in lai_files(*numbers)], self.folder)
        return self.listed_cases()

    def listed_cases(self) -> Sequence[Case]:
        """The same cases, whether or not the files are present."""
        return [self.case(*numbers) for numbers in product(self.categories, self.images, self.kernels)]

    def case(self, category: str, image: int, kernel: int) -> Case:
        """One case.

        Args:
            category: the category.
            image: the number of the image in its category.
            kernel: the number of the kernel.
        """
        side = LAI_KERNEL_SIDES[kernel]
        groups = {"category": category, "image": lai_image(category, image), "kernel": str(kernel)}
        blurry, sharp = (self.place / path for path in lai_files(category, image, kernel))
        return Case(blurry.stem, (side, side), groups, (blurry, sharp))

    def sample(self, case: Case) -> Sample:
        """The luma of the blurry and the sharp image, (H, W); raises `InputError` if one cannot be read."""
        blurry, sharp = map(read_pixels, case.files)
        return Sample(blurry, match_channels(sharp, blurry, str(case.files[1])))

    @property
    def place(self) -> Path:
        """The folder of the dataset."""
        return data_folder(self.root) / self.folder

    @classmethod
    def dataset_files(cls) -> Sequence[DatasetFile]:
        """The 100 blurry and 25 sharp images, all without an address."""
        return [DatasetFile("", int(row["size"]), row["sha256"], row["path"]) for row in read_file_list(cls.folder)]


def lai_image(category: str, image: int) -> str:
    """The name of a sharp image."""
    return f"{category}_{image:02}"


def lai_files(category: str, image: int, kernel: int) -> tuple[str, str]:
    """The paths of the blurry and the sharp image of a case.

    Args:
        category: the category.
        image: the number of the image in its category.
        kernel: the number of the kernel.
    """
    sharp = lai_image(category, image)
    return f"blurry_y/{sharp}_kernel_{kernel:02}.png", f"sharp/{sharp}.png"
