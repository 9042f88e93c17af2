"""The spread over kernels and over seeds, and when no further sample starts."""

from __future__ import annotations

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from invkit.core.result import Result
from invkit.pipeline.selection import ComparedKernel
from invkit.pipeline.spread import (
    Budget,
    Solved,
    Spread,
    candidate_kernels,
    drawn_kernels,
    registered,
    spread_of_kernels,
    spread_of_seeds,
)
from invkit.pipeline.stages import Stage
from invkit.recipes.model import load_recipe
from invkit.testing.common import drawn

CPU = torch.device("cpu")


def picture(seed: int = 0, side: int = 40) -> Tensor:
    """A smooth picture (1, 1, side, side), so that cubic interpolation hardly changes it."""
    return F.avg_pool2d(drawn((1, 1, side + 8, side + 8), seed), 9, 1)


def budget(limit: float | None = None) -> Budget:
    return Budget(CPU, threading.Event(), limit)


def line(length: int, side: int = 7) -> Tensor:
    """A horizontal line in the middle of a kernel."""
    kernel = torch.zeros(1, 1, side, side)
    kernel[..., side // 2, side // 2 - length // 2 : side // 2 - length // 2 + length] = 1 / length
    return kernel


def stage(data: Tensor, recipe: str = "wiener") -> Stage:
    return Stage(load_recipe(recipe), "rgb", data, None, 0.01, estimated=False, seed=0)


def solved(image: Tensor, kernel: Tensor) -> Solved:
    return stage(image), Result(image, kernel, (), "finished", 1, 0.0)


def test_seeds_give_the_deviation_of_images_that_lie_on_each_other() -> None:
    """The second solve has the same image, moved: the deviation is zero, but for the border and the interpolation."""
    first, kernel = picture(), line(3)
    moved = solved(first.roll((2, -1), (-2, -1)), kernel.roll((-2, 1), (-2, -1)))
    found = spread_of_seeds(solved(first, kernel), lambda seed: moved, 2, budget(), are_blurred=True)
    assert found is not None
    assert found.kernel is not None
    assert float(found.image[..., 4:-4, 4:-4].max()) < 1e-5
    assert float(found.kernel.max()) < 1e-6
    brighter = solved(first + 0.1, kernel)
    known = spread_of_seeds(solved(first, kernel), lambda seed: brighter, 2, budget(), are_blurred=False)
    assert known is not None
    assert known.kernel is None
    assert known.image.mean() == pytest.approx(0.1 / 2**0.5, rel=1e-3)  # of two values that differ by 0.1


def test_each_seed_is_another_one_and_a_stopped_solve_ends_them() -> None:
    seeds: list[int] = []

    def solve(seed: int) -> Solved | None:
        seeds.append(seed)
        return None if len(seeds) == 3 else solved(picture(seed), line(3))

    found = spread_of_seeds(solved(picture(), line(3)), solve, 9, budget(), are_blurred=False)
    assert found is not None
    assert (seeds, found.count) == ([1, 2, 3], 3)
    assert spread_of_seeds(solved(picture(), line(3)), lambda seed: None, 9, budget(), are_blurred=True) is None


def test_a_moved_restoration_is_moved_back_with_its_kernel() -> None:
    image, kernel = registered(picture().roll((1, 3), (-2, -1)), line(3).roll((-1, -3), (-2, -1)), picture())
    assert torch.allclose(image[..., 4:-4, 4:-4], picture()[..., 4:-4, 4:-4], atol=1e-5)
    assert torch.allclose(kernel.sum(), torch.ones(()))
    several = picture().expand(2, -1, -1, -1)
    assert registered(several, line(3), several)[0] is several


def test_candidates_count_by_their_scores_and_hopeless_ones_not_at_all() -> None:
    scores = (-20.0, -19.0, -5.0)
    found = candidate_kernels([ComparedKernel(line(n + 1), score) for n, score in enumerate(scores)])
    assert [kernel.count_nonzero().item() for _, kernel in found] == [1, 2]
    assert found[0][0] > found[1][0] > 0.01
    assert candidate_kernels([ComparedKernel(line(1), 0.0)]) == []


def test_drawn_kernels_are_kernels_with_the_given_variances() -> None:
    kernel, variances = torch.full((1, 1, 5, 5), 1 / 25), torch.full((1, 1, 5, 5), 1e-6)
    each = drawn_kernels(kernel, variances, 400, seed=1)
    assert sum(share for share, _ in each) == pytest.approx(1)
    stacked = torch.cat([one for _, one in each])
    assert torch.allclose(stacked.sum((1, 2, 3)), torch.ones(400), atol=1e-5)
    assert float(stacked.std(0).mean()) == pytest.approx(1e-3, rel=0.1)  # a sum of one takes 2 % of the variance


def test_equal_kernels_have_no_spread_and_others_have_one() -> None:
    data = stage(F.conv2d(picture(side=46), line(3)))
    same = spread_of_kernels(data, line(3), [(0.5, line(3)), (0.5, line(3))], budget())
    other = spread_of_kernels(data, line(3), [(0.5, line(3)), (0.5, line(5))], budget())
    assert same is not None
    assert other is not None
    assert other.kernel is not None
    assert float(same.image.max()) == 0
    assert float(other.image.max()) > 0.001
    assert 0.05 < float(other.kernel.max()) < 0.2  # without the motion onto the reference it would be 0.094
    assert spread_of_kernels(data, line(3), [], budget()) is None


def test_spreads_add_as_independent_ones() -> None:
    about, others = (Spread(torch.tensor([value]), None, 4, {name: 1}) for name, value in (("a", 3.0), ("b", 4.0)))
    whole = about.with_kernels(others)
    assert whole.image.item() == 5
    assert (whole.count, dict(whole.facts)) == (4, {"a": 1, "b": 1})


def test_no_sample_starts_after_ctrl_c_or_the_time_limit() -> None:
    assert not budget().is_over()
    late, asked = budget(0.0), budget()
    assert late.is_over()
    assert late.stop == "time limit"
    asked.interrupted.set()
    assert asked.is_over()
    assert asked.stop == "interrupted"
