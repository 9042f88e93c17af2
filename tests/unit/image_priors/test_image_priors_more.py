"""Image priors that are networks other than the skip network: what they are, of which sizes, and on which grids."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias, TypeVar

import pytest
import torch
from torch import Tensor, nn

from invkit.core.errors import InputError
from invkit.core.interfaces import ImagePrior
from invkit.image_priors.decoders import ConvDecoderImage, DeepDecoderImage
from invkit.image_priors.implicit import ImplicitImage
from invkit.networks.coordinates import FourierFeatures, SineLayer
from invkit.networks.random import seeded
from invkit.testing import check_image_prior
from invkit.testing.common import drawn

Prior = TypeVar("Prior", bound=ImagePrior)
Component: TypeAlias = type[ConvDecoderImage | DeepDecoderImage | ImplicitImage]

SHAPE = (1, 1, 24, 20)
SMALL: list[tuple[Component, dict[str, Any]]] = [
    (ConvDecoderImage, {"channels": 8, "layers": 4}),
    (DeepDecoderImage, {"channels": 16, "layers": 3}),
    (ImplicitImage, {"hidden": 16, "layers": 2, "frequencies": 16, "bandwidth": 2.0}),
    (ImplicitImage, {"hidden": 16, "layers": 1, "features": "siren"}),
]
every = pytest.mark.parametrize(
    ("component", "params"), SMALL, ids=["conv-decoder", "deep-decoder", "fourier", "siren"]
)


def scene(height: int = 24, width: int = 20) -> Tensor:
    """A bright disk on a slope, (1, 1, H, W) in [0, 1]."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return (0.3 + 0.1 * columns + 0.5 * (rows**2 + columns**2 < 0.4))[None, None]


