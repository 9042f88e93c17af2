"""Properties of every forward operator, for the tests of whoever writes one.

Each helper takes the operator with the shapes of its data and of its kernel (or whatever its unknown is), draws
seeded random tensors in float64 and raises ``AssertionError`` with a sentence when the property does not hold.
Kernels are drawn as their kind allows: blur kernels non-negative and summing to one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.interfaces import ForwardOperator
from ..numerics.geometry import Shape

__all__ = [
    "assert_adjoint",
    "assert_first_image",
    "assert_gradients",
    "assert_linear",
    "assert_shape_law",
    "assert_stateless",
]

ROUNDING = 1e-10  # of float64 sums of a few thousand terms, with room for an FFT


def assert_shape_law(operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape) -> None:
    """An image of ``image_shape(data_shape, kernel_shape)`` gives data of ``data_shape``, and the adjoint returns."""
    image, data, kernel = draw(operator, data_shape, kernel_shape)
    given, returned = tuple(operator(image, kernel).shape), tuple(operator.adjoint(data, kernel).shape)
    demand(
        given == tuple(data_shape),
        f"{operator} gives data of {given} for an image of {tuple(image.shape)}, its image_shape for {data_shape}",
    )
    demand(
        returned == tuple(image.shape),
        f"the adjoint of {operator} gives {returned} for data of {data_shape}; its image_shape is {tuple(image.shape)}",
    )


def assert_linear(
    operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape, *, seed: int = 0, tolerance: float = ROUNDING
) -> None:
    """``A(2 x - 3 z) = 2 A x - 3 A z`` for the same kernel, to a relative ``tolerance``."""
    image, _, kernel = draw(operator, data_shape, kernel_shape, seed)
    other, _, _ = draw(operator, data_shape, kernel_shape, seed + 1)
    combined = operator(2 * image - 3 * other, kernel)
    separate = 2 * operator(image, kernel) - 3 * operator(other, kernel)
    demand_close(combined, separate, tolerance, f"{operator} is not linear in the image")


def assert_adjoint(
    operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape, *, seed: int = 0, tolerance: float = ROUNDING
) -> None:
    """``<A x, y> = <x, A^T y>`` (the dot test), relative to ``|A x| |y| + |x| |A^T y|``."""
    image, data, kernel = draw(operator, data_shape, kernel_shape, seed)
    forward, backward = operator(image, kernel), operator.adjoint(data, kernel)
    left, right = (forward * data).sum(), (image * backward).sum()
    scale = forward.norm() * data.norm() + image.norm() * backward.norm()
    demand(
        bool((left - right).abs() <= tolerance * scale),
        f"the adjoint of {operator} fails the dot test: <A x, y> = {left:.12g}, <x, A^T y> = {right:.12g}",
    )


def assert_gradients(
    operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape, *, seed: int = 0, tolerance: float = 1e-6
) -> None:
    """Gradients in image and kernel agree with central differences; use small shapes, the cost is quadratic.

    The default tolerance is that of a difference of step 1e-6 in float64.
    """
    image, _, kernel = draw(operator, data_shape, kernel_shape, seed)
    arguments = (image.requires_grad_(), kernel.requires_grad_())
    try:
        torch.autograd.gradcheck(operator, arguments, atol=tolerance, rtol=tolerance)
    except RuntimeError as error:
        raise AssertionError(f"the gradient of {operator} is not that of finite differences: {error}") from error


def assert_stateless(
    operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape, *, seed: int = 0, tolerance: float = ROUNDING
) -> None:
    """Two calls with two kernels and one backward pass equal two separate ones, and leave the operator as it was."""
    before = {name: value.clone() for name, value in operator.state_dict().items()}
    pairs = [draw(operator, data_shape, kernel_shape, seed + i)[::2] for i in range(2)]
    try:
        alone = [gradients(operator, [pair])[0] for pair in pairs]
        together = gradients(operator, pairs)
    except RuntimeError as error:
        raise AssertionError(f"{operator} cannot be called twice before a backward pass: {error}") from error
    for first, second in zip(alone, together, strict=True):
        for separate, joint in zip(first, second, strict=True):
            demand_close(joint, separate, tolerance, f"{operator} remembers the arguments of an earlier call")
    after = operator.state_dict()
    unchanged = before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    demand(unchanged, f"calling {operator} changes its parameters or buffers")


def assert_first_image(operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape) -> None:
    """What an image may start from is in [0, 1], without a gradient, and no larger than the image."""
    _, data, kernel = draw(operator, data_shape, kernel_shape)
    data = data if operator.data_range is None else data.sigmoid()
    first, shape = operator.initial_image(data, kernel), operator.image_shape(data_shape, kernel_shape)
    inside = bool(((first >= 0) & (first <= 1)).all()) and not first.requires_grad
    demand(inside, f"the first image of {operator} has a gradient, or values outside [0, 1]")
    fits = tuple(first.shape[:2]) == tuple(shape[:2]) and first.shape[2] <= shape[2] and first.shape[3] <= shape[3]
    demand(fits, f"the first image of {operator} has shape {tuple(first.shape)}, which is no part of {tuple(shape)}")


def gradients(operator: ForwardOperator, pairs: Sequence[Sequence[Tensor]]) -> list[tuple[Tensor, ...]]:
    """Call the operator on every (image, kernel), then take one backward pass of the sum of squares of all data."""
    leaves = [tuple(value.clone().requires_grad_() for value in pair) for pair in pairs]
    total = torch.stack([operator(*pair).square().sum() for pair in leaves]).sum()
    flat = torch.autograd.grad(total, [leaf for pair in leaves for leaf in pair], allow_unused=True)
    found = [torch.zeros(()) if value is None else value for value in flat]
    return list(zip(found[::2], found[1::2], strict=True))


def draw(
    operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """A seeded image, data and kernel (or what the unknown of the operator is) in float64."""
    generator = torch.Generator().manual_seed(seed)
    image_shape = operator.image_shape(data_shape, kernel_shape)
    image, data = (torch.randn(s, generator=generator, dtype=torch.float64) for s in (image_shape, data_shape))
    kernel = torch.rand(kernel_shape, generator=generator, dtype=torch.float64)
    return image, data, operator.parameter_prior.allowed(kernel)


def demand_close(value: Tensor, expected: Tensor, tolerance: float, complaint: str) -> None:
    """Raise unless the two agree to ``tolerance`` of the larger's largest entry."""
    scale = max(float(value.abs().max()), float(expected.abs().max()))
    error = float((value - expected).abs().max())
    demand(error <= tolerance * scale, f"{complaint}: the two sides differ by {error:.3g}, of {scale:.3g} at most")


def demand(holds: bool, complaint: str) -> None:
    """Raise ``AssertionError`` with the sentence unless it holds; works under ``python -O`` too."""
    if not holds:
        raise AssertionError(complaint)
