"""A restoration from its options to its result. Everything is checked before anything is computed.

The way is straight: options, recipe, inputs, problem, stages, result.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..core import registry
from ..core.errors import InputError
from ..core.interfaces import Blur, ForwardOperator, KernelPrior
from ..core.observers.checkpoint import Checkpointer, describe_run, load_checkpoint, tensor_digest
from ..core.operator_parameters import Stacked
from ..core.parameters import LARGEST
from ..core.result import Result
from ..core.runtime.threads import usual_torch_state
from ..core.solver import Observer, deferred_interrupt
from ..numerics.geometry import size_of
from ..recipes.model import Recipe, load_recipe
from .assemble import Assembly, as_batch
from .diagnostics import diagnose
from .input_image import InputImage
from .inputs import ArrayOrFile, ImageInput, Inputs, check_truth, read_inputs
from .kernel_frame import KernelFrame
from .multistart import solve_stages
from .options import (
    Color,
    KernelSize,
    Options,
    check_accepts_kernel,
    check_nonblind,
    check_single_image,
    choose_device,
    explained_memory,
    kernel_frame_of,
)
from .recipe_choice import AUTO_RECIPE, choose_recipe, recipe_for_kernel
from .restored import (
    before_solve,
    parameter_in_layout,
    psnr_before_and_after,
    restored_color,
    restored_size,
    variances_in_layout,
    visible_image,
    with_chroma,
)
from .scene import Scene, scene_of
from .sequence import Outcome
from .stages import RunControl, Stage, check_stages, plan_stages, with_colors
from .variances import check_noise_given_once

if TYPE_CHECKING:
    from .uncertainty import UncertaintyPlan

__all__ = ["Job", "prepare", "versions"]


@dataclass(frozen=True)
class Job:
    """A restoration with all decisions made and checked, and nothing computed.

    Attributes:
        name: of the recipe.
        assembly: problem and solver of the first stage, and the recipe of all stages with every default.
        stages: of the recipe.
        frame: of the kernel.
        image: the measured data, and their layout.
        scene: the part of them that is restored.
        device: where the solve runs.
        identity: all that determines the result; a checkpoint belongs to one identity.
        truth: the true image (B, C, H, W), to report PSNR before and after; or None.
        facts: options, noise level, versions and the like, for the result's details.
        input_files: the files that were read.
        uncertainty: how standard deviations are found after the solve; None if nobody asked for them.
        with_size_found: estimates the kernel quickly and makes the job for its size; None if the size is known, or if
            each candidate finds it.
    """

    name: str
    assembly: Assembly
    stages: tuple[Stage, ...]
    frame: KernelFrame
    image: InputImage
    scene: Scene
    device: torch.device
    identity: Mapping[str, Any]
    truth: Tensor | None
    facts: Mapping[str, Any]
    input_files: tuple[Path, ...]
    uncertainty: UncertaintyPlan | None = None
    with_size_found: Callable[[], Job] | None = None

    @usual_torch_state()
    def run(
        self,
        *,
        time_limit: float | None = None,
        observers: Sequence[Observer] = (),
        progress: Callable[[str], Observer] | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: float = 30.0,
        resume: bool = False,
        extendable: bool = False,
    ) -> Result:
        """Solve the stages and put the image together.

        If a stage is stopped early, by the time limit or by Ctrl-C, the stages between it and the last are skipped.
        The last one is solved from the kernel so far if its kernel is known, so that there is an image.

        Args:
            time_limit: seconds after which the result so far is returned; the last of several stages has 30 seconds
                or half of the limit, whichever is more, even if nothing is left of it. Uncertainty has what is left.
            observers: of every stage, one after the other.
            progress: makes a further observer for each stage, from a title.
            checkpoint: file for the state of the first stage; None for none. A recipe with candidates saves none.
            checkpoint_every: seconds between two saves.
            resume: continue the first stage from that file; later stages are solved again.
            extendable: keep the state at the end of the first stage too, to resume it with more iterations.

        Raises:
            InputError: there is nothing to resume from, or the checkpoint belongs to another run.
            OutOfMemoryError, DivergedError: the solve failed.
        """
        if time_limit is not None and not (isinstance(time_limit, int | float) and 0 < time_limit <= LARGEST):
            raise InputError(f"the time limit must be a positive number of seconds, got {time_limit!r:.40}")
        job = self.sized()
        if resume and job.stages[0].candidates:
            raise InputError(f"{self.name} has several candidates, of which nothing is saved to resume; start anew")
        if extendable and job.stages[0].candidates:
            raise InputError(f"{self.name} has several candidates, of which no state is kept; it cannot be extended")
        if resume and checkpoint is None:
            raise InputError("resume needs the checkpoint file to resume from")
        saved = load_checkpoint(checkpoint, job.identity, self.device) if resume and checkpoint is not None else None
        every, savers = checkpoint_every, list[Observer]()
        if checkpoint is not None:
            savers.append(Checkpointer(checkpoint, job.identity, every, at_end=extendable))
        control = RunControl(observers, savers, progress, time_limit)
        with explained_memory(), deferred_interrupt() as interrupted:
            outcome = solve_stages(job.stages, job.assembly, self.device, control, job.frame, saved)
            result = job.result(outcome)
            if job.uncertainty is None:
                return result
            from .uncertainty import Budget, with_uncertainty

            view, budget = (job.image, job.scene), Budget(self.device, interrupted, time_limit)
            return with_uncertainty(result, job.uncertainty, outcome, view, budget, progress)

    def sized(self) -> Job:
        """The job for the kernel size that a quick estimate finds; the job itself if none is needed."""
        if self.with_size_found is None:
            return self
        with explained_memory():
            return self.with_size_found()

    def result(self, outcome: Outcome) -> Result:
        """The result for the user: the image in the input's layout, with its chroma, details and warnings."""
        solved, (stage, _) = outcome.result(), outcome.last
        image, kernel = torch.as_tensor(solved.image), torch.as_tensor(solved.kernel)
        plane = visible_image(self.operator, image, stage.data, kernel)
        restored = with_chroma(plane, stage.chroma)
        before = before_solve(self.assembly.problem, self.scene.picture, self.stages[-1])
        details = {**self.facts, "color": restored_color(stage), **solved.details}
        warnings, is_sharp = [], self.can_be_diagnosed and self.scene.is_sharp(before, kernel[0, 0])
        if self.can_be_diagnosed and not is_sharp:
            warnings = diagnose(before, restored.clamp(0, 1), kernel[0, 0], details.get("candidates", ()))
        warnings += self.image.doubts(plane)
        details |= self.image.with_white(self.scene.facts(is_sharp)) | ({"warnings": warnings} if warnings else {})
        given = self.scene.given(before)
        whole = given if is_sharp else self.scene.put_back(restored)
        if self.truth is not None:
            peak = 1.0 if self.image.brightness is None else float(self.truth.max())
            details["psnr"] = psnr_before_and_after(self.operator, given / peak, whole / peak, self.truth / peak)
        return replace(
            solved,
            image=self.image.in_layout(whole.clamp(*self.image.range).float()),
            kernel=parameter_in_layout(kernel, self.image.layout, are_kernels=self.has_kernel),
            variances=variances_in_layout(solved.variances, self.image.layout),
            blurry=self.image.in_layout(given),
            details=details,
            bits=self.image.bits,
            has_kernel=self.has_kernel,
            is_stack=isinstance(self.operator, Stacked),
            white=self.image.shown_white,
            black=self.image.black,
            icc_profile=None if self.image.photo is None else self.image.photo.icc_profile,
        )

    @property
    def can_be_diagnosed(self) -> bool:
        """Whether the kernel of a single image was estimated."""
        is_blind = bool(self.stages[0].candidates) or not self.stages[0].recipe.keeps_kernel
        return is_blind and isinstance(self.operator, Blur) and len(self.image.data) == 1

    @property
    def operator(self) -> ForwardOperator:
        """Of the first stage."""
        return self.assembly.problem.operator

    @property
    def has_kernel(self) -> bool:
        """Whether the operator's parameter is a kernel, or several."""
        return issubclass(self.operator.parameter_prior, KernelPrior)


