"""Small problems that the tests of solvers share; those with a known kernel in float64, for tight tolerances."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from narrow import tensor
from torch import Tensor
from torch.nn.functional import cosine_similarity

from invkit.core.fidelity_abilities import KullbackLeibler
from invkit.core.problem import Problem, Term
from invkit.core.result import Array
from invkit.core.solver import Solver, StateT
from invkit.fidelities.norms import MSE
from invkit.fidelities.poisson import Poisson
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.numerics.geometry import Shape, shape_of
from invkit.operators.convolution import Convolution

Padding = Literal["valid", "circular", "replicate", "reflect"]


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def a_kernel(batch: int = 1, size: tuple[int, int] = (5, 4), dtype: torch.dtype = torch.float64) -> Tensor:
    kernel = random(batch, 1, *size, seed=3, dtype=dtype) ** 4
    return kernel / kernel.sum((-2, -1), keepdim=True)


def blocks(
    batch: int = 1, channels: int = 1, size: tuple[int, int] = (30, 29), dtype: torch.dtype = torch.float64
) -> Tensor:
    coarse = random(batch, channels, 6, 6, seed=1, dtype=dtype) * 0.8 + 0.1
    return torch.nn.functional.interpolate(coarse, size=size)


def made(
    data: Tensor, kernel: Tensor, terms: Sequence[Term] = (), padding: Padding = "valid", image: Tensor | None = None
) -> Problem:
    """A problem with a known kernel; float64 components, which a recipe's are not."""
    operator = Convolution(padding=padding)
    shape = operator.image_shape(shape_of(data), shape_of(kernel))
    prior = Pixels(shape, data).to(data.dtype)
    known = KnownKernel(shape_of(kernel), kernel).to(kernel.dtype)
    known.kernel.copy_(kernel)  # the prior was built in float32
    if image is not None:
        prior = prior.assigned(image)
    return Problem(data, operator, prior, known, MSE(), list(terms))


def blurred(
    terms: Sequence[Term] = (),
    padding: Padding = "valid",
    batch: int = 1,
    channels: int = 1,
    dtype: torch.dtype = torch.float64,
    noise: float = 0.0,
) -> tuple[Tensor, Problem]:
    image, kernel = blocks(batch, channels, dtype=dtype), a_kernel(batch, dtype=dtype)
    data = Convolution(padding=padding)(image, kernel)
    data = data + noise * (random(*data.shape, seed=9, dtype=dtype) - 0.5)
    return image, made(data.clamp(0, 1), kernel, terms, padding)


def with_poisson(problem: Problem) -> Problem:
    """The problem with the fidelity that Richardson-Lucy minimises."""
    return replace(problem, fidelity=Poisson())


def suited(solver: Solver[Any], problem: Problem) -> Problem:
    """The problem with a fidelity that the solver minimises."""
    return with_poisson(problem) if solver.needs.get("fidelity") is KullbackLeibler else problem


def finished(solver: Solver[StateT], problem: Problem) -> StateT:
    """The state after the last step: the image is not clamped yet."""
    state = solver.start(problem)
    while state.iteration < solver.steps(problem) and not state.converged:
        state = solver.step(problem, state)
        state.iteration += 1
    return state


def saved_after(solver: Solver[Any], problem: Problem, steps: int) -> Any:
    """What a file holds of the state after some steps, read back."""
    state = solver.start(problem)
    for _ in range(steps):
        state = solver.step(problem, state)
        state.iteration += 1
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def delta(shape: Shape, dtype: torch.dtype = torch.float32) -> Tensor:
    kernel = torch.zeros(shape, dtype=dtype)
    kernel[..., shape[-2] // 2, shape[-1] // 2] = 1
    return kernel


def curve(dtype: torch.dtype = torch.float32) -> Tensor:
    """A bent stroke of 7x7 pixels, its centroid on the centre pixel."""
    kernel = torch.zeros(1, 1, 7, 7, dtype=dtype)
    kernel[0, 0, [1, 2, 2, 3, 3, 4, 5, 5], [2, 2, 3, 3, 4, 4, 4, 3]] = torch.tensor(
        [2, 3, 1, 3, 2, 3, 2, 1.0], dtype=dtype
    )
    return kernel / kernel.sum()


def blind(
    terms: list[Term],
    kernel: Tensor | None = None,
    batch: int = 1,
    channels: int = 1,
    size: tuple[int, int] = (54, 52),
    dtype: torch.dtype = torch.float32,
    noise: float = 0.002,
) -> Problem:
    """Coarse blocks blurred by a kernel that the problem does not tell; its priors are the data and a delta."""
    kernel = curve(dtype) if kernel is None else kernel
    image, operator = blocks(batch, channels, size, dtype), Convolution()
    data = operator(image, kernel)
    data = (data + noise * (random(*data.shape, seed=9).to(dtype) - 0.5)).clamp(0, 1)
    shape = (batch, 1, *kernel.shape[2:])
    return Problem(
        data=data,
        operator=operator,
        image_prior=Pixels(shape_of(image), data),
        kernel_prior=SimplexKernel(shape, delta(shape), parametrization="projection"),
        fidelity=MSE(),
        regularizers=terms,
    )


def alike(kernel: Array, truth: Tensor) -> float:
    """Correlation of two kernels."""
    kernel = tensor(kernel)
    return float(cosine_similarity((kernel - kernel.mean()).flatten(), (truth - truth.mean()).flatten(), 0))
