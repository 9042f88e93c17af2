"""From coarse to fine: what the levels are, what goes on from one to the next, and where a solve may stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import pytest
import torch
from deconvolution import a_kernel, alike, blind, curve, delta, made, random
from hypothesis import given
from hypothesis import strategies as st
from narrow import tensor

from invkit.core.errors import AssemblyError, InputError
from invkit.core.interfaces import KernelPrior, OperatorParameterPrior
from invkit.core.observers.progress import ProgressBar
from invkit.core.problem import Problem, Term
from invkit.core.solver import Observer, Solver, State
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.numerics.geometry import Shape, shape_of
from invkit.numerics.resampling import downscale, resample, resample_kernel
from invkit.operators.convolution import Convolution
from invkit.regularizers.l0 import L0Gradient
from invkit.regularizers.l1_over_l2 import L1OverL2
from invkit.regularizers.l2 import GradientL2, KernelL2
from invkit.solvers.adam import AdamState, JointAdam
from invkit.solvers.alternating_map import AlternatingMAP
from invkit.solvers.gradient_map import GradientMAP
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.map.edge_selection import Gradients
from invkit.solvers.map.kernel_estimation import L1Reweighted, ToeplitzLeastSquares
from invkit.solvers.map.kernel_postprocessing import ThresholdPostprocessing
from invkit.solvers.pixel_state import PixelState, starting_point
from invkit.solvers.pyramid import Pyramid, next_odd_side
from invkit.testing.priors import assert_image, assert_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

L0 = [Term(L0Gradient(smoothing=0.0), 4e-3)]
HALF = 0.5**0.5


class Copying(Solver[PixelState]):
    """Leaves image and kernel as they are, takes some steps and notes the problems that it is started on."""

    def __init__(self, iterations: int = 3, converges_after: int = 99, converging_levels: int = 99) -> None:
        self.iterations, self.converges_after, self.converging_levels = iterations, converges_after, converging_levels
        self.problems: list[Problem] = []

    def start(self, problem: Problem) -> PixelState:
        self.problems.append(problem)
        image, kernel = starting_point(problem)
        return PixelState(image=image, kernel=kernel)

    def step(self, problem: Problem, state: PixelState) -> PixelState:
        state.losses.append(torch.tensor(float(len(self.problems))))
        early = state.iteration + 1 >= self.converges_after and len(self.problems) <= self.converging_levels
        state.converged = early
        return state


def empty(data_size: tuple[int, int], kernel_size: tuple[int, int], terms: Sequence[Term] = ()) -> Problem:
    """A problem of random data and a kernel prior that can be set."""
    data, shape = random(1, 2, *data_size, dtype=torch.float32), (1, 1, *kernel_size)
    operator = Convolution()
    prior = Pixels(operator.image_shape(shape_of(data), shape), data)
    return Problem(data, operator, prior, SimplexKernel(shape, delta(shape)), MSE(), list(terms))


def seen(pyramid: Pyramid, problem: Problem) -> list[Problem]:
    """The problems of all levels, the coarsest first."""
    pyramid.solve(problem)
    assert isinstance(pyramid.inner, Copying)
    return pyramid.inner.problems


# --- the levels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "data", "kernel", "data_sizes", "kernel_sizes"),
    [
        ({}, (100, 80), (15, 15), [(35, 28), (50, 40), (71, 57), (100, 80)], [(5, 5), (9, 9), (11, 11), (15, 15)]),
        ({"ratio": 0.5}, (100, 80), (21, 12), [(25, 20), (50, 40), (100, 80)], [(5, 3), (11, 7), (21, 12)]),
        ({"ratio": 0.5, "min_kernel_size": 9}, (64, 64), (19, 19), [(32, 32), (64, 64)], [(11, 11), (19, 19)]),
        ({"ratio": 0.5, "min_data_side": 32}, (100, 80), (31, 31), [(50, 40), (100, 80)], [(17, 17), (31, 31)]),
        ({}, (40, 40), (5, 5), [(40, 40)], [(5, 5)]),  # a kernel that is small already
        ({}, (24, 30), (15, 15), [(17, 21), (24, 30)], [(11, 11), (15, 15)]),  # no data under 16 pixels
        ({}, (9, 9), (9, 9), [(9, 9)], [(9, 9)]),
        ({"ratio": 0.5}, (40, 60), (2, 12), [(20, 30), (40, 60)], [(3, 7), (2, 12)]),
    ],
)
def test_data_and_kernels_shrink_together(
    settings: dict[str, Any],
    data: tuple[int, int],
    kernel: tuple[int, int],
    data_sizes: list[tuple[int, int]],
    kernel_sizes: list[tuple[int, int]],
) -> None:
    pyramid, problem = Pyramid(inner=Copying(), **settings), empty(data, kernel)
    problems = seen(pyramid, problem)
    assert [tuple(p.data.shape[2:]) for p in problems] == data_sizes
    assert [tuple(p.kernel_prior.shape[2:]) for p in problems] == kernel_sizes
    assert pyramid.levels(problem) == len(problems)
    assert pyramid.steps(problem) == 3 * len(problems)
    assert problems[-1].data is problem.data
    for level, coarse in enumerate(reversed(problems)):
        ratio = settings.get("ratio", HALF) ** level
        assert torch.allclose(coarse.data, downscale(problem.data, ratio), atol=1e-6)
        assert tuple(coarse.image_prior().shape) == coarse.operator.image_shape(
            shape_of(coarse.data), coarse.kernel_prior.shape
        )


@pytest.mark.parametrize(
    ("data", "kernel", "data_sizes", "kernel_sizes"),
    [
        (
            (110, 99),
            (11, 11),
            [(30, 27), (50, 45), (70, 63), (90, 81), (110, 99)],
            [(3, 3), (5, 5), (7, 7), (9, 9), (11, 11)],
        ),
        ((124, 93), (31, 15), [(108, 81), (124, 93)], [(27, 13), (31, 15)]),  # 31 / 1.1 rounds to 28
        ((60, 60), (12, 6), [(55, 55), (60, 60)], [(11, 7), (12, 6)]),  # an even side
    ],
)
def test_a_pyramid_of_odd_sides_shrinks_the_data_as_much_as_the_kernel(
    data: tuple[int, int],
    kernel: tuple[int, int],
    data_sizes: list[tuple[int, int]],
    kernel_sizes: list[tuple[int, int]],
) -> None:
    least = max(kernel_sizes[0])
    pyramid = Pyramid(inner=Copying(), spacing="odd-sides", ratio=1 / 1.1, min_kernel_size=least)
    problem = empty(data, kernel)
    problems = seen(pyramid, problem)
    assert [tuple(p.data.shape[2:]) for p in problems] == data_sizes
    assert [tuple(p.kernel_prior.shape[2:]) for p in problems] == kernel_sizes
    assert pyramid.levels(problem) == len(problems)
    for coarse in problems[:-1]:
        scale = max(coarse.kernel_prior.shape[2:]) / max(kernel)
        assert torch.allclose(coarse.data, downscale(problem.data, scale), atol=1e-6)


@given(side=st.integers(4, 400), ratio=st.floats(0.3, 0.95))
def test_the_next_odd_side_is_odd_and_near_the_ratio(side: int, ratio: float) -> None:
    smaller = next_odd_side(side, ratio)
    assert smaller % 2 == 1
    assert smaller < side
    assert smaller <= side * ratio + 0.5
    assert smaller >= min(side * ratio - 1.5, side - 2)


def test_weights_are_divided_at_each_finer_level() -> None:
    terms = [Term(GradientL2(), 0.8), Term(KernelL2(), 0.4, target="kernel")]
    problems = seen(Pyramid(inner=Copying(), ratio=0.5, decay=2.0), empty((100, 80), (21, 21), terms))
    assert [[term.weight for term in p.regularizers] for p in problems] == [[0.8, 0.4], [0.4, 0.2], [0.2, 0.1]]
    assert [term.target for term in problems[0].regularizers] == ["image", "kernel"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(None, [[0.9, 0.45], [0.3, 0.15], [0.1, 0.05]]), (0.2, [[0.2, 0.2], [0.2, 0.15], [0.1, 0.05]])],
)
def test_weights_of_the_finest_level_grow_at_each_coarser_one_up_to_a_limit(
    limit: float | None, expected: list[list[float]]
) -> None:
    terms = [Term(GradientL2(), 0.1), Term(KernelL2(), 0.05, target="kernel")]
    pyramid = Pyramid(inner=Copying(), ratio=0.5, growth=3.0, max_weight=limit)
    found = [[term.weight for term in p.regularizers] for p in seen(pyramid, empty((100, 80), (21, 21), terms))]
    assert found == [pytest.approx(level) for level in expected]


def test_a_weight_above_the_limit_is_kept_and_growth_and_decay_multiply() -> None:
    problem = empty((100, 80), (21, 21), [Term(GradientL2(), 0.5)])
    kept = seen(Pyramid(inner=Copying(), ratio=0.5, growth=3.0, max_weight=0.2), problem)
    assert [term.weight for p in kept for term in p.regularizers] == [0.5, 0.5, 0.5]
    both = seen(Pyramid(inner=Copying(), ratio=0.5, growth=2.0, decay=2.0), problem)
    assert [term.weight for p in both for term in p.regularizers] == [2.0, 0.5, 0.125]


@pytest.mark.parametrize(("begin", "taps"), [("delta", [1.0, 0.0]), ("two-taps", [0.5, 0.5]), ("prior", None)])
def test_it_begins_with_the_kernel_asked_for(
    begin: Literal["delta", "two-taps", "prior"], taps: list[float] | None
) -> None:
    problem = empty((64, 64), (15, 15))
    uniform = torch.full((1, 1, 15, 15), 1 / 225)
    problem = replace(problem, kernel_prior=SimplexKernel((1, 1, 15, 15), uniform, parametrization="projection"))
    kernel = seen(Pyramid(inner=Copying(), initial_kernel=begin), problem)[0].kernel_prior().detach()
    assert kernel.shape[-2:] == (5, 5)
    if taps is None:
        assert float(kernel.max()) < 0.05
    else:
        assert kernel[0, 0, 2, 2:4].tolist() == pytest.approx(taps)
        assert float(kernel.sum()) == pytest.approx(1)


def test_it_begins_with_it_at_one_level_too() -> None:
    kernel = seen(Pyramid(inner=Copying(), initial_kernel="two-taps"), empty((40, 40), (5, 5)))[0].kernel_prior()
    assert kernel[0, 0, 2, 2:4].tolist() == pytest.approx([0.5, 0.5], abs=1e-4)  # of a softmax


# --- from one to the next --------------------------------------------------------------------------------------------


def test_each_level_begins_with_what_the_last_one_left() -> None:
    problems = seen(Pyramid(inner=Copying(iterations=1), initial_kernel="two-taps"), empty((80, 71), (15, 15)))
    for coarse, fine in pairwise(problems):
        image = resample(coarse.image_prior().detach(), fine.image_prior.shape[2:], 1 / HALF)
        kernel = resample_kernel(coarse.kernel_prior().detach(), fine.kernel_prior.shape[2:], 1 / HALF)
        assert torch.allclose(fine.image_prior(), image.clamp(0, 1), atol=1e-6)
        assert torch.allclose(fine.kernel_prior(), kernel, atol=1e-5)


def test_what_lies_under_the_data_stays_there() -> None:
    """A smooth image, carried over all levels, is at most blurred: sizes are rounded, but no pixel moves."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 97), torch.linspace(0, 1, 75), indexing="ij")
    data = (0.5 + 0.3 * torch.sin(4 * rows) * torch.cos(3 * columns))[None, None]
    problem = empty((97, 75), (15, 15))
    prior = Pixels((1, 1, 111, 89), data)
    problem = replace(problem, data=data, image_prior=prior)
    result = Pyramid(inner=Copying(iterations=1)).solve(problem)
    assert (result.image - prior())[..., 12:-12, 12:-12].abs().max() < 0.01


