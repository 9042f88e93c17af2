"""Alternating MAP solvers: the steps of an outer iteration, and that kernels are found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import pytest
import torch
from deconvolution import a_kernel, alike, blind, blurred, curve, delta, random
from narrow import tensor

from invkit.core.errors import AssemblyError
from invkit.core.interfaces import LinearOperator
from invkit.core.problem import Problem, Term
from invkit.core.solver import Solver
from invkit.fidelities.norms import L1, MSE
from invkit.fidelities.schedule import Schedule
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.numerics.geometry import shape_of
from invkit.operators.convolution import Convolution
from invkit.regularizers.l0 import L0Gradient
from invkit.regularizers.l1_over_l2 import L1OverL2
from invkit.regularizers.l2 import GradientL2, KernelL2
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.alternating_map import AlternatingMAP
from invkit.solvers.gradient_descent import GradientDescent
from invkit.solvers.gradient_map import GradientMAP, integrated, penalties
from invkit.solvers.half_quadratic import HalfQuadratic, HalfQuadraticState
from invkit.solvers.inner import run_inner
from invkit.solvers.irls import IRLS
from invkit.solvers.light_streaks import LightStreaks
from invkit.solvers.map.edge_filters import forward_differences
from invkit.solvers.map.edge_selection import Gradients, Intensities
from invkit.solvers.map.interfaces import EdgeSelection, KernelEstimation, KernelPostprocessing
from invkit.solvers.map.kernel_estimation import L1Reweighted, ProjectedGradient, ToeplitzLeastSquares
from invkit.solvers.map.kernel_postprocessing import ThresholdPostprocessing
from invkit.solvers.pixel_state import PixelState, image_prior_of, kernel_prior_of
from invkit.solvers.scale_recurrent import ScaleRecurrent

L0 = [Term(L0Gradient(smoothing=0.0), 4e-3)]
RATIO = [Term(L1OverL2(of="value"), 0.01)]


def alternating(**keywords: Any) -> AlternatingMAP:
    slots = {
        "latent": HalfQuadratic(beta_max=1e4),
        "edge_selection": Gradients(share=0.3),
        "kernel_estimation": ToeplitzLeastSquares(),
    }
    return AlternatingMAP(**{**slots, **keywords})


# --- the kernel is found ----------------------------------------------------------------------------------------------


def test_a_known_kernel_is_found_starting_from_a_delta() -> None:
    kernel = alternating(iterations=8, kernel_postprocessing=ThresholdPostprocessing()).solve(blind(L0)).kernel
    assert alike(delta((1, 1, 7, 7)), curve()) < 0.5
    assert alike(kernel, curve()) > 0.9


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_solved_as_each_of_it(channels: int) -> None:
    """The kernels differ, the images too; thresholds amplify the rounding of float64 at most where a choice is near."""
    problem = blind(L0, a_kernel(2, (5, 4)), 2, channels, (24, 22), torch.float64)
    for solver, terms in (
        (alternating(iterations=3), L0),
        (GradientMAP(kernel_estimation=L1Reweighted(), iterations=3), RATIO),
    ):
        many = replace(problem, regularizers=terms)
        together = solver.solve(many)
        for index in range(2):
            alone = replace(
                many,
                data=many.data[index : index + 1],
                image_prior=Pixels((1, *many.image_prior.shape[1:]), many.data[index : index + 1]),
                kernel_prior=SimplexKernel((1, 1, 5, 4), delta((1, 1, 5, 4)), parametrization="projection"),
            )
            result = solver.solve(alone)
            assert result.image.dtype == torch.float64
            assert torch.allclose(together.kernel[index], result.kernel[0], atol=1e-6)
            assert torch.allclose(together.image[index], result.image[0], atol=1e-6)


# --- one outer iteration ----------------------------------------------------------------------------------------------


class Watched(HalfQuadratic):
    """Notes the problems it is given."""

    def __init__(self) -> None:
        super().__init__(beta_max=100.0)
        self.problems: list[Problem] = []

    def start(self, problem: Problem) -> HalfQuadraticState:
        self.problems.append(problem)
        return super().start(problem)


class Told(EdgeSelection, KernelEstimation, KernelPostprocessing):
    """Stands in three slots and notes what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def forward(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        kernel = arguments[-1]
        return (arguments[0] * 2, arguments[1] * 3) if len(arguments) == 4 else kernel.roll(1, -1)


def test_a_turn_is_image_edges_kernel_and_clean_up() -> None:
    edges, step, kernel_postprocessing = Told(), Told(), Told()
    problem, watched = blind(L0, size=(24, 22)), Watched()
    solver = AlternatingMAP(
        latent=watched,
        edge_selection=edges,
        kernel_estimation=step,
        kernel_postprocessing=kernel_postprocessing,
        iterations=2,
    )
    result = solver.solve(problem)
    first, second = watched.problems
    assert torch.allclose(second.kernel_prior(), delta((1, 1, 7, 7)).roll(2, -1))  # one for the step, one for clean-up
    for iteration, latent in enumerate((first, second)):
        image, _ = run_inner(HalfQuadratic(beta_max=100.0), latent).estimate()
        assert torch.equal(edges.calls[iteration][0], image)
        assert torch.equal(edges.calls[iteration][1], problem.data)
        assert edges.calls[iteration][2:] == ((7, 7), iteration)
        sharp, blurry, kernel = step.calls[iteration]
        assert torch.equal(sharp, 2 * image)
        assert torch.equal(blurry, 3 * problem.data)
        assert torch.allclose(kernel, latent.kernel_prior())
        assert torch.equal(kernel_postprocessing.calls[iteration][0], kernel.roll(1, -1))
    assert torch.equal(second.image_prior(), run_inner(HalfQuadratic(beta_max=100.0), first).estimate()[0])
    assert torch.equal(tensor(result.image), run_inner(HalfQuadratic(beta_max=100.0), second).estimate()[0])
    objective = problem.objective(tensor(result.image), tensor(result.kernel))
    assert result.history[-1] == pytest.approx(float(objective.sum()), rel=1e-6)


@pytest.mark.parametrize(
    ("decay", "smallest", "expected"),
    [
        (1.0, 0.0, [0.4, 0.4, 0.4]),
        (2.0, 0.0, [0.4, 0.2, 0.1]),
        (2.0, 0.15, [0.4, 0.2, 0.15]),
        (2.0, 0.9, [0.4, 0.4, 0.4]),  # a weight that is smaller from the start is left as it is
    ],
)
def test_weights_fall_to_the_smallest(decay: float, smallest: float, expected: list[float]) -> None:
    terms = [Term(L0Gradient(), 0.4), Term(GradientL2(), 0.8)]
    watched = Watched()
    solver = alternating(latent=watched, iterations=3, decay=decay, min_weight=smallest)
    solver.solve(blind(terms, size=(20, 20)))
    weights = [[term.weight for term in problem.regularizers] for problem in watched.problems]
    assert [first for first, _ in weights] == pytest.approx(expected)
    assert [second for _, second in weights] == pytest.approx(
        [max(0.8 / decay**n, min(0.8, smallest)) for n in range(3)]
    )


def test_a_schedule_of_fidelities_goes_by_the_turns() -> None:
    class Noted(GradientDescent):
        seen: ClassVar[list[str]] = []

        def step(self, problem: Problem, state: PixelState) -> PixelState:
            self.seen.append(type(problem.fidelity).__name__)
            return super().step(problem, state)

    problem = replace(blind(L0, size=(20, 20)), fidelity=Schedule([(MSE(), 2), (L1(), None)]))
    alternating(latent=Noted(), edge_selection=Intensities(), iterations=3).solve(problem)
    assert Noted.seen == ["MSE", "MSE", "L1"]


def test_what_the_latent_solver_refuses_is_refused() -> None:
    problem = blind([])
    with pytest.raises(AssemblyError, match="HalfQuadratic needs regularizers"):
        alternating().check(problem)
    with pytest.raises(AssemblyError, match=r"IRLS needs .*Majorised, and L0Gradient is not"):
        alternating(latent=IRLS()).check(blind(L0))


def test_terms_on_the_kernel_are_refused() -> None:
    terms = [*L0, Term(KernelL2(), 0.1, target="kernel")]
    for solver in (alternating(), alternating(latent=GradientDescent()), GradientDescent()):
        with pytest.raises(AssemblyError, match="ignores regularizers on the kernel, and KernelL2"):
            solver.check(blind(terms))
    with pytest.raises(AssemblyError, match="ignores regularizers on the kernel, and TotalVariation"):
        GradientMAP(kernel_estimation=L1Reweighted()).check(
            blind([*RATIO, Term(TotalVariation(), 0.1, target="kernel")])
        )


@pytest.mark.parametrize("solver", [ScaleRecurrent(), LightStreaks()])
@pytest.mark.parametrize("target", ["image", "kernel"])
def test_solvers_without_an_objective_refuse_every_regularizer(
    solver: Solver[Any], target: Literal["image", "kernel"]
) -> None:
    name = "scale-recurrent" if isinstance(solver, ScaleRecurrent) else "light-streaks"
    with pytest.raises(AssemblyError, match=f"{name} ignores regularizers on the {target}, and TotalVariation is one"):
        solver.check(blind([Term(TotalVariation(), 0.1, target=target)]))


def test_priors_that_cannot_be_set_and_made_up_borders_are_refused() -> None:
    problem = blind(L0)
    network = replace(problem, kernel_prior=SoftmaxFCN((1, 1, 7, 7), hidden=8))
    circular = replace(
        problem, operator=Convolution(padding="circular"), image_prior=Pixels(shape_of(problem.data), problem.data)
    )
    for solver in (alternating(), GradientMAP(kernel_estimation=L1Reweighted())):
        with pytest.raises(AssemblyError, match="kernel_prior of type Assignable, and SoftmaxFCN is not"):
            solver.check(network)
        with pytest.raises(AssemblyError, match=r"padding valid, and it is 'circular'; set operator.padding=valid"):
            solver.check(circular)
    with pytest.raises(AssemblyError, match="SoftmaxFCN cannot be set to a kernel; use the kernel prior 'simplex'"):
        kernel_prior_of(network.kernel_prior, curve())
    with pytest.raises(AssemblyError, match="cannot be set to an image; use the image prior 'pixels'"):
        image_prior_of(network.kernel_prior, problem.data)  # type: ignore[arg-type]


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(12, 15), (17, 31), (8, 8)])
def test_the_gradients_of_an_image_integrate_to_it(size: tuple[int, int]) -> None:
    """Exactly, but for what only the other image knows: the mean, and the lowest frequencies if that is another."""
    image = random(2, 3, *size)
    assert torch.allclose(integrated(forward_differences(image), image), image, atol=1e-12)
    shifted = integrated(forward_differences(image), image + 0.25)
    assert torch.allclose(shifted, image + 0.25, atol=1e-9)
    from_grey = integrated(forward_differences(image), torch.full_like(image, 0.5))
    wanted = image - image.mean((2, 3), keepdim=True) + 0.5
    assert (from_grey - wanted).abs().max() < 0.05  # the tie, against the lowest frequency's squared 0.17 to 0.39


