"""A problem refuses components that do not fit together, and computes its objective."""

from __future__ import annotations

import math
import warnings
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import torch

from invkit.core.errors import AssemblyError, DataWeightsError, InputError
from invkit.core.interfaces import Fidelity, Regularizer
from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import L1, MSE, Huber
from invkit.fidelities.poisson import Poisson
from invkit.fidelities.schedule import Schedule
from invkit.fidelities.ssim import SSIM
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.numerics.geometry import Shape, shape_of
from invkit.operators.convolution import Convolution
from invkit.operators.pixelwise import Identity
from invkit.solvers.gradient_descent import GradientDescent

DATA = torch.rand(2, 1, 10, 12, generator=torch.Generator().manual_seed(0))
KERNEL_SHAPE = (2, 1, 3, 5)
IMAGE_SHAPE = (2, 1, 12, 16)  # valid: 10 + 3 - 1, 12 + 5 - 1


class Mean(Regularizer):
    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value.flatten(1).mean(1)


class Constant(Fidelity):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        return torch.full((len(data),), self.value)


def problem(
    data: Any = DATA,
    image_shape: Shape = IMAGE_SHAPE,
    fidelity: Fidelity | None = None,
    regularizers: Any = (),
) -> Problem:
    image_prior = Pixels(image_shape, torch.zeros(image_shape))
    return Problem(data, Convolution(), image_prior, SimplexKernel(KERNEL_SHAPE), fidelity or MSE(), regularizers)


def test_components_that_fit_make_a_problem() -> None:
    assert problem().image_prior().shape == IMAGE_SHAPE


@pytest.mark.parametrize("shape", [(2, 1, 10, 12), (2, 1, 12, 15), (1, 1, 12, 16), (2, 3, 12, 16)])
def test_an_image_prior_of_another_shape_is_refused_with_the_right_one(shape: Shape) -> None:
    with pytest.raises(AssemblyError) as caught:
        problem(image_shape=shape)
    message = str(caught.value)
    assert str(shape) in message
    assert f"Convolution needs {IMAGE_SHAPE}" in message
    assert "operator.image_shape(data.shape, kernel_prior.shape)" in message


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_data_that_are_not_finite_are_refused(bad: float) -> None:
    data = DATA.clone()
    data[1, 0, 3, 4] = bad
    with pytest.raises(InputError, match="NaN or infinite"):
        problem(data=data)


@pytest.mark.parametrize("data", [DATA[0], DATA[None], (DATA * 255).to(torch.uint8)], ids=["3d", "5d", "uint8"])
def test_data_of_another_form_are_refused_with_their_shape_and_type(data: torch.Tensor) -> None:
    with pytest.raises(InputError) as caught:
        problem(data=data)
    assert str(tuple(data.shape)) in str(caught.value)
    assert str(data.dtype) in str(caught.value)


def test_the_objective_is_the_weighted_sum_for_each_image_of_the_batch() -> None:
    terms = (Term(Mean(), 2.0), Term(Mean(), 30.0, target="kernel"))
    image = torch.stack([torch.full((1, 12, 16), 0.25), torch.full((1, 12, 16), 0.5)])
    kernel = torch.full(KERNEL_SHAPE, 1 / 15)
    value = problem(fidelity=Constant(0.125), regularizers=terms).objective(image, kernel)
    torch.testing.assert_close(value, torch.tensor([0.125 + 0.5 + 2.0, 0.125 + 1.0 + 2.0]))


def test_the_objective_follows_a_schedule_of_fidelities() -> None:
    scheduled = problem(fidelity=Schedule([(Constant(1.0), 3), (Constant(2.0), None)]))
    image, kernel = scheduled.image_prior(), scheduled.kernel_prior()
    values = [float(scheduled.objective(image, kernel, iteration=i)[0]) for i in range(5)]
    assert values == [1.0, 1.0, 1.0, 2.0, 2.0]


def test_the_objective_has_gradients_for_the_parameters_of_both_priors() -> None:
    posed = problem(regularizers=(Term(Mean(), 0.1),))
    posed.objective(posed.image_prior(), posed.kernel_prior()).sum().backward()  # type: ignore[no-untyped-call]
    parameters = [*posed.image_prior.parameters(), *posed.kernel_prior.parameters()]
    assert parameters
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in parameters)


def test_unknown_data_add_nothing_to_the_objective() -> None:
    measured = torch.ones(DATA.shape, dtype=torch.bool)
    measured[..., 2:4, 5:9] = False
    one = replace(problem(), weights=measured)
    other = replace(one, data=DATA.masked_fill(~measured, 1.0))
    image = torch.rand(IMAGE_SHAPE, generator=torch.Generator().manual_seed(1)).requires_grad_()
    kernel = one.kernel_prior().detach()
    first, second = one.objective(image, kernel), other.objective(image, kernel)
    assert torch.equal(first, second)
    squares = (one.operator(image, kernel) - DATA).square() * measured
    torch.testing.assert_close(first, squares.mean((1, 2, 3)))
    gradients = [torch.autograd.grad(each.sum(), image)[0] for each in (first, squares.mean((1, 2, 3)))]
    torch.testing.assert_close(*gradients)


