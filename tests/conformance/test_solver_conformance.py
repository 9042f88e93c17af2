"""The check of solvers passes for every combination that a recipe can make of them, and catches faulty ones."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from narrow import tensor

from invkit.core.errors import AssemblyError, NotApplicableError
from invkit.core.interfaces import Assignable, Blur, ImagePrior, LinearOperator, OperatorParameterPrior
from invkit.core.parameters import validated
from invkit.core.problem import Problem
from invkit.core.result import GivesVariances
from invkit.core.solver import Solver
from invkit.fidelities.norms import MSE
from invkit.fidelities.poisson import Poisson
from invkit.operators.convolution import Convolution
from invkit.solvers.adam import AdamSolver, AdamState, JointAdam
from invkit.solvers.alternating_map import AlternatingMAP
from invkit.solvers.gradient_descent import GradientDescent
from invkit.solvers.gradient_map import GradientMAP
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.pixel_state import PixelState
from invkit.solvers.pyramid import Pyramid
from invkit.solvers.richardson_lucy import RichardsonLucy, RichardsonLucyState
from invkit.testing import check_solved, check_solver, small_problem

MAP = {"name": "alternating-map", "params": {"iterations": 3, "kernel_postprocessing": "threshold", "decay": 1.2}}


ADAM = {"name": "joint-adam", "params": {"iterations": 10}}


@pytest.mark.parametrize(
    ("component", "params"),
    [
        pytest.param(Pyramid, {"inner": MAP, "initial_kernel": "two-taps"}, id="pyramid of maps"),
        pytest.param(Pyramid, {"inner": {"name": "gradient-map", "params": {"iterations": 3}}}, id="of gradients"),
        # Solvers that keep nothing of the kernel but what follows from it: the kernel of a level must be saved.
        pytest.param(Pyramid, {"inner": "half-quadratic", "initial_kernel": "delta"}, id="of half-quadratic splitting"),
        pytest.param(Pyramid, {"inner": {"name": "admm", "params": {"iterations": 4}}}, id="of admm"),
        pytest.param(
            AlternatingMAP, {"latent": "irls", "iterations": 3, "kernel_estimation": "support-detection"}, id="irls"
        ),
        pytest.param(AlternatingMAP, {"latent": "wiener", "edge_selection": "shock", "iterations": 4}, id="wiener"),
        pytest.param(
            AlternatingMAP, {"latent": "gradient-descent", "edge_selection": "intensities"}, id="gradient descent"
        ),
        pytest.param(AlternatingMAP, {"latent": ADAM, "iterations": 2}, id="adam as latent"),
        pytest.param(
            GradientMAP,
            {"kernel_estimation": "toeplitz", "kernel_postprocessing": "threshold"},
            id="gradients, toeplitz",
        ),
        pytest.param(HalfQuadratic, {"start_from_data": False}, id="from the prior's image"),
        pytest.param(JointAdam, {"ema": 0.9, "iterations": 12}, id="averaged"),
    ],
)
def test_combinations_conform(component: type[Any], params: dict[str, Any]) -> None:
    check_solver(component, params)


class Climber(AdamSolver):
    """Ascends."""

    def advance(self, problem: Problem, state: AdamState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        image, kernel = state.image_prior(), state.kernel_prior()
        loss = -problem.objective(image, kernel, state.iteration)
        self.descend(state, loss)
        return image, kernel, loss


class Deaf(AdamSolver):
    """Minimises squares whatever the fidelity is."""

    def advance(self, problem: Problem, state: AdamState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        image, kernel = state.image_prior(), state.kernel_prior()
        loss = (problem.operator(image, kernel) - problem.data).square().mean((1, 2, 3))
        self.descend(state, loss)
        return image, kernel, loss


class Reporting(GradientDescent):
    """Minimises squares, and records the fidelity as its loss."""

    def step(self, problem: Problem, state: PixelState) -> PixelState:
        image, kernel = state.estimate()
        loss = problem.objective(image, kernel, state.iteration).sum()
        state = super().step(replace(problem, fidelity=MSE()), state)
        state.losses[-1] = loss
        return state


class Shiftless(RichardsonLucy):
    """Takes every divergence for that of photons without read noise."""

    def start(self, problem: Problem) -> RichardsonLucyState:
        return super().start(replace(problem, fidelity=Poisson()))

    def step(self, problem: Problem, state: RichardsonLucyState) -> RichardsonLucyState:
        return super().step(replace(problem, fidelity=Poisson()), state)


class Plain(GradientDescent):
    """Fits the data alone."""

    def step(self, problem: Problem, state: PixelState) -> PixelState:
        return super().step(replace(problem, regularizers=()), state)


class Lopsided(JointAdam):  # type: ignore[misc]  # a final class
    """Knows regularizers on the image only."""

    def advance(self, problem: Problem, state: AdamState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        terms = [term for term in problem.regularizers if term.target == "image"]
        return super().advance(replace(problem, regularizers=terms), state)


class Transposing(JointAdam):  # type: ignore[misc]  # a final class
    """Uses the adjoint of any operator."""

    def advance(self, problem: Problem, state: AdamState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if not isinstance(problem.operator, LinearOperator):
            raise AssertionError("an operator without adjoint was accepted")
        return super().advance(problem, state)


class Straight(JointAdam):  # type: ignore[misc]  # a final class
    """Takes every operator for a blur."""

    def advance(self, problem: Problem, state: AdamState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return super().advance(replace(problem, operator=Convolution()), state)


class Meddler(AdamSolver):
    """Trains the problem's own priors."""

    def start(self, problem: Problem) -> AdamState:
        state = super().start(problem)
        state.image_prior = problem.image_prior
        return state

    def advance(self, problem: Problem, state: AdamState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            tensor(state.image_prior.free).mul_(0.9)
        return state.image_prior(), state.kernel_prior(), torch.zeros(())


class Overwriter(JointAdam):  # type: ignore[misc]  # a final class
    """Scales the data, and back only in the end."""

    def step(self, problem: Problem, state: AdamState) -> AdamState:
        problem.data.mul_(0.99)
        return super().step(problem, state)


class Forgetful(AdamSolver):
    """Keeps part of what changes outside the state."""

    def start(self, problem: Problem) -> AdamState:
        self.count = 0
        return super().start(problem)

    def advance(self, problem: Problem, state: AdamState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        self.count += 1
        image, kernel = state.image_prior(), state.kernel_prior()
        loss = problem.objective(image, kernel, state.iteration) * (1 + self.count)
        self.descend(state, loss)
        return image, kernel, loss


class Learner(JointAdam):  # type: ignore[misc]  # a final class
    """Begins where it ended the last time."""

    left: AdamState | None = None

    def start(self, problem: Problem) -> AdamState:
        state = super().start(problem)
        if self.left is not None and self.left.image_prior.shape == state.image_prior.shape:
            state.image_prior = copy.deepcopy(self.left.image_prior)
        self.left = state
        return state


class Silent(JointAdam):  # type: ignore[misc]  # a final class
    """Records no loss."""

    def record(self, state: AdamState, image: torch.Tensor, kernel: torch.Tensor, loss: torch.Tensor) -> None:
        super().record(state, image, kernel, loss)
        state.losses.clear()


class Idle(AdamState):
    """Leaves the problem's priors as what it came to."""

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        return problem.image_prior, problem.kernel_prior


class Barren(JointAdam):  # type: ignore[misc]  # a final class
    """Hands on what it was given."""

    def start(self, problem: Problem) -> AdamState:
        return Idle(**vars(super().start(problem)))


class Single(GradientDescent):
    """Works in float32 alone."""

    def step(self, problem: Problem, state: PixelState) -> PixelState:
        state = super().step(problem, state)
        state.image = state.image.float()
        return state


class Nosy(GradientDescent):
    """Fits unknown data too."""

    def step(self, problem: Problem, state: PixelState) -> PixelState:
        return super().step(replace(problem, weights=None), state)


class Even(GradientDescent):
    """Knows masks alone."""

    def step(self, problem: Problem, state: PixelState) -> PixelState:
        return super().step(replace(problem, weights=problem.known), state)


class Counting(JointAdam):  # type: ignore[misc]  # a final class
    """Counts its steps, which the loop does."""

    def step(self, problem: Problem, state: AdamState) -> AdamState:
        state = super().step(problem, state)
        state.iteration += 1
        return state


class Refusing(GradientDescent):
    """Solves nothing."""

    needs: ClassVar = {"image_prior": Assignable, "operator": Blur}

    def check(self, problem: Problem) -> None:
        raise AssemblyError("not today")


class Moody(JointAdam):  # type: ignore[misc]  # a final class
    """Declines every second time."""

    asked = 0

    def start(self, problem: Problem) -> AdamState:
        self.asked += 1
        if self.asked % 2:
            raise NotApplicableError("not today")
        return super().start(problem)


class Curt(GradientDescent):
    """Declines without a reason."""

    def start(self, problem: Problem) -> PixelState:
        raise NotApplicableError


class Sure(GradientDescent, GivesVariances):
    """Promises variances and gives none."""


class Specialist(GradientDescent):
    """Declines with a reason."""

    def start(self, problem: Problem) -> PixelState:
        raise NotApplicableError("no lamps")


def test_a_solver_may_decline_with_a_reason() -> None:
    check_solver(Specialist)
    with pytest.raises(NotApplicableError, match="no lamps"):
        check_solved(Specialist(), small_problem(Specialist()))


class Nameless(Solver[Any]):
    """Needs a solver, and gives no example.

    Args:
        inner: another solver.
    """

    iterations = 1

    @validated
    def __init__(self, *, inner: Solver[Any]) -> None:
        self.inner = inner

    def start(self, problem: Problem) -> Any:
        raise AssertionError("started")

    def step(self, problem: Problem, state: Any) -> Any:
        raise AssertionError("started")


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (Climber, "ends at a fidelity"),
        (Deaf, r"Deaf ignores the problem's fidelity; name those that it minimises in 'needs'"),
        (Reporting, "Reporting ignores the problem's fidelity"),
        (Shiftless, "Shiftless ignores the problem's fidelity"),
        (Plain, "Plain ignores regularizers on the image; refuse them in 'check'"),
        (Lopsided, "Lopsided ignores regularizers on the kernel"),
        (Transposing, "an operator without adjoint was accepted"),
        (Straight, "under Squared, which is not linear, and which it does not refuse, ends at a fidelity"),
        (Meddler, "changes the problem's image_prior: free"),
        (Overwriter, "changes the problem's data"),
        (Forgetful, "resumed from a saved state has another history"),
        (Learner, "solving again has another history"),
        (Silent, "records 0 losses"),
        (Barren, "in the priors it leaves, ends at a fidelity"),
        (Single, "gives an image in torch.float32 for float64"),
        (Nosy, "Nosy uses the values that stand at unknown data"),
        (Even, "Even ignores weights of the data that are neither 0 nor 1"),
        (Counting, "records 10 losses in 20 steps"),
        (Refusing, "refuses every problem of registered components: not today"),
        (Moody, "Moody does not always decline a problem in the same way"),
        (Sure, "Sure gives no variances of the kernel"),
        (Curt, "Curt declines a problem without a reason"),
        (Nameless, r"'inner' is required and has no Field\(examples"),
    ],
)
def test_a_faulty_solver_is_caught(component: type[Any], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_solver(component)
