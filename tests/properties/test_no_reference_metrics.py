"""No-reference metrics: the log gradient detects ringing and noise, the kernel agreement an outlier."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from invkit.metrics.kernel_similarity import kernel_similarity
from invkit.metrics.no_reference.kernel_agreement import KernelAgreement, pairwise_similarities
from invkit.metrics.no_reference.log_gradient import LogGradient

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
NONE = torch.empty(0)  # an argument that a metric ignores

# The error of float32 pixels and their differences is 1e-7; the logarithm divides it by the floor of 1e-3.
ROUNDED = 1e-3


def numbers(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def squares(seed: int, channels: int = 1) -> Tensor:
    """A piecewise constant image (1, C, 40, 48) in [.2, .8]."""
    values = 0.2 + 0.6 * torch.rand(1, channels, 5, 6, generator=numbers(seed), dtype=torch.float64)
    return values.repeat_interleave(8, 2).repeat_interleave(8, 3)


def kernels(seed: int, number: int, size: tuple[int, int]) -> Tensor:
    """Random kernels (N, 1, h, w)."""
    values = torch.rand(number, 1, *size, generator=numbers(seed), dtype=torch.float64) ** 3 + 1e-6
    return values / values.sum((2, 3), keepdim=True)


def log_gradient(images: Tensor, **params: float) -> Tensor:
    value: Tensor = LogGradient(**params)(images[:1], images, NONE)  # type: ignore[arg-type]
    return value


def agreement(given: Tensor, share: float = 0.5) -> Tensor:
    value: Tensor = KernelAgreement(share=share)(NONE, NONE, given)
    return value


# The mean log gradient.


@given(seed=seeds, level=st.floats(1e-3, 0.1), channels=st.sampled_from([1, 3]))
def test_more_noise_on_flat_surfaces_raises_it_more(seed: int, level: float, channels: int) -> None:
    sharp = squares(seed, channels)
    noise = torch.randn(sharp.shape, generator=numbers(seed + 1), dtype=torch.float64)
    clean, some, more = log_gradient(torch.cat([sharp, sharp + level * noise, sharp + 3 * level * noise]))
    assert clean < some < more


@given(seed=seeds, strength=st.floats(0.01, 0.2), period=st.integers(3, 9), across=st.booleans())
def test_ringing_beside_edges_raises_it(seed: int, strength: float, period: int, across: bool) -> None:
    sharp = squares(seed)
    axis = 3 if across else 2
    shifts = (0, period, 2 * period)  # echoes of every edge, of falling weight and alternating sign
    edges = sharp - sharp.roll(1, axis)
    echoes = sum((-strength) ** n * edges.roll(shift, axis) for n, shift in enumerate(shifts) if n)
    weak, ringing = sharp + 0.25 * echoes, sharp + echoes
    values = log_gradient(torch.cat([sharp, weak, ringing]), border=0)
    assert values[0] < values[1] < values[2]


@given(seed=seeds, offset=st.floats(-0.2, 0.2))
def test_brightness_changes_nothing(seed: int, offset: float) -> None:
    image = squares(seed) + 0.01 * torch.randn(40, 48, generator=numbers(seed + 1), dtype=torch.float64)
    torch.testing.assert_close(log_gradient(image + offset), log_gradient(image), rtol=0, atol=1e-9)


@given(seed=seeds, shift=st.tuples(st.integers(-3, 3), st.integers(-3, 3)))
def test_a_shift_inside_the_frame_changes_nothing(seed: int, shift: tuple[int, int]) -> None:
    image = torch.full((1, 1, 40, 48), 0.5, dtype=torch.float64)
    image[..., 13:27, 13:35] = torch.rand(14, 22, generator=numbers(seed), dtype=torch.float64)
    torch.testing.assert_close(log_gradient(image.roll(shift, (2, 3))), log_gradient(image), rtol=0, atol=1e-9)


@given(seed=seeds)
def test_negation_and_transposition_change_nothing(seed: int) -> None:
    image = squares(seed)
    torch.testing.assert_close(log_gradient(1 - image), log_gradient(image), rtol=0, atol=1e-9)
    torch.testing.assert_close(log_gradient(image.mT), log_gradient(image), rtol=0, atol=1e-9)


@given(seed=seeds, contrast=st.floats(0.1, 1))
def test_contrast_adds_its_logarithm_without_flat_regions(seed: int, contrast: float) -> None:
    slope = torch.linspace(0, 1, 48, dtype=torch.float64).expand(1, 1, 40, 48)
    image = slope + 0.1 * torch.rand(40, 48, generator=numbers(seed), dtype=torch.float64)
    changed = log_gradient(image, floor=1e-12) - log_gradient(contrast * image, floor=1e-12)
    torch.testing.assert_close(changed, torch.tensor([-math.log(contrast)], dtype=torch.float64), rtol=0, atol=1e-6)


@given(seed=seeds, border=st.integers(0, 12))
def test_the_border_is_ignored(seed: int, border: int) -> None:
    image = squares(seed)
    frame = torch.ones_like(image, dtype=torch.bool)
    rows, columns = min(border, 10), min(border, 12)
    frame[..., rows : 40 - rows, columns : 48 - columns] = False
    spoilt = torch.where(frame, torch.rand(40, 48, generator=numbers(seed), dtype=torch.float64), image)
    assert torch.equal(log_gradient(spoilt, border=border), log_gradient(image, border=border))


def test_a_flat_image_has_the_logarithm_of_the_floor() -> None:
    flat = torch.full((2, 3, 20, 20), 0.5)
    torch.testing.assert_close(log_gradient(flat, floor=0.01), torch.full((2,), math.log(0.01), dtype=torch.float64))


@given(seed=seeds)
def test_one_grey_channel_equals_three(seed: int) -> None:
    image = squares(seed)
    torch.testing.assert_close(log_gradient(image.expand(1, 3, 40, 48)), log_gradient(image), rtol=0, atol=1e-12)


@given(seed=seeds)
def test_single_precision_is_enough(seed: int) -> None:
    image = squares(seed)
    torch.testing.assert_close(log_gradient(image.float()), log_gradient(image), rtol=0, atol=ROUNDED)


# The agreement of kernels.


@given(seed=seeds, number=st.integers(1, 6), size=sizes, share=st.floats(0.01, 1))
def test_identical_kernels_agree_wholly(seed: int, number: int, size: tuple[int, int], share: float) -> None:
    same = kernels(seed, 1, size).expand(number, 1, *size)
    torch.testing.assert_close(agreement(same, share), -torch.ones(number, dtype=torch.float64))


@given(seed=seeds, number=st.integers(2, 6), size=sizes, share=st.floats(0.01, 1), data=st.data())
def test_a_shift_by_whole_pixels_changes_nothing(
    seed: int, number: int, size: tuple[int, int], share: float, data: st.DataObject
) -> None:
    small = kernels(seed, number, size)
    shifts = data.draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=number, max_size=number))
    moved = torch.zeros(number, 1, size[0] + 4, size[1] + 4, dtype=torch.float64)
    for one, kernel, (down, right) in zip(moved, small, shifts, strict=True):
        one[:, down : down + size[0], right : right + size[1]] = kernel
    torch.testing.assert_close(agreement(moved, share), agreement(small, share), rtol=0, atol=1e-9)


@given(seed=seeds, number=st.integers(1, 7), size=sizes, share=st.floats(0.01, 1), data=st.data())
def test_a_permutation_of_the_kernels_permutes_the_values(
    seed: int, number: int, size: tuple[int, int], share: float, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(number)))
    found = kernels(seed, number, size)
    torch.testing.assert_close(agreement(found[order], share), agreement(found, share)[order], rtol=0, atol=1e-9)


@given(seed=seeds, copies=st.integers(2, 6), at=st.integers(0, 6), share=st.floats(0.34, 1))
def test_an_outlier_among_copies_is_the_worst(seed: int, copies: int, at: int, share: float) -> None:
    both = kernels(seed, 2, (5, 7))
    at = at % (copies + 1)
    crowd = both[[0] * at + [1] + [0] * (copies - at)]
    values = agreement(crowd, share)
    others = values[[i for i in range(copies + 1) if i != at]]
    assert int(values.argmax()) == at
    torch.testing.assert_close(others, others[:1].expand_as(others))
    if math.ceil(share * (copies + 1)) <= copies:
        torch.testing.assert_close(others, -torch.ones_like(others))


@given(seed=seeds, number=st.integers(1, 5), size=sizes)
def test_a_share_of_one_kernel_compares_each_with_itself_only(seed: int, number: int, size: tuple[int, int]) -> None:
    found = kernels(seed, number, size)
    torch.testing.assert_close(agreement(found, 1e-6), -torch.ones(number, dtype=torch.float64))


@given(seed=seeds, number=st.integers(1, 5), size=sizes)
def test_similarities_are_those_of_the_metric(seed: int, number: int, size: tuple[int, int]) -> None:
    found = kernels(seed, number, size)
    arrays = found[:, 0].numpy()
    expected = np.array([[kernel_similarity(one, other) for other in arrays] for one in arrays])
    given_ = pairwise_similarities(found)
    assert given_.dtype == torch.float64
    np.testing.assert_allclose(given_.numpy(), expected, atol=1e-12)
    assert float(given_.min()) > 0
    assert float(given_.max()) <= 1


def test_similarities_of_points_and_of_a_point_with_a_uniform_kernel() -> None:
    points = torch.zeros(3, 1, 4, 5)
    points[0, 0, 0, 0] = points[1, 0, 3, 4] = 1
    points[2] = 1 / 20
    expected = np.full((3, 3), 1.0)
    expected[2, :2] = expected[:2, 2] = 20**-0.5
    np.testing.assert_allclose(pairwise_similarities(points).numpy(), expected, atol=1e-7)  # 1/20 in float32


@pytest.mark.parametrize("wrong", [0.0, 1.1, -0.5])
def test_an_invalid_share_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="share"):
        KernelAgreement(share=wrong)
