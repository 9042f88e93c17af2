"""Checks of image priors and kernel priors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..core.interfaces import Assignable, ImagePrior, KernelPrior, LatentPrior, OperatorParameterPrior, Resizable
from ..core.ranges import Ranged
from ..numerics.geometry import Shape
from ..numerics.resampling import resample, resample_kernel
from .common import (
    ParameterValues,
    assert_documented,
    assert_gradients_reach,
    assert_portable,
    assert_pure,
    assert_random_state_untouched,
    assert_seeded,
    assert_unchanged,
    build,
    demand,
    drawn,
)

__all__ = ["assert_image", "assert_kernel", "check_image_prior", "check_kernel_prior", "given_to_kernel"]

EitherPrior = TypeVar("EitherPrior", bound="ImagePrior | OperatorParameterPrior")

IMAGE_SHAPE: Shape = (2, 3, 41, 48)
EXTREME_PARAMETER = 1e4
KERNEL_SUM_TOLERANCE = 1e-6
RESAMPLING_TOLERANCE = 0.2  # of an image's range on average, or of a kernel's mass; for any good interpolation


def assert_kernel(kernel: Tensor, shape: Shape) -> None:
    """The kernel has the shape, is finite and non-negative, and each item sums to one within 1e-6.

    Example:
        >>> assert_kernel(torch.full((1, 1, 2, 2), 0.25), (1, 1, 2, 2))
    """
    kernel = kernel.detach()
    demand(tuple(kernel.shape) == tuple(shape), f"the kernel has shape {tuple(kernel.shape)}, not {tuple(shape)}")
    demand(bool(kernel.isfinite().all()), "the kernel holds NaN or infinite values")
    demand(bool((kernel >= 0).all()), f"the kernel is negative: {float(kernel.min()):.3g}")
    error = float((kernel.double().sum((1, 2, 3)) - 1).abs().max())
    demand(error <= KERNEL_SUM_TOLERANCE, f"the kernel sums to one only within {error:.3g}")


def assert_image(image: Tensor, shape: Shape) -> None:
    """The image has the shape, and every value is in [0, 1]."""
    demand(tuple(image.shape) == tuple(shape), f"the image has shape {tuple(image.shape)}, not {tuple(shape)}")
    demand(bool(((image >= 0) & (image <= 1)).all()), "the image has values outside [0, 1], or NaN")


def assert_allowed(value: Tensor, shape: Shape, kind: type[OperatorParameterPrior]) -> None:
    """The value has the shape and is allowed by its kind of operator parameter; kernels pass `assert_kernel`.

    Args:
        value: the operator parameter.
        shape: the expected shape.
        kind: class of its prior.
    """
    if issubclass(kind, KernelPrior):
        assert_kernel(value, shape)
        return
    demand(tuple(value.shape) == tuple(shape), f"the parameter has shape {tuple(value.shape)}, not {tuple(shape)}")
    flaw = kind.flaw(value.detach())
    demand(flaw is None, f"the parameter is {flaw}")


def given_to_kernel(shape: Shape, kind: type[OperatorParameterPrior] = KernelPrior) -> dict[str, object]:
    """Return the positional arguments of a prior of operator parameters: shape, start and no guess."""
    return {"shape": shape, "start": kind.allowed(drawn(shape, seed=3)), "guess": None}


def given_to_image(shape: Shape) -> dict[str, object]:
    """Return the positional arguments of an image prior: shape and data, smaller by a 5x4 kernel's size less one."""
    return {"shape": shape, "start": drawn((*shape[:2], shape[2] - 4, shape[3] - 3), seed=4)}


def check_kernel_prior(component: type[OperatorParameterPrior], params: ParameterValues | None = None) -> None:
    """Every property of a prior of operator parameters: documented, seeded, pure, and with values that are allowed.

    A kernel is on the simplex for any parameters of the prior.
    """
    assert_documented(component)
    for shape in component.examples:
        given = given_to_kernel(shape, component)
        assert_seeded(component, given, params)
        check_prior(build(component, given, params), partial(assert_allowed, shape=shape, kind=component))


