"""The free energy ranks kernels of a blurred image."""

from __future__ import annotations

import pytest
import torch
from blurred_rectangles import blurred_rectangles
from scipy.ndimage import gaussian_filter

from invkit.metrics.no_reference.free_energy import FreeEnergy, neighbour_differences, neighbour_mask
from invkit.numerics.noise import estimate_sigma
from invkit.solvers.map.edge_filters import forward_differences
from invkit.testing.common import drawn
from invkit.testing.map_steps import strokes


def case() -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Blurry data, the sharp image at the place of the data, and kernels of which the first is the true one."""
    kernel = strokes(1, (9, 9)).float()
    data, sharp = blurred_rectangles(kernel)
    point, wide = torch.zeros_like(kernel), torch.from_numpy(gaussian_filter(kernel.numpy(), (0, 0, 1, 1)))
    point[..., 4, 4] = 1
    other = {"true": kernel, "point": point, "wide": wide / wide.sum(), "turned": kernel.transpose(-2, -1).flip(-1)}
    return data, sharp[..., 4:-4, 4:-4], other


def test_the_true_kernel_has_the_lowest_energy() -> None:
    data, sharp, kernels = case()
    stacked = torch.cat([*kernels.values()])
    for images in (sharp.expand(4, 1, 92, 92), data.expand(4, 1, 92, 92)):  # wherever the means start
        energies = FreeEnergy()(data, images, stacked)
        assert int(energies.argmin()) == 0
        assert float(energies.sort().values.diff()[0]) > 0.005


def test_more_rounds_lower_the_energy() -> None:
    data, sharp, kernels = case()
    energies = [
        float(FreeEnergy(rounds=rounds, cg_iterations=40)(data, sharp, kernels["true"])) for rounds in (1, 2, 6)
    ]
    assert energies == sorted(energies, reverse=True)


def test_the_noise_is_the_estimate_times_the_factor_and_at_least_the_minimum() -> None:
    data, _, _ = case()
    metric = FreeEnergy(noise_factor=2.0, min_noise=0.003)
    assert metric.noise(data) == pytest.approx(2 * estimate_sigma(data))
    assert metric.noise(torch.full((1, 1, 92, 92), 0.5)) == 0.003
    assert metric.noise(data[..., :5, :5]) == 0.003


def test_colour_counts_by_its_mean() -> None:
    data, sharp, kernels = case()
    offsets = torch.tensor([-0.02, 0.0, 0.02]).view(1, 3, 1, 1)
    grey = FreeEnergy()(data, sharp, kernels["true"])
    colour = FreeEnergy()(data + offsets, sharp + offsets, kernels["true"])
    torch.testing.assert_close(colour, grey, rtol=1e-4, atol=1e-4)


def test_differences_are_those_of_the_solvers() -> None:
    image = drawn((1, 1, 7, 6), 3)
    torch.testing.assert_close(neighbour_differences(image), forward_differences(image))
    assert float(neighbour_mask(image).sum()) == 6 * 6 + 7 * 5
