"""Adam on image prior and kernel prior, where the image prior gives a distribution."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from invkit.core.parameters import (
    Fraction,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveFraction,
    PositiveInt,
    Seed,
    validated,
)
from invkit.core.problem import Problem, Term
from invkit.numerics.framing import crop_to_data
from invkit.numerics.geometry import size_of
from invkit.solvers.adam import (
    AdamSolver,
    AdamState,
    Execution,
    Outcome,
    Precision,
    learning_rate_factor,
)

from .abilities import ExpectedPenalty, GaussianPrior

__all__ = ["VariationalAdam"]


@final
class VariationalAdam(AdamSolver):
    """Adam on a variational bound: the image is ``N(mean, std^2)``; penalties and entropy form a KL divergence.

    Huo, Masoumzadeh, Kushol, Yang, "Blind Image Deconvolution Using Variational Deep Image Prior", IEEE TPAMI 2023,
    with the schedule of its released code. There are three phases:

    - The first ``warmup`` iterations fit the mean to the data and the standard deviation to zero. The kernel does not
      change.
    - The iterations before ``kl_until`` minimise the negative evidence lower bound

          ``E fidelity(A(x, k), y) + kl_weight (sum_i weight_i E R_i - mean(log std))``,   ``x ~ N(mean, std^2)``.

      One sample of x at each step estimates the expectations. A regularizer that is an `ExpectedPenalty` gives its
      expectation in closed form, and a penalty on the kernel needs none. ``kl_weight`` is the variance of the noise.
    - The remaining iterations minimise ``fidelity(A(mean, k), y)`` alone.

    The image of the result is the mean. In the released code the first phase also pulls the kernel towards a uniform
    one, but these gradients are too small to move it.

    Args:
        warmup: number of iterations that only fit the image to the data.
        kl_weight: factor of the KL divergence, the variance of the noise.
        kl_milestones: iterations, counted from 0, at which ``kl_weight`` is multiplied by ``kl_decay``.
        kl_decay: factor of ``kl_weight`` at each of these milestones.
        kl_until: first iteration without sampling, entropy and regularizers.
        seed: seed of the samples.

    The other arguments are those of `AdamSolver`.
    """

    needs: ClassVar = {"image_prior": GaussianPrior}

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 5500,
        image_lr: Positive = 1e-2,
        kernel_lr: Positive = 1e-4,
        milestones: tuple[NonNegativeInt, ...] = (2500, 3500, 4500),
        decay: PositiveFraction = 0.5,
        warmup: NonNegativeInt = 500,
        kl_weight: NonNegative = 0.1,
        kl_milestones: tuple[NonNegativeInt, ...] = (1500,),
        kl_decay: Fraction = 0.1,
        kl_until: NonNegativeInt = 2500,
        precision: Precision = "float32",
        execution: Execution = "auto",
        seed: Seed = 0,
    ) -> None:
        super().__init__(
            iterations=iterations,
            image_lr=image_lr,
            kernel_lr=kernel_lr,
            milestones=milestones,
            decay=decay,
            perturbation=0.0,
            precision=precision,
            execution=execution,
            seed=seed,
        )
        self.warmup = warmup
        self.kl_weight, self.kl_milestones, self.kl_decay, self.kl_until = kl_weight, kl_milestones, kl_decay, kl_until

    def phase(self, problem: Problem, iteration: int) -> tuple[object, ...]:
        """Return a key of the loss at an iteration: its phase, and the weight of the divergence."""
        loss = (iteration >= self.warmup, iteration >= self.kl_until)
        return (*super().phase(problem, iteration), *loss, self.kl_factor(iteration))

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        """Step with Adam on both priors for the loss of the iteration."""
        mean, std = self.distribution(state)
        kernel = state.kernel_prior()
        if state.iteration < self.warmup:
            loss = warmup_loss(problem, mean, std, kernel)
        elif state.iteration < self.kl_until:
            loss = self.bound(problem, state, mean, std, kernel)
        else:
            loss = mean_fidelity(problem, mean, kernel, state.iteration)
        self.descend(state, loss)
        return mean, kernel, loss

    def distribution(self, state: AdamState) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation with their gradients, in the chosen precision."""
        prior = state.image_prior
        assert isinstance(prior, GaussianPrior), "checked before the start"
        with self.autocast(state):
            return prior.distribution()

    def bound(self, problem: Problem, state: AdamState, mean: Tensor, std: Tensor, kernel: Tensor) -> Tensor:
        """Estimate the negative evidence lower bound by one sample, up to a constant; a mean over the batch.

        Args:
            problem: gives data, operator, fidelity and regularizers.
            state: gives the iteration and the random numbers.
            mean: (B, C, H, W).
            std: (B, C, H, W).
            kernel: (B, 1, h, w).
        """
        sample = mean + std * self.noise(state, mean)
        penalties = [term.weight * expected_penalty(term, mean, std, sample, kernel) for term in problem.regularizers]
        divergence = sum(penalties, start=-entropy(std))
        return mean_fidelity(problem, sample, kernel, state.iteration) + self.kl_factor(state.iteration) * divergence

    def kl_factor(self, iteration: int) -> float:
        """Return the weight of the KL divergence at an iteration, from 0."""
        return self.kl_weight * learning_rate_factor(iteration, self.kl_milestones, self.kl_decay)


def mean_fidelity(problem: Problem, image: Tensor, kernel: Tensor, iteration: int) -> Tensor:
    """Return ``fidelity(A(image, kernel), data)`` as a mean over the batch.

    Args:
        problem: gives data, operator and fidelity.
        image: (B, C, H, W).
        kernel: (B, 1, h, w).
        iteration: from 0; a schedule of fidelities depends on it.
    """
    fidelity = problem.fidelity.at(iteration)
    value: Tensor = fidelity(problem.operator(image, kernel), problem.data)
    return value.mean()


def expected_penalty(term: Term, mean: Tensor, std: Tensor, sample: Tensor, kernel: Tensor) -> Tensor:
    """Return the expectation of a term's penalty, in closed form or by the sample; a mean over the batch.

    Args:
        term: the regularizer, on the image or the kernel.
        mean: (B, C, H, W).
        std: (B, C, H, W).
        sample: (B, C, H, W), drawn from ``N(mean, std^2)``.
        kernel: (B, 1, h, w).
    """
    regularizer = term.regularizer
    if term.target == "kernel":
        value: Tensor = regularizer(kernel)
    elif isinstance(regularizer, ExpectedPenalty):
        value = regularizer.expected(mean, std)
    else:
        value = regularizer(sample)
    return value.mean()


def entropy(std: Tensor) -> Tensor:
    """Return the entropy of independent Gaussians per value, up to a constant; finite if std is zero."""
    return std.clamp(min=torch.finfo(std.dtype).tiny).log().mean()


def warmup_loss(problem: Problem, mean: Tensor, std: Tensor, kernel: Tensor) -> Tensor:
    """Return the mean squares of the standard deviation and of the mean minus the operator's initial image.

    Args:
        problem: gives data and operator.
        mean: (B, C, H, W).
        std: (B, C, H, W).
        kernel: (B, 1, h, w).
    """
    kernel = kernel.detach()
    target = problem.operator.initial_image(problem.data, kernel)
    shown, spread = (crop_to_data(value, size_of(kernel), size_of(target)) for value in (mean, std))
    return (shown - target).square().mean() + spread.square().mean()
