"""Deconvolution by tiles: the same as without, where it is to be, and as near as its docstring says elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from deconvolution import Padding, a_kernel, finished, made, random, saved_after, with_poisson
from hypothesis import given, settings
from hypothesis import strategies as st
from narrow import tensor

from invkit.core.errors import AssemblyError
from invkit.core.problem import Problem, Term
from invkit.core.solver import Observer, State
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.numerics.framing import crop_to_data
from invkit.operators.convolution import Convolution
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.adam import JointAdam
from invkit.solvers.admm import ADMM
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.pixel_state import PixelState
from invkit.solvers.richardson_lucy import RichardsonLucy
from invkit.solvers.tiles import Tiles, tile_windows
from invkit.testing import check_solver

SIGMA = 0.003
TV = [Term(TotalVariation(smoothing=0.0), 0.45 * SIGMA)]
SPARSE = [Term(HyperLaplacian(second=0.25, smoothing=0.0), 0.16 * SIGMA)]


def photograph(
    terms: list[Term] = TV,
    channels: int = 1,
    size: tuple[int, int] = (200, 180),
    dtype: torch.dtype = torch.float64,
    padding: Padding = "valid",
) -> tuple[torch.Tensor, Problem]:
    """Blurred blocks with noise; the sharp image under the data, and the problem."""
    kernel = a_kernel(size=(9, 8), dtype=dtype)
    shape = (size[0] + 8, size[1] + 7)
    image = torch.nn.functional.interpolate(random(1, channels, 20, 20, seed=1, dtype=dtype) * 0.8 + 0.1, size=shape)
    data = Convolution()(image, kernel)
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(2), dtype=dtype)
    data = (data + SIGMA * noise).clamp(0, 1)
    return crop_to_data(image, (9, 8), size), made(data, kernel, terms, padding)


def admm() -> ADMM:
    return ADMM(iterations=20, penalty=20.0)


def rms(difference: torch.Tensor) -> float:
    return float(difference.square().mean().sqrt())


def start_of(tiles: Tiles, problem: Problem) -> torch.Tensor:
    """The image from which tiles start."""
    state = tiles.start(problem)
    assert isinstance(state, PixelState)
    return state.image


def under_data(image: object) -> torch.Tensor:
    """The part of the image of a result that lies under the data."""
    return crop_to_data(tensor(image), (9, 8), (200, 180))


def beside_whole(tiles: Tiles, problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    """What lies under the data, without tiles and with them, both started from the same image."""
    assert isinstance(problem.image_prior, Pixels)
    start = problem.image_prior.assigned(start_of(tiles, problem))
    whole = admm().solve(replace(problem, image_prior=start)).image
    return under_data(whole), under_data(tiles.solve(problem).image)


every = pytest.mark.parametrize("terms", [TV, SPARSE], ids=["tv", "sparse"])


@every
def test_tiles_give_the_image_without_tiles_within_the_noise(terms: list[Term]) -> None:
    _, problem = photograph(terms)
    tiles = Tiles(inner=admm(), tile_size=64)
    assert tiles._counts(problem) == (3, 3)
    whole, tiled = beside_whole(tiles, problem)
    assert rms(tiled - whole) < SIGMA


@every
def test_with_more_overlap_they_are_within_half_of_it_and_no_seam_is_seen(terms: list[Term]) -> None:
    truth, problem = photograph(terms)
    tiles = Tiles(inner=admm(), tile_size=64, overlap=2.0)
    assert tiles._counts(problem) == (3, 3)
    whole, tiled = beside_whole(tiles, problem)
    assert rms(tiled - whole) < SIGMA / 2
    for dim in (-1, -2):  # the error along each line of pixels, of which some lie on seams
        without, within = ((x - truth).square().mean(dim).sqrt() for x in (whole, tiled))
        assert (within < 1.2 * without + SIGMA / 2).all()


def test_the_image_is_far_better_than_the_blurry_one() -> None:
    truth, problem = photograph()
    image = under_data(Tiles(inner=admm(), tile_size=64).solve(problem).image)
    assert rms(image - truth) < 0.5 * rms(problem.data - truth)


def test_one_tile_is_the_inner_solver_to_the_bit() -> None:
    _, problem = photograph(channels=3)
    tiles = Tiles(inner=admm(), separate_channels=True)
    ours, inner = tiles.solve(problem), admm().solve(problem)
    assert torch.equal(tensor(ours.image), tensor(inner.image))
    assert ours.history == inner.history
    assert tiles.steps(problem) == ours.iterations == 20


def test_channels_apart_are_channels_together_where_the_regularizer_takes_each_alone() -> None:
    _, problem = photograph(channels=3)
    together, apart = (
        Tiles(inner=admm(), tile_size=96, separate_channels=apart).solve(problem).image for apart in (False, True)
    )
    torch.testing.assert_close(apart, together, atol=1e-10, rtol=0)  # float64 rounding over 20 iterations


@pytest.mark.parametrize(("apart", "together", "steps"), [(False, 2, 5), (True, 2, 14), (True, 4, 7), (False, 1, 9)])
def test_steps_are_the_tiles_over_those_worked_on_at_once(apart: bool, together: int, steps: int) -> None:
    _, problem = photograph(channels=3)
    tiles = Tiles(inner=ADMM(iterations=1), tile_size=64, separate_channels=apart, parallel_tiles=together)
    assert tiles.steps(problem) == steps
    assert len(tiles.solve(problem).history) == steps


def test_how_many_are_worked_on_at_once_changes_no_bit_and_leaves_the_threads(
    torch_threads: Callable[[int], None],
) -> None:
    _, problem = photograph(dtype=torch.float32)
    torch_threads(1)
    tiles = (Tiles(inner=admm(), tile_size=64, parallel_tiles=n) for n in (1, 2, 9))
    one, two, nine = (tensor(each.solve(problem).image) for each in tiles)
    assert torch.get_num_threads() == 1
    assert torch.equal(one, two)
    assert torch.equal(one, nine)


class Stop(Observer):
    """Raises after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def stepped(self, problem: Problem, state: State) -> None:
        self.left -= 1
        self.image = state.estimate()[0].clone()
        state.converged = self.left == 0


