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
from ..numerics.geometry import Shape
from ..numerics.resampling import resample, resample_kernel
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
    "assert_image",
    "assert_kernel",
    "check_image_prior",
    "check_kernel_prior",
    "given_to_kernel",
]

P = TypeVar("P", bound="ImagePrior | OperatorParameterPrior")

IMAGE_SHAPE: Shape = (2, 3, 41, 48)
EXTREME = 1e4
SUM_TOLERANCE = 1e-6
RESAMPLED = 0.2  # of an image's range on average, or of a kernel's mass; any good interpolation is within it


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


def assert_allowed(value: Tensor, shape: Shape, kind: type[OperatorParameterPrior]) -> None:
    """It has the shape and is what its kind of unknown allows; of kernels `assert_kernel` asks more."""
    if issubclass(kind, KernelPrior):
        assert_kernel(value, shape)
        return
    demand(tuple(value.shape) == tuple(shape), f"the unknown has shape {tuple(value.shape)}, not {tuple(shape)}")
    flaw = kind.flaw(value.detach())
    demand(flaw is None, f"the unknown is {flaw}")


def given_to_kernel(shape: Shape, kind: type[OperatorParameterPrior] = KernelPrior) -> dict[str, object]:
    """What a problem gives to a prior of the operator's unknown: the shape, a value to start from and no guess."""
    return {"shape": shape, "start": kind.allowed(drawn(shape, seed=3)), "guess": None}


def given_to_image(shape: Shape) -> dict[str, object]:
    """What a problem gives to an image prior: the shape and the data, smaller by a 5x4 kernel's size less one."""
    return {"shape": shape, "start": drawn((*shape[:2], shape[2] - 4, shape[3] - 3), seed=4)}


def check_kernel_prior(component: type[OperatorParameterPrior], params: Settings | None = None) -> None:
    """Every property of a prior of an operator's unknown: documented, seeded, pure, and what its kind allows.

    A kernel is on the simplex whatever the parameters are.
    """
    assert_documented(component)
    for shape in component.examples:
        given = given_to_kernel(shape, component)
        assert_seeded(component, given, params)
        check_prior(build(component, given, params), partial(assert_allowed, shape=shape, kind=component))


def check_image_prior(
    component: type[ImagePrior], params: Settings | None = None, *, shape: Shape = IMAGE_SHAPE
) -> None:
    """Every property of an image prior: documented, seeded, pure, and in [0, 1] whatever its parameters are."""
    assert_documented(component)
    given = given_to_image(shape)
    assert_seeded(component, given, params)
    check_prior(build(component, given, params), partial(assert_image, shape=shape))


def check_prior(prior: ImagePrior | OperatorParameterPrior, valid: Callable[[Tensor], None]) -> None:
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
    if isinstance(prior, Assignable):
        assert_assigns(prior)
    if isinstance(prior, Resizable):
        assert_resizes(prior)


def assert_pure(prior: ImagePrior | OperatorParameterPrior) -> None:
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


def assert_assigns(prior: ImagePrior | OperatorParameterPrior) -> None:
    """A value of any size can be assigned, what the prior can give comes back, and the prior stays as it was."""
    assert isinstance(prior, Assignable)
    name, (batch, channels, height, width) = type(prior).__name__, prior.shape
    value = drawn((batch, channels, height + 3, width + 2), seed=11, dtype=torch.float64)
    value = prior.allowed(value) if isinstance(prior, OperatorParameterPrior) else value
    with assert_left_alone(prior, "assigned"):
        assigned = prior.assigned(value)
    assert_valid_heir(prior, assigned, value)
    again = assigned.assigned(assigned())
    assert_valid_heir(assigned, again, value)
    demand(distance(again, assigned()) <= exactness(prior), f"{name} does not give what it is assigned")


def assert_resizes(prior: ImagePrior | OperatorParameterPrior) -> None:
    """It gives the same on the same grid, about the same on a finer one, something valid on a coarser one."""
    name, (batch, channels, height, width) = type(prior).__name__, prior.shape
    same = on_grid(prior, prior.shape, 1.0)
    demand(distance(same, prior()) <= exactness(prior), f"{name} resized to its own size gives something else")
    finer = on_grid(prior, (batch, channels, 2 * height, 2 * width), 2.0)
    if not isinstance(prior, LatentPrior):  # for what a network gives on another grid there is no rule
        assert_resampled(prior, finer)
    coarse = (batch, channels, 5 * height // 6, 5 * width // 6)
    coarser, other = on_grid(prior, coarse, 0.8), on_grid(finer, coarse, 0.4)
    other.load_state_dict(coarser.state_dict())
    demand(torch.equal(other(), coarser()), f"{name} resized to a shape cannot be loaded from another resized to it")


def on_grid(prior: P, shape: Shape, scale: float) -> P:
    """The prior resized, having checked that it is valid and the old one as it was."""
    assert isinstance(prior, Resizable)
    with assert_left_alone(prior, "resized"):
        resized = prior.resized(shape, scale)
    assert_valid_heir(prior, resized, torch.empty(shape, dtype=prior().dtype))
    return resized


@contextmanager
def assert_left_alone(prior: nn.Module, method: str) -> Iterator[None]:
    """What happens inside, a call of the method, changes nothing in the prior and draws no global random number."""
    name = f"{type(prior).__name__}.{method}"
    with assert_unchanged(prior), assert_random_state_untouched(f"calling {name}"):
        yield


def assert_valid_heir(prior: ImagePrior | OperatorParameterPrior, heir: ImagePrior | OperatorParameterPrior, like: Tensor) -> None:
    """A prior made from another gives what it should in shape and precision, and shares no memory with the other."""
    name, value = type(prior).__name__, heir()
    demand(type(heir) is type(prior), f"{name} makes a {type(heir).__name__} of itself")
    demand(tuple(heir.shape) == tuple(like.shape), f"{name} made for {tuple(like.shape)} says {tuple(heir.shape)}")
    demand(value.dtype == like.dtype, f"{name} made for {like.dtype} gives {value.dtype}")
    if isinstance(prior, OperatorParameterPrior):
        assert_allowed(value, heir.shape, type(prior))
    else:
        assert_image(value, heir.shape)
    assert_gradients_reach(heir, value)
    shared = memory(heir.state_dict().values()) & memory([like, *prior.state_dict().values()])
    demand(not shared, f"{name} made from another shares its memory")


def memory(tensors: Iterable[Tensor]) -> set[int]:
    """Where tensors lie."""
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def assert_resampled(prior: ImagePrior | OperatorParameterPrior, finer: ImagePrior | OperatorParameterPrior) -> None:
    """A prior on a grid twice as fine gives about what the other gives, resampled."""
    value, size = prior().detach(), (finer.shape[2], finer.shape[3])
    kernel = isinstance(prior, KernelPrior)
    expected = resample_kernel(value, size, 2.0) if kernel else resample(value, size, 2.0)
    error = (finer().detach() - expected).abs()
    worst = float((error.sum((1, 2, 3)) if kernel else error.mean((1, 2, 3))).max())
    demand(worst <= RESAMPLED, f"{type(prior).__name__} resized does not give the resampled value: off by {worst:.3g}")


def distance(prior: nn.Module, value: Tensor) -> float:
    """The largest difference of a pixel of what a prior gives."""
    return float((prior() - value).detach().abs().max())


def exactness(prior: ImagePrior | OperatorParameterPrior) -> float:
    """How exactly a prior gives what it is assigned: a sigmoid reaches no zeros and ones, a softmax no zeros."""
    return 1e-4 if isinstance(prior, KernelPrior) else 2e-3
