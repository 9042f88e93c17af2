"""Changing scale: what stays where it is, what is kept, and that nothing aliases or vanishes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from invkit.core.errors import InputError
from invkit.numerics.framing import centroid
from invkit.numerics.geometry import centre
from invkit.numerics.resampling import downscale, resample, resample_kernel
from invkit.operators.convolution import Convolution
from invkit.testing import assert_kernel
from invkit.testing.common import drawn

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
scales = st.floats(0.15, 4)
seeds = st.integers(0, 2**31)
quick = settings(max_examples=60, deadline=None)


def random_kernel(size, seed=0, dtype=torch.float64):
    kernel = drawn((2, 1, *size), seed, dtype) + 1e-3
    return kernel / kernel.sum((1, 2, 3), keepdim=True)


def spike(size, offset=(0, 0)):
    kernel = torch.zeros(1, 1, *size, dtype=torch.float64)
    kernel[..., centre(size)[0] + offset[0], centre(size)[1] + offset[1]] = 1
    return kernel


@quick
@given(sizes, seeds, st.sampled_from(["middle", "centre"]))
def test_at_scale_one_an_image_stays_as_it_is(size, seed, about):
    image = drawn((2, 3, *size), seed)
    assert torch.equal(resample(image, size, 1.0, about), image)


@quick
@given(sizes, sizes, scales, seeds, st.sampled_from([torch.float32, torch.float64]))
def test_no_value_leaves_the_range_of_the_old_ones(size, new, scale, seed, dtype):
    image = drawn((2, 1, *size), seed, dtype)
    resampled = resample(image, new, scale)
    assert resampled.shape == (2, 1, *new)
    assert resampled.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14  # weights that sum to one only within rounding
    assert resampled.min() >= image.min() - tolerance
    assert resampled.max() <= image.max() + tolerance


@quick
@given(sizes, sizes, scales, seeds)
def test_about_the_middle_there_is_no_up_or_left(size, new, scale, seed):
    image = drawn((1, 2, *size), seed, torch.float64)
    turned = resample(image.flip(-2, -1), new, scale).flip(-2, -1)
    # a tap just at the triangle's foot may or may not be counted, with a weight that is rounding
    torch.testing.assert_close(turned, resample(image, new, scale), rtol=0, atol=1e-12)


@quick
@given(sizes, scales)
def test_a_ramp_keeps_its_slope_and_its_middle(size, scale):
    rows = torch.arange(float(size[0]), dtype=torch.float64)[:, None] + torch.zeros(size, dtype=torch.float64)
    larger = (max(1, round(size[0] * scale)), 3)
    resampled = resample(rows[None, None], larger, scale)[0, 0, :, 1]
    position = (size[0] - 1) / 2 + (torch.arange(larger[0], dtype=torch.float64) - (larger[0] - 1) / 2) / scale
    inside = (position >= max(1, 1 / scale)) & (position <= size[0] - 1 - max(1, 1 / scale))
    # below one, the triangle's samples are symmetric about a position only where that is a whole or half pixel
    tolerance = 1e-10 if scale >= 1 else 0.1
    torch.testing.assert_close(resampled[inside], position[inside], rtol=0, atol=tolerance)


@pytest.mark.parametrize(("size", "scale"), [((8, 12), 0.5), ((9, 15), 1 / 3), ((6, 10), 1.5), ((5, 7), 2.0)])
def test_where_the_frame_scales_exactly_it_is_what_torch_calls_antialiased_bilinear(size, scale):
    image = drawn((2, 3, *size), 1, torch.float64)
    new = (round(size[0] * scale), round(size[1] * scale))
    expected = F.interpolate(image, size=new, mode="bilinear", antialias=True)
    inner = (
        (slice(None), slice(None), slice(2, -2), slice(2, -2)) if scale > 1 else (Ellipsis, slice(1, -1), slice(1, -1))
    )
    # borders differ: torch leaves out what lies beyond, here edge pixels stand for it
    torch.testing.assert_close(resample(image, new, scale)[inner], expected[inner], rtol=0, atol=1e-12)


def test_beyond_the_frame_are_its_edge_pixels():
    image = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).view(1, 1, 2, 2)
    wide = resample(image, (2, 6), 1.0)
    assert torch.allclose(wide[0, 0, 0], torch.tensor([0.1, 0.1, 0.1, 0.2, 0.2, 0.2]))


def test_no_gradient_passes():
    image = torch.rand(1, 1, 4, 4, requires_grad=True)
    assert not resample(image, (6, 6), 1.5).requires_grad


def test_data_are_shrunk_to_the_rounded_size_without_aliasing():
    board = (torch.arange(40)[:, None] + torch.arange(30)).remainder(2).double()[None, None]
    small = downscale(board, 0.5)
    assert small.shape == (1, 1, 20, 15)
    torch.testing.assert_close(small, torch.full_like(small, 0.5), rtol=0, atol=0.13)  # at borders a sixteenth or two
    inner = small[..., 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), rtol=0, atol=1e-12)
    assert downscale(board, 0.01).shape == (1, 1, 1, 1)
    assert torch.equal(downscale(board, 1.0), board)


@quick
@given(sizes, sizes, scales, seeds, st.sampled_from([torch.float32, torch.float64]))
def test_a_kernel_stays_a_kernel(size, new, scale, seed, dtype):
    kernel = resample_kernel(random_kernel(size, seed, dtype), new, scale)
    assert kernel.dtype == dtype
    assert_kernel(kernel, (2, 1, *new))


@quick
@given(sizes, seeds)
def test_at_scale_one_a_kernel_stays_as_it_is(size, seed):
    kernel = random_kernel(size, seed)
    torch.testing.assert_close(resample_kernel(kernel, size, 1.0), kernel, rtol=1e-13, atol=0)


@quick
@given(sizes, sizes, scales)
def test_a_delta_at_the_centre_stays_there(size, new, scale):
    kernel = resample_kernel(spike(size), new, scale)
    if scale <= 1:
        assert torch.equal(kernel, spike(new))
    assert kernel[..., centre(new)[0], centre(new)[1]].item() == kernel.max()


@quick
@given(sizes, st.floats(0.15, 1), seeds)
def test_shrinking_loses_no_mass_and_scales_the_centroid(size, scale, seed):
    kernel = random_kernel(size, seed)
    small = resample_kernel(kernel, (size[0] + 3, size[1] + 3), scale)  # a frame that all of it falls into
    torch.testing.assert_close(centroid(small), scale * centroid(kernel), rtol=0, atol=1e-12)


@pytest.mark.parametrize("offset", [(0, 0), (3, -2), (-4, 4), (1, 1)])
@pytest.mark.parametrize("scale", [0.15, 0.5, 0.7])
def test_no_thin_line_falls_between_the_pixels(scale, offset):
    kernel = (spike((13, 13), offset) + 3 * spike((13, 13))) / 4
    small = resample_kernel(kernel, (13, 13), scale)
    away = small.clone()
    away[..., 6, 6] = 0
    near = scale * torch.tensor(offset, dtype=torch.float64).abs()
    spilled = torch.ones(()) if not any(offset) else (1 - near).clamp(min=0).prod()
    # what the pixel off the centre leaves in the centre pixel is its two distances' shares, and the rest lies away
    assert away.sum().item() == pytest.approx(0.25 * (1 - float(spilled)), abs=1e-12)


def test_enlarging_by_two_and_shrinking_back_keeps_a_smooth_kernel():
    offsets = torch.arange(15, dtype=torch.float64) - 7
    bell = torch.exp(-(offsets[:, None].square() + offsets.square()) / 18)[None, None]
    bell = bell / bell.sum()
    back = resample_kernel(resample_kernel(bell, (31, 31), 2.0), (15, 15), 0.5)
    # two triangles widen a variance of 9 by 1/6 + 1/6 or so, which moves some per cent of the mass
    assert (back - bell).abs().sum().item() < 0.05


@quick
@given(seeds, st.sampled_from([0.5, 0.6, 2**-0.5, 0.8]))
def test_shrunk_data_are_the_blur_of_the_shrunk_image_by_the_shrunk_kernel(seed, scale):
    """What a pyramid rests on."""
    smooth = F.interpolate(drawn((1, 1, 6, 6), seed, torch.float64), size=(69, 69), mode="bicubic").clamp(0, 1)
    kernel = random_kernel((9, 9), seed)[:1]
    data = downscale(Convolution()(smooth, kernel), scale)
    small = resample_kernel(kernel, (11, 11), scale)
    side = data.shape[-1] + 10
    predicted = Convolution()(resample(smooth, (side, side), scale), small)
    inner = (Ellipsis, slice(4, -4), slice(4, -4))
    # the splitting of mass and the triangle each blur by about a pixel, on an image whose waves are twenty long
    assert (predicted - data)[inner].abs().max() < 0.03
    assert (predicted - data)[inner].square().mean().sqrt() < 0.2 * data[inner].std()


def test_a_kernel_of_which_nothing_is_left_becomes_a_delta():
    corner = spike((9, 9), (4, 4))
    assert torch.equal(resample_kernel(corner, (3, 3), 1.0), spike((3, 3)))


@pytest.mark.parametrize("resampled", [resample, resample_kernel])
@pytest.mark.parametrize(
    ("size", "scale", "said"),
    [((0, 3), 1.0, "0x3"), ((3, 3), 0.0, "scale"), ((3, 3), float("inf"), "scale"), ((3, 3), float("nan"), "scale")],
)
def test_sizes_and_scales_that_mean_nothing_are_refused(resampled, size, scale, said):
    with pytest.raises(InputError, match=said):
        resampled(torch.ones(1, 1, 3, 3), size, scale)


@pytest.mark.parametrize("scale", [0.0, 1.2, float("nan")])
def test_data_are_not_shrunk_to_larger_ones(scale):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        downscale(torch.ones(1, 1, 3, 3), scale)