@usual_torch_state()
def prepare(
    image: ImageInput | None = None,
    *,
    recipe: str | Path | Recipe | None = None,
    kernel: ArrayOrFile | None = None,
    truth: ArrayOrFile | None = None,
    kernel_size: KernelSize | None = None,
    color: Color | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    whole_picture: bool = False,
    uncertainty: bool | int = False,
    white: float | None = None,
    variance: ArrayOrFile | None = None,
    nonblind: bool = False,
    time_limit: float | None = None,
) -> Job:
    """Read the inputs, check everything, of every stage, and build the problem.

    Args:
        image: as for `deblur` and `restore`.
        recipe: as for `deblur`.
        kernel: as for `restore`.
        truth: the true image of the restored size; the result then reports PSNR before and after (Levin's protocol).
        kernel_size: as for `deblur`.
        color: as for `deblur`.
        overrides: as for `deblur`.
        seed: as for `deblur`.
        device: as for `deblur`.
        sigma: as for `deblur`.
        whole_picture: as for `deblur`.
        uncertainty: as for `deblur`.
        white: as for `deblur`.
        variance: as for `deblur`.
        nonblind: refuse a recipe that would ignore the kernel.
        time_limit: seconds; only for the choice of a recipe by "auto".

    Raises:
        InvkitError: one of them cannot be used.
    """
    given = {"kernel_size": kernel_size, "color": color, "seed": seed, "device": device, "sigma": sigma}
    given |= {"whole_picture": whole_picture, "white": white, "uncertainty": uncertainty}
    options = Options.checked(overrides, given)
    if variance is not None:
        check_noise_given_once(options.sigma)
    where = choose_device(options.device)
    is_open = recipe is None or recipe == AUTO_RECIPE
    if is_open and nonblind:
        recipe, is_open = recipe_for_kernel(image), False
    method = None if recipe is None or is_open else read_recipe(recipe, options)
    inputs = read_inputs(image, kernel, truth, method, recipe, options.white, variance)
    if method is not None and registry.load("operators", method.operator.name).data_range is None:
        from .units import scaled_numbers

        inputs = scaled_numbers(inputs, method, options)
    if options.sigma is not None:
        options = options.model_copy(update={"sigma": options.sigma / inputs.image.divisor})
    inputs = inputs.with_variance_scaled()
    reason = None
    if method is None:
        name, reason = choose_recipe(inputs, options, time_limit)
        method = read_recipe(name, options)
    if nonblind:
        check_nonblind(method)
    return prepared_job(method, inputs, scene_of(inputs, method, options), options, where, reason)


