"""Small problems that the tests of solvers share; those with a known kernel in float64, for tight tolerances."""

from __future__ import annotations

import io

import torch
from torch.nn.functional import cosine_similarity

from invkit.core.problem import Problem
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.numerics.geometry import shape_of
from invkit.operators.convolution import Convolution


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


def saved_after(solver, problem, steps):
    """What a file holds of the state after some steps, read back."""
    state = solver.start(problem)
    for _ in range(steps):
        state = solver.step(problem, state)
        state.iteration += 1
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def delta(shape, dtype=torch.float32):
    kernel = torch.zeros(shape, dtype=dtype)
    kernel[..., shape[-2] // 2, shape[-1] // 2] = 1
    return kernel


def curve(dtype=torch.float32):
    """A bent stroke of 7x7 pixels, its centroid on the centre pixel."""
    kernel = torch.zeros(1, 1, 7, 7, dtype=dtype)
    kernel[0, 0, [1, 2, 2, 3, 3, 4, 5, 5], [2, 2, 3, 3, 4, 4, 4, 3]] = torch.tensor(
        [2, 3, 1, 3, 2, 3, 2, 1.0], dtype=dtype
    )
    return kernel / kernel.sum()


def blind(terms, kernel=None, batch=1, channels=1, size=(54, 52), dtype=torch.float32, noise=0.002):
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


def alike(kernel, truth):
    """Correlation of two kernels."""
    return float(cosine_similarity((kernel - kernel.mean()).flatten(), (truth - truth.mean()).flatten(), 0))
