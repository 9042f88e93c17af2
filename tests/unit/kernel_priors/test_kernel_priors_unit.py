"""Kernel priors: known values, where they start, and what they refuse."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias, cast

import pytest
import torch
from torch import Tensor, nn

from invkit.core.errors import InputError
from invkit.core.interfaces import KernelPrior
from invkit.kernel_priors.gaussian import GaussianKernel
from invkit.kernel_priors.known import KnownKernel
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.numerics.framing import centroid
from invkit.numerics.geometry import Shape, centre
from invkit.testing import assert_kernel
from invkit.testing.common import drawn

Parametrization: TypeAlias = Literal["softmax", "projection"]


def random_kernel(shape: Shape, seed: int = 0) -> Tensor:
    kernel = drawn(shape, seed)
    return kernel / kernel.sum((1, 2, 3), keepdim=True)


def fit(prior: KernelPrior, target: Tensor, steps: int = 400, rate: float = 0.05) -> Tensor:
    optimizer = torch.optim.Adam(prior.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (1e3 * (prior() - target).square().sum()).backward()
        optimizer.step()
    fitted: Tensor = prior().detach()
    return fitted


def layers_of(prior: SoftmaxFCN) -> list[nn.Module]:
    return list(prior.networks[0].children())


class TestSoftmaxFCN:
    @pytest.mark.parametrize(("size", "count"), [(11, 322_121), (13, 370_169), (27, 930_729)])
    def test_has_the_papers_number_of_parameters(self, size: int, count: int) -> None:
        assert sum(p.numel() for p in SoftmaxFCN((1, 1, size, size)).parameters()) == count

    @pytest.mark.parametrize(
        ("layers", "count"),
        [(0, 201 * 121), (1, 201 * 1000 + 1001 * 121), (2, 201 * 1000 + 1001 * 1000 + 1001 * 121)],
    )
    def test_k_minus_and_k_plus_have_no_and_two_hidden_layers(self, layers: Any, count: int) -> None:
        assert sum(p.numel() for p in SoftmaxFCN((1, 1, 11, 11), layers=layers).parameters()) == count

    def test_latent_is_uniform_up_to_its_scale(self) -> None:
        latent = SoftmaxFCN((4, 1, 5, 5), latent_size=500, latent_scale=0.1).latent
        assert latent.shape == (4, 500)
        assert 0 <= latent.min() < 0.01
        assert 0.09 < latent.max() <= 0.1
        assert abs(float(latent.mean()) - 0.05) < 0.003  # five standard errors of 2000 draws

    def test_weights_start_within_the_reciprocal_root_of_the_inputs(self) -> None:
        first, _, last = layers_of(SoftmaxFCN((1, 1, 5, 5)))
        for layer in (first, last):
            assert isinstance(layer, nn.Linear)
            bound = 1 / math.sqrt(layer.in_features)
            assert 0.99 * bound < float(layer.weight.detach().abs().max()) <= bound

    def test_each_kernel_of_a_batch_has_the_network_of_one_alone_with_the_next_seed(self) -> None:
        prior = SoftmaxFCN((3, 1, 5, 5), hidden=50, seed=4)
        alone = [SoftmaxFCN((1, 1, 5, 5), hidden=50, seed=seed) for seed in (4, 5, 6)]
        assert torch.equal(prior(), torch.cat([one() for one in alone]))
        prior()[1].square().sum().backward()
        moved = [bool(next(network.parameters()).grad is not None) for network in prior.networks]
        assert moved == [True, True, True]
        gradients = [list(network.parameters())[-1].grad for network in prior.networks]
        assert [gradient is not None and bool(gradient.any()) for gradient in gradients] == [False, True, False]

    @pytest.mark.parametrize(
        ("activation", "module"),
        [("relu6", torch.nn.ReLU6), ("relu", torch.nn.ReLU), ("leaky-relu", torch.nn.LeakyReLU)],
    )
    def test_activation_is_the_one_named(self, activation: Any, module: type[nn.Module]) -> None:
        assert isinstance(layers_of(SoftmaxFCN((1, 1, 3, 3), hidden=5, activation=activation))[1], module)

    @pytest.mark.parametrize("wrong", [{"layers": 3}, {"hidden": 0}, {"activation": "tanh"}, {"width": 3}])
    def test_wrong_parameters_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InputError):
            SoftmaxFCN((1, 1, 3, 3), **wrong)

    def test_learns_a_kernel(self) -> None:
        target = random_kernel((1, 1, 5, 4))
        assert torch.allclose(fit(SoftmaxFCN((1, 1, 5, 4), hidden=50), target, rate=1e-2), target, atol=1e-3)

    def test_does_not_depend_on_the_default_device_of_torch(self) -> None:
        expected = SoftmaxFCN((1, 1, 3, 3))()
        with torch.device("meta"):
            moved = SoftmaxFCN((1, 1, 3, 3))
        assert torch.equal(moved(), expected)


class TestSimplexKernel:
    @pytest.mark.parametrize("parametrization", ["softmax", "projection"])
    def test_starts_uniform_without_a_kernel(self, parametrization: Parametrization) -> None:
        kernel = SimplexKernel((2, 1, 3, 4), parametrization=parametrization)()
        assert torch.allclose(kernel, torch.full((2, 1, 3, 4), 1 / 12), atol=1e-7)  # rounding of float32

    @pytest.mark.parametrize("parametrization", ["softmax", "projection"])
    def test_starts_at_the_kernel_given_whatever_its_sum(self, parametrization: Parametrization) -> None:
        start = random_kernel((2, 1, 5, 5))
        kernel = SimplexKernel((2, 1, 5, 5), 3 * start, parametrization=parametrization)()
        assert torch.allclose(kernel, start, atol=1e-6)

    @pytest.mark.parametrize(("parametrization", "rate"), [("softmax", 0.05), ("projection", 0.02)])
    def test_reaches_a_kernel_from_a_delta(self, parametrization: Parametrization, rate: float) -> None:
        """The pixels that start at zero must not stay there."""
        target, delta = random_kernel((1, 1, 5, 4)), torch.zeros(1, 1, 5, 4)
        delta[0, 0, 2, 2] = 1
        prior = SimplexKernel((1, 1, 5, 4), delta, parametrization=parametrization)
        assert torch.allclose(prior().detach(), delta, atol=1e-4)  # twenty pixels raised to 1e-6
        assert torch.allclose(fit(prior, target, steps=800, rate=rate), target, atol=1e-3)

    def test_projection_gives_exact_zeros(self) -> None:
        target = torch.zeros(1, 1, 5, 5)
        target[0, 0, 1:4, 2] = 1 / 3
        kernel = fit(SimplexKernel((1, 1, 5, 5), parametrization="projection"), target)
        assert torch.equal(kernel > 0, target > 0)

    @pytest.mark.parametrize(
        ("start", "said"),
        [
            (torch.ones(1, 1, 3, 4), "shape"),
            (-torch.ones(1, 1, 3, 3), "negative"),
            (torch.zeros(1, 1, 3, 3), "zero everywhere"),
            (torch.full((1, 1, 3, 3), float("nan")), "NaN"),
        ],
    )
    @pytest.mark.parametrize("prior", [SimplexKernel, KnownKernel])
    def test_unusable_kernels_are_refused(
        self, prior: type[SimplexKernel | KnownKernel], start: Tensor, said: str
    ) -> None:
        with pytest.raises(InputError, match=said):
            prior((1, 1, 3, 3), start)


class TestGaussianKernel:
    def test_is_the_sampled_gaussian_about_the_centre(self) -> None:
        kernel = GaussianKernel((1, 1, 7, 6), sigma=1.3)()[0, 0]
        weights = [[math.exp(-((i - 3) ** 2 + (j - 3) ** 2) / (2 * 1.3**2)) for j in range(6)] for i in range(7)]
        expected = torch.tensor(weights)
        assert torch.allclose(kernel, expected / expected.sum(), atol=1e-7)  # rounding of float32

    @pytest.mark.parametrize("size", [(5, 5), (6, 6), (4, 7)])
    @pytest.mark.parametrize("anisotropic", [False, True])
    def test_far_below_a_pixel_it_is_a_delta_at_the_centre(self, size: tuple[int, int], anisotropic: bool) -> None:
        kernel = GaussianKernel((1, 1, *size), sigma=1e-3, anisotropic=anisotropic)()
        expected = torch.zeros(1, 1, *size)
        expected[0, 0, centre(size)[0], centre(size)[1]] = 1
        assert torch.equal(kernel, expected)

    def test_far_above_the_support_it_is_uniform(self) -> None:
        assert torch.allclose(GaussianKernel((1, 1, 5, 5), sigma=1e6)(), torch.full((1, 1, 5, 5), 1 / 25), atol=1e-7)

    def test_second_moments_are_the_squared_widths_along_the_angle(self) -> None:
        prior = GaussianKernel((1, 1, 41, 41), sigma=2.0, anisotropic=True, elongation=2.25)
        with torch.no_grad():
            cast("Tensor", prior.angle).fill_(math.pi / 6)
        kernel = prior().detach()
        assert float(centroid(kernel).abs().max()) < 1e-5  # rounding of a sum of float32
        offsets = torch.arange(41) - 20.0
        along = offsets * math.cos(math.pi / 6) + offsets[:, None] * math.sin(math.pi / 6)
        across = offsets[:, None] * math.cos(math.pi / 6) - offsets * math.sin(math.pi / 6)
        moments = [float((kernel[0, 0] * axis.square()).sum()) for axis in (along, across)]
        assert moments == pytest.approx([9.0, 4 / 2.25], rel=1e-3)  # sampled, not integrated

    @pytest.mark.parametrize("anisotropic", [False, True])
    def test_finds_the_width_of_a_gaussian(self, anisotropic: bool) -> None:
        target = GaussianKernel((1, 1, 11, 11), sigma=1.2)().detach()
        prior = GaussianKernel((1, 1, 11, 11), sigma=2.5, anisotropic=anisotropic)
        fit(prior, target)
        assert prior.log_widths.detach().exp().flatten().tolist() == pytest.approx(
            [1.2] * (2 if anisotropic else 1), rel=1e-2
        )

    def test_each_kernel_of_a_batch_has_its_own_width(self) -> None:
        prior = GaussianKernel((2, 1, 5, 5))
        with torch.no_grad():
            prior.log_widths[1] = -9
        kernel = prior()
        assert float(kernel[0].detach().max()) < 0.2
        assert float(kernel[1].detach().max()) == 1


class TestKnownKernel:
    def test_gives_the_kernel_scaled_to_sum_one_and_has_no_unknowns(self) -> None:
        start = random_kernel((2, 1, 27, 26))
        prior = KnownKernel((2, 1, 27, 26), 7 * start.double())
        assert list(prior.parameters()) == []
        assert_kernel(prior(), (2, 1, 27, 26))
        assert torch.allclose(prior(), start, atol=1e-8)

    def test_later_changes_of_the_kernel_given_do_not_reach_it(self) -> None:
        start = random_kernel((1, 1, 3, 3))
        prior, before = KnownKernel((1, 1, 3, 3), start), start.clone()
        start.zero_()
        assert torch.allclose(prior(), before, atol=1e-7)

    def test_without_a_kernel_it_says_how_to_give_one(self) -> None:
        with pytest.raises(InputError, match=r"known.*--kernel FILE"):
            KnownKernel((1, 1, 3, 3))

    def test_without_a_kernel_a_single_pixel_is_one(self) -> None:
        assert torch.equal(KnownKernel((2, 1, 1, 1))(), torch.ones(2, 1, 1, 1))
