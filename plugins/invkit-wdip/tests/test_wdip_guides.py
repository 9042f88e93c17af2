"""The auxiliary kernel and its deconvolution, against known values and brute force."""

from __future__ import annotations

import pytest
import torch
from invkit_wdip.guides import best_shifts, gaussian, normalised, sharpened, shifted_image, shifted_kernel

from invkit.numerics.geometry import Size
from invkit.operators.convolution import Convolution

SHIFTS = [(0, 0), (1, -2), (-2, 1)]
NONE = torch.zeros(1, 2, dtype=torch.long)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_gaussian_has_the_width_of_the_released_code() -> None:
    """A third of 16 pixels, which is a standard deviation of 3 on a grid that 17 samples span from -4.5 to 4.5."""
    kernel = gaussian((2, 1, 17, 17), 1 / 3, torch.zeros((), dtype=torch.float64))
    position = torch.linspace(-4.5, 4.5, 17, dtype=torch.float64)
    profile = torch.exp(-position.square() / 18)
    expected = profile[:, None] * profile / profile.sum() ** 2
    torch.testing.assert_close(kernel, expected.expand(2, 1, 17, 17))


def test_a_kernel_of_one_pixel_has_a_gaussian_too() -> None:
    assert gaussian((1, 1, 1, 1), 1 / 3, torch.zeros(())).item() == 1


def test_free_numbers_count_by_their_magnitudes() -> None:
    kernel = normalised(torch.tensor([[[[1.0, -3.0]]]]))
    torch.testing.assert_close(kernel, torch.tensor([[[[0.25, 0.75]]]]))


@pytest.mark.parametrize("size", [(5, 5), (4, 7), (1, 1)])
def test_without_blur_the_filter_only_damps(size: Size) -> None:
    """|K| = 1 at every frequency: the data over 1 + noise_to_signal."""
    data, point = drawn(2, 3, 20, 17), torch.zeros(2, 1, *size, dtype=torch.float64)
    point[..., size[0] // 2, size[1] // 2] = 1
    sharp = shifted_image(sharpened(data, point, 0.025), NONE.expand(2, 2), point, data)
    torch.testing.assert_close(sharp, data / 1.025)


def test_the_filter_undoes_a_blur() -> None:
    """With little noise assumed the middle is the image again; near the border it cannot be."""
    image, kernel = drawn(1, 1, 60, 60), normalised(drawn(1, 1, 5, 5, seed=1) ** 4)
    image = torch.nn.functional.avg_pool2d(image, 5, 1)  # smooth, so that what a filter damps is little
    data = Convolution()(image, kernel)
    sharp = shifted_image(sharpened(data, kernel, 1e-4), NONE, kernel, data)
    seen = shifted_image(image, NONE, kernel, data)
    middle = (..., slice(15, -15), slice(15, -15))
    before, after = ((estimate - seen)[middle].square().mean() for estimate in (data, sharp))
    assert after < before / 10


@pytest.mark.parametrize("size", [(7, 7), (6, 9)])
def test_a_shifted_kernel_is_found_again(size: Size) -> None:
    inner = drawn(len(SHIFTS), 1, size[0] - 4, size[1] - 4, seed=2)
    auxiliary = normalised(torch.nn.functional.pad(inner, (2, 2, 2, 2)))
    kernel = shifted_kernel(auxiliary, torch.tensor(SHIFTS))
    assert torch.equal(best_shifts(auxiliary, kernel), torch.tensor(SHIFTS))
    torch.testing.assert_close(kernel[1], auxiliary[1].roll((1, -2), (-2, -1)))


def test_the_best_shift_has_the_least_distance_of_all() -> None:
    """Every window of the padded kernel is tried, scaled to sum one."""
    auxiliary, kernel = normalised(drawn(1, 1, 5, 4, seed=3) ** 6), normalised(drawn(1, 1, 5, 4, seed=4) ** 6)
    shifts = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    distances = {}
    for shift in shifts:
        difference = shifted_kernel(auxiliary, torch.tensor([shift])) - kernel
        distances[shift] = float(difference.square().sum())
    assert tuple(best_shifts(auxiliary, kernel)[0].tolist()) == min(distances, key=distances.__getitem__)


def test_a_shift_that_leaves_no_mass_in_the_frame_is_not_taken() -> None:
    """No shift brings the two kernels together, and an empty frame would have the least distance."""
    auxiliary, kernel = torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 9, 9)
    auxiliary[..., 0, 0], kernel[..., 8, 8] = 1, 1
    assert torch.isfinite(shifted_kernel(auxiliary, best_shifts(auxiliary, kernel))).all()


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("size", [(5, 5), (6, 5)])
def test_image_and_kernel_shifted_in_opposite_directions_blur_to_the_same(shift: tuple[int, int], size: Size) -> None:
    scene = torch.nn.functional.pad(drawn(1, 1, 12, 12, seed=5), (8, 8, 8, 8))  # dark border: nothing is rolled in
    inner = drawn(1, 1, size[0] - 4, size[1] - 4, seed=6)
    auxiliary = normalised(torch.nn.functional.pad(inner, (2, 2, 2, 2)))
    kernel, blur = shifted_kernel(auxiliary, torch.tensor([shift])), Convolution(method="direct")
    data = blur(scene, auxiliary)
    seen = shifted_image(scene, torch.tensor([shift]), kernel, data)
    expected = shifted_image(scene.roll((-shift[0], -shift[1]), (-2, -1)), NONE, kernel, data)
    torch.testing.assert_close(seen, expected)
    torch.testing.assert_close(blur(scene.roll((-shift[0], -shift[1]), (-2, -1)), kernel), data)
