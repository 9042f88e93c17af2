"""Priors that can be set to a value, and priors that go on on another grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pytest
import torch
from torch import Tensor

from invkit.core.errors import InputError
from invkit.core.interfaces import Assignable, ImagePrior, KernelPrior, Resizable
from invkit.image_priors.dip_skip import DipSkipImage
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.dip_skip import DipSkipKernel
from invkit.kernel_priors.gaussian import GaussianKernel
from invkit.kernel_priors.known import KnownKernel
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.numerics.geometry import Shape
from invkit.numerics.resampling import resample, resample_kernel
from invkit.testing import check_image_prior, check_kernel_prior
from invkit.testing.common import drawn

if TYPE_CHECKING:
    from typing_extensions import Self

Prior = TypeVar("Prior", bound=ImagePrior | KernelPrior)

SMALL: dict[str, Any] = {"channels": 4, "skip_channels": 2, "latent_channels": 3}


def random_kernel(shape: Shape, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    kernel = drawn(shape, seed, dtype)
    return kernel / kernel.sum((1, 2, 3), keepdim=True)


def motion(size: int) -> Tensor:
    """A thin slanted line and a blob: (1, 1, size, size)."""
    kernel = torch.zeros(1, 1, size, size)
    for i in range(size):
        kernel[0, 0, i, i] = 1
    kernel[0, 0, 1:4, -4:-1] = 1
    return kernel / kernel.sum()


def trained(prior: Prior, target: Tensor, steps: int = 150, rate: float = 1e-2) -> Prior:
    optimizer = torch.optim.Adam(prior.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (1e3 * (prior() - target).square().sum()).backward()
        optimizer.step()
    return prior


def angle_of(prior: GaussianKernel) -> Tensor:
    assert prior.angle is not None
    return prior.angle


class TestPixels:
    @pytest.mark.parametrize(("parametrization", "tolerance"), [("clamp", 0), ("sigmoid", 1.001e-3)])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_gives_the_image_assigned_cut_to_its_range(
        self, parametrization: Literal["clamp", "sigmoid"], tolerance: float, dtype: torch.dtype
    ) -> None:
        image = 2 * drawn((2, 3, 7, 9), 1, dtype) - 0.5
        prior = Pixels((1, 1, 4, 4), drawn((1, 1, 4, 4)), parametrization=parametrization).assigned(image)
        assert prior.parametrization == parametrization
        assert prior().dtype == dtype
        assert torch.allclose(prior(), image.clamp(0, 1), rtol=0, atol=tolerance)  # the sigmoid's margin

    def test_later_changes_of_the_image_do_not_reach_it(self) -> None:
        image = drawn((1, 1, 4, 4))
        prior, before = Pixels((1, 1, 4, 4), None, initial="grey").assigned(image), image.clone()
        image.zero_()
        assert torch.equal(prior(), before)

    def test_a_frozen_prior_stays_frozen(self) -> None:
        prior = Pixels((1, 1, 4, 4), None, initial="grey").requires_grad_(False)
        assert not prior.assigned(drawn((1, 1, 5, 5))).free.requires_grad
        assert not prior.resized((1, 1, 5, 5), 1.2).free.requires_grad

    def test_an_image_with_a_graph_is_assigned_without_it(self) -> None:
        image = drawn((1, 1, 4, 4)).requires_grad_()
        assert Pixels((1, 1, 4, 4), None, initial="grey").assigned(2 * image).free.is_leaf

    def test_go_on_with_the_image_resampled(self) -> None:
        image = drawn((2, 3, 9, 8))
        prior = Pixels((2, 3, 9, 8), image).resized((2, 3, 15, 11), 1.4)
        assert torch.equal(prior(), resample(image, (15, 11), 1.4))


class TestSimplexKernel:
    def test_projection_gives_exactly_the_kernel_assigned_zeros_included(self) -> None:
        kernel = motion(9)
        given = SimplexKernel((1, 1, 5, 5), parametrization="projection").assigned(kernel)()
        assert torch.allclose(given, kernel, rtol=0, atol=1e-7)  # rounding of float32
        assert torch.equal(given > 0, kernel > 0)

    def test_softmax_gives_the_kernel_with_its_zeros_raised_to_a_millionth(self) -> None:
        given = SimplexKernel((1, 1, 5, 5)).assigned(motion(9))()
        assert torch.allclose(given, motion(9).clamp(min=1e-6) / motion(9).clamp(min=1e-6).sum(), rtol=0, atol=1e-7)

    @pytest.mark.parametrize("parametrization", ["softmax", "projection"])
    def test_what_is_no_kernel_is_projected(self, parametrization: Literal["softmax", "projection"]) -> None:
        value = torch.tensor([0.9, 0.5, -0.3, 0.1]).view(1, 1, 2, 2)
        given = SimplexKernel((1, 1, 3, 3), parametrization=parametrization).assigned(value)()
        # the nearest point of the simplex: 0.2 less for the two that stay positive
        assert torch.allclose(given.flatten(), torch.tensor([0.7, 0.3, 0.0, 0.0]), rtol=0, atol=3e-6)

    @pytest.mark.parametrize("prior", [SimplexKernel, GaussianKernel])
    def test_what_is_not_finite_is_refused(self, prior: type[SimplexKernel | GaussianKernel]) -> None:
        with pytest.raises(InputError, match="NaN or infinite"):
            prior((1, 1, 3, 3)).assigned(torch.full((1, 1, 3, 3), float("nan")))

    def test_goes_on_with_the_kernel_resampled(self) -> None:
        kernel = motion(9)
        prior = SimplexKernel((1, 1, 9, 9), kernel, parametrization="projection").resized((1, 1, 13, 13), 2**0.5)
        expected = resample_kernel(kernel, (13, 13), 2**0.5)
        assert torch.allclose(prior(), expected, rtol=0, atol=1e-7)  # rounding of float32


class TestKnownKernel:
    def test_a_known_kernel_cannot_be_set(self) -> None:
        assert not issubclass(KnownKernel, Assignable)

    def test_a_pyramid_ends_with_the_kernel_given(self) -> None:
        kernel = motion(21)
        prior, ratio = KnownKernel((1, 1, 21, 21), kernel), 2**-0.5
        coarse = prior.resized((1, 1, 7, 7), ratio**3)
        assert torch.allclose(coarse(), resample_kernel(kernel, (7, 7), ratio**3), rtol=0, atol=1e-7)
        fine = coarse.resized((1, 1, 11, 11), 2**0.5).resized((1, 1, 21, 21), 2.0)
        assert torch.allclose(fine(), kernel, rtol=0, atol=1e-6)  # the product of the scales is one within rounding


class TestGaussianKernel:
    @pytest.mark.parametrize("sigma", [0.3, 0.8, 2.0, 6.0])  # sampled coarsely, well, and cut off by the support
    @pytest.mark.parametrize("size", [(15, 15), (12, 9)])
    def test_finds_the_width_of_a_gaussian(self, sigma: float, size: tuple[int, int]) -> None:
        kernel = GaussianKernel((1, 1, *size), sigma=sigma)()
        found = GaussianKernel((1, 1, 3, 3)).assigned(kernel)
        assert found.log_widths.exp().item() == pytest.approx(sigma, rel=1e-3)
        # float32 sums of some hundred pixels, the farthest weighted most
        assert torch.allclose(found(), kernel, rtol=0, atol=1e-4)

    def test_finds_widths_and_angle(self) -> None:
        truth = GaussianKernel((2, 1, 25, 21), sigma=2.5, anisotropic=True, elongation=2.0)
        with torch.no_grad():
            angle_of(truth).copy_(torch.tensor([0.4, -1.1]).view(2, 1, 1))
        found = GaussianKernel((2, 1, 3, 3), anisotropic=True).assigned(truth())
        assert torch.allclose(found(), truth(), rtol=0, atol=1e-5)
        turned = (angle_of(found) - angle_of(truth)).detach() / math.pi  # an axis has no direction
        assert torch.allclose(turned, turned.round(), atol=1e-3)

    def test_a_line_gets_a_gaussian_of_its_length_along_it(self) -> None:
        line = torch.zeros(1, 1, 31, 31)
        line[0, 0, 15, 10:21] = 1 / 11
        found = GaussianKernel((1, 1, 3, 3), anisotropic=True).assigned(line)
        widths = found.log_widths.exp().flatten().tolist()
        assert widths[0] == pytest.approx(math.sqrt(10), rel=1e-2)  # the variance of eleven pixels is 10
        assert widths[1] < 0.3
        assert abs(math.sin(angle_of(found).item())) < 1e-3

    @pytest.mark.parametrize("anisotropic", [False, True])
    @pytest.mark.parametrize("value", [torch.full((1, 1, 7, 7), 1 / 49), torch.eye(49)[24].view(1, 1, 7, 7)])
    def test_a_uniform_kernel_and_a_delta_can_still_be_left(self, anisotropic: bool, value: Tensor) -> None:
        prior = GaussianKernel((1, 1, 5, 5), anisotropic=anisotropic).assigned(value)
        assert torch.allclose(prior(), value, rtol=0, atol=1e-3)
        (prior() * drawn((1, 1, 7, 7))).sum().backward()
        assert prior.log_widths.grad is not None
        assert bool(prior.log_widths.grad.any())

    def test_its_widths_scale_and_its_angle_stays(self) -> None:
        prior = GaussianKernel((1, 1, 15, 15), sigma=2.0, anisotropic=True)
        finer = prior.resized((1, 1, 31, 31), 2.0)
        assert torch.allclose(finer.log_widths, prior.log_widths + math.log(2))
        assert torch.equal(angle_of(finer), angle_of(prior))
        narrow = prior.resized((1, 1, 3, 3), 1e-9)
        assert torch.allclose(narrow.log_widths.exp(), torch.tensor(1e-2))


class TestSoftmaxFCN:
    @pytest.mark.parametrize("layers", [0, 1, 2])
    @pytest.mark.parametrize(("size", "scale"), [((17, 17), 2**0.5), ((7, 8), 0.6), ((11, 11), 1.0)])
    def test_gives_the_kernel_resampled(self, layers: Any, size: tuple[int, int], scale: float) -> None:
        prior = trained(SoftmaxFCN((1, 1, 11, 11), hidden=60, layers=layers), motion(11))
        expected = resample_kernel(prior().detach(), size, scale)
        # pixels raised to the smallest one and to 1e-6: a few hundred of them
        assert (prior.resized((1, 1, *size), scale)() - expected).abs().sum() < 2e-2

    def test_each_kernel_of_a_batch_is_resampled(self) -> None:
        target = torch.cat([motion(9), motion(9).flip(-1)])
        prior = trained(SoftmaxFCN((2, 1, 9, 9), hidden=60), target)
        expected = resample_kernel(prior().detach(), (13, 13), 2**0.5)
        assert (prior.resized((2, 1, 13, 13), 2**0.5)() - expected).abs().sum((1, 2, 3)).max() < 2e-2

    def test_keeps_all_layers_but_the_last_and_settings(self) -> None:
        prior = SoftmaxFCN((1, 1, 5, 5), hidden=20, layers=2, activation="leaky-relu").double()
        finer = prior.resized((1, 1, 9, 9), 2.0)
        names = [name for name in prior.state_dict() if not name.startswith("networks.0.4")]
        assert names
        assert all(torch.equal(prior.state_dict()[name], finer.state_dict()[name]) for name in names)
        assert list(finer.networks[0].parameters())[-1].shape == (81,)
        assert finer().dtype == torch.float64

    def test_the_weights_of_a_coarse_kernel_vary_as_those_made_for_its_size(self) -> None:
        coarse = SoftmaxFCN((1, 1, 60, 60), hidden=60).resized((1, 1, 15, 15), 0.25)
        built = SoftmaxFCN((1, 1, 15, 15), hidden=60)
        spreads = [float(list(one.parameters())[-2].detach().std()) for one in (coarse, built)]
        assert spreads[0] == pytest.approx(spreads[1], rel=0.1)

    def test_a_larger_frame_can_be_grown_into(self) -> None:
        prior = trained(SoftmaxFCN((1, 1, 5, 5), hidden=60), motion(5)).resized((1, 1, 9, 9), 1.0)
        assert torch.allclose(trained(prior, motion(9), steps=300)(), motion(9), rtol=0, atol=1e-2)


class TestDipSkip:
    def test_the_image_s_network_goes_on_on_a_resampled_latent(self) -> None:
        prior = DipSkipImage((2, 3, 20, 17), scales=2, **SMALL)
        finer = prior.resized((2, 3, 29, 24), 2**0.5)
        assert torch.equal(finer.latent, resample(prior.latent, (29, 24), 2**0.5))
        weights, names = prior.networks.state_dict(), finer.networks.state_dict()
        assert all(torch.equal(weights[name], names[name]) for name in weights)
        assert finer().shape == (2, 3, 29, 24)

    def test_a_coarse_latent_varies_as_one_drawn_for_its_size(self) -> None:
        prior = DipSkipImage((1, 1, 160, 160), scales=2, **SMALL)
        coarse, built = prior.resized((1, 1, 40, 40), 0.25), DipSkipImage((1, 1, 40, 40), scales=2, **SMALL)
        assert float(coarse.latent.std()) == pytest.approx(float(built.latent.std()), rel=0.1)
        assert float(coarse.latent.mean()) == pytest.approx(float(built.latent.mean()), rel=0.1)

    def test_an_image_too_small_for_the_network_is_refused(self) -> None:
        with pytest.raises(InputError, match="at least 33x33 pixels; got 20x40"):
            DipSkipImage((1, 1, 48, 48), scales=5, **SMALL).resized((1, 1, 20, 40), 0.7)

    @pytest.mark.parametrize("sides", [(20, 5), (5, 20), (9, 2), (2, 9)])
    def test_the_kernel_s_network_has_the_scales_of_one_built_for_the_shape(self, sides: tuple[int, int]) -> None:
        old, new = ((1, 1, side, side) for side in sides)
        prior = DipSkipKernel(old, **SMALL)
        other, built = prior.resized(new, new[-1] / old[-1]), DipSkipKernel(new, **SMALL)
        built.load_state_dict(other.state_dict())
        assert torch.equal(built(), other())
        shared = [n for n, w in prior.network.state_dict().items() if n.startswith("0.up") or n.startswith("0.across")]
        assert shared
        assert all(torch.equal(prior.network.state_dict()[n], other.network.state_dict()[n]) for n in shared)

    def test_moved_networks_stay_where_they_are(self) -> None:
        prior = DipSkipKernel((1, 1, 5, 5), **SMALL).double().resized((1, 1, 20, 20), 4.0)
        assert {tensor.dtype for tensor in prior.state_dict().values()} == {torch.float64}


@pytest.mark.parametrize(
    "prior",
    [
        Pixels((1, 1, 9, 9), drawn((1, 1, 9, 9))),
        DipSkipImage((1, 1, 9, 9), scales=2, **SMALL),
        SimplexKernel((1, 1, 9, 9)),
        KnownKernel((1, 1, 9, 9), motion(9)),
        GaussianKernel((1, 1, 9, 9)),
        SoftmaxFCN((1, 1, 9, 9), hidden=5),
        DipSkipKernel((1, 1, 9, 9), **SMALL),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_another_batch_is_refused(prior: Resizable) -> None:
    with pytest.raises(InputError, match="height and width only"):
        prior.resized((2, 1, 9, 9), 1.0)


class Mirroring(Pixels):
    """Mirrors what it is assigned."""

    def __init__(self, shape: Shape, start: Tensor) -> None:
        super().__init__(shape, start)

    def assigned(self, value: Tensor) -> Self:
        return super().assigned(value.flip(-1))


class Sharing(Pixels):
    """Gives itself away."""

    def __init__(self, shape: Shape, start: Tensor) -> None:
        super().__init__(shape, start)

    def resized(self, shape: Shape, scale: float) -> Self:
        return self if tuple(shape) == tuple(self.shape) else super().resized(shape, scale)


class Cropping(SimplexKernel):
    """Ignores the scale."""

    def __init__(self, shape: Shape, start: Tensor) -> None:
        super().__init__(shape, start)

    def resized(self, shape: Shape, scale: float) -> Self:
        return super().resized(shape, 1.0)


class Drawing(SimplexKernel):
    """Draws from the global generator."""

    def __init__(self, shape: Shape, start: Tensor) -> None:
        super().__init__(shape, start)

    def resized(self, shape: Shape, scale: float) -> Self:
        torch.rand(1)
        return super().resized(shape, scale)


class Moving(SimplexKernel):
    """Moves itself instead of a copy."""

    def __init__(self, shape: Shape, start: Tensor) -> None:
        super().__init__(shape, start)

    def assigned(self, value: Tensor) -> Self:
        new = super().assigned(value)
        with torch.no_grad():
            self.free.add_(1)
        return new


class Casting(SimplexKernel):
    """Works in float32 only."""

    def __init__(self, shape: Shape, start: Tensor) -> None:
        super().__init__(shape, start)

    def assigned(self, value: Tensor) -> Self:
        return super().assigned(value.float())


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (Mirroring, "does not give what it is assigned"),
        (Sharing, "shares its memory"),
        (Cropping, "does not give the resampled value"),
        (Drawing, "changes the global random state"),
        (Moving, "changes its free"),
        (Casting, "made for torch.float64 gives torch.float32"),
    ],
)
def test_a_faulty_ability_is_caught(component: type[Pixels | SimplexKernel], said: str) -> None:
    check: Callable[[Any], None] = check_image_prior if issubclass(component, Pixels) else check_kernel_prior
    with pytest.raises(AssertionError, match=said):
        check(component)
