"""Motion path, Zernike lens and trained generator: known values, where they start, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.resources import files
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from torch import Tensor

from invkit.core.errors import InputError
from invkit.core.interfaces import KernelPrior
from invkit.kernel_priors import generative
from invkit.kernel_priors.generative import GENERATOR_SIDE, LATENT_SIZE, GenerativeKernel, trained_weights
from invkit.kernel_priors.motion_path import SPLINE_DEGREE, MotionPath
from invkit.kernel_priors.zernike import ZernikeKernel, noll, zernike
from invkit.metrics.kernel_similarity import kernel_similarity
from invkit.numerics.framing import centroid
from invkit.numerics.geometry import Shape, centre
from invkit.testing import assert_kernel, check_kernel_prior

Component: TypeAlias = type[MotionPath | ZernikeKernel | GenerativeKernel]
Floats: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

CLASSES = [MotionPath, ZernikeKernel, GenerativeKernel]


def fit(prior: KernelPrior, target: Tensor, steps: int, rate: float) -> float:
    """The similarity to a kernel after descending the Kullback-Leibler divergence from it."""
    optimizer = torch.optim.Adam(prior.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (-(target * (prior() + 1e-9).log()).sum()).backward()
        optimizer.step()
    return kernel_similarity(prior()[0, 0].detach().numpy(), target[0, 0].numpy())


@pytest.mark.parametrize("component", CLASSES)
def test_has_every_property_of_a_kernel_prior(component: Component) -> None:
    check_kernel_prior(component)


@pytest.mark.parametrize("component", CLASSES)
def test_kernels_of_other_precisions_do_not_mix(component: Component) -> None:
    prior = component((1, 1, 9, 8))
    expected = prior()
    found = prior.double()()
    assert torch.allclose(found.float(), expected, atol=1e-5)  # rounding of float32 in a few hundred sums


@pytest.mark.parametrize("component", CLASSES)
def test_another_batch_is_refused(component: Component) -> None:
    with pytest.raises(InputError, match="height and width only"):
        component((1, 1, 9, 9)).resized((2, 1, 9, 9), 1.0)


def straight(prior: MotionPath, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Give a path the control points of a straight line run through at a constant speed, in shares of the support."""
    points = prior.coordinates.shape[1]
    inner = torch.linspace(0, 1, points - SPLINE_DEGREE + 1)
    knots = torch.cat([torch.zeros(SPLINE_DEGREE), inner, torch.ones(SPLINE_DEGREE)])
    abscissae = [knots[1 + i : 1 + i + SPLINE_DEGREE].mean() for i in range(points)]  # Greville's
    share = torch.stack(abscissae)[:, None]
    line = (1 - share) * torch.tensor(start) + share * torch.tensor(end)
    with torch.no_grad():
        prior.coordinates.copy_(torch.atanh(line))


