"""Small problems with a known kernel, in float64 so that tolerances can be tight; shared by the tests of solvers."""

from __future__ import annotations

import torch

from invkit.fidelities.mse import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel
from invkit.operators.convolution import Convolution
from invkit.problem import Problem


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def a_kernel(batch=1, size=(5, 4), dtype=torch.float64):
    kernel = random(batch, 1, *size, seed=3, dtype=dtype) ** 4
    return kernel / kernel.sum((-2, -1), keepdim=True)


def blocks(batch=1, channels=1, size=(30, 29), dtype=torch.float64):
    coarse = random(batch, channels, 6, 6, seed=1, dtype=dtype) * 0.8 + 0.1
    return torch.nn.functional.interpolate(coarse, size=size)


def made(data, kernel, terms=(), padding="valid", image=None):
    """A problem with a known kernel; float64 components, which a recipe's are not."""
    operator = Convolution(padding=padding)
    shape = operator.image_shape(tuple(data.shape), tuple(kernel.shape))
    prior = Pixels(shape, data).to(data.dtype)
    known = KnownKernel(tuple(kernel.shape), kernel).to(kernel.dtype)
    known.kernel.copy_(kernel)  # the prior was built in float32
    if image is not None:
        prior = prior.assigned(image)
    return Problem(data, operator, prior, known, MSE(), list(terms))


def blurred(terms=(), padding="valid", batch=1, channels=1, dtype=torch.float64, noise=0.0):
    image, kernel = blocks(batch, channels, dtype=dtype), a_kernel(batch, dtype=dtype)
    data = Convolution(padding=padding)(image, kernel)
    data = data + noise * (random(*data.shape, seed=9, dtype=dtype) - 0.5)
    return image, made(data.clamp(0, 1), kernel, terms, padding)


def finished(solver, problem):
    """The state after the last step: the image is not clamped yet."""
    state = solver.start(problem)
    while state.iteration < solver.steps(problem) and not state.converged:
        state = solver.step(problem, state)
        state.iteration += 1
    return state
