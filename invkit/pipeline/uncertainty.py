"""How sure a result is: standard deviations of its image and of its kernel.

Before the solve a plan says where they will come from, or why this recipe cannot give them. After the solve:

- the kernel's from the kernels of the candidates, from its posterior variances, or from other seeds;
- the image's from samples about the image for its kernel (`LocalGaussian`), and from restorations by these kernels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import Assignable, KernelPrior, LinearOperator
from ..core.operator_parameters import Stacked
from ..core.result import KERNEL, Array, GivesVariances, Result
from ..core.runtime.threads import threads_worth
from ..core.solver import Counting, Observer, Solver
from ..media.layouts import without_single_batch
from ..numerics.geometry import size_of
from ..recipes.model import Recipe
from ..solvers.local_gaussian import obstacle_to_sampling
from .assemble import Assembly
from .input_image import InputImage
from .scene import Scene
from .sequence import Outcome, Referee, StageSequence, is_known
from .spread import (
    Budget,
    KernelShare,
    Solved,
    Spread,
    candidate_kernels,
    drawn_kernels,
    spread_of_kernels,
    spread_of_samples,
    spread_of_seeds,
)
from .stages import RunControl, Stage, placeholder_parameter

__all__ = ["Budget", "UncertaintyPlan", "plan_uncertainty", "with_uncertainty"]

KernelSource = Literal["known", "candidates", "variances", "seeds"]

DEFAULT_SAMPLES, DEFAULT_SEEDS = 16, 4  # a solve of a network takes minutes or hours

METHODS = {
    "known": "perturb and optimise, about the image",
    "candidates": "perturb and optimise, about the image, and restorations by the candidates' kernels",
    "variances": "perturb and optimise, about the image, and restorations by kernels drawn from their posterior",
    "seeds": "solves with other seeds",
}
NINE_IN_TEN = "About nine in ten true pixels lie within 1.64 standard deviations of the image, if {}."
STATEMENTS = {
    "known": NINE_IN_TEN.format("the kernel is right and the noise is white and of this level"),
    "candidates": NINE_IN_TEN.format(
        "one of the candidates' kernels is nearly right; errors that all share do not show"
    ),
    "variances": NINE_IN_TEN.format("the kernel is nearly right; its variances are lower bounds"),
    "seeds": "The solves differ in their random start alone: errors that all of them share do not show.",
}
NO_TIME = "there was no time to find how sure the result is ({stop})"


@dataclass(frozen=True)
class UncertaintyPlan:
    """Where the standard deviations will come from.

    Attributes:
        source: of the kernels.
        samples: of the image; with the source "seeds", the number of solves, the first one included.
        sampler: the recipe of the restorations and samples; with the source "seeds" not used.
        are_blurred: whether an unknown kernel blurs the image.
    """

    source: KernelSource
    samples: int
    sampler: Recipe
    are_blurred: bool


def plan_uncertainty(
    stages: Sequence[Stage], first: Assembly, kernel_size: tuple[int, int], asked: bool | int
) -> UncertaintyPlan | None:
    """Where the standard deviations of a recipe's result will come from; None if nobody asked.

    Args:
        stages: of `plan_stages`.
        first: the first of them, assembled.
        kernel_size: (h, w) of the unknown kernel.
        asked: the number of samples, or True for the default.

    Raises:
        InputError: the recipe cannot say; gives the reason and recipes that can.
    """
    if asked is False:
        return None
    source = kernel_source(stages, first, kernel_size)
    count = (DEFAULT_SEEDS if source == "seeds" else DEFAULT_SAMPLES) if asked is True else asked
    last = stages[-1]
    if source == "seeds":
        prior = first.problem.kernel_prior
        return UncertaintyPlan(source, count, last.recipe, isinstance(prior, KernelPrior) and not is_known(prior))
    choices = [last.recipe, *([stages[0].recipe.referee] if stages[0].recipe.referee else [])]
    obstacles = [obstacle_of(last.restoring(recipe), first, kernel_size) for recipe in choices]
    if all(obstacles):
        problem, reason = first.problem, f"{obstacles[0]} (recipe {choices[0].name})"
        is_picture = isinstance(problem.operator, LinearOperator) and not isinstance(problem.operator, Stacked)
        raise cannot_say(stages[0].recipe, reason, others_can=is_picture)
    if last.sigma is None:
        raise InputError("how sure the result is depends on the noise level, and the image is too small to estimate "
                         "it; give it (--sigma, sigma=...)")  # fmt: skip
    return UncertaintyPlan(source, count, choices[obstacles.index(None)], source != "known")


def cannot_say(recipe: Recipe, reason: str, *, others_can: bool = True) -> InputError:
    """The refusal of a recipe.

    Args:
        recipe: the recipe.
        reason: why it cannot say, to follow a colon.
        others_can: whether the recipes for pictures can.
    """
    remedy = ", or use fast or best for an unknown kernel, sparse-admm or tv-admm for a known one" if others_can else ""
    return InputError(
        f"the recipe {recipe.name} cannot say how sure it is: {reason}; leave out --uncertainty "
        f"(uncertainty=...){remedy}"
    )


def kernel_source(stages: Sequence[Stage], first: Assembly, kernel_size: tuple[int, int]) -> KernelSource:
    """Where the spread of the kernel will come from; raises `InputError` if there is no source.

    Args:
        stages: of `plan_stages`.
        first: the first of them, assembled.
        kernel_size: (h, w) of the unknown kernel.
    """
    recipe = stages[0].recipe
    if recipe.candidates:
        if len(recipe.candidates) > 1 and recipe.selection:
            return "candidates"
        raise cannot_say(recipe, "it has one candidate, so that there is no other kernel to compare with")
    if not isinstance(first.problem.image_prior, Assignable):
        return "seeds"
    start = placeholder_parameter(first, kernel_size)
    assemblies = [first, *(one.assembled(kernel_size, start) for one in stages[1:])]
    finders = [one for one in assemblies if not is_known(one.problem.kernel_prior)]
    if not finders:
        return "known"
    if any(gives_variances(one.solver) for one in finders):
        return "variances"
    raise cannot_say(recipe, "it finds one kernel, without candidates, seeds or variances to judge it by")


def gives_variances(solver: Solver[Any]) -> bool:
    """Whether a solver, or one nested in it, gives posterior variances."""
    inner = [one for one in vars(solver).values() if isinstance(one, Solver)]
    return isinstance(solver, GivesVariances) or any(map(gives_variances, inner))


def obstacle_of(stage: Stage, first: Assembly, kernel_size: tuple[int, int]) -> str | None:
    """Why no samples can be drawn about the image of a stage; None if they can."""
    is_first = first.recipe["name"] == stage.recipe.name
    start = placeholder_parameter(first, kernel_size)
    return obstacle_to_sampling((first if is_first else stage.assembled(kernel_size, start)).problem)


def with_uncertainty(
    result: Result,
    plan: UncertaintyPlan,
    outcome: Outcome,
    view: tuple[InputImage, Scene],
    budget: Budget,
    progress: Callable[[str], Observer] | None,
) -> Result:
    """A result with the standard deviations of its image and of its kernel.

    After Ctrl-C or the time limit they are those of the samples so far. If there are too few, a notice says so.

    Args:
        result: for the user, of the outcome.
        plan: of `plan_uncertainty`.
        outcome: of the solve.
        view: the input, whose layout and units the deviations have, and the part of it that was restored.
        budget: device and time.
        progress: makes a bar from a title; None for no bar.
    """
    if "unchanged" in result.details:
        return noticed(result, "the picture is returned as it was, so that its uncertainty is that of its noise")
    stage, (image, scene) = outcome.last[0], view
    budget.stop, started = outcome.stop, time.monotonic()
    bar = None if progress is None else progress(f"{stage.recipe.name}: how sure")
    counting = bar.counting(plan.samples) if isinstance(bar, Counting) else nullcontext(lambda done: None)
    with threads_worth(stage.data.numel()), counting as budget.show:
        found = measured(plan, outcome, budget)
    if found is None:
        return noticed(result, NO_TIME.format(stop=budget.stop))
    shown = image_deviation(found.image, image, scene, stage.chroma)
    kernel = None if found.kernel is None else without_single_batch(found.kernel[:, 0], image.layout)
    facts = {
        "method": METHODS[plan.source],
        "kernel_from": plan.source,
        "samples": found.count,
        "seconds": round(time.monotonic() - started, 3),
        **found.facts,
        "mean_image_deviation": float(np.nanmean(np.asarray(shown))),
        **({} if kernel is None else {"mean_kernel_deviation": float(np.mean(np.asarray(kernel)))}),
        "statement": STATEMENTS[plan.source],
        **({"stopped": budget.stop} if budget.stop else {}),
    }
    deviations = {"image": shown} | ({} if kernel is None else {"kernel": kernel})
    return replace(result, deviations=deviations, details={**result.details, "uncertainty": facts})


def noticed(result: Result, notice: str) -> Result:
    """A result with one more notice."""
    return replace(result, details={**result.details, "notices": [*result.details.get("notices", ()), notice]})


def measured(plan: UncertaintyPlan, outcome: Outcome, budget: Budget) -> Spread | None:
    """The deviations, or None if there was no time.

    Args:
        plan: of `plan_uncertainty`.
        outcome: of the solve.
        budget: device, time and progress.
    """
    stage, last = outcome.last
    if plan.source == "seeds":
        solve = partial(solved_with_seed, outcome, budget)
        return spread_of_seeds((stage, last), solve, plan.samples, budget, are_blurred=plan.are_blurred)
    stage, kernel = stage.restoring(plan.sampler), torch.as_tensor(last.kernel)
    others = spread_of_kernels(stage, kernel, likely_kernels(plan, outcome), budget)
    about = spread_of_samples(stage, last, plan.samples, budget)
    return about if about is None or others is None else about.with_kernels(others)


def likely_kernels(plan: UncertaintyPlan, outcome: Outcome) -> list[KernelShare]:
    """The kernels that a solve found likely, beside its own; none for a known kernel."""
    (stage, last), variances = outcome.last, outcome.variances.get(KERNEL)
    if variances is None:
        return candidate_kernels(outcome.compared)
    return drawn_kernels(torch.as_tensor(last.kernel), torch.as_tensor(variances), plan.samples, stage.seed)


def solved_with_seed(outcome: Outcome, budget: Budget, seed: int) -> Solved | None:
    """The same stages solved with another seed; None if they were stopped.

    Args:
        outcome: of the first solve.
        budget: device and time left.
        seed: of every random number.
    """
    stages = [replace(one, seed=seed) for one in outcome.stages]
    start = outcome.kernel if stages[0].recipe.is_nonblind else None
    assembly = stages[0].assembled(size_of(outcome.kernel), start)
    referee, control = Referee.of(stages, budget.device), RunControl(time_limit=budget.left)
    sequence = StageSequence(stages, budget.device, referee, control, budget.interrupted, guarantees_last=False)
    other = sequence.solve_all(assembly)
    budget.stop = budget.stop or other.stop
    return None if other.stop else other.last


def image_deviation(deviation: Tensor, image: InputImage, scene: Scene, chroma: Tensor | None) -> Array:
    """The deviations (B, C, h, w) of a restored scene in layout and units of the input, without opacity.

    A deviation of the luma is that of every channel. Where the input was kept, it is NaN.

    Args:
        deviation: in units of the data.
        image: the input.
        scene: the part of it that was restored.
        chroma: that was kept, or None.
    """
    planes = deviation if chroma is None else deviation.expand(-1, 3, -1, -1)
    if scene.left_out:
        whole = planes.new_full((*planes.shape[:2], *scene.whole.shape[2:]), torch.nan)
        whole[..., scene.place[0], scene.place[1]] = planes.masked_fill(scene.kept > 0.5, torch.nan)
        planes = whole
    plain = replace(image, black=0.0, photo=None, masked=None, layout=replace(image.layout, alpha=None))
    return plain.in_layout(planes.float())
