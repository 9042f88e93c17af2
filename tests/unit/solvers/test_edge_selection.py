"""Edge predictors on images whose edges are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from invkit.core.errors import InputError
from invkit.numerics.finite_differences import gaussian_blur
from invkit.numerics.framing import extend
from invkit.solvers.map.edge_filters import (
    bilateral_5x5,
    box_sum,
    forward_differences,
    immerkaer_sigma,
    shock_filter,
)
from invkit.solvers.map.edge_selection import Gradients, Intensities, RMap, Shock, usefulness_map
from invkit.solvers.map.gradient_selection import edge_directions, threshold_of_share, threshold_per_direction
from invkit.solvers.map.interfaces import EdgeSelection
from invkit.testing.common import drawn
from invkit.testing.map_steps import check_edge_selection

KERNEL = (5, 5)
SELECTING = [Gradients(), Gradients(per_kernel=2), Shock(), RMap()]


def step_edge(size: int = 32, at: int = 16) -> torch.Tensor:
    image = torch.zeros(1, 1, size, size)
    image[..., at:] = 1
    return image


def columns_of(gradients: torch.Tensor) -> list[int]:
    """The columns in which anything is left."""
    return [int(column) for column in gradients.abs().sum((0, 1, 2)).nonzero()]


@pytest.mark.parametrize(
    ("component", "params"),
    [
        (Gradients, {}),
        (Gradients, {"per_kernel": 20.0, "relax": 1.0}),
        (Shock, {}),
        (Shock, {"per_kernel": 2.0, "shock_iterations": 3, "decay": 0.5}),
        (RMap, {}),
        (RMap, {"sigma": 0.0, "per_kernel": 20.0}),
        (Intensities, {}),
    ],
)
def test_conforms(component: type[Any], params: dict[str, float]) -> None:
    check_edge_selection(component, params)


@pytest.mark.parametrize("predictor", SELECTING, ids=lambda p: type(p).__name__)
def test_a_constant_image_has_no_edges(predictor: EdgeSelection) -> None:
    data = torch.full((1, 2, 20, 20), 0.3)
    for iteration in (0, 30):
        sharp, blurred = predictor(extend(data, KERNEL), data, KERNEL, iteration)
        assert not sharp.any()
        assert not blurred.any()


@pytest.mark.parametrize("predictor", SELECTING, ids=lambda p: type(p).__name__)
def test_nothing_is_selected_beyond_the_data(predictor: EdgeSelection) -> None:
    image, data = drawn((1, 1, 24, 26), 1), drawn((1, 1, 20, 21), 2)
    sharp, _ = predictor(image, data, (5, 6), 3)
    inside = torch.zeros_like(sharp)
    inside[..., 2:22, 2:23] = sharp[..., 2:22, 2:23]  # margins of a 5 x 6 kernel: 2 above, 2 to the left
    assert torch.equal(sharp, inside)
    assert sharp.any()


def test_blurred_is_the_valid_convolution_of_what_is_sharp() -> None:
    kernel = drawn((1, 1, 5, 4), 3)
    image = drawn((1, 1, 24, 23), 4)
    data = torch.nn.functional.conv2d(image, kernel.flip(-2, -1))
    sharp, blurred = forward_differences(image), forward_differences(data)
    again = torch.nn.functional.conv2d(sharp.transpose(0, 1), kernel.flip(-2, -1)).transpose(0, 1)
    # away from the last row and column, which neither can know
    assert torch.allclose(again[..., :-1, :-1], blurred[..., :-1, :-1], atol=1e-5)


def test_gradients_keeps_its_share_of_an_image_without_ties() -> None:
    data = drawn((2, 3, 60, 50), 5)
    for share in (0.01, 0.1, 0.5):
        sharp, _ = Gradients(share=share)(extend(data, KERNEL), data, KERNEL, 0)
        kept = sharp.abs().sum(1).gt(0).sum((1, 2)) / (60 * 50)
        assert torch.all(kept >= share - 1e-6)
        assert torch.all(kept <= 1.03 * share + 1e-3)  # the histogram's bins are .2 % wide


def test_of_a_large_image_the_share_is_no_more_pixels_than_asked_for() -> None:
    data = drawn((1, 1, 60, 50), 5)
    counts = []
    for most in (100, 10**6, None):
        sharp, _ = Gradients(share=0.5, max_pixels=most)(extend(data, KERNEL), data, KERNEL, 0)
        counts.append(int(sharp.abs().sum(1).gt(0).sum()))
    assert 100 <= counts[0] <= 104  # the histogram's bins are .2 % wide
    assert counts[1] == counts[2] >= 1500


def test_gradients_are_the_images_own_and_the_strongest() -> None:
    data = drawn((1, 1, 30, 30), 6)
    sharp, _ = Gradients(share=0.2)(data, data, (1, 1), 0)
    own = forward_differences(data)
    kept = sharp.abs().sum(1) > 0
    assert torch.equal(sharp, own * kept[:, None])
    length = own.square().sum(1)
    assert length[kept].min() > 0.99 * length[~kept].max()  # bins of .2 %


@pytest.mark.parametrize("predictor", SELECTING, ids=lambda p: type(p).__name__)
def test_selection_relaxes(predictor: EdgeSelection) -> None:
    data = gaussian_blur(drawn((1, 1, 40, 40), 7), 1.5)
    counts = [
        int(predictor(extend(data, KERNEL), data, KERNEL, iteration)[0].count_nonzero()) for iteration in range(0, 9, 4)
    ]
    # the shock filter weakens too, which moves some edges: not a strict order pixel by pixel
    assert counts[0] < counts[1] < counts[2]


def test_without_relaxing_every_iteration_selects_the_same() -> None:
    data = drawn((1, 1, 20, 20), 8)
    predictor = Gradients(relax=1)
    first, later = (predictor(extend(data, KERNEL), data, KERNEL, iteration)[0] for iteration in (0, 9))
    assert torch.equal(first, later)


def test_per_kernel_keeps_so_many_of_each_direction() -> None:
    data = drawn((2, 1, 50, 50), 9)
    kernel_size = (9, 4)
    sharp, _ = Gradients(per_kernel=3, relax=1)(extend(data, kernel_size), data, kernel_size, 0)
    direction = edge_directions(sharp)
    kept = sharp.abs().sum(1) > 0
    counts = torch.tensor([[int((kept[b] & (direction[b] == d)).sum()) for d in range(4)] for b in range(2)])
    assert torch.all(counts.amin(1) >= 18)  # 3 sqrt(9 * 4)
    assert torch.all(counts.amin(1) <= 20)  # no more than the histogram's bins add


def test_a_direction_that_does_not_occur_asks_for_nothing() -> None:
    image = step_edge()
    sharp, _ = Gradients(per_kernel=2)(image, image, (1, 1), 0)
    assert columns_of(sharp) == [15]


def test_directions() -> None:
    gradients = torch.tensor([[1.0, 0.1], [0.1, -1], [1, 1], [-1, 1], [-1, -1], [-2, 0.1]]).T.reshape(1, 2, 1, 6)
    assert edge_directions(gradients).flatten().tolist() == [0, 1, 2, 3, 2, 0]


def test_opposite_gradients_of_two_channels_do_not_cancel() -> None:
    gradients = torch.tensor([1.0, -1, 0.2, -0.2]).view(1, 4, 1, 1)  # rows of two channels, columns of two channels
    assert edge_directions(gradients).item() == 0


def test_thresholds_are_those_of_a_sort() -> None:
    strength = drawn((2, 30, 40), 10) ** 4
    direction = (4 * drawn((2, 30, 40), 11)).int()
    ordered = strength.flatten(1).sort(descending=True).values
    found = threshold_of_share(strength, 0.25)
    assert torch.all(found <= ordered[:, 299])
    assert torch.allclose(found, ordered[:, 299], rtol=2e-3)
    for b, threshold in enumerate(threshold_per_direction(strength, direction, 50)):
        expected = min(strength[b][direction[b] == d].sort(descending=True).values[49] for d in range(4))
        assert threshold <= expected
        assert torch.isclose(threshold, expected, rtol=2e-3)


def test_a_direction_with_too_few_pixels_keeps_all_of_them() -> None:
    strength, direction = torch.tensor([[[0.5, 0.4, 0.3, 1e-3]]]), torch.tensor([[[0, 0, 1, 1]]], dtype=torch.int32)
    assert threshold_per_direction(strength, direction, 3).item() <= 1e-3


@pytest.mark.parametrize("width", [3, 5, 7])
def test_shock_sharpens_a_blurred_step_at_its_place(width: int) -> None:
    step = step_edge()
    blurred = torch.nn.functional.avg_pool1d(extend(step, (1, width))[0], width, stride=1)[None]
    sharp = shock_filter(bilateral_5x5(blurred, 2.0, 0.5), 6, 1.0)
    assert forward_differences(blurred).amax() < 0.4
    assert forward_differences(sharp).amax() > 0.9
    assert columns_of((forward_differences(sharp) > 0.5).float()) == [15]
    predicted, _ = Shock(shock_iterations=6, share=1 / 32)(blurred, blurred, (1, 1), 0)
    assert columns_of(predicted) == [15]


def test_shock_takes_noise_away_that_gradients_keep() -> None:
    noisy = 0.5 * step_edge() + 0.05 * torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    flat = torch.full((32,), True)
    flat[12:20] = False
    strays = [
        float(predictor(noisy, noisy, (1, 1), 0)[0][..., flat].square().sum()) for predictor in (Gradients(), Shock())
    ]
    assert strays[1] < 0.5 * strays[0]


@pytest.mark.parametrize("shape", [(1, 2, 1, 60), (1, 2, 60, 1)])
def test_along_a_line_the_shock_filter_passes_no_neighbour(shape: tuple[int, ...]) -> None:
    line = drawn(shape, 12)
    padded = extend(line, (3, 3))
    sharp = shock_filter(line, 1, 1.0)
    assert torch.all(sharp <= torch.nn.functional.max_pool2d(padded, 3, 1) + 1e-6)  # rounding
    assert torch.all(sharp >= -torch.nn.functional.max_pool2d(-padded, 3, 1) - 1e-6)


def test_r_map_prefers_a_step_to_a_line_and_to_texture() -> None:
    window = (7, 7)
    image = 0.1 + 0.8 * step_edge(64, 20)
    image[..., 40:42] = 0.1  # a line of two pixels
    image[..., 50:] = 0.9 - 0.8 * (torch.arange(14) // 2 % 2)  # stripes of two pixels
    useful = usefulness_map(forward_differences(image), window, 0.5)[0, 32]
    assert useful[19] > 0.9
    assert useful[39:42].max() < 0.2
    assert useful[54:60].max() < 0.4  # one of the three or four sides in the window is left over
    sharp, _ = RMap(sigma=0.5)(extend(image, window), image, window, 0)
    inner = sharp[..., 10:-10, 3 : 3 + 46]  # without the frame, where stripes begin and end
    assert columns_of(inner[..., 10:30])
    assert not inner[..., 36:44].any()


def test_r_is_smaller_of_faint_edges_and_never_one() -> None:
    step = forward_differences(step_edge())
    strong, faint = (usefulness_map(factor * step, (5, 5), 0.5)[0, 16, 15].item() for factor in (1.0, 0.01))
    assert strong == pytest.approx(5 / 5.5)
    assert faint == pytest.approx(0.05 / 0.55)


def test_box_sum_is_a_convolution_with_ones() -> None:
    value = drawn((2, 2, 9, 11), 13, torch.float64)
    for h, w in ((1, 1), (3, 5), (4, 2), (30, 3)):
        padded = torch.nn.functional.pad(value, (w // 2, (w - 1) // 2, h // 2, (h - 1) // 2))
        expected = h * w * torch.nn.functional.avg_pool2d(padded, (h, w), stride=1)
        assert torch.allclose(box_sum(value, (h, w)), expected)


def test_bilateral_smooths_what_is_faint_and_keeps_what_is_strong() -> None:
    image = step_edge() + 0.01 * torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    smooth = bilateral_5x5(image, 2.0, 0.1)
    assert smooth[..., :15].std() < 0.3 * image[..., :15].std()  # of 25 pixels: a fifth, and a little more near borders
    assert (smooth - step_edge()).abs().max() < 0.03


def test_bilateral_of_a_wide_range_is_a_gaussian_and_of_a_narrow_one_nothing() -> None:
    image = drawn((1, 1, 12, 12), 14, torch.float64)
    taps = torch.exp(-(torch.arange(-2, 3, dtype=torch.float64) ** 2) / (2 * 1.5**2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    expected = torch.nn.functional.conv2d(extend(image, (5, 5)), kernel[None, None])
    assert torch.allclose(bilateral_5x5(image, 1.5, 1e6), expected)
    assert torch.allclose(bilateral_5x5(image, 1.5, 1e-9), image)


def test_a_gaussian_keeps_constants_and_spreads_by_its_sigma() -> None:
    impulse = torch.zeros(1, 1, 31, 31, dtype=torch.float64)
    impulse[..., 15, 15] = 1
    blurred = gaussian_blur(impulse, 2.0)
    variance = (blurred.sum((0, 1, 2)) * (torch.arange(31) - 15) ** 2).sum()
    assert blurred.sum().item() == pytest.approx(1)
    assert variance.item() == pytest.approx(4, rel=0.03)  # cut off at three sigma
    assert torch.equal(gaussian_blur(impulse, 0), impulse)


def test_intensities_gives_back_what_it_is_given_less_the_data_s_mean() -> None:
    image, data = drawn((1, 3, 8, 9), 15), drawn((1, 3, 6, 6), 16)
    sharp, blurred = Intensities()(image, data, (3, 4), 0)
    mean = data.mean((-2, -1), keepdim=True)
    assert torch.equal(sharp, image - mean)
    assert torch.equal(blurred, data - mean)


def test_an_image_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(InputError, match="does not belong to data"):
        Gradients()(torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 8, 8), (3, 3), 0)


@pytest.mark.parametrize("params", [{"share": 0}, {"share": 1.5}, {"per_kernel": 0}, {"relax": 0.9}, {"keep": 1}])
def test_settings_are_checked(params: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Gradients(**params)


def test_the_noise_of_blurry_data_is_measured() -> None:
    ramp = torch.linspace(0, 1, 200).expand(1, 1, 150, 200)
    noise = torch.randn(1, 1, 150, 200, generator=torch.Generator().manual_seed(0))
    for sigma in (0.005, 0.02):
        # 30000 pixels: the mean of their absolute values is known to a few percent
        assert immerkaer_sigma(ramp + sigma * noise).item() == pytest.approx(sigma, rel=0.05)
    assert immerkaer_sigma(torch.zeros(2, 3, 2, 9)).tolist() == [0, 0]


def test_gradients_below_the_noise_are_left_out_but_for_the_strongest() -> None:
    noise = 0.02 * torch.randn(1, 1, 60, 60, generator=torch.Generator().manual_seed(0))
    image = 0.3 + noise
    image[..., 30:45] += 0.5  # two rows of 60: more than the fiftieth that is kept in any case
    kept, _ = Gradients(share=1.0, relax=1.0, noise_factor=8.0)(image, image, (1, 1), 0)
    assert set(kept.abs().sum(1).nonzero()[:, 2].tolist()) == {29, 44}
    flat, _ = Gradients(share=1.0, relax=1.0, noise_factor=1e6)(0.3 + noise, 0.3 + noise, (1, 1), 0)
    assert 0.01 < (flat.abs().sum(1) > 0).float().mean() < 0.03