def test_weights_count_each_datum() -> None:
    weights = torch.rand(1, 1, 10, 12, generator=torch.Generator().manual_seed(2)) * 3
    weights[..., 4:6, :] = 0
    image, kernel = (
        torch.rand(IMAGE_SHAPE, generator=torch.Generator().manual_seed(1)),
        problem().kernel_prior().detach(),
    )
    for fidelity in (MSE(), L1(), Huber(threshold=0.1), Poisson()):
        one = replace(problem(), weights=weights, fidelity=fidelity)
        expected = (weights * fidelity.values(one.operator(image, kernel), DATA)).mean((1, 2, 3))
        torch.testing.assert_close(one.objective(image, kernel), expected)
    assert one.is_graded
    assert torch.equal(one.weighted(DATA), DATA * weights)
    assert torch.equal(one.masked(DATA), DATA * (weights > 0))


def test_a_mask_is_the_weights_zero_and_one() -> None:
    mask = torch.ones(1, 1, 10, 12, dtype=torch.bool)
    assert replace(problem(), weights=mask).weights is None
    mask[..., 3] = False
    one, other = replace(problem(), weights=mask), replace(problem(), weights=mask.float())
    assert one.weights is not None
    assert other.weights is not None
    assert one.weights.shape == DATA.shape
    assert torch.equal(one.weights, other.weights)
    assert not one.is_graded
    assert replace(problem(), weights=2 * mask.float()).is_graded


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (torch.ones(1, 1, 10, 12, dtype=torch.int64), "tensor of bool or of floating-point numbers, got torch.int64"),
        ([[1.0]], "got list"),
        (torch.full((1, 1, 10, 12), -1.0), "must be finite and >= 0; give 0 where a value is unknown"),
        (torch.full((1, 1, 10, 12), torch.nan), "must be finite"),
        (torch.full((1, 1, 10, 12), torch.inf), "must be finite"),
        (torch.zeros(1, 1, 9, 12), r"shape \(1, 1, 9, 12\), which does not expand to the data's"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(problem(), weights=weights)


def test_a_fidelity_that_is_no_sum_takes_masks_alone() -> None:
    mask = torch.ones(1, 1, 12, 12)
    mask[..., 3] = 0
    data = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    structural = Problem(
        data, Identity(), Pixels(shape_of(data), data), KnownKernel((1, 1, 1, 1)), SSIM(), weights=mask
    )
    GradientDescent().check(structural)
    schedule = Schedule([(SSIM(), 2), (MSE(), None)])
    for fidelity, steps in ((SSIM(), 1), (schedule, 1), (schedule, 3)):
        with pytest.raises(DataWeightsError, match="need a fidelity that is a sum over the data, and SSIM is not"):
            GradientDescent(iterations=steps).check(replace(structural, fidelity=fidelity, weights=0.5 + mask))
    GradientDescent(iterations=3).check(
        replace(structural, fidelity=Schedule([(MSE(), 2), (L1(), None)]), weights=0.5 + mask)
    )
    late = Schedule([(MSE(), 4), (SSIM(), None)])  # whose end this solve does not reach
    GradientDescent(iterations=3).check(replace(structural, fidelity=late, weights=0.5 + mask))


def test_moving_a_problem_moves_all_its_parts() -> None:
    moved = problem(regularizers=(Term(Mean(), 0.1, target="kernel"),)).to("cpu")
    assert moved.data.device == next(moved.image_prior.parameters()).device == torch.device("cpu")
    assert [(t.weight, t.target) for t in moved.regularizers] == [(0.1, "kernel")]


def test_a_problem_is_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        problem().data = DATA  # type: ignore[misc]


def test_a_shape_has_four_numbers() -> None:
    assert shape_of(DATA) == (2, 1, 10, 12)


# The parts of a problem.


@pytest.mark.parametrize(
    ("field", "wrong", "expected"),
    [
        ("operator", Convolution, r"operator must be an instance.*give Convolution\(\.\.\.\), not Convolution"),
        ("image_prior", Pixels, r"image_prior must be an instance.*Pixels\("),
        ("kernel_prior", SimplexKernel, r"kernel_prior must be an instance.*SimplexKernel\("),
        ("fidelity", MSE, r"fidelity must be an instance.*give MSE\(\.\.\.\), not MSE"),
        ("operator", MSE(), "operator must be of the family ForwardOperator, and MSE is not"),
        ("image_prior", SimplexKernel(KERNEL_SHAPE), "image_prior must be .*ImagePrior, and SimplexKernel"),
        (
            "kernel_prior",
            Pixels(IMAGE_SHAPE, torch.zeros(IMAGE_SHAPE)),
            "kernel_prior must be .*OperatorParameterPrior, and Pix",
        ),
        ("fidelity", Mean(), "fidelity must be .*Fidelity, and Mean"),
        ("fidelity", None, "fidelity must be .*Fidelity, and NoneType"),
        ("fidelity", Mean, "fidelity must be .*Fidelity, and Mean"),
        ("regularizers", Term(Mean(), 1.0), "must be a list of Term"),
        ("regularizers", [Term(Mean(), 1.0), Mean()], r"regularizers\[1\] is Mean.*Term\(Mean\(\.\.\.\), weight\)"),
        ("regularizers", [Mean], r"regularizers\[0\] is Mean"),
    ],
)
def test_a_wrong_part_is_refused_with_its_place(field: str, wrong: Any, expected: str) -> None:
    with pytest.raises(AssemblyError, match=expected):
        replace(problem(), **{field: wrong})


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4", ">f8"])
def test_an_array_becomes_a_float32_tensor_and_is_not_changed(dtype: str) -> None:
    array = DATA.numpy().astype(dtype)
    array.setflags(write=False)  # torch would warn if it shared this memory
    taken = problem(data=array).data
    assert taken.dtype is torch.float32
    torch.testing.assert_close(taken, DATA)
    taken += 1
    assert array.max() <= 1


def test_a_tensor_is_kept_as_it_is() -> None:
    assert problem(data=DATA).data is DATA
    assert problem(data=DATA.double()).data.dtype is torch.float64


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (DATA.half(), "float16.*give float32"),
        (DATA.bfloat16(), "bfloat16.*give float32"),
        (DATA.numpy().astype(np.float16), "float16.*give float32"),
        ((255 * DATA.numpy()).astype(np.uint8), "uint8.*divide by the value of white"),
        (DATA.numpy() + 1j, "complex"),
        (DATA.numpy()[0], r"\(1, 10, 12\)"),
        (DATA[:0], r"not empty.*\(0, 1, 10, 12\)"),
        (DATA.tolist(), "tensor or an array .*got list"),
        (255 * DATA, r"from .* to 25\d.*, not within \[0, 1\]; divide it by the value of white, .*255 if"),
        (255 * DATA.numpy(), r"divide it by the value of white, .*255 if"),
        (DATA - 0.5, "subtract -0.4.* and divide by"),
    ],
    ids=str,
)
def test_data_that_cannot_be_used_are_refused_with_the_remedy(data: Any, expected: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=expected):
            problem(data=data)


