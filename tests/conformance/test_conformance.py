"""Every registered component does what its family promises, and the suite catches those that do not."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import torch
from pydantic import Field
from torch import nn

from invkit.core import registry
from invkit.core.interfaces import Fidelity, KernelPrior, LinearOperator, Regularizer, Reweightable
from invkit.core.parameters import Seed
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.gaussian import GaussianKernel
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.numerics.geometry import Shape
from invkit.testing import (
    check_component,
    check_fidelity,
    check_image_prior,
    check_kernel_prior,
    check_operator,
    check_regularizer,
    conformance_cases,
)


@pytest.mark.parametrize(("family", "name"), conformance_cases())
def test_every_registered_component_conforms(family: str, name: str) -> None:
    check_component(family, name)


@pytest.mark.parametrize(
    ("component", "params"),
    [
        (GaussianKernel, {"anisotropic": True}),
        (SimplexKernel, {"parametrization": "projection"}),
        (SoftmaxFCN, {"layers": 0}),
        (SoftmaxFCN, {"layers": 2, "activation": "leaky-relu"}),
    ],
)
def test_variants_of_kernel_priors_conform(component: type[Any], params: dict[str, Any]) -> None:
    check_kernel_prior(component, params)


def test_pixels_conform_as_a_sigmoid() -> None:
    check_image_prior(Pixels, {"parametrization": "sigmoid"})


def test_cases_name_every_family_with_a_class_and_can_be_limited_to_a_distribution() -> None:
    families = {family for family, _ in conformance_cases("invkit")}
    assert families == {family for family, interface in registry.FAMILIES.items() if interface is not None}
    assert conformance_cases("no-such-distribution") == []


class UnseededKernel(SimplexKernel):
    """Starts from the global random state."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        nn.init.normal_(self.free)


class DriftingKernel(KernelPrior):
    """Moves a little at every call."""

    calls: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.register_buffer("calls", torch.zeros(()))
        self.free = nn.Parameter(torch.zeros(shape))

    def forward(self) -> torch.Tensor:
        self.calls += 1
        return (self.free + 1e-3 * self.calls * torch.arange(self.free.numel()).view(self.shape)).softmax(-1)


class CountingKernel(SimplexKernel):
    """Counts its calls, to no effect."""

    calls: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self) -> torch.Tensor:
        self.calls += 1
        return super().forward()


class SignedKernel(SimplexKernel):
    """Sums to one, with negative pixels."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)

    def forward(self) -> torch.Tensor:
        return self.free / self.free.sum((1, 2, 3), keepdim=True)


class DeafKernel(SimplexKernel):
    """Has a seed and ignores it.

    Args:
        seed: is ignored.
    """

    def __init__(self, shape: Shape, *, seed: Seed = 0) -> None:
        super().__init__(shape)


class FrozenKernel(SimplexKernel):
    """Lets no gradient through."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)

    def forward(self) -> torch.Tensor:
        return super().forward().detach() + 0 * self.free


class OverflowingKernel(SimplexKernel):
    """A softmax without subtracting the largest."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)

    def forward(self) -> torch.Tensor:
        weights = self.free.exp()
        return weights / weights.sum((1, 2, 3), keepdim=True)


class UndocumentedKernel(SimplexKernel):
    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)


class UndescribedKernel(SimplexKernel):
    """Has a parameter that its docstring does not describe."""

    def __init__(self, shape: Shape, *, width: Annotated[int, Field(description="pixels")] = 3) -> None:
        super().__init__(shape)


class MisdescribedKernel(SimplexKernel):
    """Describes a parameter that does not exist.

    Args:
        shape: (B, 1, h, w).
        widht: pixels.
        width: pixels.
    """

    def __init__(self, shape: Shape, *, width: int = 3) -> None:
        super().__init__(shape)


class DemandingKernel(SimplexKernel):
    """Has a required parameter and no example of it.

    Args:
        width: pixels.
    """

    def __init__(self, shape: Shape, *, width: int) -> None:
        super().__init__(shape)


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (UnseededKernel, "global random state"),
        (DriftingKernel, "two calls .* different values"),
        (CountingKernel, "changes its calls"),
        (SignedKernel, "negative"),
        (DeafKernel, "does not depend on its 'seed'"),
        (FrozenKernel, "all gradients .* are zero"),
        (OverflowingKernel, "NaN"),
        (UndocumentedKernel, "no docstring"),
        (UndescribedKernel, "the section 'Args:' in the docstring of UndescribedKernel does not describe width"),
        (MisdescribedKernel, "MisdescribedKernel has no argument widht, but its section 'Args:' describes it"),
        (DemandingKernel, r"'width' is required and has no Field\(examples"),
    ],
)
def test_a_faulty_kernel_prior_is_caught(component: type[Any], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_kernel_prior(component)


class BrightPixels(Pixels):
    """Leaves [0, 1]."""

    def __init__(self, shape: Shape, start: torch.Tensor) -> None:
        super().__init__(shape, start)

    def forward(self) -> torch.Tensor:
        return 2 * self.free


def test_an_image_prior_outside_the_box_is_caught() -> None:
    with pytest.raises(AssertionError, match=r"outside \[0, 1\]"):
        check_image_prior(BrightPixels)


class NaiveVariation(Regularizer):
    """Total variation with the square root's infinite slope."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return (value.diff(dim=-1)[..., :-1, :].square() + value.diff(dim=-2)[..., :-1].square()).sqrt().sum((1, 2, 3))


