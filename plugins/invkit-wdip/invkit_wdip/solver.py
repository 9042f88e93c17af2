"""Joint Adam on image prior and kernel prior, guided by a Wiener filter."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from invkit.core.interfaces import Blur
from invkit.core.parameters import NonNegative, NonNegativeInt, Positive, PositiveFraction, PositiveInt, Seed, validated
from invkit.core.problem import Problem
from invkit.numerics.framing import crop_to_data
from invkit.numerics.geometry import size_of
from invkit.solvers.adam import (
    AdamSolver,
    AdamState,
    Execution,
    Outcome,
)
from invkit.solvers.pixel_state import check_padding
from invkit.solvers.training import device_adam, set_rates

from .guides import best_shifts, gaussian, normalised, sharpened, shifted_image, shifted_kernel

__all__ = ["GuidedState", "WienerGuidedAdam"]

AUXILIARY_RATE_FACTOR = 10.0  # of the auxiliary kernel's learning rate at each of its milestones
MILESTONE_SIDE = 10  # pixels of a kernel, for which the milestones are given


@dataclass(kw_only=True)
class GuidedState(AdamState):
    """The priors in training, and the auxiliary kernel that guides them.

    Attributes:
        free: (B, 1, h, w), numbers whose magnitudes, scaled to sum one, are the auxiliary kernel.
        auxiliary_optimizer: Adam on these numbers.
    """

    free: nn.Parameter
    auxiliary_optimizer: torch.optim.Adam

    @property
    def auxiliary(self) -> Tensor:
        """The auxiliary kernel, (B, 1, h, w), >= 0, each summing to one."""
        return normalised(self.free)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state, which later steps do not change."""
        return super().state_dict() | {
            "free": self.free.detach().clone(),
            "auxiliary_optimizer": copy.deepcopy(self.auxiliary_optimizer.state_dict()["state"]),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore a saved state; the same solver must have started this state on the same problem."""
        super().load_state_dict(saved)
        self.free.data.copy_(saved["free"])
        groups = self.auxiliary_optimizer.state_dict()["param_groups"]
        moments = copy.deepcopy(saved["auxiliary_optimizer"])
        self.auxiliary_optimizer.load_state_dict({"state": moments, "param_groups": groups})


@final
class WienerGuidedAdam(AdamSolver):
    """Adam on both priors, attracted to a Wiener deconvolution by an auxiliary kernel: W-DIP.

    Bredell, Erdil, Weber, Konukoglu, "Wiener Guided DIP for Unsupervised Blind Image Deconvolution", WACV 2023, in the
    form and with the numbers of its released code, github.com/gbredell/W_DIP.

    F(x, k) is the problem's objective and D its fidelity. The auxiliary kernel g has free pixels and starts as a wide
    Gaussian. W(g) is the data deconvolved by g. One iteration is

        1. an Adam step on g, for ``guidance D(x, W(g)) + kernel_guidance |k - g|^2 + auxiliary_penalty |g|^2``;
        2. an Adam step on the networks of x and k, for ``F + guidance D(x, W(g)) + kernel_guidance |k - g|^2``.

    Before the comparison with k and x, g and W(g) are shifted so that g is closest to k. A wide g makes W(g) a little
    sharper than the data, and the network of x learns its low frequencies before its artefacts. The data are extended
    beyond their border before they are deconvolved, and W(g) is clipped to [0, 1]. The released code treats the data as
    periodic, excludes half a kernel at the border from the comparison, and its W(g) is a magnitude.

    Args:
        guidance: weight of the distance between the image and the deconvolved data, by the problem's fidelity.
        kernel_guidance: weight of the squared distance between the kernel and the auxiliary one, summed over pixels.
        auxiliary_penalty: weight of the auxiliary kernel's squared norm; it keeps the kernel wide.
        auxiliary_lr: starting learning rate of the auxiliary kernel.
        auxiliary_milestones: iterations at which ``auxiliary_lr`` is multiplied by ten. They are multiplied by the
            number of full tens in the kernel's longer side less one: 70 means 140 for 21 pixels, and 0 for ten or
            fewer.
        auxiliary_width: standard deviation of the auxiliary kernel's starting Gaussian, as a share of the side less
            one.
        noise_to_signal: ratio of the power spectra in the Wiener filter, the same at every frequency.

    The other arguments are those of `AdamSolver`.
    """

    needs: ClassVar = {"operator": Blur}

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 5000,
        image_lr: Positive = 1e-2,
        kernel_lr: Positive = 1e-4,
        milestones: tuple[NonNegativeInt, ...] = (2000, 3000, 4000),
        decay: PositiveFraction = 0.5,
        perturbation: NonNegative = 1e-3,
        guidance: NonNegative = 1e-3,
        kernel_guidance: NonNegative = 1e-4,
        auxiliary_penalty: NonNegative = 1e-3,
        auxiliary_lr: Positive = 1e-6,
        auxiliary_milestones: tuple[NonNegativeInt, ...] = (70, 120, 170),
        auxiliary_width: Positive = 1 / 3,
        noise_to_signal: Positive = 0.025,
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
        """Raise `AssemblyError` unless the operator is a valid blur and the priors have unknowns."""
        super().check(problem)
        check_padding(problem, "wiener-guided-adam", ("valid",))

    def start(self, problem: Problem) -> GuidedState:
        """Copy the priors, and start the auxiliary kernel as a wide Gaussian."""
        free = nn.Parameter(gaussian(problem.kernel_prior.shape, self.auxiliary_width, problem.data))
        optimizer = device_adam([([free], self.auxiliary_lr)], free.device)
        return GuidedState(**vars(super().start(problem)), free=free, auxiliary_optimizer=optimizer)

    def prepare(self, problem: Problem, state: AdamState) -> None:
        """Set the learning rates, also of the auxiliary kernel."""
        assert isinstance(state, GuidedState)
        super().prepare(problem, state)
        set_rates(state.auxiliary_optimizer, [self.auxiliary_rate(problem, state.iteration)])

    def advance(self, problem: Problem, state: AdamState) -> Outcome:
        """Step on the auxiliary kernel, then on both priors (Bredell et al. 2023)."""
        assert isinstance(state, GuidedState)
        image, kernel = self.image(state), state.kernel_prior()
        self.follow(problem, state, image.detach(), kernel.detach())
        distance = self.distance(problem, state.iteration, image, kernel, state.auxiliary.detach())
        loss = (problem.objective(image, kernel, state.iteration) + distance).mean()
        self.descend(state, loss)
        return image, kernel, loss

    def follow(self, problem: Problem, state: GuidedState, image: Tensor, kernel: Tensor) -> None:
        """Step with Adam on the auxiliary kernel.

        Args:
            problem: gives data and fidelity.
            state: its auxiliary kernel is changed.
            image: (B, C, H + h - 1, W + w - 1), without a gradient.
            kernel: (B, 1, h, w), without a gradient.
        """
        auxiliary = state.auxiliary
        loss = self.distance(problem, state.iteration, image, kernel, auxiliary)
        loss = loss + self.auxiliary_penalty * auxiliary.square().sum((1, 2, 3))
        state.auxiliary_optimizer.zero_grad()
        loss.mean().backward()  # type: ignore[no-untyped-call]
        state.auxiliary_optimizer.step()

    def distance(self, problem: Problem, iteration: int, image: Tensor, kernel: Tensor, auxiliary: Tensor) -> Tensor:
        """Return the weighted distance of image and kernel from their guides, (B,).

        Args:
            problem: gives data and fidelity.
            iteration: from 0; a schedule of fidelities depends on it.
            image: (B, C, H + h - 1, W + w - 1).
            kernel: (B, 1, h, w).
            auxiliary: (B, 1, h, w).
        """
        data, shifts = problem.data, best_shifts(auxiliary, kernel)
        guide = shifted_image(sharpened(data, auxiliary, self.noise_to_signal), shifts, kernel, data)
        seen = crop_to_data(image, size_of(kernel), size_of(data))
        from_image: Tensor = problem.fidelity.at(iteration)(seen, guide)
        from_kernel = (shifted_kernel(auxiliary, shifts) - kernel).square().sum((1, 2, 3))
        return self.guidance * from_image + self.kernel_guidance * from_kernel

    def auxiliary_rate(self, problem: Problem, iteration: int) -> float:
        """Return the auxiliary kernel's learning rate at an iteration, from 0."""
        tens = (max(problem.kernel_prior.shape[-2:]) - 1) // MILESTONE_SIDE
        passed = sum(iteration >= tens * milestone for milestone in self.auxiliary_milestones)
        return self.auxiliary_lr * AUXILIARY_RATE_FACTOR**passed
