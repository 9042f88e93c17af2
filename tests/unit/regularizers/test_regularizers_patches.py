"""Dark channel, patch-wise minima and normalised sparsity: known values, gradients, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from invkit.core.errors import InputError
from invkit.regularizers.l1_over_l2 import L1OverL2
from invkit.regularizers.local_minima import DarkChannel, PatchMinimum
from invkit.testing.common import drawn

ALL = [PatchMinimum(), DarkChannel(patch=5), L1OverL2(), L1OverL2(of="value")]
COUNTS = [PatchMinimum(patch=3, smoothing=0), DarkChannel(patch=3, smoothing=0)]


def dotted() -> Tensor:
    """Ones, 9 x 12, with one black pixel in the second row of the second column."""
    image = torch.ones(1, 1, 9, 12, dtype=torch.float64)
    image[0, 0, 1, 1] = 0
    return image


def name(given: Any) -> str:
    """The class's name."""
    return type(given).__name__


class TestPatchMinimum:
    def test_counts_the_patches_without_a_black_pixel(self) -> None:
        assert float(PatchMinimum(patch=3, smoothing=0)(dotted())) == pytest.approx(11 / 108)

    def test_a_patch_cut_by_the_border_counts(self) -> None:
        assert float(PatchMinimum(patch=5, smoothing=0)(torch.ones(1, 1, 9, 12))) == pytest.approx(6 / 108)

    def test_it_is_the_minimum_over_all_channels(self) -> None:
        colour = torch.cat([dotted(), torch.ones(1, 2, 9, 12, dtype=torch.float64)], 1)
        assert float(PatchMinimum(patch=9, smoothing=0)(colour)) == pytest.approx(1 / 324)

    def test_is_quadratic_below_the_smoothing(self) -> None:
        level = torch.full((1, 1, 6, 6), 0.02)
        assert float(PatchMinimum(smoothing=0.1)(level)) == pytest.approx(0.04 / 36)

    def test_prox_changes_the_first_of_equal_pixels(self) -> None:
        moved = PatchMinimum(patch=2, smoothing=0).prox(torch.full((1, 1, 1, 2, 4), 0.1), 1.0)
        assert moved.flatten().tolist() == pytest.approx([0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0.1])

    @pytest.mark.parametrize(("level", "expected"), [(0.49, 0.0), (0.51, 0.51)])
    def test_prox_keeps_patches_above_the_threshold(self, level: float, expected: float) -> None:
        step = 0.5**2 / 2 * 16  # for a mean over 16 values, the threshold is 0.5
        moved = PatchMinimum(patch=4, smoothing=0).prox(torch.full((1, 1, 1, 4, 4), level), step)
        assert float(moved[..., 0, 0]) == pytest.approx(expected)

    def test_a_patch_may_be_larger_than_the_image(self) -> None:
        value = drawn((1, 1, 5, 7))
        assert torch.equal(PatchMinimum(patch=10**6)(value), PatchMinimum(patch=7)(value))

    def test_a_negative_minimum_counts_by_its_square(self) -> None:
        value = torch.full((1, 1, 6, 6), -0.02)
        assert float(PatchMinimum(smoothing=0.1)(value)) == pytest.approx(0.04 / 36)

    @pytest.mark.parametrize("setting", [{"patch": 0}, {"smoothing": -1}])
    def test_refuses(self, setting: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=next(iter(setting))):
            PatchMinimum(**setting)


class TestDarkChannel:
    def test_counts_the_pixels_without_black_in_their_window(self) -> None:
        assert float(DarkChannel(patch=3, smoothing=0)(dotted())) == pytest.approx((108 - 9) / 108)
        assert float(DarkChannel(patch=5, smoothing=0)(dotted())) == pytest.approx((108 - 16) / 108)  # cut at a corner

    def test_it_is_the_minimum_over_all_channels(self) -> None:
        colour = torch.cat([torch.ones(1, 2, 9, 12, dtype=torch.float64), dotted()], 1)
        assert float(DarkChannel(patch=3, smoothing=0)(colour)) == pytest.approx((108 - 9) / 324)

    def test_a_window_of_one_pixel_counts_values(self) -> None:
        value = (drawn((1, 1, 5, 7)) * 3).floor()
        assert float(DarkChannel(patch=1, smoothing=0)(value)) == pytest.approx(float((value > 0).float().mean()))

    def test_a_window_larger_than_the_image_covers_all_of_it(self) -> None:
        value = drawn((1, 1, 4, 3))
        assert torch.equal(DarkChannel(patch=7)(value), DarkChannel(patch=10**6 + 1)(value))

    def test_prox_counts_the_windows_that_select_a_pixel(self) -> None:
        dark = torch.ones(1, 1, 1, 9, 9)
        dark[..., 4, 4] = 0.5  # selected by nine windows
        assert float(DarkChannel(patch=3, smoothing=0).prox(dark, 0.99 * 81 / 72)[..., 4, 4]) == 0.5
        moved = DarkChannel(patch=3, smoothing=0).prox(dark, 1.01 * 81 / 72)  # 2 * step * 9 / 81 = 1.01 * 0.5^2
        assert float(moved[..., 4, 4]) == 0
        assert int((moved != dark).sum()) == 1

    def test_an_even_window_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"must be odd.*give 35, not 34"):
            DarkChannel(patch=34)


