"""Patch recurrence: neighbours and means against loops, the proximal map, invariances, and a solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from deconvolution import blurred, finished, made
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.core.errors import InputError
from invkit.core.problem import Term
from invkit.numerics.patch_neighbours import nearest_patches
from invkit.operators.convolution import Convolution
from invkit.regularizers.patch_recurrence import PatchRecurrence
from invkit.solvers.irls import IRLS
from invkit.testing.common import drawn

seeds = st.integers(0, 2**32 - 1)
some = settings(max_examples=25, deadline=None)
EXACT = PatchRecurrence(side=3, components=9)


def image(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return drawn(shape, seed, torch.float64)


@some
@given(
    seed=seeds, wanted=st.integers(1, 20), stored=st.integers(1, 30), side=st.integers(1, 4), excess=st.floats(0.0, 2.0)
)
def test_no_neighbour_is_farther_than_the_nearest_and_the_excess(
    seed: int, wanted: int, stored: int, side: int, excess: float
) -> None:
    random = np.random.default_rng(seed)
    patches, database = random.uniform(size=(wanted, side**2)), random.uniform(size=(stored, side**2))
    found = nearest_patches(patches, database, side**2, excess)
    distances = np.sqrt(np.square(patches[:, None] - database[None]).sum(-1))
    assert np.all(distances[np.arange(wanted), found] <= (1 + excess) * distances.min(1) + 1e-9)


def test_the_target_is_made_of_the_nearest_patches_of_the_shrunk_image() -> None:
    value = image((1, 1, 12, 10), seed=2)
    coarse = F.interpolate(value, size=(9, 8), mode="bicubic", antialias=True)[0, 0].numpy()
    database = [coarse[r : r + 3, c : c + 3] for r in range(7) for c in range(6)]
    plane, total, count = value[0, 0].numpy(), np.zeros((12, 10)), np.zeros((12, 10))
    for row in range(10):
        for column in range(8):
            patch = plane[row : row + 3, column : column + 3]
            errors = [float(np.square(other - patch).mean()) for other in database]
            weight = np.exp(-min(errors) / (2 * (20 / 255) ** 2))
            total[row : row + 3, column : column + 3] += weight * database[int(np.argmin(errors))]
            count[row : row + 3, column : column + 3] += weight
    weights, targets = EXACT.attraction(value, value)
    assert np.allclose(targets[0, 0].numpy(), total / count, atol=1e-12)
    assert torch.allclose(weights, torch.full_like(value, 1 / 120))
    assert float(EXACT(value)) == pytest.approx(float(np.square(plane - total / count).mean()) / 2)


@some
@given(seed=seeds, exponent=st.floats(-3, 4))
def test_the_prox_is_the_mean_of_image_and_target(seed: int, exponent: float) -> None:
    value, step = image((2, 2, 9, 11), seed), 10**exponent
    share = step / value[0].numel()
    expected = (value + share * EXACT.recurring(value, value)) / (1 + share)
    assert torch.allclose(EXACT.prox(value[None], step)[0], expected, atol=1e-12)


@some
@given(seed=seeds, shift=st.floats(-0.3, 0.3))
def test_a_brighter_image_has_a_target_as_much_brighter(seed: int, shift: float) -> None:
    value = image((1, 1, 10, 12), seed)
    assert torch.allclose(
        EXACT.recurring(value + shift, value + shift), EXACT.recurring(value, value) + shift, atol=1e-9
    )


def test_a_flat_image_and_an_image_too_small_are_their_own_targets() -> None:
    flat = torch.full((1, 2, 16, 15), 0.3, dtype=torch.float64)
    assert torch.allclose(PatchRecurrence().recurring(flat, flat), flat, atol=1e-12)
    for size in ((1, 1), (6, 40), (4, 4)):
        small = image((1, 1, *size))
        assert torch.equal(PatchRecurrence().recurring(small, small), small)
        assert float(PatchRecurrence()(small)) == 0


def test_few_components_find_nearly_as_near_patches() -> None:
    smooth = F.avg_pool2d(image((1, 1, 44, 44), seed=5), 5, stride=1)
    errors = [float(PatchRecurrence(components=count)(smooth)) for count in (25, 10)]
    assert errors[0] <= errors[1] < 1.5 * errors[0]


@pytest.mark.parametrize(
    "setting", [{"side": 4}, {"scale": 1.0}, {"tolerance": 0.0}, {"components": 0}, {"excess": -0.1}]
)
def test_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises((InputError, ValueError)):
        PatchRecurrence(**setting)  # type: ignore[arg-type]


@pytest.mark.parametrize("first", [0, 1])
def test_irls_attracts_from_the_step_that_is_set(first: int) -> None:
    """From step 0 the target is that of the starting image; from step 1 the first image is plain least squares."""
    _, problem = blurred([Term(EXACT, 0.8)], noise=0.05)
    image_of_step = finished(IRLS(reweightings=1, attract_from=first, tolerance=1e-12), problem).image.requires_grad_()
    plain = replace(problem, regularizers=[])
    cost = plain.objective(image_of_step, problem.kernel_prior()).sum()
    if first == 0:
        target = EXACT.recurring(problem.image_prior(), problem.image_prior())
        cost = cost + 0.4 * (image_of_step - target).square().mean()
    (gradient,) = torch.autograd.grad(cost, image_of_step)
    assert gradient.norm() < 1e-7


def test_in_every_step_the_neighbours_come_from_the_image_at_the_start() -> None:
    _, problem = blurred([Term(EXACT, 0.8)], noise=0.05)
    solvers = [IRLS(reweightings=count, attract_from=0, tolerance=1e-12) for count in (1, 2)]
    first, second = (finished(solver, problem).image for solver in solvers)
    source, second = problem.image_prior(), second.requires_grad_()
    plain = replace(problem, regularizers=[]).objective(second, problem.kernel_prior()).sum()
    targets = [EXACT.recurring(first, one) for one in (source, first)]
    gradients = [
        torch.autograd.grad(plain + 0.4 * (second - target).square().mean(), second, retain_graph=True)[0]
        for target in targets
    ]
    assert gradients[0].norm() < 1e-7
    assert gradients[1].norm() > 1e-4


def test_the_recurrence_steepens_the_edges_of_a_deconvolution_by_too_small_a_kernel() -> None:
    along = torch.arange(36, dtype=torch.float64)
    truth = (0.2 + 0.6 * (along >= 18)).expand(36, 36)[None, None]
    data = Convolution()(truth, torch.full((1, 1, 1, 5), 0.2, dtype=torch.float64))
    delta = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    solver = IRLS(reweightings=12, attract_from=0)
    found = finished(solver, made(data, delta, [Term(PatchRecurrence(), 0.8)])).image
    steepened = found[0, 0, 16].diff().max() / data[0, 0, 16].diff().max()
    assert 1.08 < steepened < 4 / 3  # the source's own edges are 4/3 times as steep