class TestMotionPath:
    def test_at_rest_it_is_a_spot_in_the_middle(self) -> None:
        prior = MotionPath((1, 1, 9, 9), width=1.1)
        torch.nn.init.zeros_(prior.coordinates)
        squares = (torch.arange(9) - 4.0).square()
        assert torch.allclose(prior()[0, 0], gaussian(squares, 1.1), atol=1e-6)

    def test_control_points_of_a_line_give_a_line_at_constant_speed(self) -> None:
        prior = MotionPath((1, 1, 31, 31), width=1.0, exposure="uniform")
        straight(prior, (-0.4, -0.6), (0.4, 0.6))
        path = prior.path()[0].detach()
        steps = path.diff(dim=0)
        assert torch.allclose(steps, steps[:1].expand_as(steps), atol=1e-4)  # rounding of float32 at 20 pixels
        moments = second_moments(prior()[0, 0].detach())
        lengths = torch.tensor([12.0, 18.0])  # of the line: shares of 15 pixels
        assert torch.allclose(moments, lengths.square() / 12 + 1, rtol=0.01)  # sampled at finitely many times

    def test_exposure_moves_the_light_along_the_path(self) -> None:
        prior = MotionPath((1, 1, 31, 31))
        straight(prior, (0.0, -0.6), (0.0, 0.6))
        assert abs(float(centroid(prior().detach())[0, 0, 1])) < 1e-3
        assert prior.log_exposure is not None
        with torch.no_grad():
            prior.log_exposure[:, -1] = 20
        assert float(centroid(prior().detach())[0, 0, 1]) > 6

    def test_without_free_exposure_there_is_no_such_unknown(self) -> None:
        names = dict(MotionPath((1, 1, 9, 9), exposure="uniform").named_parameters())
        assert sorted(names) == ["coordinates", "log_width"]

    def test_starts_about_the_middle_with_the_extent_asked_for(self) -> None:
        prior = MotionPath((3, 1, 41, 41), extent=0.2, points=20)
        shares = torch.tanh(prior.coordinates.detach())
        assert torch.allclose(shares.mean(1), torch.zeros(3, 2), atol=1e-6)
        assert torch.allclose(shares.square().mean((1, 2)).sqrt(), torch.full((3,), 0.2), atol=1e-6)

    def test_resized_its_path_is_enlarged_about_the_centre_pixel(self) -> None:
        prior = MotionPath((1, 1, 12, 15))
        finer = prior.resized((1, 1, 25, 30), 2.0)
        old = prior.path() - torch.tensor(centre((12, 15)))
        new = finer.path() - torch.tensor(centre((25, 30)))
        picked = new[:, ::5].detach()  # other numbers of times: compare the ends and the mean
        assert torch.allclose(new.mean(1), 2 * old.mean(1), atol=1e-2)
        assert torch.allclose(picked.amax(1), 2 * old.amax(1), atol=0.5)

    def test_reaches_a_path_near_its_own(self) -> None:
        target = MotionPath((1, 1, 21, 21), seed=3, extent=0.4, width=0.6)
        prior = MotionPath((1, 1, 21, 21), seed=3, extent=0.4)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            prior.coordinates.add_(0.1 * torch.randn(prior.coordinates.shape, generator=generator))  # one pixel
        assert fit(prior, target().detach(), steps=150, rate=0.02) > 0.98

    @pytest.mark.parametrize("wrong", [{"points": 3}, {"width": 0.1}, {"extent": 1.0}, {"exposure": "none"}])
    def test_wrong_parameters_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InputError):
            MotionPath((1, 1, 9, 9), **wrong)


def gaussian(squares: Tensor, width: float) -> Tensor:
    """The Gaussian of squared distances along two sides, scaled to sum one."""
    side = torch.softmax(-squares / (2 * width**2), dim=0)
    return side[:, None] * side


def second_moments(kernel: Tensor) -> Tensor:
    """Variances along rows and columns, pixels squared."""
    moments = []
    for dim, side in enumerate(kernel.shape):
        weights, position = kernel.sum(1 - dim), torch.arange(float(side))
        moments.append((weights * position.square()).sum() - (weights * position).sum() ** 2)
    return torch.stack(moments)


NOLL_TABLE = [
    (0, 0), (1, 1), (1, -1), (2, 0), (2, -2), (2, 2), (3, -1), (3, 1), (3, -3), (3, 3), (4, 0), (4, 2), (4, -2), (4, 4),
    (4, -4),
]  # fmt: skip


