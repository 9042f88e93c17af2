"""Regularizers: known values and refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from invkit.core.errors import InputError, RecipeError
from invkit.regularizers.deepinv_priors import DeepinvPrior
from invkit.regularizers.l2 import KernelL2
from invkit.regularizers.tv import TotalVariation
from invkit.testing.common import drawn


def corner(height: int = 4, width: int = 5) -> Tensor:
    """Zero except for a one in the first pixel: a gradient of length sqrt(2) there and nowhere else."""
    image = torch.zeros(1, 1, height, width, dtype=torch.float64)
    image[0, 0, 0, 0] = 1
    return image


class TestTotalVariation:
    def test_of_a_corner(self) -> None:
        assert float(TotalVariation(smoothing=0)(corner())) == pytest.approx(math.sqrt(2) / 20)
        assert float(TotalVariation(isotropic=False, smoothing=0)(corner())) == pytest.approx(2 / 20)

    def test_smoothed_of_a_corner(self) -> None:
        assert float(TotalVariation(smoothing=0.1)(corner())) == pytest.approx((math.sqrt(2.01) - 0.1) / 20)

    def test_for_a_ramp_it_is_the_slope_except_in_the_last_column(self) -> None:
        ramp = torch.arange(10.0).expand(1, 1, 6, 10) / 10
        assert float(TotalVariation(smoothing=0)(ramp)) == pytest.approx(0.1 * 9 / 10, rel=1e-6)

    @pytest.mark.parametrize("smoothing", [0, 1e-30, 1e-3])
    @pytest.mark.parametrize("difference", [1e-30, 1e-20, 1e-10])
    def test_gradients_of_vanishing_differences_do_not_overflow(self, smoothing: float, difference: float) -> None:
        value = (corner().float() * difference).requires_grad_()
        TotalVariation(smoothing=smoothing)(value).sum().backward()
        assert value.grad is not None
        assert float(value.grad.abs().max()) <= 2**0.5 / 20 + 1e-6

    def test_descent_on_it_flattens_an_image(self) -> None:
        value = drawn((1, 1, 8, 8)).requires_grad_()
        optimizer = torch.optim.SGD([value], lr=2e-2)
        for _ in range(300):
            optimizer.zero_grad()
            (64 * TotalVariation(smoothing=0.05)(value)).sum().backward()
            optimizer.step()
        assert float(value.detach().std()) < 0.02  # from 0.29

    def test_smoothing_must_not_be_negative(self) -> None:
        with pytest.raises(InputError, match="smoothing"):
            TotalVariation(smoothing=-1)


class TestKernelL2:
    def test_is_one_for_a_delta_and_the_reciprocal_of_the_size_for_a_uniform_kernel(self) -> None:
        kernels = torch.stack([corner(3, 4)[0], torch.full((1, 3, 4), 1 / 12, dtype=torch.float64)])
        assert KernelL2()(kernels).tolist() == pytest.approx([1, 1 / 12])

    def test_zeros_around_a_kernel_change_nothing(self) -> None:
        kernel = drawn((1, 1, 3, 4))
        assert torch.allclose(KernelL2()(torch.nn.functional.pad(kernel, (2, 3, 1, 0))), KernelL2()(kernel))


class TestDeepinvPrior:
    def test_is_the_mean_over_the_values_of_an_image(self) -> None:
        value = drawn((2, 3, 8, 9))
        assert torch.allclose(DeepinvPrior(prior="L1Prior")(value), value.mean((1, 2, 3)))

    def test_accepts_the_options_of_the_class(self) -> None:
        value = torch.full((1, 1, 8, 8), 0.5)
        assert float(DeepinvPrior(prior="SmoothedTVPrior", options={"eps": 0.3})(value)) == pytest.approx(0.3)

    def test_autograd_through_deepinvs_tv_is_nan_on_constants_so_its_own_gradient_is_used(self) -> None:
        value = torch.full((1, 1, 8, 8), 0.5, requires_grad=True)
        DeepinvPrior(prior="TVPrior").prior.fn(value).sum().backward()
        assert value.grad is not None
        assert bool(value.grad.isnan().any())

    def test_deepinvs_own_gradient_of_anisotropic_tv_is_wrong_so_autograd_is_used(self) -> None:
        regularizer, value = DeepinvPrior(prior="TVL1Prior"), corner().requires_grad_()
        regularizer(value).sum().backward()
        assert value.grad is not None
        assert float(value.grad[0, 0, 0, 0]) == pytest.approx(2 / 20)
        assert float(regularizer.prior.grad(value.detach())[0, 0, 0, 0]) == pytest.approx(math.sqrt(2))

    def test_an_unknown_name_suggests_the_nearest(self) -> None:
        with pytest.raises(RecipeError, match="no prior 'TvPrior'; did you mean 'TVPrior'"):
            DeepinvPrior(prior="TvPrior")

    @pytest.mark.parametrize(
        ("prior", "options", "message"),
        [
            ("RED", {"denoiser": None}, "not explicit"),
            ("PnP", {}, "denoiser"),
            ("L1Prior", {"gamma": 1}, "gamma"),
            ("Prior", {}, "no prior 'Prior'"),
        ],
    )
    def test_a_prior_without_a_value_is_refused_at_once(
        self, prior: str, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(RecipeError, match=message):
            DeepinvPrior(prior=prior, options=options)

    def test_a_missing_package_is_reported_when_the_prior_is_built(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import deepinv

        def without(*arguments: Any, **options: Any) -> None:
            raise RuntimeError("needs the package ptwt")

        monkeypatch.setattr(deepinv.optim.prior.L1Prior, "fn", without)
        with pytest.raises(RecipeError, match=r"L1Prior cannot be used.*ptwt"):
            DeepinvPrior(prior="L1Prior")
