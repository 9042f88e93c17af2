"""Restoration by a denoising diffusion, with an unknown operator parameter beside the image."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Assignable, Denoising, ImagePrior, OperatorParameterPrior, Proximable
from ..core.parameters import Fraction, NonNegativeInt, Positive, PositiveInt, Seed, validated
from ..core.problem import Problem, Term, WeightedData
from ..core.ranges import AnyRange
from ..core.solver import Solver
from .alternating_admm import loss_of_unknown
from .inner import run_inner
from .pixel_state import PixelState, image_prior_of, starting_point
from .proximal_gradient import ProximalGradient
from .splitting import weighted_terms
from .training import cloned, load_optimizer_state, trainable

__all__ = ["Diffusion", "DiffusionState"]


@dataclass(kw_only=True)
class DiffusionState(PixelState):
    """The image without and with noise, and the prior of the operator's parameter in training.

    Attributes:
        noisy: the image at the noise level of the next step, (B, C, H, W).
        kernel_prior: a copy of the problem's.
        optimizer: Adam on its parameters; None if it has none.
        generator: of the noise.
    """

    noisy: Tensor
    kernel_prior: OperatorParameterPrior
    optimizer: torch.optim.Adam | None
    generator: torch.Generator
    saved: ClassVar = ("image", "kernel", "noisy")

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """Return a prior that gives the image, and a copy of that of the operator's parameter."""
        return image_prior_of(problem.image_prior, self.image), copy.deepcopy(self.kernel_prior)

    def state_dict(self) -> dict[str, Any]:
        """Return copies, which later steps do not change."""
        return super().state_dict() | {
            "kernel_prior": cloned(self.kernel_prior.state_dict()),
            "optimizer": {} if self.optimizer is None else cloned(self.optimizer.state_dict()["state"]),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        super().load_state_dict(saved)
        self.kernel_prior.load_state_dict(saved["kernel_prior"])
        if self.optimizer is not None:
            load_optimizer_state(self.optimizer, saved["optimizer"])
        self.generator.set_state(saved["generator"].cpu())


class Near(Proximable):
    """The mean squared distance from an image (B, C, H, W)."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = image

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Pixels (1, B, C, H, W) -> (B,)."""
        return (coefficients[0] - self.image).square().mean((1, 2, 3))

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """The mean of pixels (1, B, C, H, W) and the image, with the weights 1 and ``2 step / (C H W)``."""
        share = 2 * step / self.image[0].numel()
        return (coefficients + share * self.image) / (1 + share)


class Diffusion(Solver[DiffusionState], WeightedData, AnyRange):
    """DiffPIR with any operator, and with an unknown parameter: a denoiser leads from noise to an image.

    Zhu, Zhang, Liang, Cao, Wen, Timofte, Van Gool, "Denoising Diffusion Models for Plug-and-Play Image Restoration",
    CVPR Workshops 2023, Algorithm 1, with noise that is added to an image of constant brightness. For noise levels
    s_1 > ... > s_T, each step is

    1. ``z = D(x_t, s_t)``, the denoiser;
    2. ``x = argmin fidelity(A(x, k), y) + w |x - z|^2 / (2 s_t^2 n)`` over n pixels, by `ProximalGradient`;
    3. if the operator's parameter is unknown, some steps of Adam on its prior for this x: the M-step of Laroche,
       Almansa, Coupeté, "Fast Diffusion EM", WACV 2024;
    4. ``x_{t+1} = x + s_{t+1} (sqrt(1 - c) (x_t - x) / s_t + sqrt(c) noise)``.

    The denoiser is the regularizer, such as `plug-and-play`, and w its weight: ``2 sigma^2`` for data with Gaussian
    noise of sigma. It should have been trained for all noise levels. The result is a sample: another seed gives
    another image, where the data leave a choice.

    Args:
        iterations: number of noise levels.
        noise_start: the first noise level, in [0, 1] units.
        noise_end: the last one.
        churn: c, the share of new noise in each step; 0 is deterministic after the first noise.
        data_iterations: steps of `ProximalGradient`.
        parameter_steps: steps of Adam on the operator's parameter, if it is unknown, in each step.
        parameter_lr: their learning rate.
        warmup_iterations: steps before the first one of Adam.
        seed: of the noise.
    """

    keeps_large_blocks = True
    needs: ClassVar = {"image_prior": Assignable, "regularizers": Denoising}

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 50,
        noise_start: Positive = 1.0,
        noise_end: Positive = 0.01,
        churn: Fraction = 0.3,
        data_iterations: PositiveInt = 10,
        parameter_steps: PositiveInt = 5,
        parameter_lr: Positive = 1e-2,
        warmup_iterations: NonNegativeInt = 5,
        seed: Seed = 0,
    ) -> None:
        self.iterations, self.noise_start, self.noise_end = iterations, noise_start, noise_end
        self.churn, self.seed = churn, seed
        self.data_solver = ProximalGradient(iterations=data_iterations, tolerance=1e-4)
        self.parameter_steps, self.parameter_lr = parameter_steps, parameter_lr
        self.warmup_iterations = warmup_iterations

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        if len(weighted_terms(problem)) != 1:
            raise AssemblyError(
                "diffusion needs one regularizer on the image, a denoiser with a weight above zero, and there are "
                f"{len(weighted_terms(problem)) or 'none'}; give one, such as plug-and-play"
            )

    def start(self, problem: Problem) -> DiffusionState:
        """Take image and parameter that the priors give, and add the first noise to the image."""
        image, kernel = starting_point(problem)
        generator = torch.Generator(image.device).manual_seed(self.seed)
        prior = copy.deepcopy(problem.kernel_prior).to(problem.data)
        unknown = trainable(prior)
        return DiffusionState(
            image=image,
            kernel=kernel,
            range=problem.image_prior.range,
            noisy=image + self.noise_level(0) * noise_like(image, generator),
            kernel_prior=prior,
            optimizer=torch.optim.Adam(unknown, lr=self.parameter_lr) if unknown else None,
            generator=generator,
        )

    def step(self, problem: Problem, state: DiffusionState) -> DiffusionState:
        """One noise level: Algorithm 1 of Zhu et al. 2023, with the M-step of Laroche et al. 2024 inside."""
        [(weight, denoiser)] = weighted_terms(problem)
        noise = self.noise_level(state.iteration)
        clean = denoiser.prox(state.noisy[None], noise**2 * state.noisy[0].numel())[0]
        state.image = self.fitted(problem, state, clean, weight / (2 * noise**2))
        if state.optimizer is not None and state.iteration >= self.warmup_iterations:
            self.update_unknown(problem, state, state.optimizer)
        with torch.no_grad():
            state.kernel = state.kernel_prior()
            residual = (state.noisy - state.image) / noise
            fresh = math.sqrt(1 - self.churn) * residual + math.sqrt(self.churn) * noise_like(clean, state.generator)
            state.noisy = state.image + self.noise_level(state.iteration + 1) * fresh
            predicted = problem.operator(state.image, state.kernel)
            state.losses.append(problem.data_term(predicted, state.iteration).mean())
        return state

    def fitted(self, problem: Problem, state: DiffusionState, clean: Tensor, attraction: float) -> Tensor:
        """The image near a clean one that explains the data, (B, C, H, W).

        Args:
            problem: the problem.
            state: gives the iteration and the prior of the operator's parameter.
            clean: from the denoiser, (B, C, H, W).
            attraction: weight of the mean squared distance.
        """
        near = replace(
            problem,
            image_prior=image_prior_of(problem.image_prior, clean),
            kernel_prior=state.kernel_prior,
            fidelity=problem.fidelity.at(state.iteration),
            regularizers=[Term(Near(clean), attraction)],
        )
        return run_inner(self.data_solver, near).image

    def update_unknown(self, problem: Problem, state: DiffusionState, optimizer: torch.optim.Adam) -> None:
        """Take the steps of Adam on the prior of the operator's parameter, for the state's image."""
        for _ in range(self.parameter_steps):
            optimizer.zero_grad()
            loss_of_unknown(problem, state.image, state.kernel_prior(), state.iteration).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def noise_level(self, iteration: int) -> float:
        """The noise level of an iteration, counted from 0: they form a geometric sequence.

        Example:
            >>> solver = Diffusion(iterations=3, noise_start=1.0, noise_end=0.01)
            >>> [round(solver.noise_level(i), 3) for i in range(3)]
            [1.0, 0.1, 0.01]
        """
        share = min(1.0, iteration / max(1, self.iterations - 1))
        return self.noise_start * math.pow(self.noise_end / self.noise_start, share)


def noise_like(image: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gaussian noise of the shape, precision and device of an image."""
    return torch.randn(image.shape, generator=generator, dtype=image.dtype, device=image.device)
