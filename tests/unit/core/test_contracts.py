"""Components of others that break their interface are refused by name before the first step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from invkit.core.contracts import check_contracts
from invkit.core.errors import AssemblyError
from invkit.core.interfaces import Fidelity, ForwardOperator, ImagePrior, KernelPrior, Regularizer
from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel
from invkit.numerics.geometry import Shape
from invkit.operators.convolution import Convolution
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.adam import JointAdam

DATA = torch.rand(2, 1, 8, 9, generator=torch.Generator().manual_seed(0))


class ScalarPenalty(Regularizer):
    def forward(self, value: Tensor) -> Tensor:
        return value.square().mean()


class Failing(Regularizer):
    def forward(self, value: Tensor) -> Tensor:
        return value @ torch.ones(3)


class NotFinite(Regularizer):
    def forward(self, value: Tensor) -> Tensor:
        return value.mean((1, 2, 3)) / 0


class Number(Regularizer):
    def forward(self, value: Tensor) -> Tensor:
        return 1.0  # type: ignore[return-value]


class TooBright(ImagePrior):
    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.free = nn.Parameter(torch.full(shape, 1.5))

    def forward(self) -> Tensor:
        return self.free


class Smaller(TooBright):
    def forward(self) -> Tensor:
        return 0.5 * self.free[..., 1:]


class Signed(KernelPrior):
    def forward(self) -> Tensor:
        kernel = torch.zeros(self.shape)
        kernel[..., 0, 0], kernel[..., 1, 1] = 2.0, -1.0
        return kernel


class Cropped(ForwardOperator):
    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        return image[..., 1:, :]

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        return data_shape


class ScalarFidelity(Fidelity):
    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        return (predicted - data).square().mean()


def problem() -> Problem:
    kernel = torch.full((2, 1, 3, 3), 1 / 9)
    operator = Convolution(padding="circular")
    return Problem(DATA, operator, Pixels((2, 1, 8, 9), DATA), KnownKernel((2, 1, 3, 3), kernel), MSE())


def with_term(regularizer: Regularizer) -> Problem:
    return replace(problem(), regularizers=[Term(TotalVariation(), 0.1), Term(regularizer, 0.1)])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            with_term(ScalarPenalty()),
            r"regularizers\[1\]: ScalarPenalty gives the shape \(\), and must give \(2,\); one",
        ),
        (with_term(Failing()), r"regularizers\[1\]: Failing fails on this problem: RuntimeError: "),
        (with_term(NotFinite()), r"NotFinite gives NaN or infinite values, and must give finite ones"),
        (with_term(Number()), r"Number gives float, and must give a tensor"),
        (
            replace(problem(), image_prior=TooBright((2, 1, 8, 9))),
            r"image_prior: TooBright gives values from 1.5 to 1.5, and must give values in \[0, 1\]",
        ),
        (
            replace(problem(), image_prior=Smaller((2, 1, 8, 9))),
            r"Smaller gives the shape \(2, 1, 8, 8\), and must give",
        ),
        (
            replace(problem(), kernel_prior=Signed((2, 1, 3, 3))),
            r"kernel_prior: Signed gives a value that is off by .*and must give one that is non-negative",
        ),
        (replace(problem(), operator=Cropped()), r"operator: Cropped gives the shape \(2, 1, 7, 9\), and must give"),
        (replace(problem(), fidelity=ScalarFidelity()), r"fidelity: ScalarFidelity gives the shape \(\)"),
    ],
)
def test_a_broken_component_is_refused_before_the_first_step(broken: Problem, message: str) -> None:
    with pytest.raises(AssemblyError, match=message):
        JointAdam(iterations=1).solve(broken)


def test_a_good_component_of_others_is_accepted() -> None:
    class MeanSquare(Regularizer):
        def forward(self, value: Tensor) -> Tensor:
            return value.square().mean((1, 2, 3))

    assert JointAdam(iterations=2).solve(with_term(MeanSquare())).iterations == 2
    assert (
        JointAdam(iterations=1).solve(replace(problem(), regularizers=[Term(MeanSquare(), 1.0, "kernel")])).iterations
    )


def test_components_of_invkit_are_not_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[None]()
    given = problem()
    monkeypatch.setattr(given.image_prior, "forward", lambda: calls.append(None))
    check_contracts(given)
    assert not calls
