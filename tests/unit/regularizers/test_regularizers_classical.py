"""Classical separable penalties: known values, norms, slopes and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from invkit.core.errors import InputError
from invkit.numerics.finite_differences import GRADIENT, SECOND_DIFFERENCES, apply_filters
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.l0 import L0Gradient, L0Intensity
from invkit.regularizers.l2 import GradientL2
from invkit.regularizers.tv import TotalVariation
from invkit.testing import check_regularizer
from invkit.testing.common import drawn

VARIANTS = [
    (L0Gradient, {}),
    (L0Gradient, {"smoothing": 0}),
    (L0Gradient, {"isotropic": False, "joint_channels": False, "smoothing": 0.1}),
    (L0Intensity, {}),
    (L0Intensity, {"smoothing": 0, "joint_channels": False}),
    (HyperLaplacian, {}),
    (HyperLaplacian, {"second": 0.25, "smoothing": 0}),
    (HyperLaplacian, {"power": 1, "second": 0.25}),
    (HyperLaplacian, {"power": 1.5, "smoothing": 0}),
    (HyperLaplacian, {"power": 2}),
    (GradientL2, {}),
    (GradientL2, {"second": 0.25}),
    (TotalVariation, {"isotropic": False}),
    (TotalVariation, {"smoothing": 0}),
]


@pytest.mark.parametrize(("component", "params"), VARIANTS, ids=str)
def test_variants_conform(component: type[Any], params: dict[str, Any]) -> None:
    check_regularizer(component, params)


def corner(channels: int = 1) -> Tensor:
    """(1, C, 4, 5), zero except for a one in the first pixel of the first channel: one gradient, of length sqrt(2)."""
    image = torch.zeros(1, channels, 4, 5, dtype=torch.float64)
    image[0, 0, 0, 0] = 1
    return image


def gradient(regularizer: Any, value: Tensor) -> Tensor:
    leaf = value.clone().requires_grad_()
    return torch.autograd.grad(regularizer(leaf).sum(), leaf)[0]


class TestL0Gradient:
    @pytest.mark.parametrize(("isotropic", "count"), [(True, 1), (False, 2)])
    def test_counts_gradients_or_differences(self, isotropic: bool, count: int) -> None:
        for smoothing in (0, 0.01, 1):
            assert float(L0Gradient(isotropic=isotropic, smoothing=smoothing)(corner())) == pytest.approx(count / 20)

    @pytest.mark.parametrize(("joint", "count"), [(True, 1), (False, 3)])
    def test_counts_a_grey_edge_in_a_colour_image_once_or_in_each_channel(self, joint: bool, count: int) -> None:
        grey = corner().expand(1, 3, 4, 5)
        assert float(L0Gradient(joint_channels=joint)(grey)) == pytest.approx(count / 60)

    def test_is_quadratic_below_smoothing(self) -> None:
        assert float(L0Gradient(smoothing=0.5)(0.1 * corner())) == pytest.approx(2 * 0.01 / 0.25 / 20)

    def test_a_count_has_no_slope(self) -> None:
        assert not gradient(L0Gradient(smoothing=0), drawn((1, 3, 4, 5))).any()

    @pytest.mark.parametrize("smoothing", [1e-30, 1e-12])
    def test_slopes_are_finite_for_any_smoothing(self, smoothing: float) -> None:
        value = drawn((1, 1, 4, 5)) * torch.tensor([1, 1e-8, 1e-20, 1e-30, 0])
        assert bool(gradient(L0Gradient(smoothing=smoothing), value).isfinite().all())

    @pytest.mark.parametrize(("length", "kept"), [(0.4999, False), (0.5001, True)])
    def test_the_threshold_is_the_root_of_twice_the_step_over_the_number_of_values(
        self, length: float, kept: bool
    ) -> None:
        coefficients = torch.zeros(2, 1, 3, 4, 5)
        coefficients[:, 0, 1, 2, 3] = length * torch.tensor([0.6, 0.8])
        found = L0Gradient(smoothing=0).prox(coefficients, 60 * 0.125)
        assert torch.equal(found, kept * coefficients)

    def test_channels_are_decided_jointly_or_separately(self) -> None:
        coefficients = torch.zeros(2, 1, 2, 1, 1)
        coefficients[0, 0, :, 0, 0] = torch.tensor([1.0, 0.1])
        found = [L0Gradient(joint_channels=joint, smoothing=0).prox(coefficients, 0.1) for joint in (True, False)]
        assert torch.equal(found[0], coefficients)
        assert found[1].flatten().tolist() == [1, 0, 0, 0]


class TestL0Intensity:
    def test_is_the_share_of_pixels_that_are_not_black(self) -> None:
        assert float(L0Intensity(smoothing=0)(corner())) == pytest.approx(1 / 20)
        assert float(L0Intensity(smoothing=0)(torch.ones(1, 1, 4, 5))) == 1

    @pytest.mark.parametrize(("joint", "count"), [(True, 20), (False, 60)])
    def test_counts_a_white_pixel_once_or_in_each_channel(self, joint: bool, count: int) -> None:
        assert float(L0Intensity(joint_channels=joint)(torch.ones(1, 3, 4, 5))) == pytest.approx(count / 60)

    def test_its_prox_blackens_dark_pixels(self) -> None:
        dark = torch.tensor([0.1, -0.1, 0.3, 1.0]).view(1, 1, 1, 2, 2)
        assert L0Intensity(smoothing=0).prox(dark, 4 * 0.02).flatten().tolist() == pytest.approx([0, 0, 0.3, 1])

    def test_its_prox_shrinks_dark_pixels_with_smoothing(self) -> None:
        dark = torch.tensor([0.1, 1.0]).view(1, 1, 1, 1, 2)
        assert L0Intensity(smoothing=0.2).prox(dark, 2 * 0.02).flatten().tolist() == pytest.approx([0.1 / 2, 1])


class TestHyperLaplacian:
    @pytest.mark.parametrize("power", [0.1, 0.5, 0.8, 1, 1.5, 2])
    def test_of_a_corner_is_its_size_to_the_power(self, power: float) -> None:
        expected = 2 * 0.3**power / 20
        assert float(HyperLaplacian(power=power, smoothing=0)(0.3 * corner())) == pytest.approx(expected)

    def test_smoothing_subtracts_a_constant_beyond_the_parabola(self) -> None:
        offset = 0.1**0.8 * 0.6
        for size in (0.1, 0.2, 1):
            expected = 2 * (size**0.8 - offset) / 20
            assert float(HyperLaplacian(smoothing=0.1)(size * corner())) == pytest.approx(expected)

    def test_smoothed_it_is_a_parabola_near_zero(self) -> None:
        values = [float(HyperLaplacian(smoothing=0.1)(size * corner())) for size in (0.025, 0.05, 0.1)]
        assert values[1] == pytest.approx(4 * values[0])
        assert values[2] == pytest.approx(16 * values[0])

    def test_the_slope_is_continuous_at_the_border_of_the_parabola(self) -> None:
        slopes = [
            gradient(HyperLaplacian(smoothing=0.5), size * corner())[0, 0, 0, 0] for size in (0.4999, 0.5, 0.5001)
        ]
        assert slopes == pytest.approx([2 * 0.8 * 0.5**-0.2 / 20] * 3, rel=1e-3)

    def test_second_differences_count_by_their_weight(self) -> None:
        """The corner is seen by one difference of each of the three kinds: twice down, twice along, once each."""
        first, both = (float(HyperLaplacian(second=second)(corner())) for second in (0, 0.25))
        assert both == pytest.approx(first * (2 + 3 * 0.25) / 2)
        assert HyperLaplacian().filters == GRADIENT
        assert HyperLaplacian(second=0.25).filters == GRADIENT + SECOND_DIFFERENCES

    def test_of_power_one_is_anisotropic_tv_and_of_power_two_the_squares(self) -> None:
        value = drawn((2, 3, 6, 7), dtype=torch.float64)
        tv = TotalVariation(isotropic=False, smoothing=0)
        assert torch.allclose(HyperLaplacian(power=1, smoothing=0)(value), tv(value))
        assert torch.allclose(HyperLaplacian(power=2, second=0.3)(value), GradientL2(second=0.3)(value))
        coefficients = apply_filters(value, GRADIENT)
        found = HyperLaplacian(power=1, smoothing=0).prox(coefficients, 9.0)
        torch.testing.assert_close(found, tv.prox(coefficients, 9.0))

    @pytest.mark.parametrize("power", [0.05, 0.5, 0.8, 1, 2])
    @pytest.mark.parametrize("smoothing", [0, 1e-38, 1e-20, 1e-3])
    def test_slopes_and_weights_are_finite_for_vanishing_differences(self, power: float, smoothing: float) -> None:
        regularizer = HyperLaplacian(power=power, smoothing=smoothing)
        value = corner().float() * torch.tensor([1e-40, 1e-30, 1e-10, 1, 0]).view(5, 1, 1, 1)
        assert bool(gradient(regularizer, value).isfinite().all())
        assert bool(regularizer.weights(apply_filters(value, GRADIENT)).isfinite().all())

    def test_reweighting_solves_a_median(self) -> None:
        """Iterated weighted means of ``sum |x - a|^p`` end at a stationary point: here the value given three times."""
        given, x = torch.tensor([0.1, 0.1, 0.1, 0.7, 0.9]), torch.tensor(0.38)
        for _ in range(50):
            weights = HyperLaplacian().weights((x - given).expand(2, 1, 1, 1, 5))[0].flatten()
            x = (weights * given).sum() / weights.sum()
        assert float(x) == pytest.approx(0.1, abs=1e-3)  # within the parabola about it

    def test_the_steps_of_second_differences_are_smaller_by_their_weight(self) -> None:
        values = torch.full((5, 1, 1, 1, 1), 0.2)
        found = HyperLaplacian(power=1, second=0.25, smoothing=0).prox(values, 0.1).flatten()
        assert found.tolist() == pytest.approx([0.1, 0.1, 0.175, 0.175, 0.175])

    @pytest.mark.parametrize("params", [{"power": 0}, {"power": 2.1}, {"second": -1}, {"smoothing": -1e-3}])
    def test_what_is_no_penalty_is_refused(self, params: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=next(iter(params))):
            HyperLaplacian(**params)


class TestTotalVariation:
    def test_its_prox_shortens_gradients_by_the_step_over_the_number_of_values(self) -> None:
        coefficients = torch.tensor([[0.3, 0.03], [0.4, 0.04]]).view(2, 1, 1, 1, 2)
        found = TotalVariation(smoothing=0).prox(coefficients, 2 * 0.1)
        assert found.flatten().tolist() == pytest.approx([0.24, 0, 0.32, 0])  # from a length of 0.5 to 0.4

    def test_its_weights_are_reciprocal_lengths(self) -> None:
        coefficients = torch.tensor([0.3, 0.4]).view(2, 1, 1, 1, 1)
        assert TotalVariation(smoothing=0).weights(coefficients).flatten().tolist() == pytest.approx([2, 2])
        weights = TotalVariation(isotropic=False, smoothing=0).weights(coefficients)
        assert weights.flatten().tolist() == pytest.approx([1 / 0.3, 1 / 0.4])

    def test_its_weights_are_finite_where_nothing_changes(self) -> None:
        zeros = torch.zeros(2, 1, 1, 1, 1)
        assert TotalVariation(smoothing=0).weights(zeros).flatten().tolist() == pytest.approx([1e8, 1e8])
        assert TotalVariation(smoothing=1e-2).weights(zeros).flatten().tolist() == pytest.approx([1e2, 1e2])


class TestGradientL2:
    def test_of_a_corner(self) -> None:
        assert float(GradientL2()(2 * corner())) == pytest.approx(2 * 4 / 20)
        assert float(GradientL2(second=0.25)(2 * corner())) == pytest.approx((2 + 0.75) * 4 / 20)

    def test_its_prox_divides(self) -> None:
        values = torch.full((5, 1, 1, 1, 2), 1.0)
        found = GradientL2(second=0.25).prox(values, 2 * 0.5)[..., 0].flatten()
        assert found.tolist() == pytest.approx([1 / 2, 1 / 2, *[1 / 1.25] * 3])
