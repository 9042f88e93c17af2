"""A problem refuses components that do not fit, and adds up its sum."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch

from invkit.errors import AssemblyError, InputError
from invkit.fidelities.mse import MSE
from invkit.fidelities.schedule import Schedule
from invkit.image_priors.pixels import Pixels
from invkit.interfaces import Fidelity, Regularizer
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.operators.convolution import Convolution
from invkit.problem import Problem, Term, shape_of

DATA = torch.rand(2, 1, 10, 12, generator=torch.Generator().manual_seed(0))
KERNEL_SHAPE = (2, 1, 3, 5)
IMAGE_SHAPE = (2, 1, 12, 16)  # valid: 10 + 3 - 1, 12 + 5 - 1


class Mean(Regularizer):
    def forward(self, value):
        return value.flatten(1).mean(1)


class Constant(Fidelity):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, predicted, data):
        return torch.full((len(data),), self.value)


def problem(data=DATA, image_shape=IMAGE_SHAPE, fidelity=None, regularizers=()):
    image_prior = Pixels(image_shape, torch.zeros(image_shape))
    return Problem(data, Convolution(), image_prior, SimplexKernel(KERNEL_SHAPE), fidelity or MSE(), regularizers)


def test_components_that_fit_make_a_problem():
    assert problem().image_prior().shape == IMAGE_SHAPE


@pytest.mark.parametrize("shape", [(2, 1, 10, 12), (2, 1, 12, 15), (1, 1, 12, 16), (2, 3, 12, 16)])
def test_an_image_prior_of_another_shape_is_refused_with_the_right_one(shape):
    with pytest.raises(AssemblyError) as caught:
        problem(image_shape=shape)
    said = str(caught.value)
    assert str(shape) in said
    assert f"Convolution needs {IMAGE_SHAPE}" in said
    assert "operator.image_shape(data.shape, kernel_prior.shape)" in said


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_data_that_are_no_numbers_are_refused(bad):
    data = DATA.clone()
    data[1, 0, 3, 4] = bad
    with pytest.raises(InputError, match="NaN or infinite"):
        problem(data=data)


@pytest.mark.parametrize("data", [DATA[0], DATA[None], (DATA * 255).to(torch.uint8)], ids=["3d", "5d", "uint8"])
def test_data_of_another_form_are_refused_with_what_was_given(data):
    with pytest.raises(InputError) as caught:
        problem(data=data)
    assert str(tuple(data.shape)) in str(caught.value)
    assert str(data.dtype) in str(caught.value)


def test_the_objective_is_the_weighted_sum_for_each_image_of_the_batch():
    terms = (Term(Mean(), 2.0), Term(Mean(), 30.0, on="kernel"))
    image = torch.stack([torch.full((1, 12, 16), 0.25), torch.full((1, 12, 16), 0.5)])
    kernel = torch.full(KERNEL_SHAPE, 1 / 15)
    value = problem(fidelity=Constant(0.125), regularizers=terms).objective(image, kernel)
    torch.testing.assert_close(value, torch.tensor([0.125 + 0.5 + 2.0, 0.125 + 1.0 + 2.0]))


def test_the_objective_follows_a_schedule_of_fidelities():
    scheduled = problem(fidelity=Schedule([(Constant(1.0), 3), (Constant(2.0), None)]))
    image, kernel = scheduled.image_prior(), scheduled.kernel_prior()
    values = [float(scheduled.objective(image, kernel, iteration=i)[0]) for i in range(5)]
    assert values == [1.0, 1.0, 1.0, 2.0, 2.0]


def test_the_objective_has_gradients_for_the_unknowns_of_both_priors():
    posed = problem(regularizers=(Term(Mean(), 0.1),))
    posed.objective(posed.image_prior(), posed.kernel_prior()).sum().backward()
    unknowns = [*posed.image_prior.parameters(), *posed.kernel_prior.parameters()]
    assert unknowns
    assert all(u.grad is not None and bool(torch.isfinite(u.grad).all()) for u in unknowns)


def test_moving_a_problem_moves_all_of_it():
    moved = problem(regularizers=(Term(Mean(), 0.1, on="kernel"),)).to("cpu")
    assert moved.data.device == next(moved.image_prior.parameters()).device == torch.device("cpu")
    assert [(t.weight, t.on) for t in moved.regularizers] == [(0.1, "kernel")]


def test_a_problem_is_data_that_nobody_changes():
    with pytest.raises(FrozenInstanceError):
        problem().data = DATA


def test_a_shape_is_of_four_numbers():
    assert shape_of(DATA) == (2, 1, 10, 12)