def trained(prior: Prior, target: Tensor, rate: float, steps: int = 120) -> Prior:
    optimizer = torch.optim.Adam(prior.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (prior() - target).square().mean().backward()
        optimizer.step()
    return prior


@every
def test_conform(component: Component, params: dict[str, Any]) -> None:
    check_image_prior(component, params)


@pytest.mark.parametrize(
    ("component", "params"), [(ConvDecoderImage, {}), (DeepDecoderImage, {}), (ImplicitImage, {"features": "siren"})]
)
def test_conform_as_they_come(component: Component, params: dict[str, Any]) -> None:
    check_image_prior(component, params, shape=(1, 1, 33, 40))


@every
def test_learn_an_image(component: Component, params: dict[str, Any]) -> None:
    """Each ends well nearer to the scene than the best constant, at a mean square of its variance, .054."""
    prior = trained(component(SHAPE, **params), scene(), rate=1e-3 if params.get("features") == "siren" else 1e-2)
    assert float((prior() - scene()).square().mean().detach()) < 0.01


@every
@pytest.mark.parametrize("size", [(5, 5), (9, 31), (16, 17)])
def test_are_of_any_size(component: Component, params: dict[str, Any], size: tuple[int, int]) -> None:
    image = component((2, 3, *size), **params)()
    assert image.shape == (2, 3, *size)
    assert float(image.detach().std()) > 0


class TestConvDecoder:
    def test_is_the_network_of_deepinv_in_training(self) -> None:
        from deepinv.models import ConvDecoder

        prior = ConvDecoderImage((2, 3, 13, 18), channels=6, layers=4, latent_size=3, seed=5)
        reference = ConvDecoder((3, 13, 18), (3, 3), layers=4, channels=6)
        reference.load_state_dict(prior.network.state_dict(), strict=False)  # without the running statistics
        assert torch.allclose(prior(), torch.sigmoid(reference(prior.latent)), atol=1e-6)  # rounding of float32

    def test_keeps_nothing_but_its_latent(self) -> None:
        assert [name for name, _ in ConvDecoderImage(SHAPE, channels=4).named_buffers()] == ["latent"]

    def test_is_no_smaller_than_its_latent(self) -> None:
        with pytest.raises(InputError, match=r"latent of 8x8 pixels.*image of 7x9.*smaller latent_size"):
            ConvDecoderImage((1, 1, 7, 9), latent_size=8)


class TestDeepDecoder:
    def test_has_the_papers_number_of_weights(self) -> None:
        """Heckel & Hand, Table 1: 100,224 for six layers of 128 channels and a colour image of 512x512."""
        prior = DeepDecoderImage((1, 3, 512, 512), channels=128, layers=6)
        assert sum(parameter.numel() for parameter in prior.parameters()) == 100_224
        assert prior.latent.shape == (1, 128, 16, 16)

    def test_mixes_channels_of_single_pixels_only(self) -> None:
        sizes = [m.kernel_size for m in DeepDecoderImage(SHAPE, layers=4).modules() if isinstance(m, nn.Conv2d)]
        assert sizes == [(1, 1)] * 5

    @pytest.mark.parametrize("size", [(16, 40), (9, 9), (2, 5)])
    def test_an_image_too_small_is_refused_with_a_remedy_that_works(self, size: tuple[int, int]) -> None:
        with pytest.raises(InputError, match=r"at least 17 pixels") as refusal:
            DeepDecoderImage((1, 1, *size), layers=5)
        found = re.search(r"layers=(\d+)", str(refusal.value))
        assert found is not None
        layers = int(found.group(1))
        assert DeepDecoderImage((1, 1, *size), layers=layers)().shape == (1, 1, *size)
        with pytest.raises(InputError):
            DeepDecoderImage((1, 1, *size), layers=layers + 1)

    def test_a_single_pixel_has_no_remedy_but_another_prior(self) -> None:
        with pytest.raises(InputError, match="use the prior 'pixels'"):
            DeepDecoderImage((1, 1, 1, 1), layers=1)

    def test_goes_on_about_where_it_was_on_a_grid_twice_as_fine(self) -> None:
        """Without convolutions a finer latent is a finer image: the mean error is a third of the blocks' or less."""
        prior = trained(DeepDecoderImage((1, 1, 32, 32), channels=16, layers=3), scene(32, 32), rate=1e-2)
        finer = prior.resized((1, 1, 64, 64), 2.0)
        assert float((finer() - scene(64, 64)).abs().mean().detach()) < 0.1


class TestImplicit:
    @pytest.mark.parametrize("features", ["fourier", "siren"])
    def test_a_grid_three_times_as_fine_has_every_old_pixel_in_it(self, features: Literal["fourier", "siren"]) -> None:
        """Pixel i of n lies in the middle of the pixels 3 i, 3 i + 1 and 3 i + 2 of 3 n."""
        prior = ImplicitImage((2, 3, 8, 11), features=features).double()
        finer = prior.resized((2, 3, 24, 33), 3.0)
        assert torch.allclose(finer()[..., 1::3, 1::3], prior(), atol=1e-12)  # rounding of float64

    def test_a_smaller_grid_of_the_same_scale_is_the_middle(self) -> None:
        prior = ImplicitImage((1, 1, 12, 9)).double()
        assert torch.allclose(prior.resized((1, 1, 8, 7), 1.0)(), prior()[..., 2:-2, 1:-1], atol=1e-12)

    def test_two_steps_of_a_pyramid_are_one(self) -> None:
        prior = ImplicitImage((1, 1, 12, 12)).double()
        there = prior.resized((1, 1, 6, 6), 0.5).resized((1, 1, 12, 12), 2.0)
        assert torch.allclose(there(), prior(), atol=1e-12)

    def test_the_longer_side_reaches_from_minus_one_to_one(self) -> None:
        points = ImplicitImage((1, 1, 4, 8)).coordinates().view(4, 8, 2)
        assert torch.allclose(points[0, :, 1], (torch.arange(8) - 3.5) / 4)
        assert torch.allclose(points[:, 0, 0], (torch.arange(4) - 1.5) / 4)

    def test_images_of_a_batch_are_networks_of_their_own(self) -> None:
        prior = ImplicitImage((2, 1, 6, 6))
        first, second = prior()
        assert not torch.equal(first, second)
        gradients = torch.autograd.grad(first.sum(), list(prior.networks[1].parameters()), allow_unused=True)
        assert not any(gradient is not None and bool(gradient.any()) for gradient in gradients)

    def test_another_batch_is_refused(self) -> None:
        with pytest.raises(InputError, match="height and width only"):
            ImplicitImage((1, 1, 6, 6)).resized((2, 1, 6, 6), 1.0)

    def test_frequencies_are_of_the_bandwidth_asked_for(self) -> None:
        """A feature of frequency f turns f times while its coordinate goes from -1 to 1."""
        with seeded(0):
            features = FourierFeatures(4000, 7.0)
        assert float(features.frequencies.std()) == pytest.approx(7, rel=0.05)  # 8000 draws: within 1 %
        features.frequencies = torch.tensor([[3.0], [0.0]])
        ends = features(torch.tensor([[-1.0, 0.4], [1.0, 0.4], [-1 + 1 / 3, 0.4]]))
        assert torch.allclose(ends[0], ends[1], atol=1e-5)  # rounding of float32
        assert torch.allclose(ends[0], -ends[2], atol=1e-5)

    def test_sines_keep_the_spread_of_their_activations_in_depth(self) -> None:
        """Sitzmann et al., Theorem 1.8: an arcsine distribution, of standard deviation sqrt(1/2), in every layer."""
        with seeded(0):
            layers = [SineLayer(2, 256, 30.0, first=True), *(SineLayer(256, 256, 30.0) for _ in range(5))]
        activations = 2 * drawn((2000, 2)) - 1
        for layer in layers:
            activations = layer(activations).detach()
            assert float(activations.std()) == pytest.approx(0.5**0.5, rel=0.1)  # of 256 units, and 30 is finite
