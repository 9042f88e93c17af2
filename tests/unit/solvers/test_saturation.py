"""Clipped data: deconvolution that lets them be brighter than they say, and kernels that are fitted apart from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from deconvolution import Padding, alike, blind, blocks, blurred, curve, finished, made, random
from narrow import known, tensor
from torch.nn.functional import max_pool2d

from invkit.core.errors import InputError
from invkit.core.problem import Term
from invkit.core.solver import Solver
from invkit.image_priors.pixels import Pixels
from invkit.operators.convolution import Convolution
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.l0 import L0Gradient
from invkit.solvers.admm import ADMM
from invkit.solvers.alternating_map import AlternatingMAP, dilated_along, unsaturated_edges
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.map.edge_selection import Gradients
from invkit.solvers.map.kernel_estimation import ToeplitzLeastSquares
from invkit.solvers.map.kernel_postprocessing import ThresholdPostprocessing
from invkit.solvers.pixel_state import impute_saturated, saturation_mask

LEVEL = 0.99
SPARSE = [Term(HyperLaplacian(power=0.8, second=0.25, smoothing=0.0), 3e-4)]
L0 = [Term(L0Gradient(smoothing=0.0), 4e-3)]


def admm(**keywords: Any) -> ADMM:
    return ADMM(**{"iterations": 40, "penalty": 100.0, "relaxation": 1.8, **keywords})


def alternating(**keywords: Any) -> AlternatingMAP:
    slots = {
        "latent": HalfQuadratic(beta_max=1e4),
        "edge_selection": Gradients(share=0.3),
        "kernel_estimation": ToeplitzLeastSquares(),
    }
    return AlternatingMAP(**{**slots, "kernel_postprocessing": ThresholdPostprocessing(), "iterations": 8, **keywords})


def lit(
    brightness: float,
    places: list[tuple[int, int]],
    size: tuple[int, int] = (54, 52),
    dtype: torch.dtype = torch.float64,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Coarse blocks with lamps, and their clipped data with a little noise."""
    image = blocks(size=size, dtype=dtype)
    for row, column in places:
        image[..., row, column] = brightness
    data = Convolution()(image, curve(dtype))
    noise = 0.002 * (random(*data.shape, seed=9).to(dtype) - 0.5)
    return image, (data + noise).clamp(0, 1)


# --- which data ----------------------------------------------------------------------------------------------------


def test_data_are_clipped_from_the_level_on() -> None:
    data = torch.tensor([[[[0.2, 0.7], [0.8, 1.0]]]])
    assert known(saturation_mask(data, 0.7)).tolist() == [[[[False, True], [True, True]]]]
    assert saturation_mask(data, None) is None
    assert saturation_mask(data[..., :1, :], 0.8) is None


def test_a_prediction_stands_for_clipped_data_that_it_is_brighter_than() -> None:
    data, clipped = torch.tensor([1.0, 1.0, 0.5, 0.5]), torch.tensor([True, True, False, False])
    expected = torch.tensor([1.75, 1.0, 0.5, 0.5])
    assert torch.equal(impute_saturated(data, clipped, torch.tensor([1.75, 0.25, 1.75, 0.25])), expected)


@pytest.mark.parametrize("solver", [ADMM, alternating])
@pytest.mark.parametrize("level", [0.0, -0.5, 1.01])
def test_a_level_is_above_black_and_not_above_white(solver: Callable[..., Solver[Any]], level: float) -> None:
    with pytest.raises(InputError, match="saturation"):
        solver(saturation=level)


# --- the image -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound_penalty", [0.0, 0.2])
@pytest.mark.parametrize("padding", ["valid", "circular"])
def test_where_no_data_reach_the_level_the_image_is_the_same_to_the_last_bit(
    padding: Padding, bound_penalty: float
) -> None:
    _, problem = blurred(SPARSE, padding, noise=0.02)
    assert float(problem.data.max()) < LEVEL
    one, other = (finished(admm(bound_penalty=bound_penalty, saturation=s), problem) for s in (None, LEVEL))
    assert torch.equal(one.grid, other.grid)
    assert one.losses == other.losses


@pytest.mark.parametrize(("bound_penalty", "share"), [(0.0, 0.8), (0.2, 0.4)])
def test_a_lamp_does_not_spoil_its_surroundings(bound_penalty: float, share: float) -> None:
    """Bounded by white, clipped data are farthest from anything that explains them, and there is most to be won."""
    truth, data = lit(4.0, [(14, 30), (15, 30), (35, 12)])
    lamps = (truth > 1).double()
    trail = (max_pool2d(lamps, 13, stride=1, padding=6) - lamps).bool()
    problem = made(data, curve(torch.float64), SPARSE)
    exact, lenient = (
        finished(admm(bound_penalty=bound_penalty, saturation=s), problem).image.clamp(0, 1) for s in (None, LEVEL)
    )
    before, after = ((image - truth)[trail].square().mean().sqrt() for image in (exact, lenient))
    assert after < share * before


def test_the_image_is_brighter_than_white_under_clipped_data_alone() -> None:
    truth, data = lit(4.0, [(14, 30), (15, 30), (35, 12)])
    image = finished(admm(bound_penalty=0.2, saturation=LEVEL), made(data, curve(torch.float64), SPARSE)).image
    clipped = (data >= LEVEL).double()
    under = torch.nn.functional.pad(clipped, (3, 3, 3, 3)).bool()
    assert (image[truth > 1] > 2).all()
    assert float(image[~under].max()) < 1.05  # bounds are met in the limit only
    assert float(admm().solve(made(data, curve(torch.float64), SPARSE)).image.max()) <= 1


# --- the kernel ----------------------------------------------------------------------------------------------------


