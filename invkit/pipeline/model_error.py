"""How far the data are from what a kernel can explain, which is all that a weight should trust them to."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.problem import Problem, Term
from ..core.runtime.threads import threads_worth
from ..fidelities.mse import MSE
from ..image_priors.pixels import Pixels
from ..kernel_priors.known import KnownKernel
from ..numerics.geometry import shape_of, size_of
from ..operators.convolution import Convolution
from ..regularizers.tv import TotalVariation
from ..solvers.admm import ADMM
from ..solvers.inner import run_inner

__all__ = ["model_error"]

WEIGHT = 2e-4  # of total variation: so little that what is left over is not the image's
ITERATIONS = 25
CLIPPED = 0.99  # in [0, 1]: from here on the data may have been brighter than they say
SIDE = 512  # pixels of the middle that are looked at, besides the kernel's size


def model_error(data: Tensor, kernel: Tensor) -> float:
    """Standard deviation of what no image in [0, 1] explains of the data, in [0, 1] units.

    For the true kernel this is the part of the noise that the image does not take up, about half. A wrong kernel, a
    blur that varies over the image, saturated highlights and the curve of a camera leave more: the unbounded image
    that explains such data rings below black and above white, and the bounded one leaves a residual. Measured in the
    middle of the mean of the channels.

    Args:
        data: (1, C, H, W) in [0, 1].
        kernel: (1, 1, h, w), >= 0, summing to one.
    """
    with torch.no_grad(), threads_worth(data.numel()):
        middle = central(data.mean(1, keepdim=True), size_of(kernel))
        residual = unexplained(middle, kernel.to(middle))
        told = residual[middle < CLIPPED]
        return float(told.square().mean().sqrt()) if len(told) else 0.0


def unexplained(data: Tensor, kernel: Tensor) -> Tensor:
    """What is left over of data (1, 1, H, W)."""
    operator, prior = Convolution(padding="valid"), KnownKernel(shape_of(kernel), kernel)
    problem = Problem(
        data=data,
        operator=operator,
        image_prior=Pixels(operator.image_shape(shape_of(data), prior.shape), data),
        kernel_prior=prior,
        fidelity=MSE(),
        regularizers=[Term(TotalVariation(smoothing=0.0), WEIGHT)],
    )
    solver = ADMM(iterations=ITERATIONS, relaxation=1.8, bound_penalty=0.2, saturation=CLIPPED)
    residual: Tensor = operator(run_inner(solver, problem).image, kernel) - data
    return residual


def central(data: Tensor, kernel_size: tuple[int, int]) -> Tensor:
    """The middle of (B, C, H, W), at most `SIDE` pixels and twice the kernel's size wide and high."""
    (height, width), sides = size_of(data), [SIDE + 2 * taps for taps in kernel_size]
    top, left = max(0, height - sides[0]) // 2, max(0, width - sides[1]) // 2
    return data[..., top : top + sides[0], left : left + sides[1]]
