"""The hundred uniformly blurred images of Lai et al., as luma."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..core.evaluation import Case, Sample, Source
from ..core.parameters import validated
from .by_hand import ByHand
from .pictures import like, picture
from .places import check_present, data_folder, file_list

__all__ = ["Lai"]

Category = Literal["manmade", "natural", "people", "saturated", "text"]

CATEGORIES: tuple[Category, ...] = ("manmade", "natural", "people", "saturated", "text")
IMAGES = (1, 2, 3, 4, 5)
KERNELS = (1, 2, 3, 4)
SIDES = {1: 31, 2: 51, 3: 55, 4: 75}  # what SelfDeblur's script gives to each kernel, pixels


class Lai(ByHand):
    """Lai et al. 2016, uniform blur: 5 categories x 5 images x 4 kernels, about 1024x700 pixels, luma of 8 bits.

    Lai, Huang, Hu, Ahuja, Yang, "A comparative study for single image blind deblurring", CVPR 2016. The blurry images
    are the full-range luma that Ren et al. (SelfDeblur, CVPR 2020) made of them; the truth is the full-range BT.601
    luma of the sharp RGB images. The true kernels are not part of the set; the sizes that recipes are told (31, 51,
    55 and 75 pixels) are those of SelfDeblur's protocol. Groups: category, image, kernel.

    Args:
        root: the folder of all data, or None.
        categories: those to keep.
        images: numbers of those to keep of each category.
        kernels: numbers of those to keep.
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
        "offers on OneDrive and BaiduYun (its folder lai/uniform_ycbcr), the 25 sharp images there or among the "
        "synthetic data on https://www.wslai.net/publications/deblur_study/. Download them with a browser."
    )

    @validated
    def __init__(
        self,
        root: Path | None = None,
        *,
        categories: Annotated[
            tuple[Category, ...], Field(description="categories of the images", min_length=1)
        ] = CATEGORIES,
        images: Annotated[
            tuple[Annotated[int, Field(ge=1, le=5)], ...],
            Field(description="numbers of the images of each category", min_length=1),
        ] = IMAGES,
        kernels: Annotated[
            tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(description="numbers of the kernels", min_length=1)
        ] = KERNELS,
    ) -> None:
        super().__init__(root)
        self.categories = [category for category in CATEGORIES if category in categories]
        self.images, self.kernels = sorted(set(images)), sorted(set(kernels))

    def cases(self) -> Sequence[Case]:
        """All cases that are kept, category by category; raises `InputError` where a file is missing."""
        kept = list(product(self.categories, self.images, self.kernels))
        check_present(self.place, [part for which in kept for part in parts(*which)], self.folder)
        return [self.case(*which) for which in kept]

    def case(self, category: str, image: int, kernel: int) -> Case:
        """One case."""
        groups = {"category": category, "image": scene(category, image), "kernel": str(kernel)}
        files = tuple(self.place / part for part in parts(category, image, kernel))
        return Case(files[0].stem, (SIDES[kernel], SIDES[kernel]), groups, files)

    def sample(self, case: Case) -> Sample:
        """Luma of the blurry and of the sharp image, (H, W); raises `InputError` where one cannot be read."""
        blurry, sharp = map(picture, case.files)
        return Sample(blurry, like(sharp, blurry, str(case.files[1])))

    @property
    def place(self) -> Path:
        """The folder of the set."""
        return data_folder(self.root) / self.folder

    @classmethod
    def sources(cls) -> Sequence[Source]:
        """The 100 blurry and 25 sharp images, all without an address."""
        return [Source("", int(row["size"]), row["sha256"], row["path"]) for row in file_list(cls.folder)]


def scene(category: str, image: int) -> str:
    """The name of a sharp image."""
    return f"{category}_{image:02}"


def parts(category: str, image: int, kernel: int) -> tuple[str, str]:
    """The files of a case: blurry image, sharp image."""
    sharp = scene(category, image)
    return f"blurry_y/{sharp}_kernel_{kernel:02}.png", f"sharp/{sharp}.png"