def test_the_problem_stays_as_it_is() -> None:
    problem = empty((40, 40), (5, 5))
    image, kernel = problem.image_prior().clone(), problem.kernel_prior().clone()
    solver = Pyramid(inner=JointAdam(iterations=3))
    assert solver.levels(problem) == 1
    state = solver.start(problem)
    state = solver.step(problem, state)
    again = solver.start(problem)
    again.load_state_dict(state.state_dict())
    solver.step(problem, again)
    assert torch.equal(problem.image_prior(), image)
    assert torch.equal(problem.kernel_prior(), kernel)


def first_weight_of(prior: OperatorParameterPrior) -> torch.Tensor:
    assert isinstance(prior, SoftmaxFCN)
    return prior.get_parameter("networks.0.0.weight")


def test_a_network_goes_on_with_its_weights() -> None:
    problem = empty((64, 60), (15, 15))
    network = SoftmaxFCN((1, 1, 15, 15), hidden=16, latent_size=8)
    solver = Pyramid(inner=JointAdam(iterations=4, kernel_lr=0.05, milestones=()), ratio=0.5)
    problem = replace(problem, kernel_prior=network)
    before = network().detach().clone()
    result = solver.solve(problem)
    assert torch.equal(network(), before)
    assert_kernel(tensor(result.kernel), (1, 1, 15, 15))
    state = solver.start(problem)
    for _ in range(5):  # one step at the finer level
        state = solver.step(problem, state)
        state.iteration += 1
    assert isinstance(state.inner, AdamState)
    hidden, given = (first_weight_of(prior) for prior in (state.inner.kernel_prior, network))
    assert state.level == 0
    assert not torch.equal(hidden, given)
    farthest = (hidden - given).abs().max()
    assert farthest < 5 * 0.05 + 1e-6  # five of Adam's steps, each at most lr


