"""Explicit priors of deepinv as regularizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..core.errors import RecipeError
from ..core.interfaces import Regularizer
from ..core.parameters import validated
from ..core.runtime.weights import weights_only
from .denoisers import TRIAL_SIZE, known_class, subclasses_in

__all__ = ["DeepinvPrior", "prior_classes"]


def prior_classes() -> dict[str, Any]:
    """The priors of deepinv by name, explicit or not."""
    from deepinv.optim import prior

    return subclasses_in(prior, prior.Prior)


class DeepinvPrior(Regularizer):
    """An explicit prior of deepinv (``deepinv.optim.prior``), divided by the number of values of an image.

    The division is there because fidelities are means. For an image of N values and data of M values,
    ``mse + weight * R`` has the minimiser of deepinv's ``|A x - y|^2 / 2 + lambda * prior`` if
    ``weight = 2 lambda N / M``.

    The gradient is autograd's through deepinv's ``fn``. Where that gradient is not finite (``TVPrior`` on constant
    regions), it is deepinv's own ``grad``, which is zero there. R can be differentiated once.

    Args:
        prior: class of ``deepinv.optim.prior``, such as "TVPrior", "L1Prior", "WaveletPrior", "Tikhonov".
        options: arguments of this class.

    Raises:
        RecipeError: deepinv has no such prior, the prior has no explicit value (as a denoiser used as a prior), does
            not accept the options, or needs a package that is not installed.
    """

    @validated
    def __init__(self, *, prior: Annotated[str, Field(examples=["TVPrior"])], options: Mapping[str, Any] = {}) -> None:
        super().__init__()
        self.prior = explicit_prior(prior, options)

    def forward(self, value: Tensor) -> Tensor:
        """Value (B, C, H, W) -> (B,)."""
        total: Tensor = _PriorValue.apply(value, self.prior)
        return total / value[0].numel()


class _PriorValue(torch.autograd.Function):
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
    """Autograd's gradient of ``prior.fn``, replaced by ``prior.grad`` where it is not finite.

    ``prior.grad`` alone would be wrong: ``TVL1Prior`` inherits that of the isotropic ``TVPrior``.
    """
    with torch.enable_grad():
        leaf = value.clone().requires_grad_()
        total = prior.fn(leaf)
        found = torch.autograd.grad(total.sum(), leaf)[0] if total.requires_grad else torch.zeros_like(leaf)
    finite = found.isfinite()
    return found if bool(finite.all()) else torch.where(finite, found, prior.grad(value.clone()))


def explicit_prior(name: str, options: Mapping[str, Any]) -> Any:
    """An explicit prior of deepinv by its class name; raises `RecipeError`."""
    source = known_class(name, prior_classes(), "prior")
    try:
        with weights_only():
            prior = source(**options)
        explicit = prior.explicit_prior
        if explicit:
            prior.fn(torch.zeros(1, 1, *TRIAL_SIZE))  # reports a missing optional package before any computation
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise RecipeError(f"deepinv's {name} cannot be used with options {dict(options)}: {error}") from error
    if not explicit:
        raise RecipeError(f"deepinv's {name} is not explicit: it has no value to add to an objective; use TVPrior")
    return prior
