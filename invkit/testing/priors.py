"""Checks of image priors and kernel priors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..interfaces import ImagePrior, KernelPrior, LatentPrior
from ..parameters import Shape
from .common import (
    Settings,
    assert_documented,
    assert_gradients_reach,
    assert_portable,
    assert_random_state_untouched,
    assert_seeded,
    assert_unchanged,
    build,
    drawn,
)
from .operators import demand

__all__ = [
    "KERNEL_SHAPES",
    "assert_image",
    "assert_kernel",
    "check_image_prior",
    "check_kernel_prior",
    "given_to_kernel",
]

KERNEL_SHAPES: Sequence[Shape] = ((1, 1, 7, 7), (2, 1, 6, 6), (1, 1, 5, 8))
"""Odd, even and not square."""

IMAGE_SHAPE: Shape = (2, 3, 41, 48)
EXTREME = 1e4
SUM_TOLERANCE = 1e-6


def assert_kernel(kernel: Tensor, shape: Shape) -> None:
    """It has the shape, is finite and non-negative, and each sums to one within 1e-6."""
    kernel = kernel.detach()
    demand(tuple(kernel.shape) == tuple(shape), f"the kernel has shape {tuple(kernel.shape)}, not {tuple(shape)}")
    demand(bool(kernel.isfinite().all()), "the kernel holds NaN or infinite values")
    demand(bool((kernel >= 0).all()), f"the kernel is negative: {float(kernel.min()):.3g}")
    error = float((kernel.double().sum((1, 2, 3)) - 1).abs().max())
    demand(error <= SUM_TOLERANCE, f"the kernel sums to one only within {error:.3g}")


def assert_image(image: Tensor, shape: Shape) -> None:
    """It has the shape and every value is in [0, 1]."""
    demand(tuple(image.shape) == tuple(shape), f"the image has shape {tuple(image.shape)}, not {tuple(shape)}")
    demand(bool(((image >= 0) & (image <= 1)).all()), "the image has values outside [0, 1], or NaN")


def given_to_kernel(shape: Shape) -> dict[str, object]:
    """What a problem gives to a kernel prior: the shape and a kernel to start from."""
    start = drawn(shape, seed=3)
    return {"shape": shape, "start": start / start.sum((1, 2, 3), keepdim=True)}


def given_to_image(shape: Shape) -> dict[str, object]:
    """What a problem gives to an image prior: the shape and the data, smaller by a 5x4 kernel's size less one."""
    return {"shape": shape, "start": drawn((*shape[:2], shape[2] - 4, shape[3] - 3), seed=4)}


def check_kernel_prior(component: type[KernelPrior], params: Settings | None = None) -> None:
    """Every property of a kernel prior: documented, seeded, pure, and on the simplex whatever its parameters are."""
    assert_documented(component)
    for shape in KERNEL_SHAPES:
        given = given_to_kernel(shape)
        assert_seeded(component, given, params)
        check_prior(build(component, given, params), partial(assert_kernel, shape=shape))


def check_image_prior(
    component: type[ImagePrior], params: Settings | None = None, *, shape: Shape = IMAGE_SHAPE
) -> None:
    """Every property of an image prior: documented, seeded, pure, and in [0, 1] whatever its parameters are."""
    assert_documented(component)
    given = given_to_image(shape)
    assert_seeded(component, given, params)
    check_prior(build(component, given, params), partial(assert_image, shape=shape))


def check_prior(prior: ImagePrior | KernelPrior, valid: Callable[[Tensor], None]) -> None:
    """What image and kernel priors have in common; ``valid`` raises for a value outside the prior's set."""
    assert_pure(prior)
    assert_portable(prior)
    valid(prior())
    assert_gradients_reach(prior, prior())
    assert_double(prior, valid)
    if isinstance(prior, LatentPrior):
        assert_decodes(prior, valid)
    assert_survives_steps(prior, valid)
    assert_survives_extremes(prior, valid)


def assert_pure(prior: ImagePrior | KernelPrior) -> None:
    """Two calls give the same, change nothing in the prior and draw no global random number."""
    name = type(prior).__name__
    with assert_unchanged(prior), assert_random_state_untouched(f"calling {name}"):
        demand(torch.equal(prior(), prior()), f"two calls of {name} give different values")


def assert_double(prior: nn.Module, valid: Callable[[Tensor], None]) -> None:
    """``prior.double()`` gives float64."""
    value = copy.deepcopy(prior).double()()
    demand(value.dtype == torch.float64, f"{type(prior).__name__} moved to float64 gives {value.dtype}")
    valid(value)


def assert_decodes(prior: LatentPrior, valid: Callable[[Tensor], None]) -> None:
    """``decode`` of the prior's own latent is the prior's value, and of a perturbed one another valid value."""
    name = type(prior).__name__
    demand(torch.equal(prior.decode(prior.latent), prior()), f"{name}.decode(latent) is not {name}()")
    valid(prior.decode(prior.latent + 1e-3))


def assert_survives_steps(prior: nn.Module, valid: Callable[[Tensor], None]) -> None:
    """Large steps of Adam on a loss that only grows leave the prior valid."""
    moved = copy.deepcopy(prior)
    if not list(moved.parameters()):
        return
    optimizer = torch.optim.Adam(moved.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        (1e3 * moved() * drawn(tuple(moved().shape), seed=8)).sum().backward()
        optimizer.step()
        valid(moved())


def assert_survives_extremes(prior: nn.Module, valid: Callable[[Tensor], None]) -> None:
    """Parameters of +-1e4, in any mixture or all alike, leave the prior valid and its gradients finite."""
    for seed, threshold in enumerate((0.5, 0.0, 1.0)):
        extreme = copy.deepcopy(prior)
        with torch.no_grad():
            for parameter in extreme.parameters():
                parameter.copy_(torch.where(drawn(tuple(parameter.shape), seed) < threshold, EXTREME, -EXTREME))
        value = extreme()
        valid(value)
        if value.requires_grad:
            assert_gradients_finite(extreme, value)


def assert_gradients_finite(prior: nn.Module, value: Tensor) -> None:
    """No parameter has a gradient that is NaN or infinite."""
    loss = (value * drawn(tuple(value.shape), seed=9, dtype=value.dtype)).sum()
    gradients = torch.autograd.grad(loss, list(prior.parameters()), allow_unused=True)
    finite = all(bool(g.isfinite().all()) for g in gradients if g is not None)
    demand(finite, f"gradients in {type(prior).__name__} are not finite for parameters of +-{EXTREME:g}")