class TestL1OverL2:
    def test_for_one_coefficient_it_is_one_and_for_equal_ones_the_root_of_their_number(self) -> None:
        alone, equal = torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), -0.3)
        alone[..., 1, 2] = 0.7
        assert float(L1OverL2(of="value")(alone)) == pytest.approx(1)
        assert float(L1OverL2(of="value")(equal)) == pytest.approx(4)

    def test_for_a_step_edge_it_is_the_root_of_its_length(self) -> None:
        edge = torch.zeros(1, 1, 9, 12)
        edge[..., 5:] = 1
        assert float(L1OverL2()(edge)) == pytest.approx(3)

    def test_a_blur_raises_it(self) -> None:
        sharp = torch.zeros(1, 1, 16, 16)
        sharp[..., 8:] = 1
        blurred = torch.nn.functional.avg_pool2d(sharp, 3, stride=1)
        assert float(L1OverL2()(blurred)) > 1.3 * float(L1OverL2()(sharp))

    def test_below_the_smoothing_the_denominator_is_constant(self) -> None:
        value = torch.full((1, 1, 4, 4), 1e-3)
        assert float(L1OverL2(of="value", smoothing=1e-2)(value)) == pytest.approx(16e-3 / 4e-2)

    def test_prox_of_one_coefficient_keeps_or_drops_it(self) -> None:
        """R is one except at zero, so keeping a coefficient gains v^2 / 2."""
        ratio, value = L1OverL2(of="value", smoothing=0), torch.tensor([[[[[0.8]]]]], dtype=torch.float64)
        assert float(ratio.prox(value, 0.31)) == pytest.approx(0.8)
        assert float(ratio.prox(value, 0.33)) == 0

    def test_prox_lengthens_the_coefficients_that_it_keeps(self) -> None:
        """The ratio rewards a large norm: unlike soft thresholding, the map does not darken."""
        value = torch.tensor([1.0, 0.9, 0.1, 0.05], dtype=torch.float64).view(1, 1, 1, 1, 4)
        moved = L1OverL2(of="value").prox(value, 0.2).flatten()
        assert float(moved[0]) > 1
        assert moved[2:].tolist() == [0, 0]

    @pytest.mark.parametrize(("step", "kept"), [(5.4, 82), (5.5, 1), (6.4, 1), (6.6, 0)])
    def test_prox_chooses_the_better_of_a_dense_and_a_sparse_solution(self, step: float, kept: int) -> None:
        """Relative to zero, the dense solution costs -1.71 for step 5.4 (fine scan), the sparse one step - 6.48."""
        value = torch.tensor([3.6] + 81 * [1.0], dtype=torch.float64).view(1, 1, 1, 1, 82)
        moved = L1OverL2(of="value", smoothing=0).prox(value, step)
        assert int((moved != 0).sum()) == kept
        assert kept != 1 or float(moved[..., 0]) == pytest.approx(3.6)

    def test_prox_of_zero_is_zero(self) -> None:
        assert not bool(L1OverL2().prox(torch.zeros(2, 3, 1, 4, 5), 1.0).any())

    @pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e-6])
    @pytest.mark.parametrize("smoothing", [0, 1e-4])
    def test_vanishing_differences_do_not_overflow(self, scale: float, smoothing: float) -> None:
        value = (drawn((1, 1, 6, 6)) * scale).requires_grad_()
        ratio = L1OverL2(smoothing=smoothing)
        ratio(value).sum().backward()
        assert value.grad is not None
        assert bool(value.grad.isfinite().all())
        assert bool(ratio.prox(value.detach()[None], 1.0).isfinite().all())

    def test_an_unknown_norm_is_refused(self) -> None:
        with pytest.raises(InputError, match="of"):
            L1OverL2(of="curvature")  # type: ignore[arg-type]


@pytest.mark.parametrize("regularizer", ALL, ids=name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_finite_where_values_are_equal(regularizer: Any, dtype: torch.dtype) -> None:
    for level in (0, 1e-20, 5e-3, 0.01, 1):
        value = torch.full((2, 3, 7, 8), level, dtype=dtype).requires_grad_()
        (gradient,) = torch.autograd.grad(regularizer(value).sum(), value)
        assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("regularizer", COUNTS, ids=name)
def test_a_count_has_gradient_zero(regularizer: Any) -> None:
    value = dotted().requires_grad_()
    (gradient,) = torch.autograd.grad(regularizer(value).sum(), value)
    assert not bool(gradient.any())


@pytest.mark.parametrize("regularizer", [PatchMinimum(smoothing=0.3), DarkChannel(smoothing=0.3), L1OverL2()], ids=name)
def test_descent_by_adam_lowers_it_and_stays_finite(regularizer: Any) -> None:
    value = (0.2 + drawn((1, 3, 16, 16)) / 2).requires_grad_()
    before, optimizer = float(regularizer(value.detach())), torch.optim.Adam([value], lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        regularizer(value).sum().backward()
        optimizer.step()
    assert bool(value.isfinite().all())
    assert float(regularizer(value.detach())) < 0.8 * before


@pytest.mark.parametrize("regularizer", ALL, ids=name)
def test_prox_changes_neither_its_argument_nor_the_precision(regularizer: Any) -> None:
    value = drawn((len(regularizer.filters), 2, 3, 7, 8))
    before = value.clone()
    moved = regularizer.prox(value, 0.5)
    assert torch.equal(value, before)
    assert moved.shape == value.shape
    assert moved.dtype == value.dtype
    assert regularizer.prox(value.double(), 0.5).dtype == torch.float64
