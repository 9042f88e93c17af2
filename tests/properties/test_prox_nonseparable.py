"""Proximal maps of penalties that are not separable, against brute force in float64."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.regularizers.l1_over_l2 import L1OverL2
from invkit.regularizers.local_minima import DarkChannel, PatchMinimum, selections
from invkit.regularizers.shrinkage import truncated_square
from invkit.testing.common import drawn

seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))
tiny = st.tuples(st.just(1), st.integers(1, 2), st.integers(1, 2), st.integers(1, 2))
steps = st.floats(-4, 2).map(lambda exponent: 10**exponent)
smoothings = st.sampled_from([0.0, 1e-3, 0.1, 0.7])
some = settings(max_examples=40, deadline=None)
ROUNDING = 1e-12  # of float64 sums of some ten numbers about one
BRUTE = 1e-5  # error of a search on a grid, or of a minimiser with a tolerance


def image(shape: tuple[int, ...], seed: int, levels: int = 0) -> Tensor:
    """Uniform in [0, 1], or multiples of 1 / levels, which gives ties and zeros."""
    value = drawn(shape, seed, torch.float64)
    return (value * levels).round() / levels if levels else value


def objective(regularizer: Any, step: float, value: Tensor, coefficients: Tensor) -> Tensor:
    """The objective of the proximal map, (B,)."""
    cost: Tensor = step * regularizer.penalty(value) + (value - coefficients).square().sum((0, 2, 3, 4)) / 2
    return cost


def least_blackened(regularizer: Any, step: float, value: Tensor) -> Tensor:
    """The least objective of all images (1, 1, C, H, W) that result from setting some values to zero."""
    kept = torch.tensor(list(product((0.0, 1.0), repeat=value.numel())), dtype=value.dtype)
    others = value * kept.view(1, -1, *value.shape[2:])
    return objective(regularizer, step, others, value).min()


class TestPatchMinimum:
    @some
    @given(shape=tiny, seed=seeds, step=steps, levels=st.sampled_from([0, 3]))
    def test_prox_of_the_count_is_the_best_choice_of_pixels_to_blacken(
        self, shape: tuple[int, ...], seed: int, step: float, levels: int
    ) -> None:
        value, regularizer = image(shape, seed, levels)[None], PatchMinimum(patch=2, smoothing=0)
        found = objective(regularizer, step, regularizer.prox(value, step), value)
        best = least_blackened(regularizer, step, value)
        assert float(found - best) == pytest.approx(0, abs=ROUNDING)

    @settings(max_examples=15, deadline=None)
    @given(shape=tiny, seed=seeds, step=steps, smoothing=smoothings, levels=st.sampled_from([0, 3]))
    def test_prox_of_a_patch_has_the_best_least_value(
        self, shape: tuple[int, ...], seed: int, step: float, smoothing: float, levels: int
    ) -> None:
        """The nearest image with least value t is the given one clamped at t from below, with one pixel at t."""
        value, regularizer = image(shape, seed, levels)[None], PatchMinimum(patch=2, smoothing=smoothing)
        found = float(objective(regularizer, step, regularizer.prox(value, step), value))
        grid = torch.linspace(0, 1.2, 2401, dtype=value.dtype)  # the squares of its steps are well below BRUTE
        penalties = truncated_square(grid, (), smoothing) * step / value.numel()
        flat = value.flatten()
        for pixel in range(len(flat)):
            others = torch.cat([flat[:pixel], flat[pixel + 1 :]])
            raised = (grid[:, None] - others).clamp_min(0).square().sum(1)
            assert found <= float((penalties + ((grid - flat[pixel]).square() + raised) / 2).min()) + ROUNDING

    @some
    @given(shape=shapes, patch=st.integers(1, 9), seed=seeds, step=steps, smoothing=smoothings)
    def test_patches_are_independent(
        self, shape: tuple[int, ...], patch: int, seed: int, step: float, smoothing: float
    ) -> None:
        """Each patch equals an image of its own with a smaller step, so results for one patch hold for images."""
        value, regularizer = image(shape, seed), PatchMinimum(patch=patch, smoothing=smoothing)
        whole, whole_prox = regularizer(value), regularizer.prox(value[None], step)[0]
        total = torch.zeros_like(whole)
        for row, column in product(range(0, shape[2], patch), range(0, shape[3], patch)):
            part = (..., slice(row, row + patch), slice(column, column + patch))
            share = value[part][0].numel() / value[0].numel()
            total += regularizer(value[part]) * share
            assert torch.allclose(whole_prox[part], regularizer.prox(value[part][None], step * share)[0], atol=1e-12)
        assert torch.allclose(whole, total, rtol=1e-12)

    @some
    @given(shape=shapes, patch=st.integers(1, 9), seed=seeds, step=steps, levels=st.sampled_from([0, 2]))
    def test_prox_moves_one_pixel_per_patch_towards_zero(
        self, shape: tuple[int, ...], patch: int, seed: int, step: float, levels: int
    ) -> None:
        value, regularizer = image(shape, seed, levels), PatchMinimum(patch=patch)
        moved = regularizer.prox(value[None], step)[0]
        assert bool(((moved <= value) & (moved >= 0)).all())
        parts = -(-shape[2] // patch) * -(-shape[3] // patch)
        assert int((moved != value).flatten(1).sum(1).max()) <= parts


class TestDarkChannel:
    @some
    @given(shape=shapes, patch=st.sampled_from([1, 3, 5, 9, 35]), seed=seeds, levels=st.sampled_from([0, 2]))
    def test_selections_are_the_minima_of_the_windows(
        self, shape: tuple[int, ...], patch: int, seed: int, levels: int
    ) -> None:
        value, reach = image(shape, seed, levels), patch // 2
        counted = torch.zeros(shape[0], dtype=value.dtype)
        for row, column in product(range(shape[2]), range(shape[3])):
            rows, columns = (slice(max(0, middle - reach), middle + reach + 1) for middle in (row, column))
            counted += value[:, :, rows, columns].amin((1, 2, 3)) ** 3  # any function of the minima is suitable
        selected = selections(value, patch)
        assert torch.allclose((selected * value**3).sum((1, 2, 3)), counted, rtol=1e-12)
        assert torch.equal(selected.sum((1, 2, 3)), torch.full_like(counted, shape[2] * shape[3]))

    @some
    @given(shape=shapes, patch=st.sampled_from([1, 3, 5]), seed=seeds, step=steps, smoothing=smoothings)
    def test_prox_minimises_the_objective_with_fixed_selection(
        self, shape: tuple[int, ...], patch: int, seed: int, step: float, smoothing: float
    ) -> None:
        """This objective is a sum over the pixels, so one grid per pixel searches all images."""
        value, regularizer = image(shape, seed), DarkChannel(patch=patch, smoothing=smoothing)
        each = step * selections(value, patch) / value[0].numel()

        def frozen(candidate: Tensor) -> Tensor:
            return each * truncated_square(candidate, (), smoothing) + (candidate - value).square() / 2

        found = frozen(regularizer.prox(value[None], step)[0])
        grid = torch.linspace(0, 1.2, 1201, dtype=value.dtype).view(-1, 1, 1, 1, 1)
        best = frozen(grid.expand(-1, *shape)).amin(0)
        assert bool((found <= best + ROUNDING).all())

    @settings(max_examples=100, deadline=None)
    @given(
        shape=shapes,
        patch=st.sampled_from([1, 3, 5, 35]),
        seed=seeds,
        step=steps,
        smoothing=smoothings,
        levels=st.sampled_from([0, 2, 5]),
    )
    def test_prox_never_raises_the_true_objective(
        self, shape: tuple[int, ...], patch: int, seed: int, step: float, smoothing: float, levels: int
    ) -> None:
        value, regularizer = image(shape, seed, levels)[None], DarkChannel(patch=patch, smoothing=smoothing)
        moved = objective(regularizer, step, regularizer.prox(value, step), value)
        assert bool((moved <= objective(regularizer, step, value, value) + ROUNDING).all())

    @some
    @given(shape=tiny, seed=seeds, step=steps, levels=st.sampled_from([0, 3]))
    def test_prox_is_exact_if_the_window_covers_the_image(
        self, shape: tuple[int, ...], seed: int, step: float, levels: int
    ) -> None:
        value, regularizer = image(shape, seed, levels)[None], DarkChannel(patch=3, smoothing=0)
        found = objective(regularizer, step, regularizer.prox(value, step), value)
        best = least_blackened(regularizer, step, value)
        assert float(found - best) == pytest.approx(0, abs=ROUNDING)

    @some
    @given(seed=seeds, factor=st.floats(0.01, 0.99))
    def test_prox_is_exact_if_no_pixel_is_dark_enough(self, seed: int, factor: float) -> None:
        value, regularizer = image((1, 1, 3, 3), seed)[None] + 0.1, DarkChannel(patch=3, smoothing=0)
        step = factor * float(value.min()) ** 2 / 2  # v^2 > 2 step patch^2 / (C H W), the last two of which are equal
        moved = regularizer.prox(value, step)
        best = least_blackened(regularizer, step, value)
        assert torch.equal(moved, value)
        assert float(objective(regularizer, step, moved, value) - best) == pytest.approx(0, abs=ROUNDING)


def smooth_minimum(value: np.ndarray, step: float, support: tuple[int, ...], start: np.ndarray, least: float) -> float:
    """A local minimum of the objective over images with a given support and the signs of ``value``."""
    from scipy.optimize import minimize

    part, magnitudes = list(support), np.abs(value)

    def cost(point: np.ndarray) -> tuple[float, Any]:
        length, rest = np.linalg.norm(point), point - magnitudes[part]
        ratio, slope = point.sum() / max(length, least), np.ones_like(point) / max(length, least)
        if length > least:
            slope -= point.sum() * point / length**3
        return step * ratio + rest @ rest / 2, step * slope + rest

    found = minimize(cost, start[part], jac=True, bounds=[(1e-9, None)] * len(part), method="L-BFGS-B")
    return float(found.fun + (magnitudes**2).sum() / 2 - (magnitudes[part] ** 2).sum() / 2)


def least_cost(value: np.ndarray, step: float, least: float, seed: int) -> float:
    """The least of many local minima over all supports; the empty support costs half of ``|value|^2``."""
    drawing, count = np.random.default_rng(seed), len(value)
    costs = [float(value @ value) / 2]
    for size in range(1, count + 1):
        for support in combinations(range(count), size):
            starts = [np.abs(value), *(drawing.uniform(0, 1.5, (3, count)) * np.abs(value).max())]
            costs += [smooth_minimum(value, step, support, start + 1e-6, least) for start in starts]
    return min(costs)


def assert_no_multiple_is_better(value: Tensor, step: float) -> None:
    """No multiple of a soft thresholding costs less than the proximal map; all stationary points have this form."""
    regularizer = L1OverL2(of="value", smoothing=0)
    found = float(objective(regularizer, step, regularizer.prox(value, step), value))
    thresholds = torch.linspace(0, float(value.max()), 4001, dtype=value.dtype)[:-1, None]
    thresholded = (value.flatten() - thresholds).clamp_min(0)
    norm = thresholded.norm(dim=1).clamp_min(1e-300)
    along, half = (thresholded @ value.flatten()) / norm, float(value.square().sum() / 2)
    costs = step * thresholded.sum(1) / norm - along.square() / 2 + half
    assert found <= min(half, float(costs.min())) + ROUNDING * (1 + half)


class TestL1OverL2:
    @settings(max_examples=50, deadline=None)
    @given(
        numbers=st.lists(st.integers(-20, 20), min_size=1, max_size=4),
        step=st.floats(-2, 0.5).map(lambda exponent: 10**exponent),
        smoothing=st.sampled_from([0.0, 1e-4, 0.1, 0.5]),
        seed=seeds,
    )
    def test_prox_is_the_best_of_many_local_minima_over_all_supports(
        self, numbers: list[int], step: float, smoothing: float, seed: int
    ) -> None:
        value = np.array(numbers) / 10
        regularizer = L1OverL2(of="value", smoothing=smoothing)
        coefficients = torch.from_numpy(value).view(1, 1, 1, 1, -1)
        found = float(objective(regularizer, step, regularizer.prox(coefficients, step), coefficients))
        assert found <= least_cost(value, step, regularizer.least_norm(coefficients), seed) + BRUTE

    @some
    @given(
        count=st.integers(1, 60),
        seed=seeds,
        step=st.floats(-3, 1.5).map(lambda exponent: 10**exponent),
        power=st.sampled_from([0.3, 1, 4]),
        levels=st.sampled_from([0, 4]),
    )
    def test_prox_is_the_best_multiple_of_a_soft_thresholding(
        self, count: int, seed: int, step: float, power: float, levels: int
    ) -> None:
        value = (image((1, 1, 1, count), seed, levels) ** power)[None]
        assert_no_multiple_is_better(value, step)

    @settings(max_examples=60, deadline=None)
    @given(
        count=st.integers(30, 300), seed=seeds, large=st.floats(0.55, 1.6), step=st.floats(0.3, 0.75), spread=smoothings
    )
    def test_prox_chooses_between_few_large_and_many_equal_coefficients(
        self, count: int, seed: int, large: float, step: float, spread: float
    ) -> None:
        """One or two are about the fourth root of the number of the others: dense and sparse cost about the same."""
        many = 1 + spread * image((1, 1, 1, count), seed)
        few = (1 + 0.1 * image((1, 1, 1, 1 + seed % 2), seed)) * large * count**0.25
        assert_no_multiple_is_better(torch.cat([few, many], -1)[None], step * count**0.5)

    @some
    @given(shape=shapes, seed=seeds, step=steps, smoothing=st.sampled_from([0.0, 1e-4, 0.1]))
    def test_prox_in_float32_costs_no_more_than_rounding(
        self, shape: tuple[int, ...], seed: int, step: float, smoothing: float
    ) -> None:
        value, regularizer = image(shape, seed)[None] - 0.5, L1OverL2(of="value", smoothing=smoothing)
        exact = objective(regularizer, step, regularizer.prox(value, step), value)
        single = objective(regularizer, step, regularizer.prox(value.float(), step).double(), value)
        assert torch.allclose(single, exact, rtol=1e-5, atol=1e-6)

    @some
    @given(shape=shapes, seed=seeds, step=steps)
    def test_prox_keeps_signs_and_order_and_treats_images_independently(
        self, shape: tuple[int, ...], seed: int, step: float
    ) -> None:
        value, regularizer = image((2, *shape), seed) - 0.5, L1OverL2()
        moved = regularizer.prox(value, step)
        alone = torch.cat([regularizer.prox(value[:, i : i + 1], step) for i in range(shape[0])], 1)
        assert torch.equal(moved, alone)
        assert bool((moved * value >= 0).all())
        for before, after in zip(value.unbind(1), moved.unbind(1), strict=True):
            sorted_by = before.abs().flatten().argsort()
            assert bool((after.abs().flatten()[sorted_by].diff() >= 0).all())

    @some
    @given(shape=shapes, seed=seeds, factor=st.floats(0.01, 100))
    def test_is_a_ratio_independent_of_contrast(self, shape: tuple[int, ...], seed: int, factor: float) -> None:
        value, regularizer = image(shape, seed), L1OverL2(smoothing=0)
        ratio = regularizer(value)
        assert torch.allclose(regularizer(factor * value + 3), ratio, rtol=1e-9)  # rounding of differences near 3
        constant = shape[2:] == (1, 1)
        count = 2 * value[0].numel()
        assert bool(((ratio == 0) if constant else (ratio >= 1 - ROUNDING) & (ratio <= count**0.5)).all())


@pytest.mark.parametrize(
    "regularizer", [PatchMinimum(patch=2), DarkChannel(patch=3), L1OverL2()], ids=lambda given: type(given).__name__
)
@settings(max_examples=15, deadline=None)
@given(shape=shapes, seed=seeds)
def test_gradient_is_that_of_finite_differences(regularizer: Any, shape: tuple[int, ...], seed: int) -> None:
    value = image(shape, seed) * 0.02  # many minima are then below the smoothing
    direction = image(shape, (seed + 1) % 2**32) - 0.5
    leaf, step = value.clone().requires_grad_(), 1e-8
    (gradient,) = torch.autograd.grad(regularizer(leaf).sum(), leaf)
    slope = (regularizer(value + step * direction) - regularizer(value - step * direction)).sum() / (2 * step)
    # The kinks are where two minima are equal, or one equals the smoothing; a step of 1e-8 rarely crosses one.
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-4, abs=1e-4)