def check_image_prior(
    component: type[ImagePrior], params: ParameterValues | None = None, *, shape: Shape = IMAGE_SHAPE
) -> None:
    """Every property of an image prior: documented, seeded, pure, and in [0, 1] for any parameters.

    Args:
        component: the class.
        params: keyword arguments that differ from their defaults.
        shape: (B, C, H, W) of the image.
    """
    assert_documented(component)
    given = given_to_image(shape)
    assert_seeded(component, given, params)
    check_prior(build(component, given, params), partial(assert_image, shape=shape))


def check_prior(prior: ImagePrior | OperatorParameterPrior, valid: Callable[[Tensor], None]) -> None:
    """Properties that image and kernel priors share; ``valid`` raises for a value outside the prior's set."""
    assert_pure(prior)
    assert_portable(prior)
    valid(prior())
    assert_gradients_reach(prior, prior())
    double = copy.deepcopy(prior).double()()
    demand(double.dtype == torch.float64, f"{type(prior).__name__} moved to float64 gives {double.dtype}")
    valid(double)
    if isinstance(prior, LatentPrior):
        assert_decodes(prior, valid)
    assert_survives_steps(prior, valid)
    assert_survives_extremes(prior, valid)
    if isinstance(prior, Assignable):
        assert_assigns(prior)
    if isinstance(prior, Resizable):
        assert_resizes(prior)
    if isinstance(prior, Ranged):
        assert_takes_range(prior)


def assert_decodes(prior: LatentPrior, valid: Callable[[Tensor], None]) -> None:
    """``decode`` of the prior's own latent is the prior's value, and of a perturbed latent another valid value."""
    name = type(prior).__name__
    demand(torch.equal(prior.decode(prior.latent), prior()), f"{name}.decode(latent) is not {name}()")
    valid(prior.decode(prior.latent + 1e-3))


def assert_survives_steps(prior: nn.Module, valid: Callable[[Tensor], None]) -> None:
    """Large steps of Adam on an unbounded loss keep the prior valid."""
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
    """With parameters of +-1e4, mixed or all alike, the prior is valid and its gradients are finite."""
    for seed, threshold in enumerate((0.5, 0.0, 1.0)):
        extreme = copy.deepcopy(prior)
        with torch.no_grad():
            for parameter in extreme.parameters():
                positive = drawn(tuple(parameter.shape), seed) < threshold
                parameter.copy_(torch.where(positive, EXTREME_PARAMETER, -EXTREME_PARAMETER))
        value = extreme()
        valid(value)
        if value.requires_grad:
            assert_gradients_finite(extreme, value)


def assert_gradients_finite(prior: nn.Module, value: Tensor) -> None:
    """No parameter has a gradient that is NaN or infinite."""
    loss = (value * drawn(tuple(value.shape), seed=9, dtype=value.dtype)).sum()
    gradients = torch.autograd.grad(loss, list(prior.parameters()), allow_unused=True)
    finite = all(bool(g.isfinite().all()) for g in gradients if g is not None)
    demand(finite, f"gradients in {type(prior).__name__} are not finite for parameters of +-{EXTREME_PARAMETER:g}")


def assert_assigns(prior: ImagePrior | OperatorParameterPrior) -> None:
    """A value of any size can be assigned, a value of the prior is reproduced, and the prior does not change."""
    assert isinstance(prior, Assignable)
    name, (batch, channels, height, width) = type(prior).__name__, prior.shape
    value = drawn((batch, channels, height + 3, width + 2), seed=11, dtype=torch.float64)
    value = prior.allowed(value) if isinstance(prior, OperatorParameterPrior) else value
    with assert_prior_unchanged(prior, "assigned"):
        assigned = prior.assigned(value)
    assert_independent(prior, assigned, value)
    again = assigned.assigned(assigned())
    assert_independent(assigned, again, value)
    demand(largest_difference(again, assigned()) <= exactness(prior), f"{name} does not give what it is assigned")


def assert_takes_range(prior: ImagePrior | OperatorParameterPrior) -> None:
    """In a range it gives values of it and nothing else, from those that it had, and does not change itself."""
    assert isinstance(prior, Ranged)
    name = type(prior).__name__
    with assert_prior_unchanged(prior, "in_range"):
        ranged = prior.in_range(0.4, 0.6)
    assert isinstance(ranged, ImagePrior)
    demand(ranged.range == (0.4, 0.6), f"{name}.in_range(0.4, 0.6) says that its range is {ranged.range}")
    expected = prior().clamp(0.4, 0.6)
    off = float((ranged() - expected).detach().abs().max())
    demand(off <= exactness(prior), f"{name}.in_range gives values that are {off:g} from those of the prior, clamped")


