"""Adam on an image prior, with kernels that are computed from its images."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, final

import torch
from pydantic import Field
from torch import Tensor

from invkit.core.errors import AssemblyError
from invkit.core.interfaces import Assignable, Blur, ImagePrior, OperatorParameterPrior
from invkit.core.parameters import NonNegative, NonNegativeInt, Positive, PositiveFraction, PositiveInt, Seed, validated
from invkit.core.problem import Problem
from invkit.solvers.adam import (
    AdamSolver,
    AdamState,
    Execution,
    Outcome,
)
from invkit.solvers.pixel_state import check_padding, kernel_prior_of

from .image_prior import Branched
from .kernel_function import estimated_kernels

__all__ = ["EstimatedKernelState", "KernelFunctionAdam"]


@dataclass(kw_only=True)
class EstimatedKernelState(AdamState):
    """The image prior in training, and the best kernel that was computed from its images.

    Attributes:
        best: kernel that explains the data best, (B, 1, h, w); None before the first step.
    """

    best: Tensor | None = None

    @torch.no_grad()
    def estimate(self) -> tuple[Tensor, Tensor]:
        """Return the image without perturbation, and the best kernel."""
        return super().estimate()[0], self.found()()

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """Return a copy of the image prior, and a kernel prior that gives the best kernel."""
        return super().priors(problem)[0], self.found()

    def found(self) -> OperatorParameterPrior:
        """Return a kernel prior that gives the best kernel, or a copy of the given prior before the first step."""
        return copy.deepcopy(self.kernel_prior) if self.best is None else kernel_prior_of(self.kernel_prior, self.best)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state, which later steps do not change."""
        return super().state_dict() | {"best": [] if self.best is None else [self.best]}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore a saved state; the same solver must have started this state on the same problem."""
        super().load_state_dict(saved)
        self.best = saved["best"][0].to(self.generator.device) if saved["best"] else None


@final
class KernelFunctionAdam(AdamSolver):
    """Adam on a network that gives several images; each gives a kernel in closed form, for its own noise level.

    Lee, Kim, Lee, Jung, Cho, Kim, Jo, Lee, Jang, "Blind image deblurring with noise-robust kernel estimation", ECCV
    2024; the defaults as in its released code, github.com/csleemooo/BD_noise_robust_kernel_estimation.

    The kernel k_n maps the n-th intermediate image to the data (`estimated_kernels`). K_n is k_n before it is cropped
    to its size. With the problem's objective F the network minimises

        ``mean_n F(x, k_n) + kernel_penalty mean_n |K_n|_2``.

    The kernels are not unknowns: the gradient passes through them to the intermediate images, which need not resemble
    x. The estimate is x and the kernel that explains the data best; the kernel prior is set to this kernel.

    Args:
        noise_levels: noise level (standard deviation, in [0, 1] units) for the kernel of each of the prior's branches.
        kernel_penalty: weight of the norm of the kernels before they are cropped. The released code gives the norms of
            residual and kernel equal weights; with the fidelity 'root-mse' and P pixels this is ``1 / sqrt(P)``.

    The other arguments are those of `AdamSolver`.
    """

    needs: ClassVar = {"operator": Blur, "image_prior": Branched, "kernel_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 1400,
        image_lr: Positive = 1e-4,
        milestones: tuple[NonNegativeInt, ...] = (600, 800, 1000, 1200),
        decay: PositiveFraction = 0.5,
        perturbation: NonNegative = 1e-3,
        noise_levels: Annotated[tuple[Positive, ...], Field(min_length=1)] = (5 / 256, 15 / 256, 25 / 256),
        kernel_penalty: NonNegative = 1 / 256,
        execution: Execution = "auto",
        seed: Seed = 0,
    ) -> None:
        super().__init__(
            iterations=iterations,
            image_lr=image_lr,
            milestones=milestones,
            decay=decay,
            perturbation=perturbation,
            execution=execution,
            seed=seed,
        )
        self.noise_levels, self.kernel_penalty = noise_levels, kernel_penalty

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` unless the operator is a valid blur and the prior has a branch for each noise level."""
        super().check(problem)
        check_padding(problem, "kernel-function-adam", ("valid",))
        branches, levels = branched(problem.image_prior).branches, len(self.noise_levels)
        if branches != levels:
            raise AssemblyError(
                f"kernel-function-adam has {levels} noise levels, but the image prior has {branches} branches; "
                f"set image_prior.branches={levels}"
            )

    def start(self, problem: Problem) -> EstimatedKernelState:
        """Copy the prior; there is no kernel yet."""
        return EstimatedKernelState(**vars(super().start(problem)))

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        """Step on the network; the kernel that explained the data best before the step is the estimate."""
        prior = branched(state.image_prior)
        latent = prior.latent + self.perturbation * self.noise(state, prior.latent)
        image, intermediate = prior.decode_all(latent)
        kernels, norms = estimated_kernels(
            problem.data, intermediate, self.noise_levels, problem.kernel_prior.shape[2:]
        )
        objectives = torch.stack([problem.objective(image, kernel, state.iteration) for kernel in kernels])
        loss = objectives.mean() + self.kernel_penalty * norms.mean()
        self.descend(state, loss)
        return image, best_of(kernels.detach(), objectives), loss

    def record(self, state: AdamState, image: Tensor, kernel: Tensor, losses: Tensor) -> None:
        """Record the step and keep its kernel.

        Args:
            state: is changed.
            image: (B, C, H, W).
            kernel: (B, 1, h, w).
            losses: scalar or (B,), of the step.
        """
        assert isinstance(state, EstimatedKernelState)
        super().record(state, image, kernel, losses)
        state.best = kernel.clone()


def best_of(kernels: Tensor, objectives: Tensor) -> Tensor:
    """Select from kernels (N, B, 1, h, w) the kernel of least objective (N, B) for each of the batch: (B, 1, h, w)."""
    best = objectives.argmin(0)
    return kernels[best, torch.arange(len(best), device=best.device)]


def branched(prior: object) -> Branched:
    """Return an image prior as `Branched`; `Solver.check` has verified that it is."""
    assert isinstance(prior, Branched)
    return prior
