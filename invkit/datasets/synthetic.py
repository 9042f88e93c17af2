"""Sharp images blurred by random kernels, with noise: the same ones on every machine."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..core.errors import InputError
from ..core.evaluation import Case, Floats, Sample
from ..core.interfaces import Dataset
from ..core.parameters import NonNegative, PositiveInt, Seed, validated
from .pictures import luma, noisy, picture, safe_names
from .places import located

__all__ = ["Synthetic", "blurred", "random_kernel"]

Blur = Literal["motion", "diffraction", "gaussian"]

BLURS: tuple[Blur, ...] = ("motion", "diffraction", "gaussian")  # their order goes into the seeds
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".npy")
SAMPLE = Path(__file__).parent / "samples" / "coffee_sharp.png"
GRID = 2.0**30  # steps from 0 to 1 of a kernel: coarser than what machines differ by, far finer than what is seen


class Synthetic(Dataset):
    """Any sharp images x random kernels of deepinv's generators, with Gaussian noise; seeded.

    The blurry image is the valid part of the convolution, ``y = k * x + n``, so that the truth is larger than it by
    the kernel's size less one: nothing is made up at the borders. Kernel number n of a seed is the same for every
    image, and whatever the other settings but ``size``. Groups: image, blur, kernel.

    Args:
        root: the folder of all data, or None.
        path: a sharp image or a folder of them; None for the photograph that comes with invkit.
        blurs: generators of deepinv: "motion" (camera shake as a Gaussian process), "diffraction" (a lens with random
            aberrations), "gaussian" (of random widths and angle).
        number: of kernels of each generator.
        size: side of the kernels, pixels, which is also what a recipe is told.
        sigma: standard deviation of the noise in [0, 1] units.
        rounded: to 8 bits, as a file would be.
        color: of colour images, take the three channels or the luma.
        seed: of kernels and noise.
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
        path: Annotated[
            Path | None,
            Field(description="a sharp image or a folder of them; none for the photograph that comes with invkit"),
        ] = None,
        blurs: Annotated[tuple[Blur, ...], Field(description="generators of the kernels", min_length=1)] = ("motion",),
        number: Annotated[PositiveInt, Field(description="of kernels of each generator")] = 4,
        size: Annotated[int, Field(description="side of the kernels, pixels", ge=3)] = 31,
        sigma: Annotated[NonNegative, Field(description="std of the noise in [0, 1] units")] = 0.01,
        rounded: Annotated[bool, Field(description="to 8 bits, as a file would be")] = True,
        color: Annotated[
            Literal["rgb", "luma"], Field(description="of colour images, take the three channels or the luma")
        ] = "rgb",
        seed: Seed = 0,
    ) -> None:
        super().__init__(root)
        self.path, self.blurs, self.number, self.size = path, [b for b in BLURS if b in blurs], number, size
        self.sigma, self.rounded, self.color, self.seed = sigma, rounded, color, seed

    def cases(self) -> Sequence[Case]:
        """Every image with every kernel, image by image; raises `InputError` where there is no image."""
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
        """The sharp images, by name; raises `InputError` where there is none."""
        place = SAMPLE if self.path is None else located(self.path, self.root)
        if place.is_file():
            return [place]
        found = [file for file in sorted(place.iterdir()) if file.suffix.lower() in SUFFIXES and file.is_file()]
        found = [file for file in found if not file.name.startswith(".")]
        if not found:
            raise InputError(f"{place} holds no image ({', '.join(SUFFIXES)}); set 'path' to a folder of sharp images")
        return found

    def sample(self, case: Case) -> Sample:
        """Blurry image (H, W) or (H, W, 3), truth (H + size - 1, W + size - 1), kernel (size, size).

        Raises:
            InputError: the sharp image cannot be read, or is smaller than the kernel.
        """
        truth = picture(case.files[0])
        truth = luma(truth) if self.color == "luma" else truth
        if min(truth.shape[:2]) < self.size:
            raise InputError(
                f"{case.files[0]} has {truth.shape[0]}x{truth.shape[1]} pixels, less than the kernel's side of "
                f"{self.size}; set a smaller 'size', or take larger images"
            )
        kernel = self.kernel(case.groups["blur"], case.groups["kernel"])
        clean = blurred(truth, kernel)
        seed = [self.seed, zlib.crc32(case.name.encode())]
        return Sample(noisy(clean, self.sigma, seed, rounded=self.rounded), truth, kernel)

    def kernel(self, blur: str, name: str) -> Floats:
        """The kernel of a case, by its groups."""
        return random_kernel(blur, self.size, [self.seed, BLURS.index(blur), int(name.removeprefix(blur))])


def random_kernel(blur: str, size: int, entropy: Sequence[int]) -> Floats:
    """A kernel of one of deepinv's generators.

    Args:
        blur: one of `BLURS`.
        size: side, pixels.
        entropy: non-negative numbers that determine it.

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
    counts = np.rint(drawn.clip(min=0) * GRID)  # whole numbers, whose sum is exact in any order
    return np.asarray(counts / counts.sum())


def blurred(image: Floats, kernel: Floats) -> Floats:
    """The valid convolution of an image (H, W) or (H, W, 3) by a kernel (h, w), float64, H - h + 1 pixels high."""
    from scipy.signal import fftconvolve

    kernel = kernel if image.ndim == 2 else kernel[..., None]
    result: Floats = fftconvolve(image.astype(np.float64), kernel, mode="valid", axes=(0, 1))
    return result
