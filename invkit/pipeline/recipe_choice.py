"""The recipe that "auto" stands for."""

from __future__ import annotations

from pathlib import Path

import torch

from ..core.errors import NotApplicableError
from ..recipes.model import load_recipe
from .inputs import ImageInput, Inputs
from .options import Options, check_kernel_size
from .stages import plan_stages

__all__ = ["AUTO_RECIPE", "choose_recipe", "recipe_for_kernel"]

AUTO_RECIPE = "auto"
FAST_RECIPE, BEST_RECIPE, REFINING_RECIPE = "fast", "best", "polish"  # what "auto" chooses from
SHARP_RECIPE, STACK_RECIPE = "sparse-admm", "stack-richardson-lucy"  # for a known kernel
NIGHT_RECIPE, STREAK_RECIPE = "night", "light-streaks"  # the second tells whether the first applies
BEST_SECONDS = 10.0  # that BEST_RECIPE takes for 256 x 256 pixels, at most, on two cores of 2024: page Measured


def choose_recipe(inputs: Inputs, options: Options, time_limit: float | None) -> tuple[str, str]:
    """The name of the recipe that "auto" stands for, and the reason in a few words.

    A given kernel is refined. Without one, light streaks of a night photograph give it. In any other photograph,
    `BEST_RECIPE` estimates it if the time limit allows.

    Args:
        inputs: that were read.
        options: the user's; settings that the user changes are those of `BEST_RECIPE` and `FAST_RECIPE`.
        time_limit: seconds; None for no limit.
    """
    if inputs.parameter is not None:
        return REFINING_RECIPE, f"{REFINING_RECIPE}: a kernel is given to start from"
    if not options.overrides and has_light_streaks(inputs, options):
        return NIGHT_RECIPE, f"{NIGHT_RECIPE}: light streaks of equal shape draw the kernel"
    height, width = inputs.image.data.shape[-2:]
    side = load_recipe(BEST_RECIPE).measurement.window or max(height, width)
    needed = BEST_SECONDS * min(height, side) * min(width, side) / 256**2
    about = f"{BEST_RECIPE} takes about {needed:.0f} s for {width}x{height} pixels"
    if time_limit is not None and needed > time_limit:
        return FAST_RECIPE, f"{FAST_RECIPE}: {about}, more than the time limit of {time_limit:.0f} s"
    return BEST_RECIPE, f"{BEST_RECIPE}: {about}"


def recipe_for_kernel(image: ImageInput | None) -> str:
    """The name of the recipe for data with a known kernel: `STACK_RECIPE` for stacks of planes, else `SHARP_RECIPE`."""
    from ..media.stacks import MIN_PLANES, is_stack_file

    if isinstance(image, list | tuple):
        return recipe_for_kernel(image[0] if image else None)
    if isinstance(image, str | Path):
        return STACK_RECIPE if is_stack_file(Path(image)) else SHARP_RECIPE
    shape = tuple[int, ...](getattr(image, "shape", ()))
    is_stack = len(shape) >= 3 and min(shape[-3], shape[-1]) >= MIN_PLANES
    return STACK_RECIPE if is_stack else SHARP_RECIPE


def has_light_streaks(inputs: Inputs, options: Options) -> bool:
    """Whether small lamps of a single photograph draw the kernel (`STREAK_RECIPE`)."""
    from .size_probe import SizeProbe

    data = inputs.image.data
    if len(data) > 1:
        return False
    stage = plan_stages(load_recipe(STREAK_RECIPE), data, options)[0]
    try:
        SizeProbe(stage, check_kernel_size(options.kernel_size or "auto", data, None), torch.device("cpu")).size()
    except NotApplicableError:
        return False
    return True
