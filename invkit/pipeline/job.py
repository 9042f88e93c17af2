"""A restoration from what is asked for to what is given back: everything is checked before anything is computed."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import registry
from ..core.errors import InputError, OutOfMemoryError, is_out_of_memory
from ..core.interfaces import Blur, ForwardOperator, KernelPrior
from ..core.observers.checkpoint import Checkpointer, describe_run, load_checkpoint
from ..core.result import Array, Result
from ..core.solver import Observer
from ..media.colour import from_luma_chroma, to_luma_chroma
from ..numerics.geometry import Size, shape_of, size_of, visible_part, visible_size
from ..numerics.registration import aligned_psnr
from ..recipes.model import Recipe
from . import options
from .assemble import Assembly, as_many
from .chain import Outcome
from .diagnostics import diagnose
from .inputs import Measured, Picture, Taken, digest, scaled_to, take, take_truth, read_operator_parameter
from .multistart import solve_stages
from .options import Options, Color, KernelSize
from .stages import Stage, Watch, check_stages, plan, with_colors

__all__ = ["Job", "prepare", "versions"]


@dataclass(frozen=True)
class Job:
    """A restoration with everything decided and checked, and nothing computed yet.

    Attributes:
        name: of the recipe.
        assembly: problem and solver of the first stage, and the recipe of all of them, resolved.
        stages: the recipe, and those that go on from the kernel found.
        measured: what was given, whole, and how to give an image of it back.
        device: where the solve runs.
        identity: all that determines the result, by which a checkpoint is recognised.
        truth: the true image (B, C, H, W), to report PSNR before and after, or None.
        facts: kernel size, noise level, seed and the like, for the result's details.
        inputs: the files that it was made from.
    """

    name: str
    assembly: Assembly
    stages: tuple[Stage, ...]
    measured: Taken
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
        progress: Callable[[str], Observer] | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: float = 30.0,
        resume: bool = False,
    ) -> Result:
        """Solve, stage after stage, and put the picture together again.

        A stage that was stopped early, by the time limit or by Ctrl-C, leaves the stages between it and the last
        unsolved; the last is solved from the kernel so far if its kernel is known, so that there is an image.

        Args:
            time_limit: seconds after which the result so far is returned; the last of several stages gets 30 seconds
                or half of the limit, whichever is more, even if nothing is left of it.
            observers: watchers of every stage, one after the other.
            progress: makes a further watcher for each stage, from a title.
            checkpoint: file to save the state of the first stage in, None for none; of a recipe that has several to
                start from, none is saved.
            checkpoint_every: seconds between two saves.
            resume: continue the first stage from that file; later ones are solved again.

        Raises:
            InputError: there is nothing to resume from, or it is of another run.
            OutOfMemoryError, DivergedError: the solve failed.
        """
        check_time(time_limit)
        if resume and self.stages[0].candidates:
            raise InputError(f"{self.name} begins from several starts, of which nothing is saved to resume; start anew")
        if resume and checkpoint is None:
            raise InputError("resume needs the checkpoint file to resume from")
        saved = load_checkpoint(checkpoint, self.identity, self.device) if resume and checkpoint is not None else None
        savers = [] if checkpoint is None else [Checkpointer(checkpoint, self.identity, checkpoint_every)]
        watch = Watch(observers, savers, progress, time_limit)
        with explained_memory():
            return self._finish(solve_stages(self.stages, self.assembly, self.device, watch, saved))

    def _finish(self, outcome: Outcome) -> Result:
        solved, (stage, _) = outcome.result(), outcome.last
        image, kernel = torch.as_tensor(solved.image), torch.as_tensor(solved.kernel)
        plane = visible_part(image, size_of(stage.data), size_of(kernel))
        whole, before = with_chroma(plane, stage.chroma), self.before()
        details = {**self.facts, "color": shown_color(stage), **solved.details}
        if self.truth is not None:
            details["psnr"] = {"before": psnr(before, self.truth), "after": psnr(whole, self.truth)}
        if self.may_be_doubted:
            found = diagnose(before, whole.clamp(0, 1), kernel[0, 0], details.get("candidates", ()))
            details |= {"doubts": found} if found else {}
        return replace(
            solved,
            image=self.measured.given_back(whole.clamp(0, 1).float()),
            kernel=self._unknown(kernel),
            blurry=self.measured.given_back(before),
            details=details,
            bits=self.measured.bits,
            has_kernel=self.has_kernels,
            icc_profile=None if self.measured.photo is None else self.measured.photo.icc_profile,
        )

    @property
    def may_be_doubted(self) -> bool:
        """Whether it is one photograph whose blur was estimated."""
        found = bool(self.stages[0].candidates) or not self.stages[0].recipe.is_nonblind
        return found and isinstance(self.operator, Blur) and len(self.measured.data) == 1

    @property
    def operator(self) -> ForwardOperator:
        """Of the first stage."""
        return self.assembly.problem.operator

    def before(self) -> Tensor:
        """What there is to see before anything is solved.

        The pictures given, or the operator's first image where they are no pictures or of another size than it.
        """
        problem, data, seen = self.assembly.problem, self.measured.data, self.stages[-1]
        first = problem.operator.initial_image(seen.data, problem.kernel_prior().detach().to(seen.data))
        if problem.operator.data_range is not None and size_of(first) == size_of(data):
            return data
        return with_chroma(first, seen.chroma).clamp(0, 1)

    @property
    def has_kernels(self) -> bool:
        """Whether the operator's unknown is a kernel, or several."""
        return issubclass(self.operator.parameter_prior, KernelPrior)

    def _unknown(self, value: Tensor) -> Array:
        if self.has_kernels:
            value = value[:, 0].double()
            value = value / value.sum((-2, -1), keepdim=True)  # float32 sums to one within 1e-6 only
        value = value[0] if len(value) == 1 else value
        return value if self.measured.layout.kind == "tensor" else np.asarray(value)


