"""Sharp images blurred by random kernels, with noise: the same images on every machine."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..core.errors import InputError
from ..core.evaluation import Case, Dataset, Floats, Sample
from ..core.parameters import NonNegative, PositiveInt, Seed, validated
from ..media.images import IMAGE_SUFFIXES
from .pictures import as_luma, read_pixels, safe_names, with_noise
from .places import find_path

__all__ = ["Synthetic", "blur_image", "random_kernel"]

BlurKind = Literal["motion", "diffraction", "gaussian"]

BLUR_KINDS: tuple[BlurKind, ...] = ("motion", "diffraction", "gaussian")  # their order determines the seeds
BUNDLED_IMAGE = Path(__file__).parent / "samples" / "coffee_sharp.png"
KERNEL_LEVELS = 2.0**30  # of a kernel's values: coarser than the differences between machines, finer than visible


class Synthetic(Dataset):
    """Sharp images x random kernels of deepinv's generators, with Gaussian noise. The seed determines everything.

    The blurry image is the valid part of the convolution, ``y = k * x + n``, so that no border is invented. The truth
    is (H, W) or (H, W, 3) in [0, 1], the kernel (size, size), and the blurry image (H - size + 1, W - size + 1) with
    the channels of the truth. Kernel n of a seed depends on ``size`` alone, not on the image or on other settings.
    The kernels are drawn by deepinv (https://deepinv.github.io). The licence is that of the sharp images; the bundled
    photograph is CC0. Groups: image, blur, kernel.

    Args:
        root: the folder of all data, or None.
        path: a sharp image or a folder of sharp images; None for the bundled photograph.
        blurs: kernel generators of deepinv: "motion" (camera shake as a Gaussian process), "diffraction" (a lens with
            random aberrations), "gaussian" (random widths and angle).
        number: number of kernels of each generator.
        size: side of the kernels, pixels, which is also given to a recipe.
        sigma: standard deviation of the noise, in [0, 1] units.
        rounded: whether to round the blurry image to 8 bits, as in an image file.
        color: channels of a colour image: "rgb" for all three, "luma" for its luma.
        seed: seed of kernels and noise.

    Example:
        >>> [case.name for case in Synthetic(number=2).cases()]
        ['coffee_sharp_motion1', 'coffee_sharp_motion2']
    """

    title: ClassVar[str] = "Synthetic: sharp images x random kernels x noise"
    citation: ClassVar[str] = "kernels: deepinv, https://deepinv.github.io"
    licence: ClassVar[str] = "that of the sharp images; the bundled one is CC0"
    homepage: ClassVar[str] = ""

    @validated
    def __init__(
        self,
        root: Path | None = None,
        *,
        path: Path | None = None,
        blurs: Annotated[tuple[BlurKind, ...], Field(min_length=1)] = ("motion",),
        number: PositiveInt = 4,
        size: Annotated[int, Field(ge=3)] = 31,
        sigma: NonNegative = 0.01,
        rounded: bool = True,
        color: Literal["rgb", "luma"] = "rgb",
        seed: Seed = 0,
    ) -> None:
        super().__init__(root)
        self.path, self.blurs, self.number, self.size = path, [b for b in BLUR_KINDS if b in blurs], number, size
        self.sigma, self.rounded, self.color, self.seed = sigma, rounded, color, seed

    def cases(self) -> Sequence[Case]:
        """Every image with every kernel, image by image; raises `InputError` if there is no image."""
        files = self.images()
        images = zip(safe_names(file.stem for file in files), files, strict=True)
        return [
            Case(
                f"{image}_{blur}{number}",
                (self.size, self.size),
                {"image": image, "blur": blur, "kernel": f"{blur}{number}"},
                (file,),
            )
            for image, file in images
            for blur in self.blurs
            for number in range(1, self.number + 1)
        ]

    def images(self) -> list[Path]:
        """The sharp images, by name; raises `InputError` if there is no image."""
        place = BUNDLED_IMAGE if self.path is None else find_path(self.path, self.root)
        if place.is_file():
            return [place]
        found = [file for file in sorted(place.iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
        found = [file for file in found if not file.name.startswith(".")]
        if not found:
            suffixes = ", ".join(IMAGE_SUFFIXES)
            raise InputError(f"{place} contains no image ({suffixes}); set 'path' to a folder of sharp images")
        return found

    def sample(self, case: Case) -> Sample:
        """Blurry image (H, W) or (H, W, 3), truth (H + size - 1, W + size - 1), kernel (size, size).

        Raises:
            InputError: the sharp image cannot be read, or is smaller than the kernel.
        """
        truth = read_pixels(case.files[0])
        truth = as_luma(truth) if self.color == "luma" else truth
        if min(truth.shape[:2]) < self.size:
            raise InputError(
                f"{case.files[0]} has {truth.shape[0]}x{truth.shape[1]} pixels, less than the kernel's side of "
                f"{self.size}; set a smaller 'size', or give larger images"
            )
        kernel = self.kernel(case.groups["blur"], case.groups["kernel"])
        clean = blur_image(truth, kernel)
        seed = [self.seed, zlib.crc32(case.name.encode(errors="surrogateescape"))]
        return Sample(with_noise(clean, self.sigma, seed, rounded=self.rounded), truth, kernel)

    def kernel(self, blur: str, name: str) -> Floats:
        """The kernel of a case, by its groups."""
        return random_kernel(blur, self.size, [self.seed, BLUR_KINDS.index(blur), int(name.removeprefix(blur))])


def random_kernel(blur: str, size: int, entropy: Sequence[int]) -> Floats:
    """A random kernel of one of deepinv's generators.

    Args:
        blur: "motion", "diffraction" or "gaussian".
        size: the side, pixels.
        entropy: whole numbers >= 0 that determine the kernel.

    Returns:
        (size, size), float64, >= 0, summing to one.
    """
    import torch
    from deepinv.physics import generator

    makers = {
        "motion": generator.MotionBlurGenerator,
        "diffraction": generator.DiffractionBlurGenerator,
        "gaussian": partial(generator.GaussianBlurGenerator, isotropic=False),
    }
    source = torch.Generator("cpu").manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
    maker = makers[blur](psf_size=(size, size), rng=source, device="cpu", dtype=torch.float64)
    drawn: Floats = maker.step(batch_size=1)["filter"][0, 0].numpy()
    counts = np.rint(drawn.clip(min=0) * KERNEL_LEVELS)  # whole numbers, whose sum is exact in any order
    return np.asarray(counts / counts.sum())


def blur_image(image: Floats, kernel: Floats) -> Floats:
    """The valid convolution of an image by a kernel.

    Args:
        image: (H, W) or (H, W, 3).
        kernel: (h, w), a true-convolution kernel.

    Returns:
        (H - h + 1, W - w + 1) with the channels of the image, float64.

    Example:
        >>> import numpy as np
        >>> blur_image(np.eye(3), np.full((2, 2), 0.25)).round(6)
        array([[0.5 , 0.25],
               [0.25, 0.5 ]])
    """
    from scipy.signal import fftconvolve

    kernel = kernel if image.ndim == 2 else kernel[..., None]
    result: Floats = fftconvolve(image.astype(np.float64), kernel, mode="valid", axes=(0, 1))
    return result
