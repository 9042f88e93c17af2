"""Richardson-Lucy block by block: the blocks cover a stack, and the image is that of the whole up to rounding."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from deconvolution import saved_after
from hypothesis import given
from hypothesis import strategies as st

from invkit.core.problem import Problem, Term
from invkit.core.solver import Observer, State, StopSolve
from invkit.fidelities.poisson import GaussianPoisson, Poisson
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownStackKernel
from invkit.numerics.geometry import shape_of
from invkit.operators.stack_convolution import StackConvolution
from invkit.regularizers.stack_tv import StackTotalVariation
from invkit.solvers.richardson_lucy import RichardsonLucy
from invkit.solvers.stack_blocks import WHOLE, Block, block_counts, blocks_of, spans, voxels_read
from invkit.testing.common import drawn

DATA, KERNEL, MOST = (13, 22, 19), (5, 4, 3), 12 * 14 * 13


def counts(batch: int = 1, padding: str = "valid", dtype: torch.dtype = torch.float64, photons: float = 80) -> Problem:
    """Cubes of light, blurred, with the noise of photons; the kernel is not symmetric."""
    draw = torch.Generator().manual_seed(0)
    taps = drawn((1, *KERNEL), 3, dtype) ** 2
    taps = taps / taps.sum()
    operator = StackConvolution(padding=padding)  # type: ignore[arg-type]
    shape = operator.image_shape((batch, *DATA), (1, *KERNEL))
    scene = torch.full(shape, 0.02, dtype=dtype)
    for place in itertools.product(range(2, 14, 5), range(2, 20, 6), range(3, 18, 6)):
        scene[(slice(None), *(slice(first, first + 3) for first in place))] = 0.4 + 0.1 * (sum(place) % 5)
    data = torch.poisson(operator(scene, taps).clamp(min=0) * photons, draw) / photons
    prior = Pixels(shape, initial="grey", range=(0.0, float("inf"))).to(dtype)
    known = KnownStackKernel(shape_of(taps), taps).to(dtype)
    known.value.copy_(taps)  # the prior was built in float32
    return Problem(data, operator, prior, known, Poisson())


def solved(problem: Problem, **settings: Any) -> Any:
    return RichardsonLucy(**{"iterations": 30, **settings}).solve(problem)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"stop": "poisson"},
    {"stop": "gaussian", "sigma": 0.06},
    {"acceleration": False},
    {"gamma": 1.3},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_blocks_give_the_image_of_the_whole_also_at_their_seams(settings: dict[str, Any]) -> None:
    """Every voxel, so those at seams too. Only the order of sums differs, 1e-16 of each, amplified by 30 steps."""
    problem = counts()
    assert len(blocks_of(problem, MOST)) >= 8
    whole, blocks = solved(problem, **settings), solved(problem, block_voxels=MOST, **settings)
    assert blocks.iterations == whole.iterations
    assert blocks.stopped == whole.stopped
    torch.testing.assert_close(blocks.image, whole.image, rtol=1e-9, atol=1e-11)
    assert blocks.history == pytest.approx(whole.history, rel=1e-9)
    assert (whole.image - problem.image_prior().detach()).abs().max() > 0.1  # the solve changed it


def test_a_stop_is_decided_for_each_stack_as_a_whole() -> None:
    """Two stacks of a batch stop at different steps; blocks of one stack do not."""
    problem = counts(batch=2)
    problem = replace(problem, data=torch.cat([problem.data[:1], counts(photons=1000).data]))
    whole, blocks = (solved(problem, stop="poisson", iterations=60, **more) for more in ({}, {"block_voxels": MOST}))
    assert whole.stopped == blocks.stopped == "converged"
    torch.testing.assert_close(blocks.image, whole.image, rtol=1e-8, atol=1e-10)
    steps = []
    for index in range(2):
        single = replace(counts(), data=problem.data[index : index + 1])
        alone = solved(single, stop="poisson", iterations=60)
        steps.append(alone.iterations)
        torch.testing.assert_close(whole.image[index : index + 1], alone.image, rtol=1e-8, atol=1e-10)
    assert 2 < steps[0] < steps[1]  # the first one has momentum, and waits for the other without a change


def test_unknown_voxels_count_in_no_block() -> None:
    problem = counts()
    measured = torch.ones_like(problem.data)
    measured[:, 4:7, 8:13, 6:12] = 0
    problem = replace(problem, weights=measured)
    whole, blocks = (solved(problem, stop="poisson", **more) for more in ({}, {"block_voxels": MOST}))
    torch.testing.assert_close(blocks.image, whole.image, rtol=1e-8, atol=1e-10)
    other = replace(problem, data=torch.where(measured > 0, problem.data, 0.7))
    torch.testing.assert_close(solved(other, block_voxels=MOST).image, solved(problem, block_voxels=MOST).image)


def test_regularizers_and_read_noise_are_those_of_the_whole() -> None:
    problem = replace(
        counts(), fidelity=GaussianPoisson(read_noise=0.02), regularizers=[Term(StackTotalVariation(), 1e-5)]
    )
    whole, blocks = (solved(problem, **more) for more in ({}, {"block_voxels": MOST}))
    torch.testing.assert_close(blocks.image, whole.image, rtol=1e-8, atol=1e-10)


def test_a_periodic_stack_is_not_split() -> None:
    problem = counts(padding="circular")
    assert blocks_of(problem, MOST) == [WHOLE]
    assert solved(problem, block_voxels=MOST).history == solved(problem).history


def test_a_saved_state_continues_to_the_same_bits() -> None:
    problem, solver = counts(dtype=torch.float32), RichardsonLucy(iterations=9, block_voxels=MOST)
    whole = solver.solve(problem)
    resumed = solver.solve(problem, resume=saved_after(solver, problem, 4))
    assert torch.equal(torch.as_tensor(resumed.image), torch.as_tensor(whole.image))
    assert resumed.history == whole.history


class Stop(Observer):
    """Ends a solve after three steps."""

    def stepped(self, problem: Problem, state: State) -> None:
        if state.iteration == 3:
            raise StopSolve


def test_a_solve_that_is_stopped_has_the_image_of_its_steps() -> None:
    problem = counts()
    early = RichardsonLucy(iterations=30, block_voxels=MOST).solve(problem, observers=[Stop()])
    assert (early.stopped, early.iterations) == ("observer", 3)
    torch.testing.assert_close(early.image, solved(problem, iterations=3).image, rtol=1e-9, atol=1e-11)


def test_a_solve_in_blocks_says_that_it_needs_less_memory() -> None:
    problem = counts()
    whole, blocks = (RichardsonLucy(block_voxels=most).memory_needed(problem) for most in (2**24, MOST))
    voxels = problem.image_prior().numel()
    assert whole == 8 * (6 + 16) * voxels
    assert 8 * 6 * voxels < blocks < whole
    smooth = replace(problem, regularizers=(Term(StackTotalVariation(), 1e-3),))
    assert RichardsonLucy(block_voxels=MOST).memory_needed(smooth) == blocks + 8 * 30 * voxels


@given(side=st.integers(1, 40), count=st.integers(1, 40), taps=st.integers(1, 9))
def test_spans_cover_a_line_once_and_read_what_they_need(side: int, count: int, taps: int) -> None:
    found = spans(side, min(count, side), taps)
    line, image = list(range(side)), list(range(side + taps - 1))
    assert sum(([*range(a, a + n)] for a, n in (one.counted for one in found)), []) == line  # noqa: RUF017 - few
    assert sum(([*range(a, a + n)] for a, n in (one.core for one in found)), []) == image  # noqa: RUF017 - few
    assert len({one.image[1] for one in found}) == 1
    for one in found:
        first, last = one.data[0], sum(one.data) - 1
        assert 0 <= first <= last < side
        assert one.image == (first, one.data[1] + taps - 1)
        assert first <= max(0, one.core[0] - taps + 1)  # data that a voxel of the core reaches, down to the border
        assert last >= min(side - 1, sum(one.core) - 1)
        assert one.counted[0] >= first
        assert sum(one.counted) <= last + 1


@given(data=st.tuples(*[st.integers(1, 60)] * 3), taps=st.tuples(*[st.integers(1, 7)] * 3), most=st.integers(50, 40000))
def test_blocks_are_small_enough_if_they_can_be(
    data: tuple[int, int, int], taps: tuple[int, int, int], most: int
) -> None:
    found = block_counts(data, taps, most)
    assert all(1 <= count <= side for count, side in zip(found, data, strict=True))
    if voxels_read(data, taps, found) > most:  # every split reads as much again
        for axis in range(3):
            finer = [count + (axis == other) for other, count in enumerate(found)]
            possible = finer[axis] <= data[axis]
            assert not possible or voxels_read(data, taps, finer) >= voxels_read(data, taps, found)


def test_the_whole_is_a_block_without_spans() -> None:
    value = drawn((1, 3, 4, 5))
    for part in (Block().image_of, Block().data_of, Block().core_of, Block().core_within, Block().counted_within):
        assert part(value) is value
    assert Block().share(value) == 1.0
    assert sum(one.share(drawn((1, *DATA))) for one in blocks_of(counts(), MOST)) == pytest.approx(1)
