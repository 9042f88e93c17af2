"""Solvers on counts of photons: the fidelities of admm, and when Richardson-Lucy stops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from deconvolution import a_kernel, blocks, finished, made, random, with_poisson
from narrow import tensor
from torch import Tensor

from invkit.core.errors import AssemblyError, InputError
from invkit.core.interfaces import Fidelity
from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import L1, MSE, Huber
from invkit.fidelities.poisson import GaussianPoisson, Poisson
from invkit.fidelities.ssim import SSIM
from invkit.numerics.noise import photon_gain
from invkit.operators.convolution import Convolution
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.admm import ADMM
from invkit.solvers.richardson_lucy import RichardsonLucy, RichardsonLucyState

WEIGHT, SMOOTHING = 0.02, 0.05
DARK = 0.5  # of white, so that no count is clipped


def counted(photons: float, batch: int = 1, read_noise: float = 0.0, size: tuple[int, int] = (60, 59)) -> Problem:
    """Dark blocks under a blur, counted by a sensor whose white is so many photons."""
    image, kernel = DARK * blocks(batch, size=size), a_kernel(batch)
    random, light = torch.Generator().manual_seed(4), Convolution()(image, kernel)
    counts = torch.poisson(photons * light, generator=random)
    counts = counts + read_noise * torch.randn(counts.shape, generator=random, dtype=counts.dtype)
    return made((counts / photons).clamp(0, 1), kernel)


def error(image: Any, problem: Problem) -> float:
    """The mean squared error of an image of `counted`."""
    truth = DARK * blocks(len(problem.data), size=(image.shape[-2], image.shape[-1]))
    return float((tensor(image) - truth).square().mean())


@pytest.mark.parametrize(
    "fidelity", [MSE(), Huber(threshold=0.05), Poisson(), GaussianPoisson(white_electrons=50, read_noise=2)], ids=repr
)
def test_admm_comes_to_the_minimum_of_the_objective(fidelity: Fidelity) -> None:
    """For circular blur its objective is the problem's; no small change of the image is lower to first order."""
    kernel, image = a_kernel(), blocks(size=(24, 23))
    noise = 0.1 * torch.rand(image.shape, generator=torch.Generator().manual_seed(0), dtype=image.dtype)
    data = (Convolution(padding="circular")(image, kernel) + noise).clamp(0.1, 1)
    penalty = TotalVariation(smoothing=SMOOTHING)
    problem = replace(made(data, kernel, [Term(penalty, WEIGHT)], "circular"), fidelity=fidelity)
    solved = finished(ADMM(iterations=1500, penalty=5.0), problem).image

    def objective(candidate: Tensor) -> Tensor:
        wrapped = torch.nn.functional.pad(candidate, (0, 1, 0, 1), mode="circular")
        across, down = wrapped[..., :-1, 1:] - candidate, wrapped[..., 1:, :-1] - candidate
        variation = penalty.penalty(torch.stack([across, down])[:, :, :, :, :])
        value: Tensor = problem.fidelity(problem.operator(candidate, kernel), data) + WEIGHT * variation
        return value.sum()

    free = solved.clone().requires_grad_()
    (slope,) = torch.autograd.grad(objective(free), free)
    start = data.clone().requires_grad_()
    (steep,) = torch.autograd.grad(objective(start), start)
    assert float(slope.norm()) < 2e-3 * float(steep.norm())


def test_admm_refuses_a_fidelity_without_a_proximal_map() -> None:
    with pytest.raises(AssemblyError, match="ADMM needs fidelity of type Separable, and SSIM is not"):
        ADMM().check(replace(made(blocks(), a_kernel(), [Term(TotalVariation(), WEIGHT)]), fidelity=SSIM()))


@pytest.mark.parametrize("fidelity", [L1(), Huber(threshold=0.03)], ids=repr)
def test_outliers_matter_less_than_in_squared_error(fidelity: Fidelity) -> None:
    """Each fidelity at its best weight: a larger one also suppresses outliers, but smooths the image."""
    image, kernel = blocks(size=(60, 61)), a_kernel()
    data = Convolution()(image, kernel)
    hit = torch.rand(data.shape, generator=torch.Generator().manual_seed(1)) < 0.05
    problem = made(torch.where(hit, 1.0, data), kernel)

    def least_error(one: Fidelity) -> float:
        errors = []
        for weight in (0.004, 0.016, 0.06, 0.1):
            term = Term(TotalVariation(smoothing=0), weight)
            solved = ADMM(iterations=60).solve(replace(problem, fidelity=one, regularizers=(term,)))
            errors.append(float((tensor(solved.image) - image).square().mean()))
        return min(errors)

    assert least_error(fidelity) < 0.5 * least_error(MSE())


def test_unknown_data_leave_the_split_image_free() -> None:
    problem = with_poisson(replace(counted(200), regularizers=(Term(TotalVariation(smoothing=0), 0.01),)))
    measured = torch.ones_like(problem.data, dtype=torch.bool)
    measured[..., 10:14, 5:30] = False
    images = [
        ADMM(iterations=5).solve(replace(problem, data=problem.data.masked_fill(~measured, value), weights=measured))
        for value in (0.0, 1.0)
    ]
    assert torch.equal(tensor(images[0].image), tensor(images[1].image))