def test_stopped_early_it_keeps_the_tiles_done() -> None:
    _, problem = photograph()
    tiles = Tiles(inner=admm(), tile_size=64, wiener_weight=0.0, parallel_tiles=1)
    begun, whole = problem.image_prior().detach(), tiles.solve(problem).image
    image = tensor(tiles.solve(problem, observers=[Stop(3)]).image)  # the upper row of tiles
    torch.testing.assert_close(image[..., :50, :], whole[..., :50, :], atol=1e-12, rtol=0)
    assert torch.equal(image[..., 90:, :], begun[..., 90:, :])


def test_resumed_it_goes_on_to_the_same_bits() -> None:
    _, problem = photograph(dtype=torch.float32)
    tiles = Tiles(inner=admm(), tile_size=64)
    whole = tiles.solve(problem)
    saved = saved_after(tiles, problem, 2)
    finished(tiles, problem)  # a solve in between leaves no trace
    for _ in range(2):
        resumed = tiles.solve(problem, resume=saved)
        assert torch.equal(tensor(resumed.image), tensor(whole.image))
        assert resumed.history == whole.history


def test_without_regularizers_tiles_start_from_the_image_prior() -> None:
    problem = with_poisson(photograph([])[1])
    tiles = Tiles(inner=RichardsonLucy(iterations=3), tile_size=64)
    assert torch.equal(start_of(tiles, problem), problem.image_prior())
    assert rms(tensor(tiles.solve(problem).image) - problem.image_prior().detach()) > 0.01


def test_a_border_that_tiles_do_not_have_is_refused_unless_there_is_one_tile() -> None:
    _, problem = photograph(padding="circular")
    with pytest.raises(AssemblyError, match="tiles needs an operator with padding valid"):
        Tiles(inner=admm(), tile_size=64).solve(problem)
    Tiles(inner=ADMM(iterations=1)).solve(problem)


def test_what_the_inner_solver_refuses_is_refused() -> None:
    _, problem = photograph([])
    with pytest.raises(AssemblyError, match="regularizers"):
        Tiles(inner=admm(), tile_size=64).solve(problem)


def test_a_solver_that_finds_another_kernel_is_refused() -> None:
    _, problem = photograph(size=(120, 110), dtype=torch.float32)
    free = SimplexKernel(problem.kernel_prior.shape, problem.kernel_prior())
    with pytest.raises(AssemblyError, match="JointAdam estimates another"):
        Tiles(inner=JointAdam(iterations=2, kernel_lr=0.1), tile_size=64).solve(replace(problem, kernel_prior=free))


@given(st.integers(40, 400), st.integers(1, 6), st.integers(1, 12), st.integers(1, 15))
@settings(deadline=None, max_examples=60)
def test_windows_are_equal_cover_the_line_and_their_shares_add_up_to_one(
    size: int, count: int, overlap: int, taps: int
) -> None:
    if size < 2 * overlap + count:  # more windows than `Tiles` asks for
        return
    parts = tile_windows(size, count, overlap, taps)
    total = torch.zeros(size + taps - 1, dtype=torch.float64)
    for (first, end), share in parts:
        assert 0 <= first < end <= size
        assert share.min() >= 0
        total[first : end + taps - 1] += share
    assert len({end - first for (first, end), _ in parts}) == 1
    torch.testing.assert_close(total, torch.ones_like(total))
    for ((_, end), _), ((first, _), _) in pairwise(parts):
        assert 2 * overlap - 1 <= end - first


def test_conformance() -> None:
    # Of 24x24 pixels one tile, and, forced, several whose results overlap.
    check_solver(Tiles)
    check_solver(Tiles, {"tile_size": 8, "overlap": 0.5})
    check_solver(Tiles, {"inner": "half-quadratic", "tile_size": 8, "overlap": 0.5, "separate_channels": True})


def test_half_quadratic_in_tiles() -> None:
    truth, problem = photograph()
    image = under_data(Tiles(inner=HalfQuadratic(), tile_size=96, overlap=2.0).solve(problem).image)
    assert rms(image - truth) < 0.6 * rms(problem.data - truth)