class TestZernike:
    def test_indices_are_those_of_nolls_table(self) -> None:
        assert [noll(j) for j in range(1, 16)] == NOLL_TABLE

    def test_indices_are_those_of_deepinv(self) -> None:
        from deepinv.physics.generator.zernike import Zernike

        assert [noll(j) for j in range(1, 67)] == [Zernike.index_conversion(j, convention="noll") for j in range(1, 67)]

    def test_polynomials_are_orthonormal_over_the_disc(self) -> None:
        nodes, weights = np.polynomial.legendre.leggauss(20)  # exact for the products' degrees
        radius, parts = torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
        angle = 2 * math.pi * torch.arange(40, dtype=torch.float64) / 40
        x, y = radius[:, None] * torch.cos(angle), radius[:, None] * torch.sin(angle)
        area = (parts * radius)[:, None] * 2 / 40  # its integral over the disc is one
        values = torch.stack([zernike(*noll(j), x, y) for j in range(1, 37)])
        products = torch.einsum("irt,jrt,rt->ij", values, values, area.expand(20, 40))
        assert torch.allclose(products, torch.eye(36, dtype=torch.float64), atol=1e-12)

    @pytest.mark.parametrize("cutoff", [0.4, 1.0, 3.0])
    def test_without_aberrations_it_is_the_airy_pattern(self, cutoff: float) -> None:
        from scipy.special import j1

        size, points = 21, 64
        within = (np.arange(points * size) + 0.5) / points - 0.5 - size // 2
        radius = np.hypot(within[:, None], within)
        argument = 2 * np.pi * (cutoff / 4) * radius  # the pupil's radius is a quarter of the cutoff in cycles a pixel
        airy = (2 * j1(argument) / argument) ** 2
        expected = airy.reshape(size, points, size, points).mean((1, 3))
        found = ZernikeKernel((1, 1, size, size), defocus=0.0, cutoff=cutoff)()[0, 0].detach().numpy()
        # The pupil has 32 to 63 cells across, and a pixel 2 or 3 points.
        assert kernel_similarity(found, expected) > 0.998
        assert np.unravel_index(found.argmax(), found.shape) == centre((size, size))

    def test_is_what_deepinv_computes_for_a_well_sampled_lens(self) -> None:
        from deepinv.physics.generator import DiffractionBlurGenerator

        radians = torch.tensor([[0.5, 0.3, -0.4, 0.2, 0.3, -0.2, 0.1, 0.3]])
        lens = DiffractionBlurGenerator((31, 31), fc=0.1)  # its pupil's radius, cycles per pixel
        expected = lens.step(coeff=radians / (2 * math.pi))["filter"]
        prior = ZernikeKernel((1, 1, 31, 31), cutoff=0.4)
        with torch.no_grad():
            prior.coefficients.copy_(radians)
        found = prior().detach()
        truth = expected[0, 0].numpy()
        shown = {name: kernel_similarity(turn(found)[0, 0].numpy(), truth) for name, turn in TURNS.items()}
        # deepinv orders the axes differently, has the opposite sign in its transform and another edge of the pupil
        assert max(shown.values()) > 0.995
        assert sorted(shown.values())[-2] < 0.99

    @pytest.mark.parametrize(("radius", "cutoff"), [(4.0, 8.0), (6.0, 8.0)])
    def test_a_large_defocus_is_a_disc_of_the_radius_of_geometrical_optics(self, radius: float, cutoff: float) -> None:
        size = 21
        prior = ZernikeKernel((1, 1, size, size), defocus=radius * math.pi * cutoff / (8 * math.sqrt(3)), cutoff=cutoff)
        found = prior()[0, 0].detach().numpy()
        assert kernel_similarity(found, disc(size, radius)) > 0.97  # the rest is Fresnel's rings
        others = [kernel_similarity(found, disc(size, other)) for other in (radius - 0.75, radius + 0.75)]
        assert max(others) < kernel_similarity(found, disc(size, radius))

    def test_passes_no_frequency_above_the_cutoff(self) -> None:
        kernel = ZernikeKernel((1, 1, 64, 64), defocus=0.5, cutoff=0.5)()[0, 0].detach()
        spectrum = torch.fft.fft2(kernel).abs()
        frequency = torch.fft.fftfreq(64)
        beyond = torch.hypot(frequency[:, None], frequency) > 0.27  # the cutoff is at 0.25 cycles per pixel
        assert float(spectrum[beyond].max()) < 3e-3  # the light outside the support is missing

    def test_starts_with_the_defocus_alone(self) -> None:
        coefficients = ZernikeKernel((2, 1, 9, 9), modes=3, defocus=-0.7).coefficients
        assert coefficients.tolist() == pytest.approx(np.array([[-0.7, 0, 0]] * 2))

    def test_resized_the_lens_stays_and_the_pixels_change(self) -> None:
        prior = ZernikeKernel((1, 1, 15, 15), defocus=2.0, cutoff=4.0)
        finer = prior.resized((1, 1, 45, 45), 3.0)
        binned = torch.nn.functional.avg_pool2d(finer(), 3) * 9  # three by three pixels lie in each of the old
        assert torch.equal(prior.coefficients, finer.coefficients)
        assert kernel_similarity(binned[0, 0].detach().numpy(), prior()[0, 0].detach().numpy()) > 0.999

    def test_finds_the_aberrations_of_another(self) -> None:
        target = ZernikeKernel((1, 1, 15, 15), defocus=1.2)
        with torch.no_grad():
            target.coefficients[0, 1:4] = torch.tensor([0.3, -0.2, 0.4])
        prior = ZernikeKernel((1, 1, 15, 15), defocus=0.5)
        assert fit(prior, target().detach(), steps=200, rate=0.02) > 0.999

    @pytest.mark.parametrize("wrong", [{"modes": 0}, {"cutoff": 0.0}, {"cutoff": 17.0}, {"defocus": math.inf}])
    def test_wrong_parameters_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InputError):
            ZernikeKernel((1, 1, 9, 9), **wrong)


