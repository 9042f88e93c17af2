"""Image and unknown of any operator in turns."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import ImagePrior, OperatorParameterPrior
from ..core.parameters import Positive, PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Solver
from .adam import clone, trainable
from .half_quadratic import check_weights
from .linear_admm import BoundPenalty, Inner, LinearADMM, LinearState, Penalty
from .pixel_state import image_prior_of

__all__ = ["AlternatingADMM"]

SETTLED = 0.8  # of the turns, after which the weights are what the recipe says


@dataclass(kw_only=True)
class AlternatingState(LinearState):
    """The state of the image's ADMM, and the prior of the unknown in training.

    Attributes:
        kernel_prior: a copy of the problem's.
        optimizer: Adam on its parameters.
    """

    kernel_prior: OperatorParameterPrior
    optimizer: torch.optim.Adam

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """A prior that gives the image, and a copy of the unknown's in training."""
        return image_prior_of(problem.image_prior, self.image), copy.deepcopy(self.kernel_prior)

    def state_dict(self) -> dict[str, Any]:
        """A copy; later steps leave it as it is."""
        return super().state_dict() | {
            "kernel_prior": clone(self.kernel_prior.state_dict()),
            "optimizer": clone(self.optimizer.state_dict()["state"]),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(saved)
        self.kernel_prior.load_state_dict(saved["kernel_prior"])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": clone(saved["optimizer"]), "param_groups": groups})


class AlternatingADMM(Solver[AlternatingState]):
    """Blind problems of any linear operator: the image by ADMM, its unknown by Adam, in turns.

    A turn is one of `LinearADMM` under the unknown as it stands, and then some steps of Adam (Kingma & Ba 2015) on the
    unknown's prior under the image as it stands. Both go on from where they were.

    Args:
        iterations: turns.
        cg_iterations: as `LinearADMM`.
        penalty: as `LinearADMM`.
        bound_penalty: as `LinearADMM`.
        parameter_steps: of Adam in each turn.
        parameter_lr: their learning rate; it falls to a tenth over the turns, as a geometric series.
        wait: turns before the first of them, in which the image forms.
        first: factor of the weights of the image's regularizers in the first turn; it falls to one, as a geometric
            series, over four fifths of the turns. Under a heavy prior an image has strong edges only, from which the
            unknown is found first (as in Xu, Zheng, Jia, "Unnatural L0 Sparse Representation", CVPR 2013).
    """

    needs = LinearADMM.needs

    @validated
    def __init__(
        self,
        *,
        iterations: Annotated[PositiveInt, Field(description="turns of image and unknown")] = 100,
        cg_iterations: Inner = 4,
        penalty: Penalty = 20.0,
        bound_penalty: BoundPenalty = 0.2,
        parameter_steps: Annotated[PositiveInt, Field(description="steps of Adam on the unknown in each turn")] = 5,
        parameter_lr: Annotated[Positive, Field(description="their learning rate at the beginning")] = 1e-2,
        wait: Annotated[int, Field(ge=0, description="turns before the first of them")] = 5,
        first: Annotated[Positive, Field(description="factor of the weights in the first turn; falls to 1")] = 1.0,
    ) -> None:
        self.iterations = iterations
        self.image_solver = LinearADMM(iterations=iterations, cg_iterations=cg_iterations, penalty=penalty, bound_penalty=bound_penalty)
        self.parameter_steps, self.parameter_lr, self.wait = parameter_steps, parameter_lr, wait
        self.first = first

    def check(self, problem: Problem) -> None:
        """Refuse what it cannot solve; raises `AssemblyError`."""
        super().check(problem)
        check_weights(problem, "alternating-admm")
        if not trainable(problem.kernel_prior):
            raise AssemblyError(
                f"alternating-admm has no unknown to find: {type(problem.kernel_prior).__name__} has no parameters; "
                "use the solver linear-admm"
            )

    def start(self, problem: Problem) -> AlternatingState:
        """The image of the prior, and an Adam that has not moved yet."""
        begun = self.image_solver.start(problem)
        prior = copy.deepcopy(problem.kernel_prior).to(problem.data)
        return AlternatingState(
            image=begun.image,
            kernel=begun.kernel,
            gaps=begun.gaps,
            bound_gap=begun.bound_gap,
            kernel_prior=prior,
            optimizer=torch.optim.Adam(trainable(prior)),
        )

    def step(self, problem: Problem, state: AlternatingState) -> AlternatingState:
        """A turn of ADMM on the image, then the steps on the unknown."""
        with torch.no_grad():
            self.image_solver.turn(self.heavier(problem, state.iteration), state)
        if state.iteration >= self.wait:
            self.find(problem, state)
        with torch.no_grad():
            state.kernel = state.kernel_prior()
            state.losses.append(problem.objective(state.image, state.kernel, state.iteration).mean())
        return state

    def heavier(self, problem: Problem, iteration: int) -> Problem:
        """The problem with the weights on the image that it has in a turn."""
        factor = self.first ** max(0.0, 1 - iteration / (SETTLED * self.iterations))
        terms = [
            replace(term, weight=factor * term.weight) if term.target == "image" else term for term in problem.regularizers
        ]
        return replace(problem, regularizers=terms)

    def find(self, problem: Problem, state: AlternatingState) -> None:
        """The steps of Adam on the unknown under the image in [0, 1]."""
        image = state.image.clamp(0, 1)
        for group in state.optimizer.param_groups:
            group["lr"] = self.parameter_lr * 0.1 ** (state.iteration / self.iterations)
        for _ in range(self.parameter_steps):
            state.optimizer.zero_grad()
            self.loss(problem, image, state.kernel_prior(), state.iteration).backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()

    @staticmethod
    def loss(problem: Problem, image: Tensor, unknown: Tensor, iteration: int) -> Tensor:
        """What of the objective depends on the unknown."""
        total: Tensor = problem.fidelity.at(iteration)(problem.operator(image, unknown), problem.data).mean()
        for term in problem.regularizers:
            if term.target == "kernel":
                total = total + term.weight * term.regularizer(unknown).mean()
        return total
