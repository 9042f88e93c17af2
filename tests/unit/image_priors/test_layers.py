"""Two layers: their priors, the arguments of these, and the operator that models haze."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invkit.core.errors import AssemblyError, InputError
from invkit.image_priors.layers import Layers
from invkit.image_priors.pixels import ConstantImage, Pixels
from invkit.kernel_priors.other_parameters import ImageMask
from invkit.operators.pixelwise import Haze
from invkit.testing.common import build, drawn

AIRLIGHT = torch.tensor([0.7, 0.8, 0.9]).view(1, 3, 1, 1)


@pytest.fixture
def scene() -> Tensor:
    """A picture with a black pixel in every window, and some sky."""
    picture = drawn((1, 3, 40, 40), seed=1)
    picture[..., ::2, ::2] = 0
    picture[..., :8, :8] = AIRLIGHT
    return picture


def test_a_constant_starts_from_the_mean_of_each_channel() -> None:
    start = drawn((2, 3, 6, 5))
    prior = ConstantImage((2, 3, 8, 7), start)
    edges = Pixels((2, 3, 8, 7), start)()
    assert torch.allclose(prior()[..., 0, 0], edges.mean((-2, -1)))
    assert torch.equal(prior()[..., 0, 0], prior()[..., -1, -1])


def test_a_constant_may_be_fixed_and_needs_a_start_unless_grey() -> None:
    assert not any(p.requires_grad for p in ConstantImage((1, 1, 4, 4), drawn((1, 1, 4, 4)), fixed=True).parameters())
    assert bool((ConstantImage((1, 1, 4, 4), initial="grey")() == 0.5).all())
    with pytest.raises(InputError, match="none are given"):
        ConstantImage((1, 1, 4, 4))


def test_each_layer_starts_from_its_half_of_the_batch() -> None:
    start = drawn((4, 3, 6, 5))
    layers = build(Layers, {"shape": (4, 3, 6, 5), "start": start}, {"first": "pixels", "second": "constant"})
    first, second = layers().chunk(2)
    assert torch.equal(first, start[:2])
    assert torch.allclose(second[..., 0, 0], start[2:].mean((-2, -1)))


def test_layers_need_an_even_batch_and_halves_of_it() -> None:
    with pytest.raises(AssemblyError, match="even batch"):
        Layers.nested_arguments("first", {"shape": (3, 1, 4, 4), "start": None})
    half = Pixels((1, 1, 4, 4), initial="grey")
    with pytest.raises(AssemblyError, match="second layer"):
        Layers((2, 1, 4, 4), first=half, second=Pixels((2, 1, 4, 4), initial="grey"))


def test_a_mask_starts_from_a_given_one_or_else_from_the_estimate() -> None:
    given, guess = drawn((1, 1, 5, 5), seed=1), drawn((1, 1, 5, 5), seed=2)
    both = {"shape": (1, 1, 5, 5), "start": given, "guess": guess}
    assert torch.equal(build(ImageMask, both, {"prior": "pixels"})(), given)
    assert torch.equal(build(ImageMask, {**both, "start": None}, {"prior": "pixels"})(), guess)


def test_the_dark_channel_gives_airlight_and_transmission(scene: Tensor) -> None:
    operator = Haze(clearing=1.0)
    transmission = torch.full((1, 1, 40, 40), 0.4)
    data = operator(torch.cat([scene, AIRLIGHT.expand_as(scene)]), transmission)
    estimate = operator.initial_parameter(data, (1, 1, 40, 40))
    away = (..., slice(12, None), slice(12, None))  # from the sky, whose dark channel is not black
    assert torch.allclose(operator.airlight(data), AIRLIGHT, atol=1e-5)
    assert torch.allclose(estimate[away], transmission[away], atol=1e-4)
    first = operator.initial_image(data, transmission)
    assert torch.allclose(first, torch.cat([scene, AIRLIGHT.expand_as(scene)]), atol=1e-5)


def test_the_dark_channel_is_the_least_value_of_a_window() -> None:
    image = drawn((1, 3, 20, 30), seed=2)
    dark = Haze(window=0.2).dark_channel(image)  # 5 x 5 pixels
    assert float(dark[0, 0, 10, 10]) == float(image[..., 8:13, 8:13].min())
    assert float(dark[0, 0, 0, 29]) == float(image[..., :3, 27:].min())
