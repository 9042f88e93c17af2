"""How much of the data no image explains: the level to which weights should trust them, and single pixels beyond it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core import registry
from ..core.problem import Problem, Term
from ..core.runtime.threads import threads_worth
from ..core.solver import Solver, State
from ..numerics.geometry import shape_of, size_of
from ..numerics.inpainting import filled_smoothly

__all__ = ["contradicting_pixels", "model_error"]

TV_WEIGHT = 2e-4  # of total variation: low, so that the residual is not image content
ITERATIONS = 25
SATURATION = 0.99  # in [0, 1]: from here on the true intensity may have been higher
MIN_CONTRADICTION = 6.0  # times the residual's deviation
MIN_RESIDUAL = 0.02  # in [0, 1], of a pixel that contradicts the blur
PEAK_SHARE = 0.7  # of the largest residual around, which the other residuals there follow from
PEAK_SIDE = 5  # pixels
ROUNDS = 3  # a large outlier hides smaller ones
TO_DEVIATION = 1.4826  # from the median of absolute values, for a Gaussian
TILED_PIXELS = 2**20  # from here on a picture is solved in tiles
EXAMINED_SIDE = 512  # pixels of the middle that are examined, beside the kernel's size


def model_error(data: Tensor, kernel: Tensor, measured: Tensor | None = None) -> float:
    """Standard deviation of the data that no image in [0, 1] explains, in [0, 1] units.

    For the true kernel this is the part of the noise that the image does not absorb, about half of it. A wrong kernel,
    a blur that varies over the image, saturation and a camera's tone curve leave more: the unbounded image that would
    explain such data rings below black and above white, and the bounded one leaves a residual. Measured in the middle
    of the mean of the channels.

    Args:
        data: (1, C, H, W) in [0, 1].
        kernel: (1, 1, h, w), non-negative, summing to one.
        measured: which pixels count, (1, 1, H, W), bool; None: all.
    """
    with torch.no_grad(), threads_worth(data.numel()):
        middle = central_part(data.mean(1, keepdim=True), size_of(kernel))
        everything = torch.ones_like(middle, dtype=torch.bool)
        counted = everything if measured is None else central_part(measured, size_of(kernel))
        residual = unexplained(middle, kernel.to(middle), counted)
        unsaturated = residual[(middle < SATURATION) & counted]
        return float(unsaturated.square().mean().sqrt()) if len(unsaturated) else 0.0


@torch.no_grad()
def contradicting_pixels(data: Tensor, kernel: Tensor, measured: Tensor) -> Tensor:
    """Pixels whose value no image explains by itself, (1, 1, H, W), bool: outliers that only the blur reveals.

    A blurred picture has no detail as small as a pixel. The residual of a light deconvolution therefore shows hot and
    dead pixels that resemble their surroundings too much to be found without the kernel. The largest residuals are
    left out, and the rest is deconvolved again (as Cho, Wang, Lee, ICCV 2011, do with probabilities).

    Args:
        data: (1, C, H, W) in [0, 1].
        kernel: (1, 1, h, w), non-negative, summing to one.
        measured: which pixels count, (1, 1, H, W), bool.
    """
    grey, found = data.mean(1, keepdim=True), torch.zeros_like(measured)
    with threads_worth(data.numel()):
        for _ in range(ROUNDS):
            counted = measured & ~found
            residual = unexplained(filled(grey, counted), kernel.to(grey), counted)
            # the scene may be brighter than saturated data, and is no darker
            residual = torch.where(grey >= SATURATION, residual.clamp(max=0), residual).abs() * counted
            least = MIN_CONTRADICTION * TO_DEVIATION * float(residual[counted].median())
            around = F.max_pool2d(residual, PEAK_SIDE, stride=1, padding=PEAK_SIDE // 2)
            more = (residual > max(least, MIN_RESIDUAL)) & (residual >= PEAK_SHARE * around)
            if not bool(more.any()):
                break
            found = found | more
    return found


def filled(data: Tensor, measured: Tensor) -> Tensor:
    """Data (1, C, H, W) whose unknown pixels are filled smoothly from their surroundings."""
    picture = filled_smoothly(data[0].cpu().numpy(), ~measured[0, 0].cpu().numpy())
    return torch.from_numpy(picture)[None].to(data)


def unexplained(data: Tensor, kernel: Tensor, measured: Tensor) -> Tensor:
    """The residual of data (1, 1, H, W) after a light deconvolution by total variation within [0, 1].

    Args:
        data: that a blurry image gave.
        kernel: as for `model_error`.
        measured: which of the data count.
    """
    operator = component("operators", "convolution", padding="valid")
    prior = component("kernel_priors", "known", shape_of(kernel), kernel)
    problem = Problem(
        data=data,
        operator=operator,
        image_prior=component("image_priors", "pixels", operator.image_shape(shape_of(data), prior.shape), data),
        kernel_prior=prior,
        fidelity=component("fidelities", "mse"),
        regularizers=[Term(component("regularizers", "tv", smoothing=0.0), TV_WEIGHT)],
        weights=measured,
    )
    solver = component(
        "solvers", "admm", iterations=ITERATIONS, relaxation=1.8, bound_penalty=0.2, saturation=SATURATION
    )
    if data.numel() > TILED_PIXELS:
        solver = component("solvers", "tiles", inner=solver)
    residual: Tensor = operator(last_state(solver, problem).image, kernel) - data
    return residual


def component(family: str, name: str, *arguments: object, **parameters: object) -> Any:
    """A built-in component, constructed."""
    return registry.load(family, f"invkit:{name}")(*arguments, **parameters)


def last_state(solver: Solver[Any], problem: Problem) -> Any:
    """The state after all iterations, without losses, observers or time limits."""
    state: State = solver.start(problem)
    while state.iteration < solver.steps(problem) and not state.converged:
        state = solver.step(problem, state)
        state.iteration += 1
    return state


def central_part(data: Tensor, kernel_size: tuple[int, int]) -> Tensor:
    """The middle of (B, C, H, W), at most `EXAMINED_SIDE` pixels and twice the kernel's size wide and high."""
    (height, width), sides = size_of(data), [EXAMINED_SIDE + 2 * taps for taps in kernel_size]
    top, left = max(0, height - sides[0]) // 2, max(0, width - sides[1]) // 2
    return data[..., top : top + sides[0], left : left + sides[1]]