def test_the_rounding_errors_of_a_blur_are_allowed() -> None:
    data = DATA.clone()
    data[0, 0, 0, :2] = torch.tensor([-1e-5, 1 + 1e-5])
    assert problem(data=data).data is data


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf, "1", None, torch.tensor(1.0)])
def test_a_weight_that_is_not_a_finite_number_is_refused(weight: Any) -> None:
    with pytest.raises(InputError, match="weight of Mean must be finite and >= 0"):
        Term(Mean(), weight)


@pytest.mark.parametrize("weight", [0, 2, 0.5, np.float32(0.5), np.float64(0.5)])
def test_a_weight_may_be_any_number(weight: Any) -> None:
    term = Term(Mean(), weight)
    image, kernel = torch.full(IMAGE_SHAPE, 0.5), torch.full(KERNEL_SHAPE, 1 / 15)
    value = problem(fidelity=Constant(0.0), regularizers=[term]).objective(image, kernel)
    torch.testing.assert_close(value, torch.full((2,), 0.5 * float(weight)))


@pytest.mark.parametrize("on", ["picture", None, "Image"])
def test_the_target_of_a_term_is_the_image_or_the_kernel(on: Any) -> None:
    with pytest.raises(InputError, match="'image' or 'kernel'"):
        Term(Mean(), 1.0, on)


@pytest.mark.parametrize(
    ("wrong", "expected"), [(Mean, r"give Mean\(\.\.\.\), not Mean"), (MSE(), "Regularizer, and MSE")]
)
def test_a_term_must_hold_a_regularizer(wrong: Any, expected: str) -> None:
    with pytest.raises(AssemblyError, match=expected):
        Term(wrong, 1.0)


def test_a_list_of_terms_is_kept_as_a_tuple() -> None:
    terms = [Term(Mean(), 1.0)]
    posed = problem(regularizers=terms)
    terms.append(Term(Mean(), 2.0))
    assert posed.regularizers == (terms[0],)