def test_a_ramp_integrates_to_a_ramp() -> None:
    """An image whose two sides differ: nothing may wrap round."""
    ramp = torch.linspace(0, 1, 20, dtype=torch.float64).expand(1, 1, 16, 20).contiguous()
    assert torch.allclose(integrated(forward_differences(ramp), ramp), ramp, atol=1e-12)
    rising = integrated(forward_differences(ramp), torch.full_like(ramp, 0.5))
    assert float(rising[..., -1].mean() - rising[..., 0].mean()) > 0.9


def test_gradients_beyond_the_border_count_for_nothing() -> None:
    image = random(1, 1, 9, 10)
    stack = forward_differences(image)
    stack[:, 0, -1], stack[:, 1, :, -1] = 7.0, -7.0
    assert torch.allclose(integrated(stack, image), image, atol=1e-12)


@pytest.mark.parametrize("terms", [RATIO, [Term(L1OverL2(of="value"), 0.5)]])
def test_the_gradients_of_a_turn_are_lower_in_their_objective(terms: list[Term]) -> None:
    """With a fixed kernel, steps of iterative shrinkage never increase the objective."""
    problem = blind(terms, dtype=torch.float64)
    solver = GradientMAP(kernel_estimation=ProjectedGradient(), shrinkages=1)
    state = solver.start(problem)

    def objective(sharp: torch.Tensor, kernel: torch.Tensor) -> float:
        error = (problem.operator(sharp, kernel) - state.blurred).square().sum()
        return float(error + sum(penalties(problem, sharp)))

    for _ in range(5):
        before, kernel = state.sharp, state.kernel
        state = solver.step(problem, state)
        assert objective(state.sharp, kernel) <= objective(before, kernel) * (1 + 1e-12)
        assert objective(state.sharp, state.kernel) <= objective(before, kernel)  # a gradient step on the kernel helps
        assert state.losses[-1] == pytest.approx(objective(state.sharp, state.kernel))