def test_a_known_kernel_is_shrunk_and_comes_back() -> None:
    image, kernel = random(1, 1, 60, 60), a_kernel(1, (15, 15))
    problem = made(Convolution()(image, kernel), kernel, [Term(GradientL2(), 1e-3)])
    solver = Pyramid(inner=HalfQuadratic(), ratio=0.5)
    result = solver.solve(problem)
    assert torch.allclose(tensor(result.kernel), kernel, atol=1e-9)
    with pytest.raises(
        AssemblyError, match=r"cannot start from the kernel 'delta', since KnownKernel.*initial_kernel=prior"
    ):
        Pyramid(inner=HalfQuadratic(), initial_kernel="delta").check(problem)


# --- where it stops --------------------------------------------------------------------------------------------------


class Noting(Observer):
    """Notes what it sees, and may do something at an iteration."""

    def __init__(self, at: int = -1, action: Callable[[], None] = lambda: None) -> None:
        self.at, self.action, self.total, self.count = at, action, 0, 0

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        self.total = iterations

    def stepped(self, problem: Problem, state: State) -> None:
        self.count += 1
        image, kernel = state.estimate()
        assert_image(image, problem.image_prior.shape)
        assert_kernel(kernel, problem.kernel_prior.shape)
        if state.iteration == self.at:
            self.action()


