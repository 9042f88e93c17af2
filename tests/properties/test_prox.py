"""Proximal maps of separable penalties: correct against brute force, and with the implied properties."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.regularizers import shrinkage
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.l0 import L0Gradient, L0Intensity
from invkit.regularizers.l2 import GradientL2
from invkit.regularizers.stack_l2 import StackGradientL2
from invkit.regularizers.stack_tv import StackTotalVariation
from invkit.regularizers.tv import TotalVariation
from invkit.testing.common import drawn

some = settings(max_examples=25, deadline=None)
numbers = st.floats(-3, 3)
steps = st.floats(-4, 1.5).map(lambda exponent: 10**exponent)
positive = st.floats(-4, 0).map(lambda exponent: 10**exponent)
smoothings = st.just(0.0) | positive
seeds = st.integers(0, 2**32 - 1)
signs = st.sampled_from([-1, 1])
dtypes = st.sampled_from([torch.float32, torch.float64])
powers = st.sampled_from([0.5, 2 / 3, 0.8, 1.0, 1.5, 2.0]) | st.floats(0.05, 2)

l0_gradients = st.builds(L0Gradient, isotropic=st.booleans(), joint_channels=st.booleans(), smoothing=smoothings)
l0_intensities = st.builds(L0Intensity, joint_channels=st.booleans(), smoothing=smoothings)
hyper_laplacians = st.builds(HyperLaplacian, power=powers, second=st.sampled_from([0.0, 0.25]), smoothing=smoothings)
distances = st.floats(0.2, 5)
stack_variations = st.builds(StackTotalVariation, plane_distance=distances, smoothing=smoothings)
stack_squares = st.builds(StackGradientL2, plane_distance=distances)
variations = st.builds(TotalVariation, isotropic=st.booleans(), smoothing=smoothings)
squares = st.builds(GradientL2, second=st.sampled_from([0.0, 0.25]))
convex = (
    variations
    | squares
    | stack_variations
    | stack_squares
    | st.builds(HyperLaplacian, power=st.floats(1, 2), smoothing=smoothings)
)
smooth_and_convex = (
    st.builds(TotalVariation, isotropic=st.booleans(), smoothing=positive)
    | st.builds(HyperLaplacian, power=st.just(1.0) | st.floats(1, 2), second=st.just(0.5), smoothing=positive)
    | st.builds(StackTotalVariation, plane_distance=distances, smoothing=positive)
    | squares
    | stack_squares
)
every = l0_gradients | l0_intensities | hyper_laplacians | convex


def minimum(objective: Callable[[Tensor], Tensor], values: Tensor) -> float:
    """The lowest value of ``objective`` by search on finer and finer grids, from zero to ``values``.

    A minimum lies within the box of zero and the values. The grids cover a larger box and contain both.
    """
    grid = torch.linspace(-1, 1, {1: 2001, 2: 81, 3: 25, 4: 9}[len(values)], dtype=values.dtype)
    ends = 1.2 * values.abs().clamp(min=1e-6)
    best = lowest(objective, [torch.cat([end * grid, v[None]]) for v, end in zip(values, ends, strict=True)])
    for _ in range(12):
        ends, grid = ends * 2.5 / (len(grid) - 1), torch.linspace(-1, 1, 9, dtype=values.dtype)
        best = lowest(objective, [b + end * grid for b, end in zip(best, ends, strict=True)])
    return float(objective(best[None]))


def lowest(objective: Callable[[Tensor], Tensor], axes: list[Tensor]) -> Tensor:
    """The best point of a grid."""
    points = torch.cartesian_prod(*axes).view(-1, len(axes))
    return points[objective(points).argmin()]


def assert_minimises(regularizer: Any, coefficients: Tensor, step: float, where: list[Any]) -> None:
    """The prox of coefficients (K, 1, C, 1, 1), zero except at the indices ``where``, is as low as by brute force.

    The tolerance is 1e-5 of ``|v|^2 / 2``. It covers the resolution of the grid and, in float32, the rounding of the
    result, whose effect on the objective is at most ``|v| * 1e-7 |v|`` at a minimum of either branch.
    """
    given = coefficients.double()
    values = torch.stack([given[index] for index in where])

    def objective(points: Tensor) -> Tensor:
        full = given.expand(-1, len(points), -1, -1, -1).clone()
        for axis, (plane, _, *rest) in enumerate(where):
            full[plane, :, rest[0], rest[1], rest[2]] = points[:, axis]
        cost: Tensor = step * regularizer.penalty(full) + (points - values).square().sum(1) / 2
        return cost

    solution = regularizer.prox(coefficients, step)
    untouched = solution.clone()
    for index in where:
        untouched[index] = 0
    assert not untouched.any()
    found = float(objective(torch.stack([solution.double()[index] for index in where])[None]))
    assert found <= minimum(objective, values) + 1e-5 * float(values.square().sum()) / 2 + 1e-12


def point(shape: tuple[int, ...], where: list[Any], values: Any, dtype: torch.dtype) -> Tensor:
    """Zeros, except for ``values`` at the indices ``where``."""
    coefficients = torch.zeros(shape, dtype=dtype)
    for index, value in zip(where, values, strict=True):
        coefficients[index] = value
    return coefficients


@settings(max_examples=200, deadline=None)
@given(
    regularizer=hyper_laplacians | squares | st.builds(L0Intensity, smoothing=smoothings),
    value=numbers,
    step=steps,
    dtype=dtypes,
    data=st.data(),
)
def test_the_prox_of_a_single_number_is_correct(
    regularizer: Any, value: float, step: float, dtype: torch.dtype, data: st.DataObject
) -> None:
    planes = len(regularizer.filters)
    where = [(data.draw(st.integers(0, planes - 1)), 0, 0, 0, 0)]
    assert_minimises(regularizer, point((planes, 1, 1, 1, 1), where, [value], dtype), step, where)


@settings(max_examples=100, deadline=None)
@given(
    power=st.floats(0.05, 0.98), smoothing=smoothings, step=steps, off=st.floats(-0.2, 0.2), dtype=dtypes, sign=signs
)
def test_the_prox_of_a_single_number_is_correct_near_its_jump(
    power: float, smoothing: float, step: float, off: float, dtype: torch.dtype, sign: int
) -> None:
    threshold = shrinkage.power_threshold(power, smoothing, step)  # a wrong threshold would be off by a fifth at most
    where = [(0, 0, 0, 0, 0)]
    values = [sign * threshold * (1 + off)]
    regularizer = HyperLaplacian(power=power, smoothing=smoothing)
    assert_minimises(regularizer, point((2, 1, 1, 1, 1), where, values, dtype), step, where)


@settings(max_examples=150, deadline=None)
@given(regularizer=l0_gradients | variations, values=st.tuples(numbers, numbers), step=steps, dtype=dtypes)
def test_the_prox_of_a_gradient_is_correct(regularizer: Any, values: Any, step: float, dtype: torch.dtype) -> None:
    where = [(0, 0, 0, 0, 0), (1, 0, 0, 0, 0)]
    assert_minimises(regularizer, point((2, 1, 1, 1, 1), where, values, dtype), step, where)


@settings(max_examples=60, deadline=None)
@given(regularizer=stack_variations | stack_squares, values=st.tuples(*[numbers] * 3), step=steps, dtype=dtypes)
def test_the_prox_of_a_gradient_of_a_stack_is_correct(regularizer: Any, values: Any, step: float, dtype: Any) -> None:
    where = [(axis, 0, 0, 0, 0) for axis in range(3)]
    assert_minimises(regularizer, point((3, 1, 1, 1, 1), where, values, dtype), step, where)


@settings(max_examples=15, deadline=None)
@given(regularizer=l0_gradients, values=st.tuples(*[numbers] * 4), step=steps)
def test_the_prox_of_two_channels_gradients_is_correct(regularizer: Any, values: Any, step: float) -> None:
    where = [(plane, 0, channel, 0, 0) for plane, channel in itertools.product(range(2), range(2))]
    assert_minimises(regularizer, point((2, 1, 2, 1, 1), where, values, torch.float64), step, where)


@settings(max_examples=15, deadline=None)
@given(regularizer=l0_intensities, values=st.tuples(numbers, numbers), step=steps)
def test_the_prox_of_a_colour_is_correct(regularizer: Any, values: Any, step: float) -> None:
    where = [(0, 0, channel, 0, 0) for channel in range(2)]
    assert_minimises(regularizer, point((1, 1, 2, 1, 1), where, values, torch.float64), step, where)


@pytest.mark.parametrize(("power", "root"), [(1 / 2, 2), (2 / 3, 3), (4 / 5, 5), (9 / 10, 10), (19 / 20, 20)])
@settings(max_examples=20, deadline=None)
@given(step=steps, values=st.lists(st.floats(1e-3, 3), min_size=1, max_size=8), dtype=dtypes)
def test_the_prox_of_a_power_is_a_root_of_the_polynomial_it_solves(
    power: float, root: int, step: float, values: Any, dtype: torch.dtype
) -> None:
    """With w the root-th root of z > 0, ``z + step p z^(p - 1) = v`` is ``w^(root + 1) - v w + step p = 0``.

    Krishnan and Fergus solve it this way for 1/2 and 2/3. The rounding of thirty float32 operations is 1e-6.
    """
    given_ = torch.tensor(values, dtype=dtype).view(1, 1, 1, 1, -1)
    coefficients = torch.cat([given_, torch.zeros_like(given_)])
    found = HyperLaplacian(power=power, smoothing=0).prox(coefficients, step * len(values))[0].flatten()
    for value, solution in zip(given_.flatten().double().tolist(), found.double().tolist(), strict=True):
        roots = np.roots([1, *[0] * (root - 1), -value, step * power])
        real = roots[(abs(roots.imag) < 1e-6) & (roots.real > 0)].real
        expected = max(real, default=0.0) ** root
        outer = step * expected**power + (expected - value) ** 2 / 2
        if abs(outer - value**2 / 2) < 1e-4 * value**2:  # a tie: both are correct
            continue
        lower = expected if outer < value**2 / 2 else 0.0
        assert solution == pytest.approx(lower, rel=3e-6 if dtype == torch.float32 else 1e-7)


@settings(max_examples=100, deadline=None)
@given(regularizer=smooth_and_convex, seed=seeds, step=steps)
def test_for_a_smooth_convex_penalty_the_slope_at_the_prox_is_zero(regularizer: Any, seed: int, step: float) -> None:
    """The curvature of the objective is at least 1, so a point with slope r is at most r from the minimum."""
    values = coefficients_for(regularizer, seed, torch.float64)
    found = regularizer.prox(values, step).requires_grad_()
    (slopes,) = torch.autograd.grad(step * regularizer.penalty(found).sum(), found)
    assert torch.allclose(found + slopes, values, atol=2e-6)  # the error of Newton's method is 2e-7 of the root


@some
@given(regularizer=every, seed=seeds, step=steps, dtype=dtypes)
def test_is_odd(regularizer: Any, seed: int, step: float, dtype: torch.dtype) -> None:
    values = coefficients_for(regularizer, seed, dtype)
    assert torch.equal(regularizer.prox(-values, step), -regularizer.prox(values, step))


@some
@given(regularizer=every, seed=seeds, step=steps)
def test_moves_no_farther_than_the_decrease_of_the_penalty_allows(regularizer: Any, seed: int, step: float) -> None:
    """``|z - v|^2 / 2 <= step (g(v) - g(z))``, because z is at least as good as v. So z tends to v with the step."""
    values = coefficients_for(regularizer, seed, torch.float64)
    moved = (regularizer.prox(values, step) - values).square().sum((0, 2, 3, 4)) / 2
    assert bool((moved <= step * regularizer.penalty(values) * (1 + 1e-9)).all())  # rounding of float64


@some
@given(regularizer=convex, seed=seeds, step=steps)
def test_for_a_convex_penalty_the_prox_is_nonexpansive(regularizer: Any, seed: int, step: float) -> None:
    first = coefficients_for(regularizer, seed, torch.float64)
    second = coefficients_for(regularizer, (seed + 1) % 2**32, torch.float64)
    apart = (regularizer.prox(first, step) - regularizer.prox(second, step)).norm()
    assert float(apart) <= float((first - second).norm()) * (
        1 + 1e-6
    )  # the error of Newton's method is 2e-7 of the root


@some
@given(regularizer=every, seed=seeds, step=steps, scale=st.sampled_from([1e-30, 1e-10, 1.0, 1e10]), dtype=dtypes)
def test_shrinks_and_stays_finite(regularizer: Any, seed: int, step: float, scale: float, dtype: torch.dtype) -> None:
    values = scale * coefficients_for(regularizer, seed, dtype)
    values[..., 0] = 0
    found = regularizer.prox(values, step)
    assert bool((found.abs() <= values.abs() * (1 + 1e-6)).all())
    assert bool((found * values >= 0).all())
    assert not bool(found[..., 0].any())


@some
@given(regularizer=every, seed=seeds, step=steps, dtype=dtypes)
def test_pixels_are_independent_for_any_block_size(
    regularizer: Any, seed: int, step: float, dtype: torch.dtype
) -> None:
    values = coefficients_for(regularizer, seed, dtype)
    whole = regularizer.prox(values, step)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shrinkage, "BLOCK_VALUES", 24)
        in_blocks = regularizer.prox(values.flip(-1), step).flip(-1)
    assert torch.allclose(whole, in_blocks, rtol=1e-5, atol=1e-6)  # another order of float32 operations


@some
@given(regularizer=l0_gradients | variations, seed=seeds, step=steps)
def test_rows_and_columns_are_treated_alike(regularizer: Any, seed: int, step: float) -> None:
    values = coefficients_for(regularizer, seed, torch.float64)
    assert torch.allclose(regularizer.prox(values.flip(0), step), regularizer.prox(values, step).flip(0), atol=1e-14)


@some
@given(regularizer=hyper_laplacians | variations | squares | stack_variations | stack_squares, seed=seeds)
def test_weights_are_slopes_over_magnitudes(regularizer: Any, seed: int) -> None:
    """A majoriser that touches the penalty has its slope: ``w z`` is the gradient of the penalty."""
    values = coefficients_for(regularizer, seed, torch.float64).requires_grad_()
    (slopes,) = torch.autograd.grad(regularizer.penalty(values).sum(), values)
    weights = regularizer.weights(values.detach())
    assert torch.allclose(weights * values, slopes, rtol=1e-9, atol=1e-12)


def coefficients_for(regularizer: Any, seed: int, dtype: torch.dtype) -> Tensor:
    """Coefficients of two small colour images in (-2, 2)."""
    return 4 * drawn((len(regularizer.filters), 2, 3, 2, 3), seed, dtype) - 2