def prepare(
    image: Measured | None = None,
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
    nonblind: bool = False,
    time_limit: float | None = None,
) -> Job:
    """Check everything, of every stage, and build the problem; arguments as for `deblur` and `restore`.

    ``truth``, the true image of the size of what is restored, makes the result report PSNR before and after (Levin's
    protocol). ``nonblind`` refuses a recipe that would not use the kernel. ``time_limit`` is only what "auto" picks a
    recipe by.

    Raises:
        InvkitError: one of them cannot be used.
    """
    named = {"kernel_size": kernel_size, "color": color, "seed": seed, "device": device, "sigma": sigma}
    chosen = Options.checked(overrides, named)
    where = options.choose_device(chosen.device)
    recipe, reason, taken = options.decided(recipe, image, kernel, time_limit)
    method, folder = options.find_recipe(recipe)
    method = method.with_overrides(chosen.overrides) if chosen.overrides else method
    if nonblind:
        options.check_nonblind(method)
    operator: type[ForwardOperator] = registry.load("operators", method.operator.name)
    measured, start = measurement(method, folder, image, kernel)
    taken = taken or take(measured, operator)
    options.check_single(method, taken.data)
    unknown = None if start is None else read_operator_parameter(start, operator)
    if unknown is not None:
        options.check_takes_kernel(method)
    size = kernel_size_of(method, operator, chosen, taken.data, unknown)
    stages = plan(method, taken.data, chosen, pictures=operator.data_range is not None)
    if unknown is not None and issubclass(operator, Blur):
        unknown = as_many(unknown, (len(taken.data), 1, *size))
        stages = (stages[0].knowing(unknown), *stages[1:])
    with explained_memory():
        assembly = check_stages(stages, size, unknown, where)
    assembly = replace(assembly, recipe=with_colors(assembly.recipe, stages))
    sharp = None if truth is None else take_truth(truth, restored_size(assembly, stages[-1]))
    facts = {
        **({"recipe_picked": reason} if reason else {}),
        "image": digest(measured),
        "image_size": list(taken.data.shape[-2:]),
        "kernel_given": digest(start),
        "recipe": assembly.recipe,
        "seed": seed,
        "color": shown_color(stages[-1]),
        "noise_sigma": stages[0].sigma,
        "noise_sigma_from": "estimated" if chosen.sigma is None else "given",
        "device": str(where),
        "versions": versions(),
    }
    settings = {"seed": seed, "kernel_size": list(size), "sigma": stages[0].sigma}
    identity = describe_run(assembly.recipe, stages[0].data, unknown, settings)
    images = measured if isinstance(measured, list | tuple) else [measured]
    inputs = tuple(Path(given) for given in (*images, start, truth) if isinstance(given, str | Path))
    return Job(method.name, assembly, stages, taken, where, identity, sharp, facts, inputs)


def kernel_size_of(
    method: Recipe, operator: type[ForwardOperator], chosen: Options, data: Tensor, unknown: Tensor | None
) -> Size:
    """The size of the kernel that is to be found or was given; 1x1 where there is none."""
    if not issubclass(operator.parameter_prior, KernelPrior) or (method.kernel_prior is None and not method.candidates):
        return 1, 1
    return options.check_kernel_size(chosen.kernel_size or method.measurement.kernel_size, data, unknown)


def restored_size(assembly: Assembly, last: Stage) -> Size:
    """(height, width) of the image that will be given back."""
    problem, data = assembly.problem, last.data
    image = problem.operator.image_shape(shape_of(data), problem.kernel_prior.shape)
    return visible_size(image[2:], size_of(data), problem.kernel_prior.shape[2:])


def with_chroma(plane: Tensor, chroma: Tensor | None) -> Tensor:
    """A restored luma with the colours that were kept, on its grid; the plane itself where there are none."""
    return plane if chroma is None else from_luma_chroma(plane, scaled_to(chroma, size_of(plane)))


def measurement(
    method: Recipe, folder: Path, image: Measured | None, kernel: Picture | None
) -> tuple[Measured, Picture | None]:
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


def shown_color(stage: Stage) -> str:
    """What a stage restores of its picture: "luma", "rgb" or, where there is no colour, "grey"."""
    return "luma" if stage.chroma is not None else "rgb" if stage.data.shape[1] == 3 else "grey"


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
