"""The image as free pixels: where it starts, that it stays in the box, and that it can leave the box's walls."""

from __future__ import annotations

from typing import Literal, TypeAlias

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.core.errors import InputError
from invkit.image_priors.pixels import Pixels
from invkit.numerics.framing import crop_to_data
from invkit.testing.common import drawn

Parametrization: TypeAlias = Literal["clamp", "sigmoid"]
both = pytest.mark.parametrize("parametrization", ["clamp", "sigmoid"])


@both
@pytest.mark.parametrize("kernel_size", [(1, 1), (5, 5), (4, 6), (3, 8)])
def test_starts_from_the_data_where_a_valid_convolution_puts_them(
    parametrization: Parametrization, kernel_size: tuple[int, int]
) -> None:
    data = drawn((2, 3, 9, 10))
    shape = (2, 3, 9 + kernel_size[0] - 1, 10 + kernel_size[1] - 1)
    image = Pixels(shape, data, parametrization=parametrization)().detach()
    assert image.shape == shape
    inside = crop_to_data(image, kernel_size, (9, 10))
    assert torch.allclose(inside, data, atol=0 if parametrization == "clamp" else 1.001e-3)  # the sigmoid's margin


def test_extends_the_data_by_their_edge_pixels() -> None:
    image = Pixels((1, 1, 6, 5), torch.tensor([[0.0, 0.2], [0.4, 0.6]]).view(1, 1, 2, 2))().detach()
    # a 5x4 kernel: two rows above and below, one column left and two right
    assert torch.equal(image[0, 0, :, 0], torch.tensor([0.0, 0.0, 0.0, 0.4, 0.4, 0.4]))
    assert torch.equal(image[0, 0, 0], torch.tensor([0.0, 0.0, 0.2, 0.2, 0.2]))


@both
def test_starts_from_grey_without_data(parametrization: Parametrization) -> None:
    image = Pixels((1, 2, 3, 4), None, initial="grey", parametrization=parametrization)()
    assert torch.equal(image, torch.full((1, 2, 3, 4), 0.5))


@both
def test_finds_an_image_with_pixels_at_both_walls(parametrization: Parametrization) -> None:
    target = torch.tensor([0.0, 1.0, 0.3, 0.7]).view(1, 1, 2, 2)
    prior = Pixels((1, 1, 2, 2), 1 - target, parametrization=parametrization)
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.1)
    for _ in range(400):
        optimizer.zero_grad()
        (prior() - target).square().sum().backward()
        optimizer.step()
    # the sigmoid only nears the walls
    assert torch.allclose(prior().detach(), target, atol=1e-4 if parametrization == "clamp" else 0.03)


def test_a_pixel_pushed_outside_comes_back() -> None:
    prior = Pixels((1, 1, 1, 2), torch.tensor([0.0, 1.0]).view(1, 1, 1, 2))
    with torch.no_grad():
        prior.free.copy_(torch.tensor([-0.5, 1.5]).view(1, 1, 1, 2))
    (prior() * torch.tensor([1.0, -1.0])).sum().backward()
    assert prior.free.grad is not None
    assert torch.equal(prior.free.grad, torch.zeros(1, 1, 1, 2))  # descent would leave the box
    prior.free.grad.zero_()
    (prior() * torch.tensor([-1.0, 1.0])).sum().backward()
    assert torch.equal(prior.free.grad.flatten(), torch.tensor([-1.0, 1.0]))


@both
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([1.0, 1e4, 1e30]), rate=st.sampled_from([1e-3, 1.0, 1e3]))
def test_stays_in_the_box_after_any_step_on_any_loss(
    parametrization: Parametrization, seed: int, scale: float, rate: float
) -> None:
    prior = Pixels((1, 1, 4, 5), drawn((1, 1, 4, 5), seed), parametrization=parametrization)
    optimizer = torch.optim.Adam(prior.parameters(), lr=rate)
    for step in range(4):
        optimizer.zero_grad()
        (scale * (drawn((1, 1, 4, 5), seed + step) - 0.5) * prior()).sum().backward()
        optimizer.step()
        image = prior().detach()
        assert bool(((image >= 0) & (image <= 1)).all())


def test_leaves_the_data_as_they_are() -> None:
    data = drawn((1, 1, 3, 3))
    prior, before = Pixels((1, 1, 3, 3), data), data.clone()
    with torch.no_grad():
        prior.free.zero_()
    assert torch.equal(data, before)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "none are given"),
        (torch.zeros(1, 1, 9, 4), r"\(1, 1, 9, 4\)"),
        (torch.zeros(2, 1, 4, 4), r"\(2, 1, 4, 4\)"),
        (torch.zeros(4, 4), r"\(4, 4\)"),
        (torch.full((1, 1, 4, 4), float("nan")), "NaN"),
    ],
)
def test_data_that_do_not_fit_are_refused(data: Tensor | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Pixels((1, 1, 5, 5), data)