def test_the_scale_of_the_data_s_contrast_does_not_matter() -> None:
    """Gradients are brought to one norm, so that weights mean the same for any picture."""
    problem = blind(RATIO, dtype=torch.float64)
    faint = replace(problem, data=problem.data / 4)
    faint = replace(faint, image_prior=Pixels(problem.image_prior.shape, faint.data))
    solver = GradientMAP(kernel_estimation=L1Reweighted(), iterations=4)
    one, other = solver.solve(problem), solver.solve(faint)
    assert torch.allclose(tensor(one.kernel), tensor(other.kernel), atol=1e-5)  # pixels start in float32
    assert torch.allclose(tensor(one.image) / 4, tensor(other.image), atol=1e-5)


def test_a_flat_image_has_no_gradients_and_stays() -> None:
    problem = blind(RATIO, size=(24, 22))
    flat = replace(problem, data=torch.full_like(problem.data, 0.5))
    flat = replace(flat, image_prior=Pixels(problem.image_prior.shape, flat.data))
    result = GradientMAP(kernel_estimation=L1Reweighted(), iterations=2).solve(flat)
    assert torch.allclose(tensor(result.image), torch.tensor(0.5), atol=1e-6)
    assert float(result.kernel.sum()) == pytest.approx(1, abs=1e-6)