class MixingNorm(Regularizer):
    """Normalises by the whole batch."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value.square().sum((1, 2, 3)) / value.square().sum()


class RightProx(Reweightable):
    """The sum of squares with its own prox and weights."""

    def __init__(self) -> None:
        super().__init__()

    def penalty(self, coefficients: torch.Tensor) -> torch.Tensor:
        return coefficients.square().sum((0, 2, 3, 4))

    def prox(self, coefficients: torch.Tensor, step: float) -> torch.Tensor:
        return coefficients / (1 + 2 * step)

    def weights(self, coefficients: torch.Tensor) -> torch.Tensor:
        return torch.full_like(coefficients, 2)


class WrongProx(RightProx):
    """With the prox of another function."""

    def __init__(self) -> None:
        super().__init__()

    def prox(self, coefficients: torch.Tensor, step: float) -> torch.Tensor:
        return coefficients / (1 + step)


class DoubledProx(RightProx):
    """With a prox in a precision of its own."""

    def __init__(self) -> None:
        super().__init__()

    def prox(self, coefficients: torch.Tensor, step: float) -> torch.Tensor:
        return super().prox(coefficients, step).double()


class OverwritingProx(RightProx):
    """With a prox in place."""

    def __init__(self) -> None:
        super().__init__()

    def prox(self, coefficients: torch.Tensor, step: float) -> torch.Tensor:
        return coefficients.div_(1 + 2 * step)


class LowWeights(RightProx):
    """With weights of half the squares."""

    def __init__(self) -> None:
        super().__init__()

    def weights(self, coefficients: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(coefficients)


class OtherForward(RightProx):
    """The mean of squares, with the penalty of the sum."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value.square().mean((1, 2, 3))


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (NaiveVariation, "gradients that are not finite"),
        (MixingNorm, "mixes the images"),
        (WrongProx, "not minimise"),
        (DoubledProx, "gives torch.float64 for torch.float32"),
        (OverwritingProx, "overwrites what it is given"),
        (LowWeights, "do not lie above"),
        (OtherForward, "is not OtherForward.penalty of"),
    ],
)
def test_a_faulty_regularizer_is_caught(component: Any, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_regularizer(component)


def test_a_right_prox_passes() -> None:
    check_regularizer(RightProx)


class RootError(Fidelity):
    """Root of the mean squared error, whose slope at zero is not a number."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        return (predicted - data).square().mean((1, 2, 3)).sqrt()


class Shifted(MSE):
    """Not zero for equal data."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        return super().forward(predicted, data) + 1


class Even(MSE):
    """Gives all data the same weight."""

    def weighted(self, predicted: torch.Tensor, data: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return self.forward(predicted, data)


class Peeking(MSE):
    """Adds what the weights do not hide."""

    def weighted(self, predicted: torch.Tensor, data: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return super().weighted(predicted, data, weights) + 0.1 * (0.5 - weights.mean()) * data.mean((1, 2, 3))


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (RootError, "not finite"),
        (Shifted, "not zero"),
        (Even, "Even.weighted does not add up"),
        (Peeking, "Peeking.weighted depends on data of weight zero"),
    ],
)
def test_a_faulty_fidelity_is_caught(component: type[Fidelity], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_fidelity(component)


class Doubling(LinearOperator):
    """Doubles the image and thinks that it halved it."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return 2 * image

    def adjoint(self, data: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return data / 2

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        return data_shape


def test_a_wrong_adjoint_is_caught() -> None:
    with pytest.raises(AssertionError, match="dot test"):
        check_operator(Doubling)