def read_recipe(recipe: str | Path | Recipe, options: Options) -> Recipe:
    """The recipe with the settings of the options; raises `InvkitError`."""
    method = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    return method.with_overrides(options.overrides) if options.overrides else method


def prepared_job(
    method: Recipe, inputs: Inputs, scene: Scene, options: Options, device: torch.device, reason: str | None
) -> Job:
    """Plan the stages, build and check all of them.

    Args:
        method: the recipe, settings applied.
        inputs: that were read.
        scene: the part of the image that is restored.
        options: the user's.
        device: where to solve.
        reason: why this recipe was chosen; None if the user named it.

    Raises:
        InvkitError: something cannot be used.
    """
    operator: type[ForwardOperator] = registry.load("operators", method.operator.name)
    data, parameter, image, noise = scene.picture, inputs.parameter, inputs.image, inputs.variance
    check_single_image(method, data)
    if parameter is not None:
        check_accepts_kernel(method)
    frame = kernel_frame_of(method, operator, options, data, parameter)
    size = frame.size
    are_pictures = operator.data_range is not None
    stages = plan_stages(method, data, options, are_pictures, scene.known, image.rounding, image.range)
    if parameter is not None and issubclass(operator, Blur):
        parameter = as_batch(parameter, (len(data), 1, *size))
        stages = (stages[0].knowing(parameter), *stages[1:])
    with explained_memory():
        assembly = check_stages(stages, size, parameter, device)
    assembly = replace(assembly, recipe=with_colors(assembly.recipe, stages))
    if inputs.truth is not None:
        check_truth(inputs.truth, size_of(scene.whole) if scene.left_out else restored_size(assembly, stages[-1]))
    size_option = list(size) if frame.is_fixed else "auto"
    facts = {
        **({"recipe_choice": reason} if reason else {}),
        "image": inputs.sources["image"],
        "image_size": list(scene.whole.shape[-2:]),
        "kernel_given": inputs.sources["kernel"],
        **({} if noise is None else {"variance_given": inputs.sources["variance"]}),
        "recipe": assembly.recipe,
        "options": {
            "kernel_size": size_option,
            "seed": options.seed,
            "sigma": None if options.sigma is None else options.sigma * image.divisor,
            "whole_picture": options.whole_picture,
            **({"uncertainty": options.uncertainty} if options.uncertainty else {}),
            "white": options.white,
            "kernel": None if parameter is None else "file" if inputs.sources["kernel"] else "array",
            **({} if noise is None else {"variance": "file" if inputs.sources["variance"] else "array"}),
        },
        "seed": options.seed,
        "color": restored_color(stages[-1]),
        "noise_sigma": None if stages[0].sigma is None else stages[0].sigma * image.divisor,
        "noise_sigma_from": "variance" if noise is not None else "estimated" if options.sigma is None else "given",
        "device": str(device),
        "versions": versions(),
    }
    settings = {"seed": options.seed, "kernel_size": size_option, "sigma": stages[0].sigma}
    settings |= {} if noise is None else {"variance": tensor_digest(noise)}
    identity = describe_run(assembly.recipe, stages[0].data, parameter, settings)
    job = Job(method.name, assembly, stages, frame, image, scene, device, identity, inputs.truth, facts, inputs.files)
    if options.uncertainty is not False:
        from .uncertainty import plan_uncertainty

        job = replace(job, uncertainty=plan_uncertainty(stages, assembly, size, options.uncertainty))
    if method.candidates or frame.size == frame.limit:
        return job

    def with_size_found() -> Job:
        from .size_probe import PROBE_RECIPE, SizeProbe

        stage = plan_stages(load_recipe(PROBE_RECIPE), data, options, rounding=image.rounding)[0].candidates[0][0]
        size = SizeProbe(stage, frame, device).size()
        return prepared_job(method, inputs, scene, options.model_copy(update={"kernel_size": size}), device, reason)

    return replace(job, with_size_found=with_size_found)


def versions() -> dict[str, str]:
    """The versions and the platform on which the bits of a result depend."""
    packages = {name: version(name) for name in ("invkit", "torch", "deepinv", "numpy")}
    threads = str(torch.get_num_threads())
    return {"python": platform.python_version(), "platform": platform.platform(), "threads": threads, **packages}
