"""Data that are no pictures are scaled for the solve, and their image is returned in their own units."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.homogeneous import ScalingOperator, degree_of
from ..core.interfaces import ForwardOperator
from ..core.operator_parameters import ComplexImage
from ..numerics.geometry import Size
from ..recipes.model import Recipe, check_parameters
from .assemble import Checked, build_kernel_prior
from .inputs import Inputs
from .options import Options, kernel_frame_of
from .stages import identity_kernel

__all__ = ["BRIGHTEST_NUMBER", "brightness_of", "scaled_numbers"]

BRIGHTEST_NUMBER = 0.5  # of the image of scaled data, as estimated; one twice as bright still fits [0, 1]


def scaled_numbers(inputs: Inputs, recipe: Recipe, options: Options) -> Inputs:
    """Inputs whose data, which are no pictures, are divided so that the brightest pixel of their image is about half.

    Weights and thresholds are made for images in [0, 1], and the numbers of a scanner have any units. If the operator
    is linear, or homogeneous of another degree, the image is scaled too: by the factor w if the data are by
    ``w**degree``. It is estimated by the operator's `brightness`, which scales like the image, so that the result does
    not depend on the units of the data. The data of other operators are used as they are.

    Args:
        inputs: that were read.
        recipe: the method, whose operator's data are no pictures.
        options: the user's.

    Raises:
        InvkitError: the data cannot be those of the operator, or are zero; or as `check_parameters`.
    """
    image, checked = inputs.image, check_parameters(recipe, options.seed)
    operator: ForwardOperator = checked["operator"].build({})
    reading = operator.reading(image.data)
    inputs = replace(inputs, image=replace(image, reading=reading))
    if not isinstance(operator, ScalingOperator):
        return inputs
    size = kernel_frame_of(recipe, type(operator), options, image.data, inputs.parameter).size
    start = identity_kernel(size) if recipe.candidates and inputs.parameter is None else inputs.parameter
    brightness = brightness_of(checked, operator, image.data, size, start)
    divided = inputs.divided_by(brightness / BRIGHTEST_NUMBER, brightness, degree_of(operator))
    if not (isinstance(operator, ComplexImage) and operator.has_complex_image):
        return divided
    return replace(divided, image=replace(divided.image, range=(-inf, inf), is_complex=True))


def brightness_of(
    checked: Checked, operator: ScalingOperator, data: Tensor, kernel_size: Size, kernel: Tensor | None
) -> float:
    """About the largest value of the image of data, in their units.

    Args:
        checked: the components of the recipe.
        operator: built.
        data: (B, C, H, W).
        kernel_size: (h, w), as for `assemble`.
        kernel: the given parameter; None for the first value that the prior gives.

    Raises:
        InputError: the data are zero, or their image has no positive value.
    """
    largest = float(data.abs().max())
    if largest == 0:
        raise InputError("the data are zero everywhere, so there is nothing to restore; give other data")
    unit = data / largest  # squares of numbers in any units are beyond single precision
    prior = build_kernel_prior(checked, operator, unit, kernel_size, kernel)
    with torch.no_grad():  # in single precision, rounding changes the largest value by percents
        brightness = operator.brightness(unit.double(), prior().double()) * float(largest ** (1 / degree_of(operator)))
    if not brightness > 0:
        raise InputError("no image of positive values explains the data; check their signs and their order")
    return brightness
