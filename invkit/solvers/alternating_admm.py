"""Image and unknown of any linear operator, alternately."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import ImagePrior, OperatorParameterPrior
from ..core.parameters import NonNegative, NonNegativeInt, Positive, PositiveInt, validated
from ..core.problem import Problem, WeightedData
from ..core.solver import Solver
from .linear_admm import LinearADMM, LinearState
from .pixel_state import image_prior_of
from .splitting import check_weights
from .training import cloned, load_optimizer_state, trainable

__all__ = ["AlternatingADMM"]

CONTINUATION_SHARE = 0.8  # of the outer iterations, after which the weights are those of the recipe
FINAL_RATE_FACTOR = 0.1  # of Adam's learning rate in the last outer iteration


@dataclass(kw_only=True)
class AlternatingState(LinearState):
    """The state of the image's ADMM, and the prior of the operator's unknown in training.

    Attributes:
        kernel_prior: a copy of the problem's.
        optimizer: Adam on its parameters.
    """

    kernel_prior: OperatorParameterPrior
    optimizer: torch.optim.Adam

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """Return a prior that gives the image, and a copy of the unknown's prior."""
        return image_prior_of(problem.image_prior, self.image), copy.deepcopy(self.kernel_prior)

    def state_dict(self) -> dict[str, Any]:
        """Return copies, which later steps do not change."""
        return super().state_dict() | {
            "kernel_prior": cloned(self.kernel_prior.state_dict()),
            "optimizer": cloned(self.optimizer.state_dict()["state"]),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        super().load_state_dict(saved)
        self.kernel_prior.load_state_dict(saved["kernel_prior"])
        load_optimizer_state(self.optimizer, saved["optimizer"])


class AlternatingADMM(Solver[AlternatingState], WeightedData):
    """Blind problems of any linear operator: alternates ADMM on the image and Adam on the operator's unknown.

    An outer iteration is one iteration of `LinearADMM` with the unknown fixed, then some steps of Adam (Kingma & Ba
    2015) on the unknown's prior with the image fixed. Both continue from their last values.

    Args:
        iterations: outer iterations of image and unknown.
        cg_iterations: iterations of conjugate gradients for the image in each outer iteration.
        penalty: penalty of ``z = D x``; a proximal map changes values by about ``1 / (2 penalty)`` in [0, 1] units.
        bound_penalty: penalty of ``z = x`` in [0, 1], times that of ``z = D x``; 0 for no bounds.
        parameter_steps: steps of Adam on the unknown in each outer iteration.
        parameter_lr: initial learning rate of Adam on the unknown; it falls geometrically to a tenth in the last outer
            iteration.
        warmup_iterations: outer iterations before the first step of Adam, in which the image forms.
        initial_weight_factor: factor of the weights of the image's regularizers in the first outer iteration; it falls
            geometrically to one over four fifths of the outer iterations. Heavy regularization leaves only strong
            edges, from which the unknown is estimated first (as in Xu, Zheng, Jia, "Unnatural L0 Sparse
            Representation", CVPR 2013).
    """

    keeps_large_blocks = True
    needs = LinearADMM.needs

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 100,
        cg_iterations: PositiveInt = 4,
        penalty: Positive = 20.0,
        bound_penalty: NonNegative = 0.2,
        parameter_steps: PositiveInt = 5,
        parameter_lr: Positive = 1e-2,
        warmup_iterations: NonNegativeInt = 5,
        initial_weight_factor: Positive = 1.0,
    ) -> None:
        self.iterations = iterations
        self.image_solver = LinearADMM(
            iterations=iterations, cg_iterations=cg_iterations, penalty=penalty, bound_penalty=bound_penalty
        )
        self.parameter_steps, self.parameter_lr = parameter_steps, parameter_lr
        self.warmup_iterations, self.initial_weight_factor = warmup_iterations, initial_weight_factor

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_weights(problem, "alternating-admm")
        if not trainable(problem.kernel_prior):
            raise AssemblyError(
                f"alternating-admm has no unknown to estimate: {type(problem.kernel_prior).__name__} has no "
                "parameters; use the solver linear-admm"
            )

    def start(self, problem: Problem) -> AlternatingState:
        """Take the image that the prior gives, and create an Adam without moments."""
        started = self.image_solver.start(problem)
        prior = copy.deepcopy(problem.kernel_prior).to(problem.data)
        return AlternatingState(
            image=started.image,
            kernel=started.kernel,
            gaps=started.gaps,
            bound_gap=started.bound_gap,
            kernel_prior=prior,
            optimizer=torch.optim.Adam(trainable(prior)),
        )

    def step(self, problem: Problem, state: AlternatingState) -> AlternatingState:
        """One outer iteration: ADMM on the image, then Adam on the unknown."""
        with torch.no_grad():
            self.image_solver.iterate(self.reweighted(problem, state.iteration), state)
        if state.iteration >= self.warmup_iterations:
            self.update_unknown(problem, state)
        with torch.no_grad():
            state.kernel = state.kernel_prior()
            state.losses.append(problem.objective(state.image, state.kernel, state.iteration).mean())
        return state

    def reweighted(self, problem: Problem, iteration: int) -> Problem:
        """Return the problem with the weights on the image of an outer iteration."""
        factor = self.initial_weight_factor ** max(0.0, 1 - iteration / (CONTINUATION_SHARE * self.iterations))
        terms = [
            replace(term, weight=factor * term.weight) if term.target == "image" else term
            for term in problem.regularizers
        ]
        return replace(problem, regularizers=terms)

    def update_unknown(self, problem: Problem, state: AlternatingState) -> None:
        """Take the steps of Adam on the unknown for the image clamped to [0, 1]."""
        image = state.image.clamp(0, 1)
        for group in state.optimizer.param_groups:
            group["lr"] = self.parameter_lr * FINAL_RATE_FACTOR ** (state.iteration / self.iterations)
        for _ in range(self.parameter_steps):
            state.optimizer.zero_grad()
            loss_of_unknown(problem, image, state.kernel_prior(), state.iteration).backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()


def loss_of_unknown(problem: Problem, image: Tensor, unknown: Tensor, iteration: int) -> Tensor:
    """Return the part of the objective that depends on the operator's unknown, as a scalar tensor.

    Args:
        problem: gives data, fidelity and regularizers.
        image: (B, C, H, W).
        unknown: of the operator's ``parameter_shape``.
        iteration: outer iteration, for a scheduled fidelity.
    """
    predicted = problem.operator(image, unknown)
    total = problem.data_term(predicted, iteration).mean()
    for term in problem.regularizers:
        if term.target == "kernel":
            total = total + term.weight * term.regularizer(unknown).mean()
    return total
