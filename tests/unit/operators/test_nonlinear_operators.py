"""Operators that are not linear, and operators without a parameter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from invkit.core.errors import InputError
from invkit.core.interfaces import LinearOperator
from invkit.core.without_parameter import LinearWithoutParameter, WithoutParameter
from invkit.kernel_priors.known import KnownKernel, KnownPhaseMasks
from invkit.numerics.geometry import Shape
from invkit.operators.convolution import Convolution
from invkit.operators.gamma_blur import GammaBlur
from invkit.operators.phase_retrieval import PhaseRetrieval
from invkit.testing import check_operator
from invkit.testing.common import drawn

MASKS: Shape = (1, 3, 16, 16)


def test_a_blur_of_light_is_the_power_of_a_convolution() -> None:
    image, kernel = 0.1 + 0.9 * drawn((2, 3, 9, 8)), KnownKernel.allowed(drawn((2, 1, 3, 2)))
    expected = Convolution()(image**1.8, kernel) ** (1 / 1.8)
    torch.testing.assert_close(GammaBlur(gamma=1.8)(image, kernel), expected)


@pytest.mark.parametrize("grey", [0.0, 0.003, 0.3, 1.0])
def test_a_constant_image_stays_constant(grey: float) -> None:
    kernel = KnownKernel.allowed(drawn((1, 1, 3, 3)))
    data = GammaBlur()(torch.full((1, 1, 7, 7), grey), kernel)
    torch.testing.assert_close(data, torch.full((1, 1, 5, 5), grey), atol=1e-6, rtol=1e-5)


def test_a_gamma_of_one_is_a_convolution() -> None:
    image, kernel = drawn((1, 1, 8, 8)) - 0.2, KnownKernel.allowed(drawn((1, 1, 3, 3)))
    torch.testing.assert_close(GammaBlur(gamma=1.0)(image, kernel), Convolution()(image, kernel))


@pytest.mark.parametrize("values", [torch.zeros(1, 1, 6, 6), (drawn((1, 1, 6, 6)) > 0.5).float()])
def test_the_gradient_is_finite_at_black(values: Tensor) -> None:
    image = values.clone().requires_grad_()
    GammaBlur()(image, torch.full((1, 1, 2, 2), 0.25)).sum().backward()
    assert image.grad is not None
    assert bool(image.grad.isfinite().all())
    assert float(image.grad.max()) <= 2.5  # a quarter of the light is more than half of white: 4 * .25**(1 / 2.2)


def test_the_pattern_of_a_constant_image_without_masks_is_a_point_in_the_middle() -> None:
    pattern = PhaseRetrieval()(torch.ones(1, 1, 8, 6), torch.zeros(1, 1, 8, 6))
    expected = torch.zeros(1, 1, 8, 6)
    expected[..., 4, 3] = 48**0.5
    torch.testing.assert_close(pattern, expected, atol=1e-5, rtol=1e-5)


def test_intensities_are_squared_magnitudes_of_the_same_energy_as_the_image() -> None:
    image, masks = drawn((2, 1, 16, 16)), PhaseRetrieval().drawn_masks((2, 3, 16, 16))
    magnitudes = PhaseRetrieval()(image, masks)
    intensities = PhaseRetrieval(measured="intensities")(image, masks)
    torch.testing.assert_close(intensities, magnitudes.square())
    torch.testing.assert_close(intensities.mean((1, 2, 3)), image.square().mean((1, 2, 3)))


def test_masks_differ_with_the_draw_and_are_the_same_for_the_whole_batch() -> None:
    masks = PhaseRetrieval().drawn_masks((2, 3, 4, 5))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0, 0], masks[0, 1])
    assert not torch.equal(masks, PhaseRetrieval(draw=1).drawn_masks((2, 3, 4, 5)))


@pytest.mark.parametrize("measured", ["magnitudes", "intensities"])
def test_the_first_image_is_near_the_true_one_and_as_bright(measured: Any) -> None:
    operator, image = PhaseRetrieval(measured=measured), 0.2 + 0.6 * drawn((1, 1, 16, 16))
    masks = operator.drawn_masks(MASKS)
    data = operator(image, masks)
    assert float((operator.initial_image(data, masks) - image).square().mean()) < 1e-3
    assert operator.brightness(data, masks) == pytest.approx(float(image.max()), rel=0.2)


def test_negative_magnitudes_are_refused_and_two_masks_are_doubted() -> None:
    with pytest.raises(InputError, match=r"3 of 768 intensities are negative; give numbers that are not"):
        PhaseRetrieval(measured="intensities").reading(torch.ones(MASKS) - bright())
    few = PhaseRetrieval().reading(torch.ones(1, 2, 4, 4))
    assert few.text == "the data are the magnitudes of 2 diffraction patterns of 4x4 pixels"
    assert "measure with three or more" in few.doubts[0]
    assert not PhaseRetrieval().reading(torch.ones(MASKS)).doubts


def bright() -> Tensor:
    """Two in one pixel of each mask, else zero."""
    found = torch.zeros(MASKS)
    found[..., 0, 0] = 2
    return found


def test_given_phases_come_before_those_of_the_operator() -> None:
    given, drawn_ones = torch.ones(MASKS), torch.zeros(MASKS)
    assert torch.equal(KnownPhaseMasks(MASKS, given, drawn_ones)(), given)
    assert torch.equal(KnownPhaseMasks(MASKS, None, drawn_ones)(), drawn_ones)
    with pytest.raises(InputError, match="a known set of phase masks must be given"):
        KnownPhaseMasks(MASKS)


class WrongDegree(PhaseRetrieval):
    """Intensities that are taken for magnitudes."""

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """The squares."""
        return super().forward(image, kernel).square()


class WrongBrightness(PhaseRetrieval):
    """Takes the data's brightness for that of the image."""

    def brightness(self, data: Tensor, kernel: Tensor) -> float:
        """Of the data."""
        return float(data.max())


@pytest.mark.parametrize(
    ("operator", "measured", "complaint"),
    [
        (WrongDegree, "magnitudes", "is not homogeneous of degree 1"),
        (WrongBrightness, "intensities", "for data of an image 3 times as bright"),
    ],
)
def test_a_wrong_degree_or_brightness_is_caught(operator: Any, measured: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_operator(operator, {"measured": measured})


class Quarters(WithoutParameter):
    """The square root of the image's quarter."""

    def predicted(self, image: Tensor) -> Tensor:
        """Half the root."""
        return image.sqrt() / 2


class Folded(LinearWithoutParameter):
    """The sum of the left and the right half."""

    def predicted(self, image: Tensor) -> Tensor:
        """(B, C, H, 2 W) -> (B, C, H, W)."""
        left, right = image.chunk(2, -1)
        return left + right.flip(-1)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(B, C, H, 2 W)."""
        return *data_shape[:3], 2 * data_shape[3]


@pytest.mark.parametrize("operator", [Quarters, Folded])
def test_an_operator_without_a_parameter_defines_its_data_alone(operator: Any) -> None:
    check_operator(operator)
    assert operator().parameter_shape((2, 3, 4, 5), (9, 9)) == (2, 1, 1, 1)
    assert issubclass(operator, LinearOperator) == (operator is Folded)


def test_a_known_kernel_is_by_default_one_pixel() -> None:
    assert torch.equal(KnownKernel()(), torch.ones(1, 1, 1, 1))
