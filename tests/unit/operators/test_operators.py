"""Operators: refusals, precision, and public checks that detect wrong operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from invkit.core.errors import InputError
from invkit.core.interfaces import LinearOperator
from invkit.numerics.geometry import Shape
from invkit.operators.convolution import Convolution
from invkit.operators.pixelwise import Identity
from invkit.testing.operators import assert_adjoint, assert_gradients, assert_linear, assert_shape_law, assert_stateless

METHODS = ["fft", "direct"]
EVERY_HELPER = [assert_shape_law, assert_linear, assert_adjoint, assert_stateless, assert_gradients]
SHAPES = ((1, 1, 4, 5), (1, 1, 3, 3))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(6, 3), (3, 6)])
def test_valid_refuses_a_kernel_larger_than_the_image(method: Literal["fft", "direct"], size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"kernel of {size[0]}x{size[1]} pixels is larger than the image of 5x5"):
        Convolution(method=method)(torch.zeros(1, 1, 5, 5), torch.ones(1, 1, *size))


@pytest.mark.parametrize("method", METHODS)
def test_valid_accepts_a_kernel_as_large_as_the_image(method: Literal["fft", "direct"]) -> None:
    data = Convolution(method=method)(torch.ones(1, 1, 5, 5), torch.ones(1, 1, 5, 5))
    torch.testing.assert_close(data, torch.full((1, 1, 1, 1), 25.0))


@pytest.mark.parametrize("call", ["forward", "adjoint"])
def test_reflect_refuses_a_margin_as_large_as_the_image(call: str) -> None:
    operator = Convolution(padding="reflect")
    with pytest.raises(InputError, match="'reflect' needs an image larger than 4 pixels"):
        getattr(operator, call)(torch.zeros(1, 1, 4, 9), torch.ones(1, 1, 8, 1))
    assert operator(torch.zeros(1, 1, 4, 9), torch.ones(1, 1, 7, 1)).shape == (1, 1, 4, 9)


@pytest.mark.parametrize("call", ["forward", "adjoint"])
@pytest.mark.parametrize("kernel_shape", [(3, 3), (3, 1, 3, 3), (2, 2, 3, 3)], ids=str)
def test_kernels_of_another_shape_are_refused(call: str, kernel_shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"kernel \(B, 1, h, w\)"):
        getattr(Convolution(), call)(torch.zeros(2, 2, 8, 8), torch.ones(kernel_shape))


def test_unknown_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="padding"):
        Convolution(padding="wrap")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_a_blur_is_never_rounded_to_half_precision(method: Literal["fft", "direct"]) -> None:
    """Only the arguments are rounded to bfloat16, under autocast and for bfloat16 arguments."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, 16, 16, generator=generator).bfloat16()
    kernel = torch.rand(1, 1, 5, 5, generator=generator).bfloat16()
    operator = Convolution(method=method)
    expected = operator(image.double(), kernel.double())
    with torch.autocast("cpu", torch.bfloat16):
        data, returned = operator(image, kernel), operator.adjoint(expected.bfloat16(), kernel)
    assert data.dtype == returned.dtype == torch.float32
    torch.testing.assert_close(data.double(), expected, rtol=1e-5, atol=0)


def test_mixed_precision_uses_the_higher_one() -> None:
    data = Convolution()(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 3, 3, dtype=torch.float64))
    assert data.dtype == torch.float64


@pytest.mark.parametrize("kernel_shape", [(1, 1, 1, 1), (2, 1, 3, 4)], ids=str)
@pytest.mark.parametrize("helper", EVERY_HELPER)
def test_identity_has_every_property(helper: Callable[..., None], kernel_shape: tuple[int, ...]) -> None:
    helper(Identity(), (2, 3, 4, 5), kernel_shape)


def test_identity_gives_the_image_for_any_kernel() -> None:
    image = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Identity()(image, torch.zeros(1, 1, 9, 9)), image)


class Blur(LinearOperator):
    """A correct operator; each of the wrong ones below differs from it in one way."""

    def __init__(self) -> None:
        super().__init__()
        self.right = Convolution(padding="circular")

    def forward(self, image: Tensor, kernel: Tensor) -> Any:
        return self.right(image, kernel)

    def adjoint(self, data: Tensor, kernel: Tensor) -> Any:
        return self.right.adjoint(data, kernel)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        return data_shape


class WrongShape(Blur):
    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        return (*data_shape[:2], data_shape[2] + 1, data_shape[3])


class Affine(Blur):
    def forward(self, image: Tensor, kernel: Tensor) -> Any:
        return self.right(image, kernel) + 1


class Correlating(Blur):
    def adjoint(self, data: Tensor, kernel: Tensor) -> Any:
        return self.right(data, kernel)


class Detached(Blur):
    def forward(self, image: Tensor, kernel: Tensor) -> Any:
        return self.right(image, kernel.detach())


class KeepsTheFirstKernel(Blur):
    kept = None

    def forward(self, image: Tensor, kernel: Tensor) -> Any:
        self.kept = kernel if self.kept is None else self.kept
        return self.right(image, self.kept)


class OverwritesItsKernel(Blur):
    kept = None

    def forward(self, image: Tensor, kernel: Tensor) -> Any:
        self.kept = kernel.clone() if self.kept is None else self.kept.copy_(kernel)
        return self.right(image, self.kept.square())


class Counts(Blur):
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, image: Tensor, kernel: Tensor) -> Any:
        self.calls = self.calls + 1
        return self.right(image, kernel)


@pytest.mark.parametrize(
    ("helper", "wrong", "complaint"),
    [
        (assert_shape_law, WrongShape, "image_shape"),
        (assert_linear, Affine, "not linear"),
        (assert_adjoint, Affine, "dot test"),
        (assert_adjoint, Correlating, "dot test"),
        (assert_gradients, Detached, "finite differences"),
        (assert_stateless, KeepsTheFirstKernel, "earlier call"),
        (assert_stateless, OverwritesItsKernel, "called twice"),
        (assert_stateless, Counts, "parameters or buffers"),
    ],
)
def test_helpers_catch_a_wrong_operator(helper: Callable[..., None], wrong: type[Any], complaint: str) -> None:
    helper(Blur(), *SHAPES)
    with pytest.raises(AssertionError, match=complaint):
        helper(wrong(), *SHAPES)
