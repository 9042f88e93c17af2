"""The wavelet transform is orthonormal for every size; properties of the prior and the penalty built on it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.core.errors import InputError
from invkit.image_priors.pixels import Pixels
from invkit.image_priors.wavelet import WaveletImage
from invkit.numerics.resampling import resample
from invkit.numerics.wavelets import Wavelet, compose, daubechies, decompose, detail_mask, level_of, split_halves
from invkit.regularizers.wavelet_l1 import WaveletL1
from invkit.testing import check_image_prior, check_regularizer
from invkit.testing.common import drawn

some = settings(max_examples=60, deadline=None)
wavelets = st.sampled_from(["db1", "db2", "db3", "db4"])
levels = st.integers(1, 6)
sizes = st.tuples(st.integers(1, 21), st.integers(1, 21))
seeds = st.integers(0, 2**32 - 1)
steps = st.floats(-4, 1).map(lambda exponent: 10**exponent)


def image_of(size: tuple[int, int], seed: int = 0) -> Tensor:
    return drawn((2, 3, *size), seed, torch.float64)


class TestFilters:
    def test_the_first_two_are_the_published_ones(self) -> None:
        """Daubechies 1988, Table 1; db2 in closed form."""
        root = math.sqrt(3)
        second = [(1 + root) / 4, (3 + root) / 4, (3 - root) / 4, (1 - root) / 4]
        assert daubechies(1) == pytest.approx([math.sqrt(0.5)] * 2, rel=1e-12)
        assert daubechies(2) == pytest.approx([tap / math.sqrt(2) for tap in second], rel=1e-12)

    @pytest.mark.parametrize("moments", [1, 2, 3, 4])
    def test_are_orthonormal_to_their_even_shifts(self, moments: int) -> None:
        taps = torch.tensor(daubechies(moments), dtype=torch.float64)
        products = [float(taps[shift:] @ taps[: len(taps) - shift]) for shift in range(0, len(taps), 2)]
        assert products == pytest.approx([1.0] + [0.0] * (moments - 1), abs=1e-12)  # rounding of the roots

    @pytest.mark.parametrize("moments", [1, 2, 3, 4])
    def test_details_vanish_for_as_many_powers_as_vanishing_moments(self, moments: int) -> None:
        ramp = torch.linspace(-1, 1, 32, dtype=torch.float64)
        within = slice(16, 33 - moments)  # the last details reach across the border
        for power in range(moments):
            assert bool((split_halves(ramp**power, daubechies(moments))[within].abs() < 1e-12).all())
        assert bool((split_halves(ramp**moments, daubechies(moments))[within].abs() > 1e-5).all())


class TestTransform:
    @some
    @given(size=sizes, wavelet=wavelets, levels=levels, seed=seeds)
    @example(size=(21, 1), wavelet="db4", levels=6, seed=0)
    @example(size=(1, 1), wavelet="db1", levels=1, seed=0)
    def test_preserves_inner_products_and_is_inverted(
        self, size: tuple[int, int], wavelet: Wavelet, levels: int, seed: int
    ) -> None:
        one, other = image_of(size, seed), image_of(size, (seed + 1) % 2**32)
        first, second = (decompose(image, wavelet, levels) for image in (one, other))
        assert first.shape == one.shape
        assert torch.allclose((first * second).sum(), (one * other).sum(), rtol=1e-12)
        assert torch.allclose(compose(first, wavelet, levels), one, atol=1e-12)  # rounding of float64

    @some
    @given(size=sizes, wavelet=wavelets, levels=levels)
    def test_a_constant_has_no_details(self, size: tuple[int, int], wavelet: Wavelet, levels: int) -> None:
        details = decompose(torch.ones(size, dtype=torch.float64), wavelet, levels)[detail_mask(size, levels)]
        assert bool((details.abs() < 1e-12).all())

    @pytest.mark.parametrize(("size", "smooth"), [((8, 8), 1), ((16, 24), 6), ((9, 8), 5), ((1, 9), 9)])
    def test_smooth_coefficients_are_the_last_block_and_odd_last_values(
        self, size: tuple[int, int], smooth: int
    ) -> None:
        """For 9x8: one value of the third level's block, and the smooth half of the ninth row."""
        assert int((~detail_mask(size, 3)).sum()) == smooth

    def test_levels_are_counted_from_the_finest(self) -> None:
        assert level_of((5, 4), 3)[:, 0].tolist() == [2, 2, 1, 1, 1]

    def test_is_differentiable_and_its_gradient_is_the_inverse(self) -> None:
        image, other = image_of((9, 7)).requires_grad_(), image_of((9, 7), 1)
        (gradient,) = torch.autograd.grad((decompose(image, "db3", 2) * other).sum(), image)
        assert torch.allclose(gradient, compose(other, "db3", 2), atol=1e-12)

    def test_does_not_change_its_argument(self) -> None:
        image = image_of((8, 8))
        kept = image.clone()
        compose(decompose(image, "db2", 2), "db2", 2)
        assert torch.equal(image, kept)