def test_the_estimate_is_of_the_whole_size_at_every_step_and_all_steps_are_counted() -> None:
    problem, noting = empty((64, 60), (15, 15)), Noting()
    solver = Pyramid(inner=Copying(iterations=4), initial_kernel="two-taps")
    result = solver.solve(problem, observers=[noting, ProgressBar("pyramid")])
    assert noting.count == noting.total == solver.steps(problem) == 4 * solver.levels(problem) == result.iterations
    assert result.stopped == "finished"
    assert result.history == tuple(float(1 + step // 4) for step in range(16))


def test_a_time_limit_and_ctrl_c_in_the_middle_leave_something_of_the_whole_size(ctrl_c: Callable[[], None]) -> None:
    problem = blind(L0)
    solver = Pyramid(inner=alternating(50), min_kernel_size=3, initial_kernel="two-taps")
    limited = solver.solve(problem, time_limit=1e-3)
    interrupted = solver.solve(problem, observers=[Noting(3, ctrl_c)])
    assert (limited.stopped, interrupted.stopped) == ("time limit", "interrupted")
    assert interrupted.iterations == 3
    for result in (limited, interrupted):
        assert_image(tensor(result.image), problem.image_prior.shape)
        assert_kernel(tensor(result.kernel), problem.kernel_prior.shape)
    assert (tensor(interrupted.image) - problem.data.mean()).abs().max() > 0.1  # an image, if a blurry one


@pytest.mark.parametrize(
    ("after", "levels", "iterations", "stopped"),
    [(99, 99, 12, "finished"), (2, 99, 8, "converged"), (2, 1, 11, "converged"), (3, 99, 12, "converged")],
)
def test_a_level_that_converges_hands_over_at_once(after: int, levels: int, iterations: int, stopped: str) -> None:
    solver = Pyramid(inner=Copying(converges_after=after, converging_levels=levels))
    result = solver.solve(empty((64, 60), (15, 15)))
    assert (result.iterations, result.stopped) == (iterations, stopped)


def test_what_a_coarse_level_leaves_can_be_gone_on_from() -> None:
    problem = empty((64, 60), (15, 15))
    solver = Pyramid(inner=Copying(), initial_kernel="two-taps")
    state = solver.step(problem, solver.start(problem))
    image, kernel = (prior() for prior in state.priors(problem))
    assert torch.allclose(image, state.estimate()[0], atol=1e-6)
    assert torch.allclose(kernel, state.estimate()[1], atol=2e-5)  # a softmax reaches no zeros


# --- what is refused -------------------------------------------------------------------------------------------------


class Rigid(KernelPrior):
    """A kernel of one size."""

    def forward(self) -> torch.Tensor:
        return delta(self.shape)


def test_priors_that_cannot_be_resized_are_refused_by_name() -> None:
    problem = replace(empty((40, 40), (9, 9)), kernel_prior=Rigid((1, 1, 9, 9)))
    with pytest.raises(AssemblyError, match="kernel_prior of type Resizable, and Rigid is not"):
        Pyramid(inner=JointAdam()).check(problem)


class Stout(Pixels):
    """Pixels, at least 40 in a row."""

    def resized(self, shape: Shape, scale: float) -> Self:
        if shape[-1] < 40:
            raise InputError(f"needs 40 columns, got {shape[-1]}")
        return super().resized(shape, scale)


def test_a_prior_that_cannot_be_made_that_small_is_refused_before_it_starts() -> None:
    problem = empty((64, 60), (15, 15))
    problem = replace(problem, image_prior=Stout(problem.image_prior.shape, problem.data))
    with pytest.raises(
        InputError, match=r"coarsest level, data of 23x21 pixels: needs 40 columns, got 25; .*min_kernel_size"
    ):
        Pyramid(inner=Copying()).check(problem)
    Pyramid(inner=Copying(), min_kernel_size=8).check(problem)


def test_what_the_inner_solver_refuses_is_refused() -> None:
    with pytest.raises(AssemblyError, match="HalfQuadratic needs regularizers"):
        Pyramid(inner=HalfQuadratic()).check(empty((40, 40), (9, 9)))


class Hardening(Copying):
    """Leaves a kernel prior that cannot go on."""

    def start(self, problem: Problem) -> PixelState:
        state = super().start(problem)
        rigid = Rigid(problem.kernel_prior.shape)
        state.priors = lambda problem: (problem.image_prior, rigid)  # type: ignore[method-assign]
        return state


def test_priors_that_an_inner_solver_leaves_must_be_resizable_too() -> None:
    with pytest.raises(AssemblyError, match="needs priors that can be resized, and Rigid cannot"):
        Pyramid(inner=Hardening()).solve(empty((64, 60), (15, 15)))


# --- what it is good for ---------------------------------------------------------------------------------------------


def alternating(iterations: int) -> AlternatingMAP:
    return AlternatingMAP(
        latent=HalfQuadratic(beta_max=1e4),
        edge_selection=Gradients(share=0.3),
        kernel_estimation=ToeplitzLeastSquares(),
        kernel_postprocessing=ThresholdPostprocessing(),
        iterations=iterations,
        decay=1.1,
    )


def arc() -> torch.Tensor:
    """A thin bent stroke of 15x15 pixels, too long to be found at one scale."""
    kernel = torch.zeros(1, 1, 15, 15)
    for row in range(15):
        kernel[0, 0, row, min(14, int(3 + row * row / 22))] = 1 + row % 3
    return tensor(ThresholdPostprocessing()(kernel / kernel.sum()))


def test_a_pyramid_finds_a_long_stroke_that_one_scale_does_not() -> None:
    problem = blind(L0, arc(), size=(120, 110))
    assert alike(alternating(20).solve(problem).kernel, arc()) < 0.5
    assert alike(Pyramid(inner=alternating(5), initial_kernel="two-taps").solve(problem).kernel, arc()) > 0.85


def test_a_pyramid_of_gradients_finds_a_kernel_that_one_scale_does_not() -> None:
    problem = blind([Term(L1OverL2(of="value"), 0.2)], noise=0.0)
    kernel_postprocessing = ThresholdPostprocessing(min_component=0.0)
    single = GradientMAP(kernel_estimation=L1Reweighted(), kernel_postprocessing=kernel_postprocessing)
    pyramid = Pyramid(inner=single, min_kernel_size=3, initial_kernel="two-taps")
    assert alike(single.solve(problem).kernel, curve()) < 0.7
    assert alike(pyramid.solve(problem).kernel, curve()) > 0.9