TURNS: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda k: k,
    "turned": lambda k: k.flip((2, 3)),
    "transposed": lambda k: k.mT,
    "both": lambda k: k.mT.flip((2, 3)),
}


def disc(size: int, radius: float, points: int = 16) -> Floats:
    """A uniform disc about the centre pixel, each pixel the mean of many points."""
    within = (np.arange(points * size) + 0.5) / points - 0.5 - size // 2
    inside = np.hypot(within[:, None], within) <= radius
    means: Floats = inside.reshape(size, points, size, points).mean((1, 3))
    return means


class TestGenerative:
    def test_ships_few_finite_half_precision_weights(self) -> None:
        weights = trained_weights()
        assert all(value.dtype == np.float16 and np.isfinite(value).all() for value in weights.values())
        assert sum(value.size for value in weights.values()) <= 60_000
        file = files("invkit.kernel_priors") / generative.GENERATOR_WEIGHTS
        assert len(file.read_bytes()) <= 300_000

    def test_only_latents_and_width_are_unknowns(self) -> None:
        prior = GenerativeKernel((2, 1, 9, 9))
        assert {name: tuple(p.shape) for name, p in prior.named_parameters()} == {
            "latent": (2, LATENT_SIZE),
            "log_width": (2, 1, 1),
        }

    def test_the_weights_of_two_are_apart(self) -> None:
        first, second = GenerativeKernel((1, 1, 9, 9)), GenerativeKernel((1, 1, 9, 9))
        expected = second().detach()
        for buffer in first.buffers():
            buffer.zero_()
        assert torch.equal(second(), expected)
        assert not torch.equal(first(), expected)

    def test_without_spread_it_starts_at_the_generators_middle(self) -> None:
        kernels = GenerativeKernel((2, 1, 9, 9), spread=0.0)()
        assert torch.allclose(kernels[0], kernels[1], atol=1e-7)  # rounding of float32

    def test_latents_far_beyond_those_of_training_change_nothing_more(self) -> None:
        prior = GenerativeKernel((1, 1, 9, 9), spread=0.0)
        kernels = []
        for value in (1e3, 1e4):
            torch.nn.init.constant_(prior.latent, value)
            kernels.append(prior().detach())
        assert torch.equal(*kernels)

    @pytest.mark.parametrize("shape", [(1, 1, 33, 33), (1, 1, 66, 33)])
    def test_its_frame_is_stretched_to_the_support(self, shape: Shape) -> None:
        prior = GenerativeKernel(shape, spread=1.0, seed=2)
        square = GenerativeKernel((1, 1, GENERATOR_SIDE, GENERATOR_SIDE), spread=1.0, seed=2)
        stretch = torch.tensor([shape[2] / GENERATOR_SIDE, shape[3] / GENERATOR_SIDE])
        assert_kernel(prior(), shape)
        # a wide spot at the border of the support is cut there
        assert torch.allclose(centroid(prior())[0, 0], stretch * centroid(square())[0, 0], atol=0.1)

    def test_gives_motion_kernels_that_it_has_not_seen(self) -> None:
        from deepinv.physics.generator import MotionBlurGenerator

        rng = torch.Generator().manual_seed(987)
        unseen = MotionBlurGenerator((GENERATOR_SIDE, GENERATOR_SIDE), rng=rng, n_steps=4000).step(2)["filter"]
        for kernel in unseen[:, None]:
            prior = GenerativeKernel((1, 1, GENERATOR_SIDE, GENERATOR_SIDE), spread=0.0, width=0.35)
            assert fit(prior, kernel, steps=150, rate=0.05) > 0.8

    @pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"spread": -1.0}, {"width": 0.0}])
    def test_wrong_parameters_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InputError):
            GenerativeKernel((1, 1, 9, 9), **wrong)
