"""From a photograph to its restoration: the way through the whole house for people who just have a picture."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from .assembly import Assembly, assemble
from .errors import InputError, OutOfMemoryError
from .estimation.kurtosis import PATCH
from .estimation.noise import estimate_sigma
from .geometry import crop_to_data
from .media.colour import from_luma_chroma, to_luma_chroma
from .media.images import Layout, Photo, from_bchw, read_image, to_bchw
from .media.kernels import check_kernel, read_kernel
from .metrics.aligned import aligned_psnr
from .observers.checkpoint import Checkpointer, fingerprint, load_checkpoint
from .observers.progress import ProgressBar
from .recipe import Recipe, load_recipe
from .result import Array, Result
from .solver import Observer

__all__ = ["Job", "KernelSize", "auto_kernel_size", "deblur", "default_recipe", "prepare", "restore"]

KernelSize = int | tuple[int, int] | Literal["auto"]
Picture = Array | str | Path
KERNEL_LIMITS = (15, 65)  # pixels, of the automatic kernel size


def deblur(
    image: Picture,
    *,
    recipe: str | Path | Recipe | None = None,
    kernel_size: KernelSize = "auto",
    color: Literal["luma", "rgb"] = "luma",
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    time_limit: float | None = None,
    progress: bool = True,
) -> Result:
    """Restore a blurry image and estimate the kernel that blurred it.

    Args:
        image: a file, a NumPy array (H, W), (H, W, 3) or a tensor (H, W), (C, H, W), (B, C, H, W); in [0, 1], or
            8 or 16 bit unsigned integers.
        recipe: a registered recipe's name, a ``.toml`` file or a `Recipe`; None takes ``selfdeblur`` on a GPU and
            ``selfdeblur-small`` without one.
        kernel_size: N, (h, w) or "auto" (`auto_kernel_size`), pixels; too large is safer than too small.
        color: of a colour image, restore the luma and keep the chroma, or restore the three channels with one kernel.
        overrides: settings as ``"kernel_prior.params.hidden=2000"`` or ``"image_prior=pixels"``.
        seed: of every random number.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        time_limit: seconds after which the result so far is returned.
        progress: show a progress bar on a terminal.

    Returns:
        The result; ``image`` is of the kind, layout and size of what was given, ``kernel`` is (h, w).

    Raises:
        InvkitError: the image, an option or the recipe cannot be used; nothing has been computed then.
        DivergedError: the solve did not stay finite.
    """
    job = prepare(
        image, recipe=recipe, kernel_size=kernel_size, color=color, overrides=overrides, seed=seed, device=device
    )
    return job.run(time_limit=time_limit, observers=[ProgressBar(job.name)] if progress else [])


def restore(image: Picture, recipe: str | Path | Recipe, *, kernel: Picture | None = None, seed: int = 0) -> Result:
    """Solve the problem of any recipe for one image, with the recipe's own measurement settings.

    Args:
        image: as for `deblur`.
        recipe: as for `deblur`.
        kernel: (h, w) true-convolution kernel or a file of one, where the recipe's kernel prior starts from a kernel.
        seed: of every random number.

    Returns and raises as `deblur`.
    """
    job = prepare(image, recipe=recipe, kernel=kernel, seed=seed)
    return job.run(observers=[ProgressBar(job.name)])


@dataclass(frozen=True)
class Job:
    """A restoration with everything decided and checked, and nothing computed yet.

    Attributes:
        name: of the recipe.
        assembly: problem, solver and resolved recipe.
        picture: the whole image that was given, (B, C, H, W) in [0, 1].
        chroma: (B, 2, H, W) kept aside, or None where every channel is restored.
        layout: how to give the image back.
        photo: the file it came from, with the depth, alpha and colour profile to put back; None for an array.
        device: where the solve runs.
        mark: the fingerprint of all that determines the result.
        truth: the sharp image (B, C, H, W), to report PSNR before and after, or None.
        facts: kernel size, noise level, seed and the like, for the result's details.
    """

    name: str
    assembly: Assembly
    picture: Tensor
    chroma: Tensor | None
    layout: Layout
    photo: Photo | None
    device: torch.device
    mark: str
    truth: Tensor | None
    facts: Mapping[str, Any]

    def run(
        self,
        *,
        time_limit: float | None = None,
        observers: Sequence[Observer] = (),
        checkpoint: Path | None = None,
        checkpoint_every: float = 30.0,
        resume: bool = False,
    ) -> Result:
        """Solve, and put the picture together again.

        Args:
            time_limit: seconds after which the result so far is returned.
            observers: watchers of the solve.
            checkpoint: file to save the state in, None for none.
            checkpoint_every: seconds between two saves.
            resume: continue from that file.

        Raises:
            InputError: there is nothing to resume from, or it is of another run.
            OutOfMemoryError, DivergedError: the solve failed.
        """
        saved = load_checkpoint(checkpoint, self.mark) if resume and checkpoint is not None else None
        savers = [] if checkpoint is None else [Checkpointer(checkpoint, self.mark, checkpoint_every)]
        with explained_memory():
            solved = self.assembly.solver.solve(
                self.assembly.problem.to(self.device),
                observers=[*observers, *savers],
                time_limit=time_limit,
                resume=saved,
            )
        return self._finish(solved)

    def _finish(self, solved: Result) -> Result:
        plane = visible_part(torch.as_tensor(solved.image), self.assembly.problem.data, solved.kernel.shape[-2:])
        whole = plane if self.chroma is None else from_luma_chroma(plane, self.chroma)
        details = dict(self.facts)
        if self.truth is not None:
            details["psnr"] = {"before": psnr(self.picture, self.truth), "after": psnr(whole, self.truth)}
        kernel = torch.as_tensor(solved.kernel)[:, 0].double()
        kernel = kernel / kernel.sum(dim=(-2, -1), keepdim=True)
        return replace(
            solved,
            image=self._given_back(whole.clamp(0, 1).float()),
            kernel=like_layout(kernel[0] if len(kernel) == 1 else kernel, self.layout),
            blurry=self._given_back(self.picture),
            details=details,
            bits=self.layout.bits if self.photo is None else self.photo.bits,
            icc_profile=None if self.photo is None else self.photo.icc_profile,
        )

    def _given_back(self, picture: Tensor) -> Array:
        array = from_bchw(picture, self.layout)
        return array if self.photo is None else self.photo.put_back(np.asarray(array))


def prepare(
    image: Picture,
    *,
    recipe: str | Path | Recipe | None = None,
    kernel_size: KernelSize | None = None,
    kernel: Picture | None = None,
    color: Literal["luma", "rgb"] | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    truth: Picture | None = None,
) -> Job:
    """Check everything and build the problem; arguments as for `deblur`, None meaning what the recipe says.

    ``sigma`` is the standard deviation of the noise in [0, 1] units, None to estimate it. ``truth``, the sharp image
    of the same size, makes the result report PSNR before and after (Levin's protocol).

    Raises:
        InvkitError: one of them cannot be used.
    """
    where = choose_device(device)
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe or default_recipe(where))
    chosen = chosen.with_overrides(overrides) if overrides else chosen
    picture, layout, photo = take(image)
    data, chroma = picture, None
    if (color or chosen.measurement.color) == "luma" and picture.shape[1] == 3:
        data, chroma = to_luma_chroma(picture)
    sharp = None if truth is None else take_truth(truth, picture)
    given = None if kernel is None else take_kernel(kernel, len(data))
    asked = (1, 1) if chosen.kernel_prior is None else kernel_size or chosen.measurement.kernel_size
    size = check_kernel_size(asked, data, given)
    level = noise_level(chosen, data) if sigma is None else sigma
    assembly = assemble(chosen, data, size, kernel=given, sigma=level or 0.0, seed=seed)
    settings = {"seed": seed, "kernel_size": size, "sigma": level}
    facts = {
        "recipe": assembly.recipe,
        "seed": seed,
        "color": "luma" if chroma is not None else "all channels",
        "noise_sigma": level,
        "device": str(where),
        "image_size": list(picture.shape[-2:]),
        "versions": versions(),
    }
    mark = fingerprint(assembly.recipe, data, given, settings)
    return Job(chosen.name, assembly, picture, chroma, layout, photo, where, mark, sharp, facts)


def noise_level(recipe: Recipe, data: Tensor) -> float | None:
    """The estimated standard deviation of the noise; None for an image too small to tell, where no term needs it."""
    needed = any(term.times == "sigma" and term.weight > 0 for term in recipe.regularizers)
    if not needed and min(data.shape[-2:]) < PATCH:
        return None
    return estimate_sigma(data)


def default_recipe(device: torch.device) -> str:
    """The recipe when none is asked for: the paper's network where a GPU makes it quick, the small one elsewhere."""
    return "selfdeblur" if device.type == "cuda" else "selfdeblur-small"


def auto_kernel_size(data: Tensor) -> tuple[int, int]:
    """An eighth of the shorter side, made odd, between 15 and 65 pixels: large enough for most camera shake.

    A kernel prior can leave the rim of too large a support empty; too small a one cannot hold the blur.
    """
    shorter = min(data.shape[-2:])
    low, high = KERNEL_LIMITS
    side = min(max(shorter // 8, low), high, shorter) // 2 * 2 + 1
    side = side if side <= shorter else side - 2
    return side, side


def check_kernel_size(size: KernelSize, data: Tensor, given: Tensor | None) -> tuple[int, int]:
    """The kernel's (h, w): the given kernel's own, or what was asked for.

    Raises:
        InputError: it is not positive, or larger than the image.
    """
    if given is not None:
        height, width = given.shape[-2:]
    elif size == "auto":
        height, width = auto_kernel_size(data)
    else:
        height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise InputError(f"the kernel size must be positive, got {height}x{width} (height x width, pixels)")
    if height > data.shape[-2] or width > data.shape[-1]:
        raise InputError(
            f"the kernel ({height}x{width}) is larger than the image ({data.shape[-2]}x{data.shape[-1]}); "
            "give a smaller kernel size or a larger image"
        )
    return height, width


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" takes a GPU where there is one.

    Raises:
        InputError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"the device '{name}' cannot be used here ({str(error).splitlines()[0]}); try --device cpu"
        ) from error
    return torch.device(name)


def take(image: Picture) -> tuple[Tensor, Layout, Photo | None]:
    """The image as (B, C, H, W) in [0, 1], how to give it back, and the file's photograph; raises `InputError`."""
    photo = read_image(image) if isinstance(image, str | Path) else None
    return (*to_bchw(image if photo is None else photo.pixels), photo)  # type: ignore[arg-type]


def take_kernel(kernel: Picture, batch: int) -> Tensor:
    """A kernel from a file or an array (h, w), as (B, 1, h, w); raises `InputError`."""
    array = read_kernel(kernel) if isinstance(kernel, str | Path) else check_kernel(np.asarray(kernel))
    return torch.from_numpy(array).float().expand(batch, 1, *array.shape).clone()


def visible_part(image: Tensor, data: Tensor, kernel_size: Sequence[int]) -> Tensor:
    """The part of the image that the data show: a valid convolution reaches beyond them by the kernel's size."""
    (height, width), (rows, columns) = data.shape[-2:], kernel_size
    if tuple(image.shape[-2:]) == (height + rows - 1, width + columns - 1):
        return crop_to_data(image, (rows, columns), (height, width))
    return image


def like_layout(kernel: Tensor, layout: Layout) -> Array:
    """The kernel as the kind of array that was given."""
    return kernel if layout.kind == "tensor" else kernel.numpy()


def take_truth(truth: Picture, picture: Tensor) -> Tensor:
    """The sharp image as (B, C, H, W); raises `InputError` when it is not of the picture's size."""
    sharp = take(truth)[0]
    if sharp.shape[-2:] != picture.shape[-2:]:
        raise InputError(
            f"the truth is {tuple(sharp.shape[-2:])} and the image {tuple(picture.shape[-2:])} (height, width); "
            "they must show the same part of the scene"
        )
    return sharp


def psnr(picture: Tensor, truth: Tensor) -> float:
    """Shift-aligned PSNR of the luma in dB (Levin's protocol), of the first image of a batch."""
    luma, reference = (to_luma_chroma(x)[0] if x.shape[1] == 3 else x for x in (picture, truth))
    border = min(15, min(truth.shape[-2:]) // 4)  # the protocol's, or less for a picture that it would use up
    return aligned_psnr(luma[0, 0], reference[0, 0], border=border, max_shift=min(5, border))


@contextmanager
def explained_memory() -> Iterator[None]:
    """Say what to change when memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not any(w in str(error).lower() for w in ("out of memory", "allocate")):
            raise
        raise OutOfMemoryError(
            "the problem does not fit in memory; crop the image, use a recipe with a smaller network "
            "(selfdeblur-small), or set solver.params.precision=bfloat16"
        ) from error


def versions() -> dict[str, str]:
    """What a result depends on beside its recipe."""
    packages = {name: version(name) for name in ("invkit", "torch", "deepinv", "numpy")}
    return {"python": platform.python_version(), "platform": platform.platform(), **packages}