class TestImage:
    @pytest.mark.parametrize("params", [{}, {"wavelet": "db4", "levels": 9}, {"boost": 1.0, "initial": "grey"}])
    def test_conforms(self, params: dict[str, Any]) -> None:
        check_image_prior(WaveletImage, params)

    def test_starts_like_pixels(self) -> None:
        shape, data = (2, 3, 9, 10), drawn((2, 3, 6, 7))
        assert torch.allclose(WaveletImage(shape, data)(), Pixels(shape, data)(), atol=1e-6)  # rounding of float32
        assert torch.allclose(WaveletImage(shape, initial="grey")(), torch.tensor(0.5), atol=1e-6)

    def test_resizing_resamples_the_image(self) -> None:
        image = drawn((1, 1, 9, 8))
        resized = WaveletImage((1, 1, 9, 8), image).resized((1, 1, 15, 11), 1.4)
        assert torch.allclose(resized(), resample(image, (15, 11), 1.4), atol=1e-6)  # rounding of float32

    @pytest.mark.parametrize(("target", "moves"), [(2.0, False), (0.0, True)])
    def test_an_image_outside_the_range_moves_only_back(self, target: float, moves: bool) -> None:
        prior = WaveletImage((1, 1, 8, 8), torch.ones(1, 1, 8, 8))
        with torch.no_grad():
            prior.coefficients.mul_(1.5)
        (prior() - target).square().sum().backward()
        assert prior.coefficients.grad is not None
        assert bool(prior.coefficients.grad.any()) == moves

    def test_coarse_coefficients_have_larger_units(self) -> None:
        """An equal step in all parameters changes each coarser level's sum of squares ``boost^2`` times as much."""
        prior = WaveletImage((1, 1, 16, 16), torch.full((1, 1, 16, 16), 0.5), wavelet="db1", levels=2, boost=3.0)
        with torch.no_grad():
            prior.coefficients.add_(0.01)
        moved = decompose(prior().detach() - 0.5, "db1", 2)[0, 0]
        expected = torch.full((16, 16), 0.01)
        expected[:8, :8] = 0.03
        assert torch.allclose(moved, expected, atol=1e-6)  # rounding of float32

    def test_an_error_without_data_names_the_remedy(self) -> None:
        with pytest.raises(InputError, match=r"'wavelet' starts from the data.*set initial to 'grey'"):
            WaveletImage((1, 1, 4, 4))


class TestPenalty:
    @pytest.mark.parametrize("params", [{}, {"wavelet": "db1", "levels": 1}, {"wavelet": "db4", "levels": 6}])
    def test_conforms(self, params: dict[str, Any]) -> None:
        check_regularizer(WaveletL1, params)

    def test_of_one_bright_pixel_with_haar(self) -> None:
        """One pixel of value 1 has three details of 1/2, so the mean is 3/2 over the number of pixels."""
        image = torch.zeros(1, 1, 8, 6, dtype=torch.float64)
        image[0, 0, 3, 2] = 1
        assert float(WaveletL1(wavelet="db1", levels=1)(image)) == pytest.approx(1.5 / 48)

    @some
    @given(size=sizes, wavelet=wavelets, levels=levels, seed=seeds, step=steps)
    def test_the_prox_satisfies_the_subgradient_condition(
        self, size: tuple[int, int], wavelet: Wavelet, levels: int, seed: int, step: float
    ) -> None:
        """``(v - z) / step`` is a subgradient at z: at most 1 / N on a detail, exactly that where it is not zero."""
        penalty, value = WaveletL1(wavelet=wavelet, levels=levels), image_of(size, seed)[None]
        found = penalty.prox(value, step)
        slopes = decompose(value - found, wavelet, levels) / step * value[0, 0].numel()
        there, mask = decompose(found, wavelet, levels), detail_mask(size, levels)
        tolerance = 1e-12 * value[0, 0].numel() / step  # rounding of the difference, scaled in the same way
        assert bool((slopes[..., ~mask].abs() <= tolerance).all())
        assert bool((slopes[..., mask].abs() <= 1 + tolerance).all())
        far = (there.abs() > 1e-9) & mask
        assert torch.allclose(slopes[far], there[far].sign(), atol=tolerance, rtol=0)

    @some
    @given(wavelet=wavelets, seed=seeds, scale=st.floats(0.01, 100))
    def test_is_homogeneous_and_zero_on_constants(self, wavelet: Wavelet, seed: int, scale: float) -> None:
        penalty, value = WaveletL1(wavelet=wavelet), image_of((11, 6), seed)
        assert torch.allclose(penalty(scale * value), scale * penalty(value), rtol=1e-10)
        assert float(penalty(torch.full((1, 1, 11, 6), scale, dtype=torch.float64))) < 1e-12 * scale
