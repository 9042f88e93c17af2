"""Resampling: fixed points, preserved quantities, no aliasing and no lost mass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.core.errors import InputError
from invkit.numerics.framing import centroid
from invkit.numerics.geometry import centre
from invkit.numerics.resampling import downscale, resample, resample_kernel, resample_noise
from invkit.operators.convolution import Convolution
from invkit.testing import assert_kernel
from invkit.testing.common import drawn

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
scales = st.floats(0.15, 4)
seeds = st.integers(0, 2**31)
quick = settings(max_examples=60, deadline=None)


def random_kernel(size: tuple[int, int], seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    kernel = drawn((2, 1, *size), seed, dtype) + 1e-3
    return kernel / kernel.sum((1, 2, 3), keepdim=True)


def spike(size: tuple[int, int], offset: tuple[int, int] = (0, 0)) -> Tensor:
    kernel = torch.zeros(1, 1, *size, dtype=torch.float64)
    kernel[..., centre(size)[0] + offset[0], centre(size)[1] + offset[1]] = 1
    return kernel


@quick
@given(sizes, seeds, st.sampled_from(["middle", "centre"]))
def test_scale_one_does_not_change_an_image(size: tuple[int, int], seed: int, about: Any) -> None:
    image = drawn((2, 3, *size), seed)
    assert torch.equal(resample(image, size, 1.0, about), image)


@quick
@given(sizes, sizes, scales, seeds, st.sampled_from([torch.float32, torch.float64]))
def test_no_value_leaves_the_range_of_the_old_ones(
    size: tuple[int, int], new: tuple[int, int], scale: float, seed: int, dtype: torch.dtype
) -> None:
    image = drawn((2, 1, *size), seed, dtype)
    resampled = resample(image, new, scale)
    assert resampled.shape == (2, 1, *new)
    assert resampled.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14  # rounding of the sum of the weights
    assert resampled.min() >= image.min() - tolerance
    assert resampled.max() <= image.max() + tolerance


@quick
@given(sizes, sizes, scales, seeds)
def test_resampling_about_the_middle_commutes_with_flips(
    size: tuple[int, int], new: tuple[int, int], scale: float, seed: int
) -> None:
    image = drawn((1, 2, *size), seed, torch.float64)
    turned = resample(image.flip(-2, -1), new, scale).flip(-2, -1)
    # a tap at the end of the triangle may or may not count, with a weight of rounding size
    torch.testing.assert_close(turned, resample(image, new, scale), rtol=0, atol=1e-12)


@quick
@given(sizes, scales)
def test_a_ramp_keeps_its_slope_and_middle(size: tuple[int, int], scale: float) -> None:
    rows = torch.arange(float(size[0]), dtype=torch.float64)[:, None] + torch.zeros(size, dtype=torch.float64)
    larger = (max(1, round(size[0] * scale)), 3)
    resampled = resample(rows[None, None], larger, scale)[0, 0, :, 1]
    position = (size[0] - 1) / 2 + (torch.arange(larger[0], dtype=torch.float64) - (larger[0] - 1) / 2) / scale
    inside = (position >= max(1, 1 / scale)) & (position <= size[0] - 1 - max(1, 1 / scale))
    # below one, the samples of the triangle are symmetric only about whole or half pixels
    tolerance = 1e-10 if scale >= 1 else 0.1
    torch.testing.assert_close(resampled[inside], position[inside], rtol=0, atol=tolerance)


@pytest.mark.parametrize(("size", "scale"), [((8, 12), 0.5), ((9, 15), 1 / 3), ((6, 10), 1.5), ((5, 7), 2.0)])
def test_with_an_exact_ratio_of_sizes_it_equals_torch_antialiased_bilinear(size: tuple[int, int], scale: float) -> None:
    image = drawn((2, 3, *size), 1, torch.float64)
    new = (round(size[0] * scale), round(size[1] * scale))
    expected = F.interpolate(image, size=new, mode="bilinear", antialias=True)
    inner = (
        (slice(None), slice(None), slice(2, -2), slice(2, -2)) if scale > 1 else (Ellipsis, slice(1, -1), slice(1, -1))
    )
    # borders differ: torch ignores values beyond them, here they are edge pixels
    torch.testing.assert_close(resample(image, new, scale)[inner], expected[inner], rtol=0, atol=1e-12)


def test_edge_pixels_extend_the_frame() -> None:
    image = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).view(1, 1, 2, 2)
    wide = resample(image, (2, 6), 1.0)
    assert torch.allclose(wide[0, 0, 0], torch.tensor([0.1, 0.1, 0.1, 0.2, 0.2, 0.2]))


def test_no_gradient_passes() -> None:
    image = torch.rand(1, 1, 4, 4, requires_grad=True)
    assert not resample(image, (6, 6), 1.5).requires_grad


def test_data_are_downscaled_to_the_rounded_size_without_aliasing() -> None:
    board = (torch.arange(40)[:, None] + torch.arange(30)).remainder(2).double()[None, None]
    small = downscale(board, 0.5)
    assert small.shape == (1, 1, 20, 15)
    torch.testing.assert_close(small, torch.full_like(small, 0.5), rtol=0, atol=0.13)  # a sixteenth or two at borders
    inner = small[..., 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), rtol=0, atol=1e-12)
    assert downscale(board, 0.01).shape == (1, 1, 1, 1)
    assert torch.equal(downscale(board, 1.0), board)


@quick
@given(sizes, sizes, scales, seeds, st.sampled_from([torch.float32, torch.float64]))
def test_a_kernel_stays_a_kernel(
    size: tuple[int, int], new: tuple[int, int], scale: float, seed: int, dtype: torch.dtype
) -> None:
    kernel = resample_kernel(random_kernel(size, seed, dtype), new, scale)
    assert kernel.dtype == dtype
    assert_kernel(kernel, (2, 1, *new))


@quick
@given(sizes, seeds)
def test_scale_one_does_not_change_a_kernel(size: tuple[int, int], seed: int) -> None:
    kernel = random_kernel(size, seed)
    torch.testing.assert_close(resample_kernel(kernel, size, 1.0), kernel, rtol=1e-13, atol=0)


@quick
@given(sizes, sizes, scales)
def test_a_delta_at_the_centre_stays_there(size: tuple[int, int], new: tuple[int, int], scale: float) -> None:
    kernel = resample_kernel(spike(size), new, scale)
    if scale <= 1:
        assert torch.equal(kernel, spike(new))
    assert kernel[..., centre(new)[0], centre(new)[1]].item() == kernel.max()


@quick
@given(sizes, st.floats(0.15, 1), seeds)
def test_shrinking_preserves_mass_and_scales_the_centroid(size: tuple[int, int], scale: float, seed: int) -> None:
    kernel = random_kernel(size, seed)
    small = resample_kernel(kernel, (size[0] + 3, size[1] + 3), scale)  # a frame that contains all of it
    torch.testing.assert_close(centroid(small), scale * centroid(kernel), rtol=0, atol=1e-12)


@pytest.mark.parametrize("offset", [(0, 0), (3, -2), (-4, 4), (1, 1)])
@pytest.mark.parametrize("scale", [0.15, 0.5, 0.7])
def test_a_thin_line_is_not_lost_between_pixels(scale: float, offset: tuple[int, int]) -> None:
    kernel = (spike((13, 13), offset) + 3 * spike((13, 13))) / 4
    small = resample_kernel(kernel, (13, 13), scale)
    away = small.clone()
    away[..., 6, 6] = 0
    near = scale * torch.tensor(offset, dtype=torch.float64).abs()
    spilled = torch.ones(()) if not any(offset) else (1 - near).clamp(min=0).prod()
    # the pixel off the centre gives the centre pixel the product of its two shares, and the rest to other pixels
    assert away.sum().item() == pytest.approx(0.25 * (1 - float(spilled)), abs=1e-12)


def test_enlarging_and_shrinking_back_preserves_a_smooth_kernel() -> None:
    offsets = torch.arange(15, dtype=torch.float64) - 7
    bell = torch.exp(-(offsets[:, None].square() + offsets.square()) / 18)[None, None]
    bell = bell / bell.sum()
    back = resample_kernel(resample_kernel(bell, (31, 31), 2.0), (15, 15), 0.5)
    # two triangles increase a variance of 9 by about 1/6 + 1/6, which moves some per cent of the mass
    assert (back - bell).abs().sum().item() < 0.05


@quick
@given(seeds, st.sampled_from([0.5, 0.6, 2**-0.5, 0.8]))
def test_downscaled_data_are_the_blur_of_the_downscaled_image_by_the_downscaled_kernel(seed: int, scale: float) -> None:
    """A pyramid relies on this."""
    smooth = F.interpolate(drawn((1, 1, 6, 6), seed, torch.float64), size=(69, 69), mode="bicubic").clamp(0, 1)
    kernel = random_kernel((9, 9), seed)[:1]
    data = downscale(Convolution()(smooth, kernel), scale)
    small = resample_kernel(kernel, (11, 11), scale)
    side = data.shape[-1] + 10
    predicted = Convolution()(resample(smooth, (side, side), scale), small)
    inner = (Ellipsis, slice(4, -4), slice(4, -4))
    # the sharing of mass and the triangle each blur by about a pixel; the waves of the image are twenty pixels long
    assert (predicted - data)[inner].abs().max() < 0.03
    assert (predicted - data)[inner].square().mean().sqrt() < 0.2 * data[inner].std()


def test_a_kernel_that_is_zero_within_the_size_becomes_a_delta() -> None:
    corner = spike((9, 9), (4, 4))
    assert torch.equal(resample_kernel(corner, (3, 3), 1.0), spike((3, 3)))


@pytest.mark.parametrize("resampled", [resample, resample_kernel])
@pytest.mark.parametrize(
    ("size", "scale", "message"),
    [((0, 3), 1.0, "0x3"), ((3, 3), 0.0, "scale"), ((3, 3), float("inf"), "scale"), ((3, 3), float("nan"), "scale")],
)
def test_invalid_sizes_and_scales_are_refused(
    resampled: Callable[..., Tensor], size: tuple[int, int], scale: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        resampled(torch.ones(1, 1, 3, 3), size, scale)


@pytest.mark.parametrize("scale", [0.0, 1.2, float("nan")])
def test_downscaling_by_more_than_one_is_refused(scale: float) -> None:
    with pytest.raises(InputError, match="above 0 and at most 1"):
        downscale(torch.ones(1, 1, 3, 3), scale)


@quick
@given(st.integers(20, 40), st.floats(0.2, 3), seeds)
def test_noise_keeps_its_mean_and_its_spread_on_a_coarser_grid(side: int, scale: float, seed: int) -> None:
    noise = drawn((1, 2, side, side), seed, torch.float64)
    size = (max(4, round(side * scale)),) * 2
    found, plain = resample_noise(noise, size, scale), resample(noise, size, scale)
    assert torch.allclose(found.mean(), plain.mean())
    expected = noise.std(unbiased=False) if scale < 1 else plain.std(unbiased=False)
    assert torch.allclose(found.std(unbiased=False), expected)


def test_constant_noise_stays_constant() -> None:
    assert torch.equal(resample_noise(torch.full((1, 1, 8, 8), 0.5), (4, 4), 0.5), torch.full((1, 1, 4, 4), 0.5))