def assert_resizes(prior: ImagePrior | OperatorParameterPrior) -> None:
    """Resized, it gives the same on the same grid, about the same on a finer one, a valid value on a coarser one."""
    name, (batch, channels, height, width) = type(prior).__name__, prior.shape
    same = resized_valid(prior, prior.shape, 1.0)
    demand(largest_difference(same, prior()) <= exactness(prior), f"{name} resized to its own size gives another value")
    finer = resized_valid(prior, (batch, channels, 2 * height, 2 * width), 2.0)
    if not isinstance(prior, LatentPrior):  # a network's value on another grid follows no rule
        assert_resampled(prior, finer)
    coarse = (batch, channels, 5 * height // 6, 5 * width // 6)
    coarser, other = resized_valid(prior, coarse, 0.8), resized_valid(finer, coarse, 0.4)
    other.load_state_dict(coarser.state_dict())
    demand(torch.equal(other(), coarser()), f"{name} resized to a shape cannot be loaded from another resized to it")


def resized_valid(prior: EitherPrior, shape: Shape, scale: float) -> EitherPrior:
    """Return the prior resized, after checking that it is valid and the original unchanged.

    Args:
        prior: the prior.
        shape: of the new prior.
        scale: new pixels per old pixel.
    """
    assert isinstance(prior, Resizable)
    with assert_prior_unchanged(prior, "resized"):
        resized = prior.resized(shape, scale)
    assert_independent(prior, resized, torch.empty(shape, dtype=prior().dtype))
    return resized


@contextmanager
def assert_prior_unchanged(prior: nn.Module, method: str) -> Iterator[None]:
    """The enclosed call of a method changes nothing in the prior and draws no global random number."""
    name = f"{type(prior).__name__}.{method}"
    with assert_unchanged(prior), assert_random_state_untouched(f"calling {name}"):
        yield


def assert_independent(
    prior: ImagePrior | OperatorParameterPrior, made: ImagePrior | OperatorParameterPrior, like: Tensor
) -> None:
    """A prior made from another has the right shape and precision, and shares no memory with it.

    Args:
        prior: the original.
        made: the prior made from it.
        like: has the expected shape and precision.
    """
    name, value = type(prior).__name__, made()
    demand(type(made) is type(prior), f"{name} makes a {type(made).__name__} of itself")
    demand(tuple(made.shape) == tuple(like.shape), f"{name} made for {tuple(like.shape)} has shape {tuple(made.shape)}")
    demand(value.dtype == like.dtype, f"{name} made for {like.dtype} gives {value.dtype}")
    if isinstance(prior, OperatorParameterPrior):
        assert_allowed(value, made.shape, type(prior))
    else:
        assert_image(value, made.shape)
    assert_gradients_reach(made, value)
    shared = storage_of(made.state_dict().values()) & storage_of([like, *prior.state_dict().values()])
    demand(not shared, f"{name} made from another shares its memory")


def storage_of(tensors: Iterable[Tensor]) -> set[int]:
    """Return the memory addresses of tensors."""
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def assert_resampled(prior: ImagePrior | OperatorParameterPrior, finer: ImagePrior | OperatorParameterPrior) -> None:
    """A prior on a grid twice as fine gives about the resampled value of the original."""
    value, size = prior().detach(), (finer.shape[2], finer.shape[3])
    kernel = isinstance(prior, KernelPrior)
    expected = resample_kernel(value, size, 2.0) if kernel else resample(value, size, 2.0)
    error = (finer().detach() - expected).abs()
    worst = float((error.sum((1, 2, 3)) if kernel else error.mean((1, 2, 3))).max())
    near = worst <= RESAMPLING_TOLERANCE
    demand(near, f"{type(prior).__name__} resized does not give the resampled value: off by {worst:.3g}")


def largest_difference(prior: nn.Module, value: Tensor) -> float:
    """Return the largest difference of a pixel between a prior's value and another value."""
    return float((prior() - value).detach().abs().max())


def exactness(prior: ImagePrior | OperatorParameterPrior) -> float:
    """Return the tolerance of an assigned value: a sigmoid reaches neither zero nor one, a softmax never zero."""
    return 1e-4 if isinstance(prior, KernelPrior) else 2e-3
