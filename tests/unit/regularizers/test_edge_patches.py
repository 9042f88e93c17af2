"""Edge patches: their targets and weights against loops over pixels, the majoriser, the proximal map, and solvers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from deconvolution import blurred, finished, made
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from invkit.core.problem import Term
from invkit.core.solver import Solver
from invkit.numerics.edge_patterns import edge_patterns, nearest_pattern, normalised_patches
from invkit.numerics.finite_differences import gaussian_blur
from invkit.numerics.thin_edges import thin_edge_strength
from invkit.operators.convolution import Convolution
from invkit.regularizers.edge_patches import EdgePatches
from invkit.regularizers.l2 import GradientL2
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.irls import IRLS
from invkit.testing.common import drawn

seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 12), st.integers(1, 12))
some = settings(max_examples=25, deadline=None)


def image(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return drawn(shape, seed, torch.float64)


def edge(columns: int = 12, width: float = 1e-3, angle: float = 0.0) -> Tensor:
    """A straight edge of 0.2 and 0.8 through the middle, of some width in pixels; (1, 1, columns, columns)."""
    along = torch.arange(columns, dtype=torch.float64) - (columns - 1) / 2
    rows, across = torch.meshgrid(along, along, indexing="ij")
    distance = across * math.cos(angle) + rows * math.sin(angle)
    return (0.5 + 0.6 * (distance / width).clamp(-0.5, 0.5))[None, None]


def patch_at(plane: Tensor, row: int, column: int, radius: int) -> Tensor:
    return plane[row - radius : row + radius + 1, column - radius : column + radius + 1].flatten()


def target_of(patch: Tensor, side: int) -> Tensor:
    """The sharp patch with the mean and contrast of a patch that is nearest to it, by trying all of them."""
    mean, contrast = patch.mean(), patch.std(correction=0)
    candidates = mean + contrast * edge_patterns(side)
    return candidates[(candidates - patch).square().sum(1).argmin()]


def patches_and_targets(term: EdgePatches, plane: Tensor) -> list[tuple[int, int, Tensor, Tensor]]:
    """Row, column, patch and target of every selected patch of a plane (H, W), by loops."""
    radius, (height, width) = term.side // 2, plane.shape
    strength = thin_edge_strength(plane[None], term.sigma)[0]
    inside = [(r, c) for r in range(radius, height - radius) for c in range(radius, width - radius)]
    edges = sorted((place for place in inside if strength[place] > 0), key=lambda place: -float(strength[place]))
    chosen = edges[: max(1, round(term.share * plane.numel()))]
    patches = [(r, c, patch_at(plane, r, c, radius)) for r, c in chosen]
    return [(r, c, patch, target_of(patch, term.side)) for r, c, patch in patches]


@pytest.mark.parametrize("side", [3, 5])
def test_penalty_weights_and_targets_are_those_of_loops_over_the_patches(side: int) -> None:
    term, value = EdgePatches(share=0.2, side=side, tolerance=0.1), image((2, 2, 11, 13), seed=4)
    weights, targets = term.attraction(value, value)
    penalties = torch.zeros(2, dtype=torch.float64)
    for batch in range(2):
        for channel in range(2):
            plane = value[batch, channel]
            total, wanted = torch.zeros_like(plane), torch.zeros_like(plane)
            for row, column, patch, target in patches_and_targets(term, plane):
                error = patch - target
                penalties[batch] += (0.01 * torch.log(1 + error**2 / 0.02)).sum() / (2 * 11 * 13)
                window = (
                    slice(row - side // 2, row + side // 2 + 1),
                    slice(column - side // 2, column + side // 2 + 1),
                )
                total[window] += (1 / (1 + error**2 / 0.02)).view(side, side)
                wanted[window] += (target / (1 + error**2 / 0.02)).view(side, side)
            expected = torch.where(total > 0, wanted / total.clamp_min(1e-300), plane)
            assert torch.allclose(weights[batch, channel], total / (2 * 11 * 13), atol=1e-14)
            assert torch.allclose(targets[batch, channel], expected, atol=1e-12)
    assert torch.allclose(term(value), penalties, atol=1e-14)


@some
@given(shape=shapes, seed=seeds, size=st.floats(-3, 0.5))
def test_the_attraction_majorises_the_penalty_of_the_same_patches(
    shape: tuple[int, int, int, int], seed: int, size: float
) -> None:
    term, value = EdgePatches(share=0.3, side=3, tolerance=0.07), image(shape, seed)
    other = value + 10**size * (image(shape, seed + 1) - 0.5)
    weights, targets = term.attraction(value, value)
    selected = term.selected(value.flatten(0, 1))

    def penalty(point: Tensor) -> float:
        error = selected.patches(point.flatten(0, 1)) - selected.targets
        cost = term.tolerance**2 * (1 + error**2 / (2 * term.tolerance**2)).log() * selected.counted[..., None]
        return float(cost.sum()) / value[0].numel()

    raised = float((weights * ((other - targets) ** 2 - (value - targets) ** 2)).sum()) / 2
    assert penalty(value) == pytest.approx(float(term(value).sum()), abs=1e-14)
    assert penalty(other) <= penalty(value) + raised + 1e-12


@some
@given(shape=shapes, seed=seeds, exponent=st.floats(-3, 4))
def test_the_prox_minimises_the_attraction(shape: tuple[int, int, int, int], seed: int, exponent: float) -> None:
    term, value, step = EdgePatches(side=3), image(shape, seed), 10**exponent
    weights, targets = term.attraction(value, value)
    point = term.prox(value[None], step)[0].requires_grad_()
    cost = step * (weights * (point - targets) ** 2).sum() / 2 + ((point - value) ** 2).sum() / 2
    (gradient,) = torch.autograd.grad(cost, point)
    assert gradient.abs().max() <= 1e-11 * (1 + step)


@some
@given(seed=seeds)
def test_the_negative_of_an_image_has_the_negative_targets(seed: int) -> None:
    term, value = EdgePatches(share=0.2), image((1, 1, 14, 11), seed)
    weights, targets = term.attraction(value, value)
    negative_weights, negative_targets = term.attraction(1 - value, 1 - value)
    assert torch.allclose(negative_weights, weights, atol=1e-12)
    assert torch.allclose(negative_targets, 1 - targets, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, math.pi / 12, math.pi / 4, 2.0])
def test_a_soft_edge_is_drawn_towards_a_steep_one(angle: float) -> None:
    term, soft = EdgePatches(share=0.1), edge(width=4.0, angle=angle)
    moved = term.prox(soft[None], 1e6)[0]
    middle = (..., slice(3, 9), slice(3, 9))
    assert steepest(moved[middle]) > 1.4 * steepest(soft[middle])
    assert steepest(moved[middle]) <= 0.6 + 0.15  # not much more than the whole step


def steepest(value: Tensor) -> float:
    return max(float(value.diff(dim=-1).abs().max()), float(value.diff(dim=-2).abs().max()))


def test_a_sharp_edge_stays() -> None:
    sharp = edge()
    assert (EdgePatches().prox(sharp[None], 1e6)[0] - sharp).abs().max() < 1e-6


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 2, 2, 9), (2, 1, 4, 4)])
def test_images_smaller_than_a_patch_are_free_and_unchanged(shape: tuple[int, ...]) -> None:
    value = image(shape)
    assert float(EdgePatches()(value).abs().max()) == 0
    assert torch.equal(EdgePatches().prox(value[None], 10.0)[0], value)


@pytest.mark.parametrize("setting", [{"side": 4}, {"side": 7}, {"share": 0.0}, {"tolerance": -1.0}, {"sigma": 0.0}])
def test_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises((ValidationError, ValueError)):
        EdgePatches(**setting)  # type: ignore[arg-type]


class TestDictionary:
    @pytest.mark.parametrize("side", [3, 5])
    def test_patterns_are_normalised_and_differ(self, side: int) -> None:
        patterns = edge_patterns(side)
        assert patterns.mean(1).abs().max() < 1e-12
        assert (patterns.square().mean(1) - 1).abs().max() < 1e-12
        likeness = patterns @ patterns.T / side**2
        assert float((likeness - torch.eye(len(patterns))).max()) <= 0.97 + 1e-9

    def test_it_has_steps_corners_and_bars_in_both_polarities(self) -> None:
        step = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0]).expand(5, 5)
        corner = torch.zeros(5, 5)
        corner[2:, 2:] = 1
        bar = torch.zeros(5, 5)
        bar[2] = 1
        for drawing in (step, corner, bar):
            for turned in (drawing, drawing.T, 1 - drawing, drawing.rot90()):
                pattern = normalised_patches(turned.double().flatten())[0]
                nearest = edge_patterns(5)[nearest_pattern(pattern[None], edge_patterns(5))[0]]
                assert float(nearest @ pattern) / 25 > 0.93

    def test_a_patch_is_its_mean_and_its_contrast_times_its_pattern(self) -> None:
        patches = image((3, 4, 25))
        patterns, means, contrasts = normalised_patches(patches)
        assert torch.allclose(means + contrasts * patterns, patches, atol=1e-14)
        flat = normalised_patches(torch.full((2, 9), 0.3))
        assert not flat[0].isnan().any()
        assert float(flat[2].max()) < 1e-6


@some
@given(seed=seeds, height=st.integers(3, 9), width=st.integers(3, 9))
def test_thinned_edges_are_those_of_a_loop(seed: int, height: int, width: int) -> None:
    plane = image((1, height, width), seed)
    smooth, found = gaussian_blur(plane[None], 0.8)[0, 0], thin_edge_strength(plane, 0.8)[0]
    length, angle = torch.zeros(height, width, dtype=torch.float64), torch.zeros(height, width)
    for row in range(height):
        for column in range(width):
            down = smooth[row + 1, column] - smooth[row - 1, column] if 0 < row < height - 1 else 0.0
            right = smooth[row, column + 1] - smooth[row, column - 1] if 0 < column < width - 1 else 0.0
            length[row, column] = math.hypot(down, right)
            angle[row, column] = math.degrees(math.atan2(down, right)) % 180
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            down, right = [(0, 1), (1, 1), (1, 0), (1, -1)][int((angle[row, column] + 22.5) // 45) % 4]
            sides = (length[row - down, column - right], length[row + down, column + right])
            expected = length[row, column] if length[row, column] > max(sides) else 0.0
            assert float(found[row, column]) == pytest.approx(float(expected), abs=1e-12)
    assert float(found[0].max()) == float(found[-1].max()) == float(found[:, 0].max()) == 0


def test_irls_solves_the_system_with_the_targets_of_its_last_image() -> None:
    _, problem = blurred([Term(GradientL2(), 1e-2), Term(EdgePatches(share=0.2), 0.3)], "valid", 2, 2, noise=0.1)
    first = finished(IRLS(reweightings=1, tolerance=1e-12), problem)
    second = finished(IRLS(reweightings=2, tolerance=1e-12), problem)
    weights, targets = EdgePatches(share=0.2).attraction(first.image, first.image)
    point = second.image.requires_grad_()
    smooth = replace(problem, regularizers=problem.regularizers[:1])
    cost = smooth.objective(point, second.kernel).sum() + 0.3 * (weights * (point - targets) ** 2).sum() / 2
    (gradient,) = torch.autograd.grad(cost, point)
    assert gradient.norm() < 1e-8 * weights.norm()
    assert (first.image - second.image).abs().max() > 1e-3


@pytest.mark.parametrize("solver", [IRLS(reweightings=4), HalfQuadratic(beta_start=0.1, beta_max=64.0)])
def test_solvers_bring_a_blurred_edge_nearer_to_the_true_one(solver: Solver[Any]) -> None:
    truth, kernel = edge(32, angle=0.4), torch.full((1, 1, 5, 5), 1 / 25, dtype=torch.float64)
    data = Convolution()(truth, kernel)
    smoothness = Term(GradientL2(), 1e-2)
    without = finished(solver, made(data, kernel, [smoothness])).image
    together = finished(solver, made(data, kernel, [smoothness, Term(EdgePatches(), 0.2)])).image
    inner = (..., slice(6, -6), slice(6, -6))  # the deconvolution invents the image beyond the data
    errors = [float((found - truth)[inner].square().mean()) for found in (without, together)]
    assert errors[1] < 0.8 * errors[0]
