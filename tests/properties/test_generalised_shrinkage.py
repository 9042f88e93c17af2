"""Generalised shrinkage: its proximal map against brute force, and the schedule that solvers follow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from deconvolution import blind, finished, made, saved_after
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.core.errors import InputError
from invkit.core.problem import Problem, Term
from invkit.regularizers.generalised_shrinkage import MIN_DIFFERENCE, GeneralisedShrinkage, generalised_shrinkage
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.l0 import L0Gradient
from invkit.solvers.alternating_map import AlternatingMAP
from invkit.solvers.half_quadratic import HalfQuadratic, HalfQuadraticState
from invkit.solvers.map.edge_selection import Gradients
from invkit.solvers.map.kernel_estimation import ToeplitzLeastSquares
from invkit.solvers.pyramid import Pyramid
from invkit.testing.common import drawn

powers = st.sampled_from([1.0, 0.5, 0.0, -0.5, -1.0, -2.0, -4.0]) | st.floats(-4, 1)
steps = st.floats(-5, 0.5).map(lambda exponent: 10**exponent)
numbers = st.floats(-3, 3)


def objective(points: Tensor, value: float, step: float, power: float) -> Tensor:
    """``step |t|^power + (t - value)^2 / 2``, where zero costs nothing."""
    magnitude = points.abs()
    cost = torch.where(magnitude > 0, magnitude.clamp(min=1e-12).pow(power), 0.0)
    return step * cost + (points - value).square() / 2


def lowest(value: float, step: float, power: float) -> float:
    """The minimum by search on finer and finer grids; a negative power moves it beyond the value."""
    end = 1.1 * abs(value) + 2 * (2 * step * (1 - power)) ** (1 / (2 - power))
    points = torch.linspace(-end, end, 20001, dtype=torch.float64)
    best = points[objective(points, value, step, power).argmin()]
    for _ in range(6):
        end /= 100
        points = best + torch.linspace(-end, end, 401, dtype=torch.float64)
        best = points[objective(points, value, step, power).argmin()]
    tried = torch.stack([best, best.new_zeros(())])
    return float(objective(tried, value, step, power).min())


@settings(max_examples=300, deadline=None)
@given(power=powers, step=steps, value=numbers, dtype=st.sampled_from([torch.float32, torch.float64]))
def test_the_prox_is_the_lowest_point(power: float, step: float, value: float, dtype: torch.dtype) -> None:
    given_ = torch.tensor([value], dtype=dtype)
    found = generalised_shrinkage(power, step)(given_).double()
    exact = float(given_)
    cost = float(objective(found, exact, step, power)[0])
    assert cost <= lowest(exact, step, power) + 1e-5 * exact**2 / 2 + 1e-12  # float32 and the resolution of the grid


@settings(max_examples=150, deadline=None)
@given(power=powers, step=steps, off=st.floats(-0.3, 0.3))
def test_the_prox_jumps_at_the_threshold_of_the_paper(power: float, step: float, off: float) -> None:
    if power == 1:
        return  # soft thresholding does not jump
    smallest = (2 * step * (1 - power)) ** (1 / (2 - power))
    threshold = smallest + step * power * smallest ** (power - 1)
    value = torch.tensor([threshold * (1 + off)], dtype=torch.float64)
    found = float(generalised_shrinkage(power, step)(value))
    if off <= -1e-9:
        assert found == 0
    elif off >= 1e-9:
        assert found >= smallest * (1 - 1e-5)
        assert found + step * power * found ** (power - 1) == pytest.approx(float(value), rel=1e-5)


@given(power=st.floats(-4, -0.01), step=steps, value=st.floats(0.01, 3))
def test_a_negative_power_sharpens_what_it_keeps(power: float, step: float, value: float) -> None:
    found = float(generalised_shrinkage(power, step)(torch.tensor([value], dtype=torch.float64)))
    assert found == 0 or found > value


@pytest.mark.parametrize(
    ("power", "isotropic", "other"),
    [
        (0.0, False, L0Gradient(isotropic=False, smoothing=0.0)),
        (0.0, True, L0Gradient(isotropic=True, smoothing=0.0)),
        (0.5, False, HyperLaplacian(power=0.5, smoothing=0.0)),
        (1.0, False, HyperLaplacian(power=1.0, smoothing=0.0)),
    ],
)
def test_known_penalties_are_special_cases(power: float, isotropic: bool, other: Any) -> None:
    own, differences = GeneralisedShrinkage(power=power, isotropic=isotropic), drawn((2, 1, 1, 12, 10), 3) - 0.5
    torch.testing.assert_close(own.prox(differences, 3.0), other.prox(differences, 3.0))
    torch.testing.assert_close(own.penalty(differences), other.penalty(differences))


@given(angle=st.floats(0, 6.3), power=powers, step=steps)
def test_isotropic_shrinkage_turns_with_the_gradient(angle: float, power: float, step: float) -> None:
    turn = torch.tensor([angle], dtype=torch.float64)
    gradient = torch.stack([turn.sin(), turn.cos()]).view(2, 1, 1, 1, 1)
    found = GeneralisedShrinkage(power=power, isotropic=True).prox(gradient, step)
    along = generalised_shrinkage(power, step)(torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(found, gradient * along)


@pytest.mark.parametrize("power", [-4.0, -1.0, 0.0, 0.5])
def test_penalty_and_slope_are_finite_for_small_differences(power: float) -> None:
    small = torch.tensor([0.0, 1e-30, 1e-8, MIN_DIFFERENCE, 1.0]).view(1, 1, 1, 1, 5).expand(2, 1, 1, 1, 5)
    leaf = small.clone().requires_grad_()
    value = GeneralisedShrinkage(power=power).penalty(leaf)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    assert bool(value.isfinite().all())
    assert bool(slope.isfinite().all())
    assert float(GeneralisedShrinkage(power=power).penalty(torch.zeros_like(small))) == 0


# --- the schedule ------------------------------------------------------------------------------------------------


ROWS = (((2e-3, -1.0), (1e-3, 0.0)), ((5e-4, 0.5),))


def test_the_last_row_and_the_last_entry_are_repeated() -> None:
    scheduled = GeneralisedShrinkage(power=0.8, schedule=ROWS)

    def stage(scale: int, iteration: int) -> tuple[float, float]:
        one, factor = scheduled.at_scale(scale).at(iteration)
        return factor, one.power

    assert [stage(0, i) for i in range(4)] == [(2e-3, -1.0), (1e-3, 0.0), (1e-3, 0.0), (1e-3, 0.0)]
    assert [stage(s, 0) for s in range(1, 5)] == [(5e-4, 0.5)] * 4
    assert scheduled.at(0)[0].power == 0.5  # without scales, the last row


def test_without_a_schedule_nothing_changes() -> None:
    plain = Term(GeneralisedShrinkage(power=0.3, isotropic=True), weight=2.0)
    moved = plain.at_scale(3).at(2)
    assert moved.weight == 2.0
    assert isinstance(moved.regularizer, GeneralisedShrinkage)
    assert (moved.regularizer.power, moved.regularizer.isotropic) == (0.3, True)


@pytest.mark.parametrize("schedule", [[[]], [[[0.0, 0.5]]], [[[1.0, 1.5]]], [[[1.0]]]])
def test_a_wrong_schedule_is_refused(schedule: Any) -> None:
    with pytest.raises(InputError, match="schedule"):
        GeneralisedShrinkage(schedule=schedule)


class Recording(HalfQuadratic):
    """Writes down the weight and the power of each latent image that it computes."""

    def __init__(self) -> None:
        super().__init__(beta_max=20.0)
        self.seen: list[tuple[float, float]] = []

    def start(self, problem: Problem) -> HalfQuadraticState:
        (term,) = problem.regularizers
        assert isinstance(term.regularizer, GeneralisedShrinkage)
        self.seen.append((term.weight, term.regularizer.power))
        return super().start(problem)


def alternation(latent: HalfQuadratic, iterations: int = 3) -> AlternatingMAP:
    return AlternatingMAP(
        latent=latent, edge_selection=Gradients(), kernel_estimation=ToeplitzLeastSquares(), iterations=iterations
    )


def test_the_solvers_follow_the_schedule_from_coarse_to_fine() -> None:
    latent = Recording()
    solver = Pyramid(inner=alternation(latent), min_kernel_size=3, min_data_side=8)
    problem = blind([Term(GeneralisedShrinkage(power=0.8, schedule=ROWS), weight=2.0)])
    assert solver.levels(problem) == 3
    solver.solve(problem)
    first, rest = [(4e-3, -1.0), (2e-3, 0.0), (2e-3, 0.0)], [(1e-3, 0.5)] * 6
    assert latent.seen == [*first, *rest]


def test_a_single_scale_follows_the_last_row() -> None:
    latent = Recording()
    rows = (ROWS[1], ROWS[0])
    alternation(latent).solve(blind([Term(GeneralisedShrinkage(schedule=rows), weight=1.0)]))
    assert latent.seen == [(2e-3, -1.0), (1e-3, 0.0), (1e-3, 0.0)]


def test_a_constant_schedule_is_the_regularizer_with_its_values() -> None:
    plain = Term(GeneralisedShrinkage(power=0.5), weight=2e-3)
    constant = Term(GeneralisedShrinkage(power=0.8, schedule=(((2e-3, 0.5),),)), weight=1.0)
    one, other = (Pyramid(inner=alternation(HalfQuadratic(beta_max=20.0))).solve(blind([t])) for t in (plain, constant))
    assert torch.equal(torch.as_tensor(one.kernel), torch.as_tensor(other.kernel))


def test_a_resumed_solve_continues_with_the_stage_it_had_reached() -> None:
    problem = blind([Term(GeneralisedShrinkage(schedule=ROWS), weight=1.0)])
    solver = Pyramid(inner=alternation(HalfQuadratic(beta_max=20.0)), min_kernel_size=3, min_data_side=8)
    resumed = solver.solve(problem, resume=saved_after(solver, problem, 4))
    assert torch.equal(torch.as_tensor(resumed.kernel), torch.as_tensor(solver.solve(problem).kernel))


def test_a_negative_power_makes_an_edge_of_a_latent_image_steeper() -> None:
    """The kernel is a point: nothing but the penalty can make a soft edge steeper."""
    soft = torch.tensor([0.2] * 12 + [0.3, 0.5, 0.7] + [0.8] * 12, dtype=torch.float64).expand(1, 1, 20, 27)
    delta_kernel = torch.ones(1, 1, 1, 1, dtype=torch.float64)

    def steepest(power: float) -> float:
        solver = HalfQuadratic(beta_max=2000.0)
        image = finished(solver, made(soft, delta_kernel, [Term(GeneralisedShrinkage(power=power), 1e-3)])).image
        return float(image.diff(dim=-1).max())

    assert steepest(-1.0) > 1.1 * steepest(0.5)