def test_where_no_data_are_clipped_the_kernel_is_the_same_to_the_last_bit() -> None:
    problem = blind(L0)
    assert float(problem.data.max()) < LEVEL
    one, other = (alternating(iterations=3, saturation=s).solve(problem) for s in (None, LEVEL))
    assert torch.equal(tensor(one.kernel), tensor(other.kernel))
    assert torch.equal(tensor(one.image), tensor(other.image))


def test_a_lamp_does_not_hide_the_kernel() -> None:
    problem = blind(L0)
    _, data = lit(8.0, [(20, 24)], dtype=torch.float32)
    problem = replace(problem, data=data, image_prior=Pixels(problem.image_prior.shape, data))
    assert int((data >= LEVEL).sum()) < 10
    hidden, found = (alternating(saturation=s).solve(problem).kernel for s in (None, LEVEL))
    assert alike(hidden, curve()) < 0.7
    assert alike(found, curve()) > 0.9


sizes = pytest.mark.parametrize("size", [(5, 7), (1, 3), (4, 6), (5, 2)], ids="{0[0]}x{0[1]}".format)


def edges(
    size: tuple[int, int], batch: int = 1, channels: int = 1, data: tuple[int, int] = (21, 24)
) -> tuple[torch.Tensor, torch.Tensor]:
    """Edges of one everywhere, of the sharp image and of the data."""
    (height, width), (h, w) = data, size
    return torch.ones(batch, channels, height + h - 1, width + w - 1), torch.ones(batch, channels, height, width)


def clipped_at(*places: tuple[int, ...], channels: int = 1, data: tuple[int, int] = (21, 24)) -> torch.Tensor:
    clipped = torch.zeros(1, channels, *data, dtype=torch.bool)
    for place in places:
        index: tuple[Any, ...] = (..., *place)
        clipped[index] = True
    return clipped


@sizes
@pytest.mark.parametrize("place", [(10, 12), (0, 0), (20, 23), (0, 11)], ids="at {0[0]}, {0[1]}".format)
def test_no_edge_is_left_that_clipped_data_see(size: tuple[int, int], place: tuple[int, int]) -> None:
    """What a pixel of the data sees is what a kernel of ones brings to it."""
    sharp, blurry = unsaturated_edges(clipped_at(place), *edges(size), size)
    seen = Convolution()(sharp, torch.ones(1, 1, *size))
    assert abs(float(seen[(..., *place)])) < 1e-3  # by transforms; a single edge would bring one
    assert float(blurry[(..., *place)]) == 0


@pytest.mark.parametrize("size", [(5, 7), (1, 3), (3, 3)])
def test_no_other_edge_is_lost_but_the_data_s_beside_them(size: tuple[int, int]) -> None:
    sharp, blurry = unsaturated_edges(clipped_at((10, 12)), *edges(size), size)
    assert int((sharp == 0).sum()) == size[0] * size[1]
    expected = torch.ones(1, 1, 21, 24)
    expected[..., 9:12, 11:14] = 0  # a difference of neighbours knows of both
    assert torch.equal(blurry, expected)


def test_edges_keep_their_values_and_a_clipped_channel_counts_for_all() -> None:
    sharp, blurry = (random(*one.shape, seed=4).float() for one in edges((3, 3), channels=6))
    clipped = clipped_at((1, 10, 12), channels=3)
    one, other = (
        unsaturated_edges(clipped, sharp, blurry, (3, 3)),
        unsaturated_edges(clipped.any(1, True), sharp, blurry, (3, 3)),
    )
    assert all(map(torch.equal, one, other))
    for given, left in zip((sharp, blurry), one, strict=True):
        assert torch.equal(left, given * (left != 0))
        assert (left == 0).sum() == 6 * 9


@pytest.mark.parametrize(("every", "left"), [(12, True), (8, False)])
def test_a_picture_that_would_lose_more_than_half_is_left_as_it_is(every: int, left: bool) -> None:
    """Lines of clipped data, each of which takes five rows away: of twelve, or of eight."""
    clipped = torch.zeros(1, 1, 40, 24, dtype=torch.bool)
    clipped[..., ::every, :] = True
    given = edges((5, 5), data=(40, 24))
    sharp, blurry = unsaturated_edges(clipped, *given, (5, 5))
    assert (float(sharp.min()) == float(blurry.min()) == 0) is left
    assert (torch.equal(sharp, given[0]) and torch.equal(blurry, given[1])) is not left


def test_each_picture_of_a_batch_is_decided_for_itself() -> None:
    clipped = torch.zeros(2, 1, 40, 24, dtype=torch.bool)
    clipped[0, :, ::8, :] = True  # would lose more than half
    clipped[1, :, 20, 12] = True
    sharp, blurry = (torch.cat([one, one]) for one in edges((5, 5), data=(40, 24)))
    sharp, blurry = unsaturated_edges(clipped, sharp, blurry, (5, 5))
    assert float(sharp[0].min()) == float(blurry[0].min()) == 1
    assert float(sharp[1].min()) == float(blurry[1].min()) == 0


@pytest.mark.parametrize("reach", [0, 1, 4, 30])
@pytest.mark.parametrize("dim", [-2, -1])
def test_a_mask_spreads_as_the_maximum_over_a_window(reach: int, dim: int) -> None:
    mask = (torch.rand(2, 1, 21, 17, generator=torch.Generator().manual_seed(reach)) < 0.05).float()
    window = (2 * reach + 1, 1) if dim == -2 else (1, 2 * reach + 1)
    padding = (reach, 0) if dim == -2 else (0, reach)
    assert torch.equal(dilated_along(mask, reach, dim), max_pool2d(mask, window, stride=1, padding=padding))
