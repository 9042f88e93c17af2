"""Joint Adam on image and kernel, guided by a Wiener filter."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, final

import torch
from pydantic import Field
from torch import Tensor, nn

from invkit.core.interfaces import Blur
from invkit.core.parameters import NonNegative, Positive, Seed, validated
from invkit.core.problem import Problem
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
    Perturbation,
)
from invkit.solvers.device_adam import device_adam, set_rates
from invkit.solvers.pixel_state import check_padding

from .guides import best_moves, gaussian, moved_image, moved_kernel, normalised, sharpened

__all__ = ["GuidedState", "WienerGuidedAdam"]

FASTER = 10.0  # by which each milestone multiplies the auxiliary kernel's rate
MILESTONE_SIDE = 10  # pixels of a kernel, for each of which the milestones are given


@dataclass(kw_only=True)
class GuidedState(AdamState):
    """The priors in training, and the auxiliary kernel that guides them.

    Attributes:
        free: (B, 1, h, w), the auxiliary kernel before its magnitudes are scaled to sum one.
        auxiliary_optimizer: Adam on it.
    """

    free: nn.Parameter
    auxiliary_optimizer: torch.optim.Adam

    @property
    def auxiliary(self) -> Tensor:
        """The auxiliary kernel, (B, 1, h, w), >= 0, each summing to one."""
        return normalised(self.free)

    def state_dict(self) -> dict[str, Any]:
        """A copy; later steps leave it as it is."""
        return super().state_dict() | {
            "free": self.free.detach().clone(),
            "auxiliary_optimizer": copy.deepcopy(self.auxiliary_optimizer.state_dict()["state"]),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; the state must have been started on the same problem by the same solver."""
        super().load_state_dict(saved)
        self.free.data.copy_(saved["free"])
        groups = self.auxiliary_optimizer.state_dict()["param_groups"]
        moments = copy.deepcopy(saved["auxiliary_optimizer"])
        self.auxiliary_optimizer.load_state_dict({"state": moments, "param_groups": groups})


