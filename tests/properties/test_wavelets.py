"""The wavelet transform is orthonormal whatever the size; the prior and the penalty made of it do what follows."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from invkit.core.errors import InputError
from invkit.image_priors.pixels import Pixels
from invkit.image_priors.wavelet import WaveletImage
from invkit.numerics.resampling import resample
from invkit.numerics.wavelets import compose, daubechies, decompose, detail_mask, level_of, split_halves
from invkit.regularizers.wavelet_l1 import WaveletL1
from invkit.testing import check_image_prior, check_regularizer
from invkit.testing.common import drawn

some = settings(max_examples=60, deadline=None)
wavelets = st.sampled_from(["db1", "db2", "db3", "db4"])
levels = st.integers(1, 6)
sizes = st.tuples(st.integers(1, 21), st.integers(1, 21))
seeds = st.integers(0, 2**32 - 1)
steps = st.floats(-4, 1).map(lambda exponent: 10**exponent)


def image_of(size, seed=0):
    return drawn((2, 3, *size), seed, torch.float64)


class TestFilters:
    def test_the_first_two_are_the_published_ones(self):
        """Daubechies 1988, Table 1; db2 in closed form."""
        root = math.sqrt(3)
        second = [(1 + root) / 4, (3 + root) / 4, (3 - root) / 4, (1 - root) / 4]
        assert daubechies(1) == pytest.approx([math.sqrt(0.5)] * 2, rel=1e-12)
        assert daubechies(2) == pytest.approx([tap / math.sqrt(2) for tap in second], rel=1e-12)

    @pytest.mark.parametrize("moments", [1, 2, 3, 4])
    def test_are_orthonormal_to_their_even_shifts(self, moments):
        taps = torch.tensor(daubechies(moments), dtype=torch.float64)
        products = [float(taps[shift:] @ taps[: len(taps) - shift]) for shift in range(0, len(taps), 2)]
        assert products == pytest.approx([1.0] + [0.0] * (moments - 1), abs=1e-12)  # the roots' rounding

    @pytest.mark.parametrize("moments", [1, 2, 3, 4])
    def test_give_no_details_of_as_many_powers_as_their_name_says(self, moments):
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
    def test_keeps_scalar_products_and_is_undone(self, size, wavelet, levels, seed):
        one, other = image_of(size, seed), image_of(size, (seed + 1) % 2**32)
        first, second = (decompose(image, wavelet, levels) for image in (one, other))
        assert first.shape == one.shape
        assert torch.allclose((first * second).sum(), (one * other).sum(), rtol=1e-12)
        assert torch.allclose(compose(first, wavelet, levels), one, atol=1e-12)  # rounding of float64

    @some
    @given(size=sizes, wavelet=wavelets, levels=levels)
    def test_a_constant_has_no_details(self, size, wavelet, levels):
        details = decompose(torch.ones(size, dtype=torch.float64), wavelet, levels)[detail_mask(size, levels)]
        assert bool((details.abs() < 1e-12).all())

    @pytest.mark.parametrize(("size", "smooth"), [((8, 8), 1), ((16, 24), 6), ((9, 8), 5), ((1, 9), 9)])
    def test_what_is_smooth_is_the_last_block_and_what_odd_lengths_left(self, size, smooth):
        """Of 9x8: one value of the block of the third level, and the smooth half of the ninth row."""
        assert int((~detail_mask(size, 3)).sum()) == smooth

    def test_levels_are_counted_from_the_finest(self):
        assert level_of((5, 4), 3)[:, 0].tolist() == [2, 2, 1, 1, 1]

    def test_is_differentiable_and_its_gradient_is_the_inverse(self):
        image, other = image_of((9, 7)).requires_grad_(), image_of((9, 7), 1)
        (gradient,) = torch.autograd.grad((decompose(image, "db3", 2) * other).sum(), image)
        assert torch.allclose(gradient, compose(other, "db3", 2), atol=1e-12)

    def test_leaves_what_it_is_given(self):
        image = image_of((8, 8))
        kept = image.clone()
        compose(decompose(image, "db2", 2), "db2", 2)
        assert torch.equal(image, kept)


class TestImage:
    @pytest.mark.parametrize("params", [{}, {"wavelet": "db4", "levels": 9}, {"boost": 1.0, "initial": "grey"}])
    def test_conforms(self, params):
        check_image_prior(WaveletImage, params)

    def test_starts_as_pixels_do(self):
        shape, data = (2, 3, 9, 10), drawn((2, 3, 6, 7))
        assert torch.allclose(WaveletImage(shape, data)(), Pixels(shape, data)(), atol=1e-6)  # rounding of float32
        assert torch.allclose(WaveletImage(shape, initial="grey")(), torch.tensor(0.5), atol=1e-6)

    def test_goes_on_with_the_image_resampled(self):
        image = drawn((1, 1, 9, 8))
        resized = WaveletImage((1, 1, 9, 8), image).resized((1, 1, 15, 11), 1.4)
        assert torch.allclose(resized(), resample(image, (15, 11), 1.4), atol=1e-6)  # rounding of float32

    @pytest.mark.parametrize(("target", "moves"), [(2.0, False), (0.0, True)])
    def test_an_image_outside_the_box_is_moved_only_back(self, target, moves):
        prior = WaveletImage((1, 1, 8, 8), torch.ones(1, 1, 8, 8))
        with torch.no_grad():
            prior.coefficients.mul_(1.5)
        (prior() - target).square().sum().backward()
        assert bool(prior.coefficients.grad.any()) == moves

    def test_counts_coarse_coefficients_in_larger_units(self):
        """A step of the same size in all moves the sum of squares of each coarser level ``boost^2`` times as far."""
        prior = WaveletImage((1, 1, 16, 16), torch.full((1, 1, 16, 16), 0.5), wavelet="db1", levels=2, boost=3.0)
        with torch.no_grad():
            prior.coefficients.add_(0.01)
        moved = decompose(prior().detach() - 0.5, "db1", 2)[0, 0]
        expected = torch.full((16, 16), 0.01)
        expected[:8, :8] = 0.03
        assert torch.allclose(moved, expected, atol=1e-6)  # rounding of float32

    def test_without_data_says_what_to_set(self):
        with pytest.raises(InputError, match=r"'wavelet' starts from the data.*set initial to 'grey'"):
            WaveletImage((1, 1, 4, 4))


class TestPenalty:
    @pytest.mark.parametrize("params", [{}, {"wavelet": "db1", "levels": 1}, {"wavelet": "db4", "levels": 6}])
    def test_conforms(self, params):
        check_regularizer(WaveletL1, params)

    def test_of_one_bright_pixel_with_haar(self):
        """One pixel of value 1 has three details of 1/2, so a mean of 3/2 over the pixels."""
        image = torch.zeros(1, 1, 8, 6, dtype=torch.float64)
        image[0, 0, 3, 2] = 1
        assert float(WaveletL1(wavelet="db1", levels=1)(image)) == pytest.approx(1.5 / 48)

    @some
    @given(size=sizes, wavelet=wavelets, levels=levels, seed=seeds, step=steps)
    def test_the_prox_is_where_the_subgradient_holds_the_slope(self, size, wavelet, levels, seed, step):
        """``(v - z) / step`` is a subgradient at z: at most 1 / N on a detail, and just that where it is not zero."""
        penalty, value = WaveletL1(wavelet=wavelet, levels=levels), image_of(size, seed)[None]
        found = penalty.prox(value, step)
        slopes = decompose(value - found, wavelet, levels) / step * value[0, 0].numel()
        there, mask = decompose(found, wavelet, levels), detail_mask(size, levels)
        tolerance = 1e-12 * value[0, 0].numel() / step  # rounding of the difference, scaled as it is
        assert bool((slopes[..., ~mask].abs() <= tolerance).all())
        assert bool((slopes[..., mask].abs() <= 1 + tolerance).all())
        far = (there.abs() > 1e-9) & mask
        assert torch.allclose(slopes[far], there[far].sign(), atol=tolerance, rtol=0)

    @some
    @given(wavelet=wavelets, seed=seeds, scale=st.floats(0.01, 100))
    def test_is_homogeneous_and_zero_on_constants(self, wavelet, seed, scale):
        penalty, value = WaveletL1(wavelet=wavelet), image_of((11, 6), seed)
        assert torch.allclose(penalty(scale * value), scale * penalty(value), rtol=1e-10)
        assert float(penalty(torch.full((1, 1, 11, 6), scale, dtype=torch.float64))) < 1e-12 * scale
