"""Any explicit prior of deepinv as a regularizer."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..core.errors import RecipeError
from ..core.interfaces import Regularizer
from ..core.parameters import validated

__all__ = ["DeepinvPrior"]

TRIAL = (1, 1, 64, 64)  # shape of the image every prior is tried on


class DeepinvPrior(Regularizer):
    """An explicit prior of deepinv (``deepinv.optim.prior``), divided by the number of values of an image.

    Divided, because fidelities here are means: ``mse + weight * R`` has the minimiser of deepinv's
    ``|A x - y|^2 / 2 + lambda * prior`` for ``weight = 2 lambda N / M``, the image having N values and the data M.

    The gradient is autograd's through deepinv's ``fn``; where that is not finite (``TVPrior`` where an image is
    constant) it is deepinv's own ``grad``, which takes zero there. It can be differentiated once.

    Args:
        prior: class name, as "TVPrior", "L1Prior", "WaveletPrior", "Tikhonov".
        options: arguments of the class.

    Raises:
        RecipeError: deepinv has no such prior, it is not explicit (it has no value, as denoisers used as priors),
            does not take the options or needs a package that is not installed.
    """

    @validated
    def __init__(
        self,
        *,
        prior: Annotated[str, Field(description="class of deepinv.optim.prior, explicit", examples=["TVPrior"])],
        options: Annotated[Mapping[str, Any], Field(description="arguments of the class")] = {},
    ) -> None:
        super().__init__()
        self.prior = explicit_prior(prior, options)

    def forward(self, value: Tensor) -> Tensor:
        """Value (B, C, H, W) -> (B,)."""
        total: Tensor = _Value.apply(value, self.prior)
        return total / value[0].numel()


class _Value(torch.autograd.Function):
    """``prior.fn`` forwards, `finite_gradient` backwards."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, prior: Any) -> Tensor:
        ctx.prior = prior
        ctx.save_for_backward(value)
        total: Tensor = prior.fn(value).to(value.dtype)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (value,) = ctx.saved_tensors
        return gradients[0].view(-1, 1, 1, 1) * finite_gradient(ctx.prior, value.detach()), None


def finite_gradient(prior: Any, value: Tensor) -> Tensor:
    """Autograd's gradient of ``prior.fn``, and where it is not finite that of ``prior.grad``.

    Not ``prior.grad`` alone: ``TVL1Prior`` inherits that of the isotropic ``TVPrior``.
    """
    with torch.enable_grad():
        leaf = value.clone().requires_grad_()
        total = prior.fn(leaf)
        found = torch.autograd.grad(total.sum(), leaf)[0] if total.requires_grad else torch.zeros_like(leaf)
    finite = found.isfinite()
    return found if bool(finite.all()) else torch.where(finite, found, prior.grad(value.clone()))


def explicit_prior(name: str, options: Mapping[str, Any]) -> Any:
    """An explicit prior of deepinv by its class name; raises `RecipeError`."""
    classes = prior_classes()
    if name not in classes:
        near = difflib.get_close_matches(name, classes, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(classes)}"
        raise RecipeError(f"deepinv has no prior '{name}'; {hint}")
    try:
        prior = classes[name](**options)
        explicit = prior.explicit_prior
        if explicit:
            prior.fn(torch.zeros(TRIAL))  # so that a missing optional package is reported before any compute
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise RecipeError(f"deepinv's {name} cannot be used with options {dict(options)}: {error}") from error
    if not explicit:
        raise RecipeError(f"deepinv's {name} is not explicit: it has no value to add to an objective; take TVPrior")
    return prior


def prior_classes() -> dict[str, Any]:
    """The priors of deepinv by name, explicit or not."""
    from deepinv.optim import prior as module

    members = inspect.getmembers(module, inspect.isclass)
    return {name: c for name, c in members if issubclass(c, module.Prior) and c is not module.Prior}