@final
class WienerGuidedAdam(AdamSolver):
    """Adam on both priors, drawn towards a Wiener deconvolution by an auxiliary kernel: W-DIP.

    Bredell, Erdil, Weber, Konukoglu, "Wiener Guided DIP for Unsupervised Blind Image Deconvolution", WACV 2023, in the
    form and with the numbers of its released code, github.com/gbredell/W_DIP.

    With the problem's objective F(x, k), its fidelity D, an auxiliary kernel g of free pixels that begins as a wide
    Gaussian, and W(g) the data deconvolved by it, one iteration is

        1. an Adam step on g, for ``guidance D(x, W(g)) + kernel_guidance |k - g|^2 + auxiliary_penalty |g|^2``;
        2. an Adam step on the networks of x and k, for ``F + guidance D(x, W(g)) + kernel_guidance |k - g|^2``.

    g and W(g) are compared with k and x where the move that brings g nearest to k puts them. A wide g makes W(g) a
    little sharper than the data, and the network of x learns its low frequencies before its artefacts. The data are
    continued beyond their border before they are deconvolved, and W(g) is clipped to [0, 1]; the released code takes
    the data for periodic, leaves out half a kernel of the border where it compares, and W(g) is a magnitude there.

    Args:
        iterations: steps.
        image_lr: learning rate of the image prior.
        kernel_lr: learning rate of the kernel prior.
        milestones: iterations, counted from 0, from which both rates are multiplied by ``decay`` once more.
        decay: see there.
        perturbation: standard deviation of the noise added to the latent of the image prior at every step.
        guidance: weight of the distance between the image and the deconvolved data, by the problem's fidelity.
        kernel_guidance: weight of the squared distance between the kernel and the auxiliary one, summed over pixels.
        auxiliary_penalty: weight of the auxiliary kernel's squared norm, which keeps it spread.
        auxiliary_lr: learning rate of the auxiliary kernel at first.
        auxiliary_milestones: iterations from which that rate is ten times larger, for each full ten pixels of the
            kernel's longer side less one: 70 means 140 for 21 pixels, and 0 for ten or fewer.
        auxiliary_width: standard deviation of the Gaussian it begins as, in sides less one.
        noise_to_signal: of the Wiener filter.
        execution: whether a GPU replays the steps, see `AdamSolver`.
        seed: of the perturbations.
    """

    needs: ClassVar = {"operator": Blur}

    @validated
    def __init__(
        self,
        *,
        iterations: Iterations = 5000,
        image_lr: ImageRate = 1e-2,
        kernel_lr: KernelRate = 1e-4,
        milestones: Milestones = (2000, 3000, 4000),
        decay: Decay = 0.5,
        perturbation: Perturbation = 1e-3,
        guidance: Annotated[NonNegative, Field(description="weight of the distance from the deconvolved data")] = 1e-3,
        kernel_guidance: Annotated[
            NonNegative, Field(description="weight of the squared distance from the auxiliary kernel")
        ] = 1e-4,
        auxiliary_penalty: Annotated[
            NonNegative, Field(description="weight of the auxiliary kernel's squared norm, which keeps it spread")
        ] = 1e-3,
        auxiliary_lr: Annotated[Positive, Field(description="learning rate of the auxiliary kernel at first")] = 1e-6,
        auxiliary_milestones: Annotated[
            tuple[Annotated[int, Field(ge=0)], ...],
            Field(description="iterations, for each ten pixels of kernel, from which it is ten times larger"),
        ] = (70, 120, 170),
        auxiliary_width: Annotated[
            Positive, Field(description="std of the Gaussian that the auxiliary kernel begins as, in sides of it")
        ] = 1 / 3,
        noise_to_signal: Annotated[Positive, Field(description="of the Wiener filter, at every frequency")] = 0.025,
        execution: Execution = "auto",
        seed: Seed = 0,
    ) -> None:
        super().__init__(
            iterations=iterations,
            image_lr=image_lr,
            kernel_lr=kernel_lr,
            milestones=milestones,
            decay=decay,
            perturbation=perturbation,
            execution=execution,
            seed=seed,
        )
        self.guidance, self.kernel_guidance, self.auxiliary_penalty = guidance, kernel_guidance, auxiliary_penalty
        self.auxiliary_lr, self.auxiliary_milestones = auxiliary_lr, auxiliary_milestones
        self.auxiliary_width, self.noise_to_signal = auxiliary_width, noise_to_signal

    def check(self, problem: Problem) -> None:
        """Refuse what is no valid blur, or has no unknowns; raises `AssemblyError`."""
        super().check(problem)
        check_padding(problem, "wiener-guided-adam", ("valid",))

    def start(self, problem: Problem) -> GuidedState:
        """Copies of the priors, and a wide Gaussian to guide them."""
        free = nn.Parameter(gaussian(problem.kernel_prior.shape, self.auxiliary_width, problem.data))
        optimizer = device_adam([([free], self.auxiliary_lr)], free.device)
        return GuidedState(**vars(super().start(problem)), free=free, auxiliary_optimizer=optimizer)

    def prepare(self, problem: Problem, state: AdamState) -> None:
        """Set the learning rates, that of the auxiliary kernel too."""
        assert isinstance(state, GuidedState)
        super().prepare(problem, state)
        set_rates(state.auxiliary_optimizer, [self.auxiliary_rate(problem, state.iteration)])

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        """Bredell et al. 2023: the auxiliary kernel for the image and kernel as they are, then these for it."""
        assert isinstance(state, GuidedState)
        image, kernel = self.image(state), state.kernel_prior()
        self.follow(problem, state, image.detach(), kernel.detach())
        distance = self.distance(problem, state.iteration, image, kernel, state.auxiliary.detach())
        loss = (problem.objective(image, kernel, state.iteration) + distance).mean()
        self.descend(state, loss)
        return image, kernel, loss

    def follow(self, problem: Problem, state: GuidedState, image: Tensor, kernel: Tensor) -> None:
        """The Adam step on the auxiliary kernel, for an image and kernel without gradients."""
        auxiliary = state.auxiliary
        loss = self.distance(problem, state.iteration, image, kernel, auxiliary)
        loss = loss + self.auxiliary_penalty * auxiliary.square().sum((1, 2, 3))
        state.auxiliary_optimizer.zero_grad()
        loss.mean().backward()  # type: ignore[no-untyped-call]
        state.auxiliary_optimizer.step()

    def distance(self, problem: Problem, iteration: int, image: Tensor, kernel: Tensor, auxiliary: Tensor) -> Tensor:
        """Of image and kernel from their guides, weighted, (B,); differentiable in each of the three."""
        data, moves = problem.data, best_moves(auxiliary, kernel)
        guide = moved_image(sharpened(data, auxiliary, self.noise_to_signal), moves, kernel, data)
        seen = crop_to_data(image, size_of(kernel), size_of(data))
        from_image: Tensor = problem.fidelity.at(iteration)(seen, guide)
        from_kernel = (moved_kernel(auxiliary, moves) - kernel).square().sum((1, 2, 3))
        return self.guidance * from_image + self.kernel_guidance * from_kernel

    def auxiliary_rate(self, problem: Problem, iteration: int) -> float:
        """The auxiliary kernel's learning rate at an iteration, counted from 0."""
        tens = (max(problem.kernel_prior.shape[-2:]) - 1) // MILESTONE_SIDE
        passed = sum(iteration >= tens * milestone for milestone in self.auxiliary_milestones)
        return self.auxiliary_lr * FASTER**passed