def test_gradients_need_regularizers_of_values_and_squares() -> None:
    solver = GradientMAP(kernel_estimation=L1Reweighted())
    for regularizer in (TotalVariation(), L1OverL2(of="gradient")):
        with pytest.raises(AssemblyError, match=r"on the values themselves.*takes their differences.*of=value"):
            solver.check(blind([Term(regularizer, 0.1)]))
    with pytest.raises(AssemblyError, match="fidelity of type LeastSquares, and L1 is not"):
        solver.check(replace(blind(RATIO), fidelity=L1()))


# --- plain descent ----------------------------------------------------------------------------------------------------


def test_gradient_descent_is_landweber_s_iteration() -> None:
    """Without regularizers and with a step of one it is ``x + K^T (y - K x)``."""
    _, problem = blurred((), batch=2, channels=3)
    state = GradientDescent(step=1.0).start(problem)
    assert isinstance(problem.operator, LinearOperator)
    residual = problem.data - problem.operator(state.image, state.kernel)
    expected = (state.image + problem.operator.adjoint(residual, state.kernel)).clamp(0, 1)
    assert torch.allclose(GradientDescent(step=1.0).step(problem, state).image, expected, atol=1e-12)


def test_a_step_by_the_largest_change_moves_the_steepest_pixel_by_a_share_of_the_brightest() -> None:
    """For each image of a batch alone; within [0, 1] no pixel is cut."""
    _, problem = blurred([Term(TotalVariation(smoothing=0.05), 1e-3)], batch=2, noise=0.05)
    solver = GradientDescent(step=5e-3, step_rule="largest-change")
    state = solver.start(problem)
    state.image = before = 0.25 + 0.5 * state.image * torch.tensor([1.0, 0.5]).view(2, 1, 1, 1)
    image = before.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(problem.objective(image, state.kernel).sum(), image)
    change = solver.step(problem, state).image - before
    assert torch.allclose(change.abs().amax((1, 2, 3)), 5e-3 * before.amax((1, 2, 3)), rtol=1e-6)
    cosine = torch.cosine_similarity(change.flatten(1), -gradient.flatten(1), dim=1)
    assert torch.allclose(cosine, torch.ones_like(cosine), atol=1e-6)


def test_small_steps_by_the_largest_change_lower_the_objective() -> None:
    _, problem = blurred([Term(TotalVariation(smoothing=0.05), 1e-3)], noise=0.05)
    history = GradientDescent(iterations=15, step=1e-3, step_rule="largest-change").solve(problem).history
    assert list(history) == sorted(history, reverse=True)
    assert history[-1] < history[0]


def test_gradient_descent_lowers_the_objective_at_each_step() -> None:
    _, problem = blurred([Term(TotalVariation(smoothing=0.05), 1e-3)], noise=0.05)
    history = GradientDescent(iterations=40, step=0.5).solve(problem).history
    assert list(history) == sorted(history, reverse=True)
    assert history[-1] < 0.3 * history[0]
