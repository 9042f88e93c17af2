"""From a photograph to its restoration: the way through the whole house for people who just have a picture."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import choices
from .assembly import Assembly, assemble
from .choices import Choices, Color, KernelSize, Picture
from .errors import InputError, OutOfMemoryError
from .geometry import crop_to_data
from .media.colour import from_luma_chroma, to_luma_chroma
from .media.images import Layout, Photo, from_bchw
from .metrics.aligned import aligned_psnr
from .observers.checkpoint import Checkpointer, describe_run, load_checkpoint
from .observers.progress import ProgressBar
from .recipe import Recipe, is_out_of_memory
from .result import Array, Result
from .solver import Observer

__all__ = ["Job", "deblur", "prepare", "restore"]


def deblur(
    image: Picture,
    *,
    recipe: str | Path | Recipe | None = None,
    kernel_size: KernelSize | None = None,
    color: Color | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    time_limit: float | None = None,
    progress: bool = True,
) -> Result:
    """Restore a blurry image and estimate the kernel that blurred it.

    Args:
        image: a file, a NumPy array (H, W), (H, W, 3) or a tensor (H, W), (C, H, W), (1, C, H, W); in [0, 1], or
            8 or 16 bit unsigned integers.
        recipe: a registered recipe's name, a ``.toml`` file or a `Recipe`; None takes ``selfdeblur`` on a GPU and
            ``selfdeblur-small`` without one.
        kernel_size: N, (h, w) or "auto" (`choices.auto_kernel_size`), pixels; too large is safer than too small. None:
            what the recipe says, which is "auto" unless it names one.
        color: of a colour image, restore the "luma" and keep the chroma, or the three channels with one kernel, "rgb";
            None: what the recipe says, which is "luma" unless it names one.
        overrides: settings as ``"kernel_prior.params.hidden=2000"`` or ``"image_prior=pixels"``.
        seed: of every random number.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        sigma: standard deviation of the noise in [0, 1] units; None to estimate it.
        time_limit: seconds after which the result so far is returned.
        progress: show a progress bar.

    Returns:
        The result; ``image`` is of the kind, layout and size of what was given, ``kernel`` is (h, w).

    Raises:
        InvkitError: the image, an option or the recipe cannot be used; nothing has been computed then.
        DivergedError: the solve did not stay finite.
    """
    job = prepare(
        image,
        recipe=recipe,
        kernel_size=kernel_size,
        color=color,
        overrides=overrides,
        seed=seed,
        device=device,
        sigma=sigma,
    )
    return job.run(time_limit=time_limit, observers=[ProgressBar(job.name)] if progress else [])


def restore(
    image: Picture | None,
    recipe: str | Path | Recipe,
    *,
    kernel: Picture | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    time_limit: float | None = None,
    progress: bool = True,
) -> Result:
    """Solve the problem of any recipe, blind or not, deblurring or not.

    Args:
        image: as for `deblur`; None takes the file that the recipe's measurement names.
        recipe: as for `deblur`.
        kernel: (h, w) true-convolution kernel or a file of one, where the recipe's kernel prior starts from a kernel;
            None takes the file that the recipe's measurement names, if it does.
        overrides: as for `deblur`.
        seed: as for `deblur`.
        device: as for `deblur`.
        sigma: as for `deblur`.
        time_limit: as for `deblur`.
        progress: as for `deblur`.

    Returns and raises as `deblur`.
    """
    job = prepare(image, recipe=recipe, kernel=kernel, overrides=overrides, seed=seed, device=device, sigma=sigma)
    return job.run(time_limit=time_limit, observers=[ProgressBar(job.name)] if progress else [])


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
        identity: all that determines the result, by which a checkpoint is recognised.
        truth: the sharp image (B, C, H, W), to report PSNR before and after, or None.
        facts: kernel size, noise level, seed and the like, for the result's details.
        inputs: the files that it was made from.
    """

    name: str
    assembly: Assembly
    picture: Tensor
    chroma: Tensor | None
    layout: Layout
    photo: Photo | None
    device: torch.device
    identity: Mapping[str, Any]
    truth: Tensor | None
    facts: Mapping[str, Any]
    inputs: tuple[Path, ...]

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
        check_time(time_limit)
        if resume and checkpoint is None:
            raise InputError("resume needs the checkpoint file to resume from")
        saved = load_checkpoint(checkpoint, self.identity, self.device) if resume and checkpoint is not None else None
        savers = [] if checkpoint is None else [Checkpointer(checkpoint, self.identity, checkpoint_every)]
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
        kernel = torch.as_tensor(solved.kernel)[0, 0].double()
        kernel = kernel / kernel.sum()  # float32 sums to one within 1e-6 only
        return replace(
            solved,
            image=self._given_back(whole.clamp(0, 1).float()),
            kernel=kernel if self.layout.kind == "tensor" else kernel.numpy(),
            blurry=self._given_back(self.picture),
            details=details,
            bits=self.layout.bits if self.photo is None else self.photo.bits,
            icc_profile=None if self.photo is None else self.photo.icc_profile,
        )

    def _given_back(self, picture: Tensor) -> Array:
        array = from_bchw(picture, self.layout)
        return array if self.photo is None else self.photo.put_back(np.asarray(array))


