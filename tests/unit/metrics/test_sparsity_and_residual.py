"""The no-reference metrics that the selection of fast and best learned to weigh."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from invkit.metrics.no_reference.lost_greys import LostGreys
from invkit.metrics.no_reference.normalized_sparsity import NormalizedSparsity
from invkit.metrics.no_reference.residual import Residual
from invkit.numerics.noise import ROUNDING_SIGMA

NONE = torch.zeros(1)


def scene(seed: int = 0, side: int = 48) -> Tensor:
    """Rectangles of random greys, (1, 1, side, side)."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.full((1, 1, side, side), 0.5)
    for _ in range(12):
        top, left = (int(torch.randint(0, side - 12, (), generator=generator)) for _ in range(2))
        image[..., top : top + 10, left : left + 12] = float(torch.rand((), generator=generator))
    return image


def blurred(image: Tensor, side: int) -> Tensor:
    """The image after a mean over squares, of the same size."""
    half = side // 2
    padded = F.pad(image, (half, half, half, half), mode="replicate")
    return F.avg_pool2d(padded, side, stride=1)


def test_blur_and_noise_make_gradients_less_sparse() -> None:
    sharp = scene()
    noise = 0.05 * torch.randn(sharp.shape, generator=torch.Generator().manual_seed(1))
    images = torch.cat([sharp, blurred(sharp, 3), blurred(sharp, 7), sharp + noise])
    values = NormalizedSparsity()(NONE, images, NONE)
    assert values[0] < values[1] < values[2] <= 0
    assert values[0] < values[3]


def test_sparsity_does_not_depend_on_contrast_or_brightness() -> None:
    sharp = scene()
    values = NormalizedSparsity()(NONE, torch.cat([sharp, 0.3 * sharp + 0.2]), NONE)
    assert values[0] == pytest.approx(float(values[1]), abs=1e-6)


def test_sparsity_by_brute_force() -> None:
    image = torch.rand(1, 2, 5, 6, generator=torch.Generator().manual_seed(2))
    lengths = []
    for row in range(4):
        for column in range(5):
            here = image[0, :, row, column].double()
            down, along = image[0, :, row + 1, column] - here, image[0, :, row, column + 1] - here
            lengths.append(math.sqrt(float(down.square().mean())) + math.sqrt(float(along.square().mean())))
    expected = math.log(sum(lengths) / 20) - 0.5 * math.log(sum(one**2 for one in lengths) / 20)
    assert float(NormalizedSparsity()(NONE, image, NONE)) == pytest.approx(expected, abs=1e-6)


def test_flat_and_tiny_images_have_a_value() -> None:
    assert NormalizedSparsity()(NONE, torch.full((2, 1, 9, 9), 0.3), NONE).tolist() == [0, 0]
    assert NormalizedSparsity()(NONE, torch.rand(2, 1, 1, 9), NONE).tolist() == [0, 0]


def test_the_residual_of_an_exact_explanation_is_zero() -> None:
    sharp, kernel = scene(side=40), torch.full((1, 1, 3, 5), 1 / 15)
    data = F.conv2d(F.pad(sharp, (2, 2, 1, 1)), kernel)
    values = Residual()(data, torch.cat([sharp, sharp]), torch.cat([kernel, torch.eye(5)[None, None, 1:4] / 3]))
    assert values[0] == 0
    assert values[1] > 1


def test_the_residual_is_in_units_of_the_noise_and_leaves_out_what_needs_other_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    kernel = torch.rand(2, 1, 4, 7, generator=generator)
    kernel /= kernel.sum((-2, -1), keepdim=True)
    images, data = torch.rand(2, 1, 7, 11, generator=generator), torch.rand(1, 1, 7, 11, generator=generator)
    values = Residual(saturation=1.0)(data, images, kernel)
    for image, one, value in zip(images, kernel, values, strict=True):
        errors = F.conv2d(image[None], one[None].flip(-2, -1)) - data[..., 1:5, 3:8]
        expected = math.log(float(errors.square().mean().sqrt()) / ROUNDING_SIGMA)
        assert float(value) == pytest.approx(expected, abs=1e-4)


def test_saturated_data_do_not_count() -> None:
    data = scene(side=32)
    image, delta = data.clone(), torch.ones(1, 1, 1, 1)
    data[..., 10, 10], image[..., 10, 10] = 1.0, 0.2
    assert Residual()(data, image, delta).tolist() == [0]
    assert Residual(saturation=1.0)(data * 0.97, image * 0.97, delta) > 0


def test_a_kernel_larger_than_the_data_has_no_residual() -> None:
    assert Residual()(torch.rand(1, 1, 9, 9), torch.rand(2, 1, 9, 9), torch.rand(2, 1, 15, 15)).tolist() == [0, 0]


def test_greys_that_become_black_or_white_are_counted_once() -> None:
    data = torch.full((1, 2, 10, 10), 0.5)
    data[..., :5] = 0.1  # dark already
    images = data.repeat(3, 1, 1, 1)
    images[1, :, 0, 6] = 0.0  # 2 of 200 values, lost
    images[1, :, 0, 7] = 0.01  # almost
    images[1, :, 0, 0] = 0.0  # was dark
    images[2, :, :4, 6] = 1.0  # 8 of 200 values
    values = LostGreys(max_share=0.03)(data, images, NONE)
    torch.testing.assert_close(values.square(), torch.tensor([0, 0.01, 0.03], dtype=torch.float64))


def test_a_wrong_kernel_loses_greys_and_the_right_one_does_not() -> None:
    sharp = 0.2 + 0.6 * scene()
    data = blurred(sharp, 5)
    detail = data - blurred(data, 5)
    rings = (data + 20 * detail).clamp(0, 1)
    right, wrong = LostGreys()(data, torch.cat([sharp, rings]), NONE)
    assert right == 0 < wrong
