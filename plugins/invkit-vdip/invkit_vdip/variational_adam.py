"""Image and kernel together, the image as a distribution."""

from __future__ import annotations

from typing import Annotated, ClassVar, final

import torch
from pydantic import Field
from torch import Tensor

from invkit.core.parameters import Fraction, NonNegative, Seed, validated
from invkit.core.problem import Problem, Term
from invkit.numerics.geometry import crop_to_data, size_of
from invkit.solvers.adam import (
    AdamSolver,
    AdamState,
    Decay,
    Execution,
    ImageRate,
    Iterations,
    KernelRate,
    Milestones,
    Outcome,
    Precision,
    decayed,
)

from .abilities import ExpectedPenalty, GaussianPrior

__all__ = ["VariationalAdam"]


@final
class VariationalAdam(AdamSolver):
    """Adam on a variational bound: the image is ``N(mean, std^2)``, and its penalties and entropy a KL divergence.

    Huo, Masoumzadeh, Kushol, Yang, "Blind Image Deconvolution Using Variational Deep Image Prior", IEEE TPAMI 2023,
    with the schedule of its released code. One after another, iterations counted from 0:

    - the first ``warmup`` fit the mean to the data and the standard deviation to zero, and leave the kernel alone;
    - those before ``kl_until`` minimise the negative evidence lower bound

          ``E fidelity(A(x, k), y) + kl_weight (sum_i weight_i E R_i - mean(log std))``,   ``x ~ N(mean, std^2)``,

      the expectations by one sample of x at each step, or in closed form where a regularizer is an `ExpectedPenalty`;
      a penalty on the kernel is taken of the kernel. ``kl_weight`` stands for the variance of the noise;
    - the others minimise ``fidelity(A(mean, k), y)`` alone.

    The image of the result is the mean. In the code the warm-up also draws the kernel to a uniform one, by gradients
    too small to move it.

    Args:
        iterations: steps.
        image_lr: learning rate of the image prior.
        kernel_lr: learning rate of the kernel prior.
        milestones: iterations from which both rates are multiplied by ``decay`` once more.
        decay: see there.
        warmup: iterations that only fit the image to the data.
        kl_weight: factor of the KL divergence.
        kl_milestones: iterations from which that is multiplied by ``kl_decay`` once more.
        kl_decay: see there.
        kl_until: first iteration without sampling, entropy and regularizers.
        precision: "bfloat16" runs the image prior's convolutions in it.
        execution: whether a GPU replays the steps, see `AdamSolver`.
        seed: of the samples.
    """

    needs: ClassVar = {"image_prior": GaussianPrior}

    @validated
    def __init__(
        self,
        *,
        iterations: Iterations = 5500,
        image_lr: ImageRate = 1e-2,
        kernel_lr: KernelRate = 1e-4,
        milestones: Milestones = (2500, 3500, 4500),
        decay: Decay = 0.5,
        warmup: Annotated[int, Field(ge=0, description="iterations that only fit the image to the data")] = 500,
        kl_weight: Annotated[NonNegative, Field(description="factor of the KL divergence, the noise's variance")] = 0.1,
        kl_milestones: Annotated[
            tuple[Annotated[int, Field(ge=0)], ...],
            Field(description="iterations, from 0, from which that is multiplied by 'kl_decay' once more"),
        ] = (1500,),
        kl_decay: Annotated[
            Fraction, Field(description="factor of the KL divergence's weight at each milestone")
        ] = 0.1,
        kl_until: Annotated[
            int, Field(ge=0, description="first iteration without sampling, entropy and regularizers")
        ] = 2500,
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
        """Which of the three losses it is, and the weight of the divergence in it."""
        loss = (iteration >= self.warmup, iteration >= self.kl_until)
        return (*super().phase(problem, iteration), *loss, self.kl_factor(iteration))

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        """One Adam step on both priors for the loss of the iteration."""
        mean, std = self.distribution(state)
        kernel = state.kernel_prior()
        if state.iteration < self.warmup:
            loss = deviation(problem, mean, std, kernel)
        elif state.iteration < self.kl_until:
            loss = self.bound(problem, state, mean, std, kernel)
        else:
            loss = misfit(problem, mean, kernel, state.iteration)
        self.descend(state, loss)
        return mean, kernel, loss

    def distribution(self, state: AdamState) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation with their gradients, in the precision asked for."""
        prior = state.image_prior
        assert isinstance(prior, GaussianPrior), "checked before the start"
        with self.autocast(state):
            return prior.distribution()

    def bound(self, problem: Problem, state: AdamState, mean: Tensor, std: Tensor, kernel: Tensor) -> Tensor:
        """The negative evidence lower bound, up to a constant, estimated by one sample; a mean over the batch."""
        sample = mean + std * self.noise(state, mean)
        penalties = [term.weight * expected(term, mean, std, sample, kernel) for term in problem.regularizers]
        divergence = sum(penalties, start=-entropy(std))
        return misfit(problem, sample, kernel, state.iteration) + self.kl_factor(state.iteration) * divergence

    def kl_factor(self, iteration: int) -> float:
        """The weight of the KL divergence at an iteration, counted from 0."""
        return self.kl_weight * decayed(iteration, self.kl_milestones, self.kl_decay)


def misfit(problem: Problem, image: Tensor, kernel: Tensor, iteration: int) -> Tensor:
    """``fidelity(A(image, kernel), data)``, a mean over the batch."""
    fidelity = problem.fidelity.at(iteration)
    value: Tensor = fidelity(problem.operator(image, kernel), problem.data)
    return value.mean()


def expected(term: Term, mean: Tensor, std: Tensor, sample: Tensor, kernel: Tensor) -> Tensor:
    """The expectation of a term's penalty, in closed form or estimated by the sample; a mean over the batch."""
    regularizer = term.regularizer
    if term.target == "kernel":
        value: Tensor = regularizer(kernel)
    elif isinstance(regularizer, ExpectedPenalty):
        value = regularizer.expected(mean, std)
    else:
        value = regularizer(sample)
    return value.mean()


def entropy(std: Tensor) -> Tensor:
    """That of independent Gaussians, per value and up to a constant; finite where a standard deviation is zero."""
    return std.clamp(min=torch.finfo(std.dtype).tiny).log().mean()


def deviation(problem: Problem, mean: Tensor, std: Tensor, kernel: Tensor) -> Tensor:
    """Mean squares of the mean less what the data tell of the image, and of the standard deviation, where they do."""
    kernel = kernel.detach()
    target = problem.operator.initial_image(problem.data, kernel)
    shown, spread = (crop_to_data(value, size_of(kernel), size_of(target)) for value in (mean, std))
    return (shown - target).square().mean() + spread.square().mean()