def prepare(
    image: Picture | None = None,
    *,
    recipe: str | Path | Recipe | None = None,
    kernel: Picture | None = None,
    truth: Picture | None = None,
    kernel_size: KernelSize | None = None,
    color: Color | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
) -> Job:
    """Check everything and build the problem; arguments as for `deblur` and `restore`.

    ``truth``, the sharp image of the same size, makes the result report PSNR before and after (Levin's protocol).

    Raises:
        InvkitError: one of them cannot be used.
    """
    named = {"kernel_size": kernel_size, "color": color, "seed": seed, "device": device, "sigma": sigma}
    chosen = Choices.checked(overrides, named)
    where = choices.choose_device(chosen.device)
    method, folder = choices.find_recipe(recipe, where)
    method = method.with_overrides(chosen.overrides) if chosen.overrides else method
    measured, start = measurement(method, folder, image, kernel)
    picture, layout, photo = choices.take(measured)
    sharp = None if truth is None else choices.take_truth(truth, picture)
    data, chroma = picture, None
    if (chosen.color or method.measurement.color) == "luma" and picture.shape[1] == 3:
        data, chroma = to_luma_chroma(picture)
    kernel_given = None if start is None else choices.take_kernel(start)
    asked = (1, 1) if method.kernel_prior is None else chosen.kernel_size or method.measurement.kernel_size
    size = choices.check_kernel_size(asked, data, kernel_given)
    level = choices.noise_level(method, data) if chosen.sigma is None else chosen.sigma
    with explained_memory():
        assembly = assemble(method, data, size, kernel=kernel_given, sigma=level or 0.0, seed=seed)
    choices.check_kernel_prior(assembly.problem.kernel_prior)
    choices.check_memory(assembly.problem.image_prior, where)
    facts = {
        "image": choices.digest(measured),
        "image_size": list(picture.shape[-2:]),
        "kernel_given": choices.digest(start),
        "recipe": assembly.recipe,
        "seed": seed,
        "color": "luma" if chroma is not None else "rgb" if picture.shape[1] == 3 else "grey",
        "noise_sigma": level,
        "noise_sigma_from": "estimated" if chosen.sigma is None else "given",
        "device": str(where),
        "versions": versions(),
    }
    identity = describe_run(
        assembly.recipe, data, kernel_given, {"seed": seed, "kernel_size": list(size), "sigma": level}
    )
    inputs = tuple(Path(given) for given in (measured, start, truth) if isinstance(given, str | Path))
    return Job(method.name, assembly, picture, chroma, layout, photo, where, identity, sharp, facts, inputs)


def measurement(
    method: Recipe, folder: Path, image: Picture | None, kernel: Picture | None
) -> tuple[Picture, Picture | None]:
    """Image and kernel as given, or else the files that the recipe names, relative to its folder.

    Raises:
        InputError: there is no image.
    """
    named = method.measurement
    if image is None:
        if named.image is None:
            raise InputError("no image is given, and the recipe names none (measurement.image); give one with --image")
        image = folder / named.image
    if kernel is None and named.kernel is not None:
        kernel = folder / named.kernel
    return image, kernel


def check_time(limit: object) -> None:
    """Refuse a time limit that is no positive number; raises `InputError`."""
    if limit is not None and not (isinstance(limit, int | float) and limit > 0):
        raise InputError(f"the time limit must be a positive number of seconds, got {limit!r}")


def visible_part(image: Tensor, data: Tensor, kernel_size: Sequence[int]) -> Tensor:
    """The part of the image that the data show: a valid convolution reaches beyond them by the kernel's size."""
    (height, width), (rows, columns) = data.shape[-2:], kernel_size
    if tuple(image.shape[-2:]) == (height + rows - 1, width + columns - 1):
        return crop_to_data(image, (rows, columns), (height, width))
    return image


def psnr(picture: Tensor, truth: Tensor) -> float:
    """Shift-aligned PSNR of the luma of one picture, in dB (Levin's protocol)."""
    luma, reference = (to_luma_chroma(x)[0] if x.shape[1] == 3 else x for x in (picture, truth))
    border = min(15, min(truth.shape[-2:]) // 4)  # the protocol's, or less for a picture that it would use up
    return aligned_psnr(luma[0, 0], reference[0, 0], border=border, max_shift=min(5, border))


@contextmanager
def explained_memory() -> Iterator[None]:
    """Say what to change when memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or isinstance(error, OutOfMemoryError):
            raise
        raise OutOfMemoryError(
            "the problem does not fit in memory; crop the image, set a smaller network "
            "(image_prior.params.channels=16), or solver.params.precision=bfloat16"
        ) from error


def versions() -> dict[str, str]:
    """What a result depends on beside its recipe."""
    packages = {name: version(name) for name in ("invkit", "torch", "deepinv", "numpy")}
    return {"python": platform.python_version(), "platform": platform.platform(), **packages}