# --- Richardson-Lucy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("photons", [30, 300])
@pytest.mark.parametrize("acceleration", [True, False])
def test_it_stops_before_it_fits_the_noise(photons: float, acceleration: bool) -> None:
    problem = with_poisson(counted(photons))
    whole = RichardsonLucy(iterations=400, acceleration=acceleration).solve(problem)
    stopped = RichardsonLucy(iterations=400, acceleration=acceleration, stop="poisson").solve(problem)
    assert (whole.stopped, stopped.stopped) == ("finished", "converged")
    assert error(stopped.image, problem) < 0.7 * error(whole.image, problem)


def test_noise_that_is_the_same_everywhere_has_a_rule_of_its_own() -> None:
    """The first iterate whose mean squared residual is at most the variance is the result."""
    image, kernel, sigma = blocks(size=(60, 59)), a_kernel(), 0.012
    data = Convolution()(image, kernel)
    data = data + sigma * torch.randn(data.shape, generator=torch.Generator().manual_seed(2), dtype=data.dtype)
    problem = with_poisson(made(data.clamp(0, 1), kernel))

    def state(steps: int, level: float) -> RichardsonLucyState:
        return finished(RichardsonLucy(iterations=steps, stop="gaussian", sigma=level, acceleration=False), problem)

    stopped = state(400, sigma)
    earlier = state(stopped.iteration - 2, 1e-9)  # the step that stops changes nothing
    now, before = (
        float((problem.operator(one.image, kernel) - problem.data).square().mean()) for one in (stopped, earlier)
    )
    assert stopped.converged
    assert now <= sigma**2 < before


def test_a_level_that_cannot_be_estimated_is_asked_for() -> None:
    problem, solver = with_poisson(counted(100)), RichardsonLucy(iterations=3, stop="gaussian")
    measured = torch.rand(problem.data[:1, :1].shape, generator=torch.Generator().manual_seed(1)) < 0.7
    with pytest.raises(
        InputError, match=r"a part of the data is unknown or has other weights.*give it as solver\.sigma"
    ):
        solver.solve(replace(problem, weights=measured))
    small = with_poisson(made(problem.data[..., :5, :5], a_kernel()))
    with pytest.raises(InputError, match=r"cannot be estimated.*give it as solver\.sigma"):
        solver.solve(small)


def test_the_level_is_the_one_given() -> None:
    problem = with_poisson(counted(1000))
    weak, strong = (
        finished(RichardsonLucy(iterations=300, stop="poisson", sigma=sigma), problem).iteration
        for sigma in (0.015, 0.03)
    )
    assert strong < weak < 300


def test_each_image_of_a_batch_stops_by_itself() -> None:
    problem = with_poisson(counted(60, batch=2))
    data = torch.cat([problem.data[:1], (0.3 * problem.data[1:]).clamp(0, 1)])
    problem = with_poisson(made(data, a_kernel(2)))
    both = finished(RichardsonLucy(iterations=100, stop="poisson"), problem).image
    for index in range(2):
        alone = with_poisson(made(data[index : index + 1], a_kernel(2)[index : index + 1]))
        expected = finished(RichardsonLucy(iterations=100, stop="poisson"), alone).image[0]
        assert torch.allclose(both[index], expected, atol=1e-9)


def test_read_noise_counts_when_the_fidelity_says_so() -> None:
    """In the dark, photons alone would be nearly without noise, and what the sensor adds would be fitted."""
    problem = counted(100, read_noise=6.0)
    dark = replace(problem, data=(0.2 * problem.data).clamp(0, 1))
    errors = [
        float(
            (finished(RichardsonLucy(iterations=60), replace(dark, fidelity=one)).image - 0.2 * blocks(size=(60, 59)))
            .square()
            .mean()
        )
        for one in (Poisson(), GaussianPoisson(white_electrons=100, read_noise=6.0))
    ]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("photons", [20, 200, 2000])
def test_the_value_of_a_photon_is_found_under_a_blur(photons: float) -> None:
    problem = counted(photons, size=(200, 210))
    assert float(photon_gain(problem.data)) == pytest.approx(1 / photons, rel=0.15)  # a hundred blocks and their edges


def test_pixels_that_are_not_measured_do_not_count_for_the_value_of_a_photon() -> None:
    problem, hidden = counted(100, size=(200, 210)), random(1, 1, 196, 207, seed=7) < 0.1
    filled = torch.where(hidden, problem.data.mean(), problem.data)
    assert float(photon_gain(filled, ~hidden)) == pytest.approx(float(photon_gain(problem.data)), rel=0.15)


def test_pictures_without_noise_or_light_or_pixels_have_photons_of_no_value() -> None:
    assert photon_gain(torch.full((2, 1, 40, 40), 0.5)).tolist() == pytest.approx([0, 0], abs=1e-9)
    assert photon_gain(torch.zeros(1, 1, 40, 40)).tolist() == [0]
    assert photon_gain(torch.ones(1, 3, 2, 40)).tolist() == [0]
