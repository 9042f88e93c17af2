"""The recipe that "auto" stands for."""

from __future__ import annotations

from ..recipes.model import load_recipe
from .inputs import Inputs

__all__ = ["AUTO_RECIPE", "choose_recipe"]

AUTO_RECIPE = "auto"
FAST_RECIPE, BEST_RECIPE, REFINING_RECIPE = "fast", "best", "polish"  # what "auto" chooses from
BEST_SECONDS = 10.0  # that BEST_RECIPE takes for 256 x 256 pixels, at most, on two cores of 2024: page Measured


def choose_recipe(inputs: Inputs, time_limit: float | None) -> tuple[str, str]:
    """The name of the recipe that "auto" stands for, and the reason in a few words.

    A given kernel is refined. Without one, `BEST_RECIPE` estimates it if the time limit allows.

    Args:
        inputs: that were read.
        time_limit: seconds; None for no limit.
    """
    if inputs.parameter is not None:
        return REFINING_RECIPE, f"{REFINING_RECIPE}: a kernel is given to start from"
    height, width = inputs.image.data.shape[-2:]
    side = load_recipe(BEST_RECIPE).measurement.window or max(height, width)
    needed = BEST_SECONDS * min(height, side) * min(width, side) / 256**2
    about = f"{BEST_RECIPE} takes about {needed:.0f} s for {width}x{height} pixels"
    if time_limit is not None and needed > time_limit:
        return FAST_RECIPE, f"{FAST_RECIPE}: {about}, more than the time limit of {time_limit:.0f} s"
    return BEST_RECIPE, f"{BEST_RECIPE}: {about}"
