"""The proximal map over images in [0, 1]: its minimum, and what convexity implies."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.l2 import GradientL2
from invkit.regularizers.tv import TotalVariation
from invkit.regularizers.wavelet_l1 import WaveletL1
from invkit.solvers.boxed_prox import WeightedTerm, boxed_prox, is_on_pixels, zero_duals

some = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**16)
steps = st.floats(-1, 2.5).map(lambda exponent: 10**exponent)
convex = st.sampled_from(
    [TotalVariation(smoothing=0.0), GradientL2(second=0.25), HyperLaplacian(power=1.0), WaveletL1()]
)
sums = st.lists(st.tuples(st.floats(0.1, 1), convex), min_size=1, max_size=2)


def images(seed: int, count: int) -> list[Tensor]:
    """Images of which a part lies outside [0, 1]."""
    draw = torch.Generator().manual_seed(seed)
    return [0.5 + torch.randn(1, 2, 8, 8, generator=draw, dtype=torch.float64) for _ in range(count)]


def mapped(image: Tensor, terms: list[WeightedTerm], step: float, iterations: int = 300) -> Tensor:
    return boxed_prox(image, terms, step, zero_duals(image, terms), iterations)[0]


def objective(candidate: Tensor, image: Tensor, terms: list[WeightedTerm], step: float) -> float:
    penalty = sum(weight * float(regularizer(candidate)) for weight, regularizer in terms)
    return step * penalty + float((candidate - image).square().sum()) / 2


@some
@given(seed=seeds, terms=sums, step=steps)
def test_no_image_in_the_range_is_better(seed: int, terms: list[WeightedTerm], step: float) -> None:
    image, other = images(seed, 2)
    found = mapped(image, terms, step)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    least = objective(found, image, terms, step)
    constant = image.mean((-2, -1), keepdim=True).expand_as(image).clamp(0, 1)
    for candidate in (other.clamp(0, 1), image.clamp(0, 1), constant):
        for share in (1.0, 0.1, 1e-3):
            value = objective(torch.lerp(found, candidate, share), image, terms, step)
            assert least <= value * (1 + 1e-4) + 1e-9  # the dual iterations end a little above the minimum


@some
@given(seed=seeds, terms=sums, step=steps)
def test_two_images_come_no_further_apart(seed: int, terms: list[WeightedTerm], step: float) -> None:
    one, other = images(seed, 2)
    apart = (mapped(one, terms, step) - mapped(other, terms, step)).norm()
    assert float(apart) <= float((one - other).norm()) * (1 + 1e-3)


@some
@given(seed=seeds, step=steps)
def test_dual_variables_of_another_step_are_a_better_start(seed: int, step: float) -> None:
    (image,) = images(seed, 1)
    terms: list[WeightedTerm] = [(0.5, TotalVariation(smoothing=0.0))]
    _, duals = boxed_prox(image, terms, step, zero_duals(image, terms), 300)
    warm, _ = boxed_prox(image, terms, 1.05 * step, duals, 3)
    cold, _ = boxed_prox(image, terms, 1.05 * step, zero_duals(image, terms), 3)
    exact = mapped(image, terms, 1.05 * step)
    assert float((warm - exact).norm()) <= float((cold - exact).norm()) + 1e-6


@some
@given(seed=seeds, terms=sums, step=steps)
def test_without_regularizers_or_in_the_range_nothing_is_added(
    seed: int, terms: list[WeightedTerm], step: float
) -> None:
    (image,) = images(seed, 1)
    assert torch.equal(mapped(image, [], step), image.clamp(0, 1))
    flat = torch.full_like(image, 0.4)
    torch.testing.assert_close(mapped(flat, terms, step), flat)  # each of these penalties is zero there


def test_only_pixels_alone_have_no_dual_variables() -> None:
    wavelets, variation = (1.0, WaveletL1()), (1.0, TotalVariation())
    assert is_on_pixels([wavelets])
    assert not zero_duals(torch.zeros(1, 1, 4, 4), [wavelets])
    assert [dual.shape for dual in zero_duals(torch.zeros(1, 1, 4, 4), [wavelets, variation])] == [
        (1, 1, 1, 4, 4),
        (2, 1, 1, 4, 4),
    ]
