"""Checks of forward operators.

Each helper takes the operator with the shapes of its data and of its kernel (or other parameter), draws seeded random
tensors in float64 and raises ``AssertionError`` with a sentence if the property does not hold. Kernels are drawn as
their kind allows: blur kernels are non-negative and sum to one. Linear operators take images of any numbers, others
take images in [0, 1], which is all that a prior gives them, and data of such images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.homogeneous import ScalingOperator, degree_of
from ..core.interfaces import ForwardOperator, KernelPrior, LinearOperator
from ..numerics.geometry import Shape, Size
from .common import ParameterValues, assert_documented, assert_pure, build, demand, drawn

__all__ = [
    "assert_adjoint",
    "assert_gradients",
    "assert_homogeneous",
    "assert_initial_image",
    "assert_linear",
    "assert_shape_law",
    "assert_stateless",
    "check_operator",
]

CHECKED_KERNEL_SIZE: Size = (3, 4)
FLOAT64_TOLERANCE = 1e-10  # of float64 sums of a few thousand terms, with room for an FFT
FACTOR = 3.0  # of an image; no power of two, whose products have no rounding
BRIGHTNESS_TOLERANCE = 1e-6  # of an estimate by iterations, which may amplify the rounding of float64
DIFFERENCES_TOLERANCE = 1e-6  # of central differences of step 1e-6 in float64


def check_operator(
    component: type[ForwardOperator],
    params: ParameterValues | None = None,
    *,
    data_shape: Shape | None = None,
    kernel_shape: Shape | None = None,
) -> None:
    """Every property of a forward operator: documented, with its gradients, and stateless.

    Of a linear operator also its adjoint, of a homogeneous one its degree.

    Args:
        component: the class.
        params: keyword arguments that differ from their defaults.
        data_shape: None takes the class's ``example``.
        kernel_shape: of its parameter; None takes the shape that it requires for kernels of 3x4 pixels.
    """
    assert_documented(component)
    operator = build(component, {}, params)
    data_shape = data_shape or operator.example
    kernel_shape = kernel_shape or operator.parameter_shape(data_shape, CHECKED_KERNEL_SIZE)
    assert_shape_law(operator, data_shape, kernel_shape)
    if isinstance(operator, LinearOperator):
        assert_linear(operator, data_shape, kernel_shape)
        assert_adjoint(operator, data_shape, kernel_shape)
    if isinstance(operator, ScalingOperator):
        assert_homogeneous(operator, data_shape, kernel_shape)
    assert_stateless(operator, data_shape, kernel_shape)
    assert_initial_image(operator, data_shape, kernel_shape)
    per_image = issubclass(operator.parameter_prior, KernelPrior) and kernel_shape[0] == data_shape[0] > 1
    small = ((1, 1, 4, 5), (1, *kernel_shape[1:])) if per_image else (data_shape, kernel_shape)
    assert_gradients(operator, *small)
    image, kernel = drawn(operator.image_shape(data_shape, kernel_shape), 1), drawn(kernel_shape, 2)
    kernel = operator.parameter_prior.allowed(kernel)
    assert_pure(operator, image, kernel)
    dtype = operator(image, kernel).dtype
    demand(dtype == torch.float32, f"{component.__name__} gives {dtype} for float32")


def assert_shape_law(operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape) -> None:
    """An image of ``image_shape(data_shape, kernel_shape)`` gives data of ``data_shape``, and an adjoint the reverse.

    Args:
        operator: the operator.
        data_shape: of its data.
        kernel_shape: of its parameter.
    """
    image, data, kernel = random_arguments(operator, data_shape, kernel_shape)
    given = tuple(operator(image, kernel).shape)
    demand(
        given == tuple(data_shape),
        f"{operator} gives data of {given} for an image of {tuple(image.shape)}, its image_shape for {data_shape}",
    )
    if not isinstance(operator, LinearOperator):
        return
    returned = tuple(operator.adjoint(data, kernel).shape)
    demand(
        returned == tuple(image.shape),
        f"the adjoint of {operator} gives {returned} for data of {data_shape}; its image_shape is {tuple(image.shape)}",
    )


def assert_linear(
    operator: ForwardOperator,
    data_shape: Shape,
    kernel_shape: Shape,
    *,
    seed: int = 0,
    tolerance: float = FLOAT64_TOLERANCE,
) -> None:
    """``A(2 x - 3 z) = 2 A x - 3 A z`` for the same kernel.

    Args:
        operator: the operator.
        data_shape: of its data.
        kernel_shape: of its parameter.
        seed: of the random tensors.
        tolerance: relative.
    """
    image, _, kernel = random_arguments(operator, data_shape, kernel_shape, seed)
    other, _, _ = random_arguments(operator, data_shape, kernel_shape, seed + 1)
    combined = operator(2 * image - 3 * other, kernel)
    separate = 2 * operator(image, kernel) - 3 * operator(other, kernel)
    demand_close(combined, separate, tolerance, f"{operator} is not linear in the image")


def assert_adjoint(
    operator: LinearOperator,
    data_shape: Shape,
    kernel_shape: Shape,
    *,
    seed: int = 0,
    tolerance: float = FLOAT64_TOLERANCE,
) -> None:
    """``<A x, y> = <x, A^T y>`` (the dot test).

    Args:
        operator: the operator.
        data_shape: of its data.
        kernel_shape: of its parameter.
        seed: of the random tensors.
        tolerance: relative to ``|A x| |y| + |x| |A^T y|``.
    """
    image, data, kernel = random_arguments(operator, data_shape, kernel_shape, seed)
    forward, backward = operator(image, kernel), operator.adjoint(data, kernel)
    left, right = (forward * data).sum(), (image * backward).sum()
    scale = forward.norm() * data.norm() + image.norm() * backward.norm()
    demand(
        bool((left - right).abs() <= tolerance * scale),
        f"the adjoint of {operator} fails the dot test: <A x, y> = {left:.12g}, <x, A^T y> = {right:.12g}",
    )


def assert_homogeneous(operator: ScalingOperator, data_shape: Shape, kernel_shape: Shape) -> None:
    """``A(c x) = c^degree A x``, and data of a brighter image are told to be of an image as much brighter.

    Args:
        operator: the operator, which is linear or homogeneous of another degree.
        data_shape: of its data.
        kernel_shape: of its parameter.
    """
    image, _, kernel = random_arguments(operator, data_shape, kernel_shape)
    degree = degree_of(operator)
    scale, complaint = FACTOR**degree, f"{operator} is not homogeneous of degree {degree:g}"
    demand_close(operator(FACTOR * image, kernel), scale * operator(image, kernel), FLOAT64_TOLERANCE, complaint)
    data = operator(image.abs(), kernel)
    once, more = operator.brightness(data, kernel), operator.brightness(scale * data, kernel)
    demand(
        abs(more - FACTOR * once) <= BRIGHTNESS_TOLERANCE * abs(more),
        f"{operator} finds the brightness {once:.6g} for data, and {more:.6g} for data of an image {FACTOR:g} times "
        "as bright",
    )


def assert_gradients(operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape) -> None:
    """Gradients in image and kernel agree with central differences.

    Args:
        operator: the operator.
        data_shape: of its data; small, since the cost is quadratic.
        kernel_shape: of its parameter.
    """
    image, _, kernel = random_arguments(operator, data_shape, kernel_shape)
    arguments = (image.requires_grad_(), kernel.requires_grad_())
    try:
        torch.autograd.gradcheck(operator, arguments, atol=DIFFERENCES_TOLERANCE, rtol=DIFFERENCES_TOLERANCE)
    except RuntimeError as error:
        raise AssertionError(f"the gradient of {operator} differs from finite differences: {error}") from error


def assert_stateless(
    operator: ForwardOperator,
    data_shape: Shape,
    kernel_shape: Shape,
    *,
    tolerance: float = FLOAT64_TOLERANCE,
) -> None:
    """Two calls with two kernels and one backward pass equal two separate ones, and change no buffer.

    Args:
        operator: the operator.
        data_shape: of its data.
        kernel_shape: of its parameter.
        tolerance: relative.
    """
    before = {name: value.clone() for name, value in operator.state_dict().items()}
    pairs = [random_arguments(operator, data_shape, kernel_shape, seed)[::2] for seed in range(2)]
    try:
        alone = [gradients_of_squares(operator, [pair])[0] for pair in pairs]
        together = gradients_of_squares(operator, pairs)
    except RuntimeError as error:
        raise AssertionError(f"{operator} cannot be called twice before a backward pass: {error}") from error
    for first, second in zip(alone, together, strict=True):
        for separate, joint in zip(first, second, strict=True):
            demand_close(joint, separate, tolerance, f"{operator} remembers the arguments of an earlier call")
    after = operator.state_dict()
    unchanged = before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    demand(unchanged, f"calling {operator} changes its parameters or buffers")


def assert_initial_image(operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape) -> None:
    """The initial image is in [0, 1], has no gradient, and is not larger than the image.

    Args:
        operator: the operator.
        data_shape: of its data.
        kernel_shape: of its parameter.
    """
    _, data, kernel = random_arguments(operator, data_shape, kernel_shape)
    if isinstance(operator, LinearOperator) and operator.data_range is not None:
        data = data.sigmoid()
    first, shape = operator.initial_image(data, kernel), operator.image_shape(data_shape, kernel_shape)
    inside = bool(((first >= 0) & (first <= 1)).all()) and not first.requires_grad
    demand(inside, f"the initial image of {operator} has a gradient, or values outside [0, 1]")
    fits = tuple(first.shape[:2]) == tuple(shape[:2]) and first.shape[2] <= shape[2] and first.shape[3] <= shape[3]
    demand(fits, f"the initial image of {operator} has shape {tuple(first.shape)} and does not fit {tuple(shape)}")


def gradients_of_squares(operator: ForwardOperator, pairs: Sequence[Sequence[Tensor]]) -> list[tuple[Tensor, ...]]:
    """Call the operator on every (image, kernel), then take one backward pass of the sum of squares of all data."""
    leaves = [tuple(value.clone().requires_grad_() for value in pair) for pair in pairs]
    total = torch.stack([operator(*pair).square().sum() for pair in leaves]).sum()
    flat = torch.autograd.grad(total, [leaf for pair in leaves for leaf in pair], allow_unused=True)
    found = [torch.zeros(()) if value is None else value for value in flat]
    return list(zip(found[::2], found[1::2], strict=True))


def random_arguments(
    operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw an image, data and a kernel (or other parameter of the operator) in float64.

    For an operator that is not linear the image is in [0, 1], and the data are those of another such image.

    Args:
        operator: the operator.
        data_shape: of its data.
        kernel_shape: of its parameter.
        seed: of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    image_shape = operator.image_shape(data_shape, kernel_shape)
    image, data = (torch.randn(s, generator=generator, dtype=torch.float64) for s in (image_shape, data_shape))
    kernel = torch.rand(kernel_shape, generator=generator, dtype=torch.float64)
    kernel = operator.parameter_prior.allowed(kernel)
    if not isinstance(operator, LinearOperator):
        image, data = image.sigmoid(), operator(image.flip(-1).sigmoid(), kernel)
    return image, data, kernel


def demand_close(value: Tensor, expected: Tensor, tolerance: float, complaint: str) -> None:
    """Raise unless two tensors agree.

    Args:
        value: a tensor.
        expected: a tensor of the same shape.
        tolerance: relative to the largest entry of both.
        complaint: start of the message.
    """
    scale = max(float(value.abs().max()), float(expected.abs().max()))
    error = float((value - expected).abs().max())
    demand(error <= tolerance * scale, f"{complaint}: the two sides differ by {error:.3g}, of {scale:.3g} at most")
