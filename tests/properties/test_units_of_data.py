"""The image of data that are no pictures is proportional to them: to the bit, if the factor is a power of two."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import invkit
from invkit.core.homogeneous import ScalingOperator
from invkit.numerics.geometry import Shape, shape_of
from invkit.operators.multi_coil_mri import MultiCoilMRI
from invkit.operators.phase_retrieval import PhaseRetrieval
from invkit.operators.tomography import Tomography

OPERATORS: dict[str, tuple[ScalingOperator, Shape]] = {
    "blind-mri": (MultiCoilMRI(), (1, 4, 12, 10)),
    "phase-retrieval": (PhaseRetrieval(), (1, 3, 12, 10)),
    "tomography": (Tomography(), (1, 1, 9, 12)),
}


def data_of(recipe: str, seed: int) -> torch.Tensor:
    operator, shape = OPERATORS[recipe]
    draw = torch.Generator().manual_seed(seed)
    parameter = torch.rand(operator.parameter_shape(shape, (1, 1)), generator=draw)
    image = torch.rand(operator.image_shape(shape, shape_of(parameter)), generator=draw)
    data: torch.Tensor = operator(image, parameter)
    return data


@pytest.mark.parametrize("recipe", OPERATORS)
@given(exponent=st.integers(-60, 60), seed=st.integers(0, 5))
def test_units_that_are_powers_of_two_change_no_bit(recipe: str, exponent: int, seed: int) -> None:
    data, settings = data_of(recipe, seed)[0].numpy(), ["solver.iterations=2"]
    expected = invkit.restore(data, recipe, overrides=settings, progress=False)
    found = invkit.restore(np.ldexp(data, exponent), recipe, overrides=settings, progress=False)
    np.testing.assert_array_equal(found.image, np.ldexp(expected.image, exponent))
    np.testing.assert_array_equal(found.kernel, expected.kernel)
    assert found.details["white"] == np.ldexp(expected.details["white"], exponent)


@given(exponent=st.integers(-30, 30), seed=st.integers(0, 5))
def test_the_image_of_intensities_is_proportional_to_their_root(exponent: int, seed: int) -> None:
    data = data_of("phase-retrieval", seed)[0].numpy() ** 2
    settings = ["solver.iterations=2", "operator.measured=intensities"]
    expected = invkit.restore(data, "phase-retrieval", overrides=settings, progress=False)
    found = invkit.restore(np.ldexp(data, 2 * exponent), "phase-retrieval", overrides=settings, progress=False)
    np.testing.assert_allclose(found.image, np.ldexp(expected.image, exponent), rtol=1e-5)
    assert found.details["white"] == pytest.approx(np.ldexp(expected.details["white"], exponent), rel=1e-12)


@pytest.mark.parametrize("recipe", OPERATORS)
@given(factor=st.floats(1e-5, 1e4), seed=st.integers(0, 20))
def test_the_brightness_is_proportional_to_the_data(recipe: str, factor: float, seed: int) -> None:
    operator, _ = OPERATORS[recipe]
    data = data_of(recipe, seed).double()
    parameter = operator.parameter_prior.allowed(
        torch.rand(operator.parameter_shape(shape_of(data), (1, 1)), dtype=torch.float64)
    )
    brightness = operator.brightness(data, parameter)
    assert operator.brightness(factor * data, parameter) == pytest.approx(factor * brightness, rel=1e-9)
