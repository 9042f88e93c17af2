"""Explicit priors and denoisers of deepinv as regularizers."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..core.errors import InputError, RecipeError
from ..core.interfaces import Denoising, Networked, Regularizer
from ..core.messages import near_names
from ..core.parameters import Positive, validated
from ..core.runtime.weights import weights_only
from ..networks.random import seeded
from .shrinkage import values_per_image

__all__ = ["DeepinvPrior", "PlugAndPlay"]

TRIAL_SIZE = (64, 64)  # height and width of the images that test a prior or a denoiser
WEIGHTS_REMEDY = "connect once, give the path of its weights as settings.pretrained, or use TVDenoiser"


def known_class(name: str, classes: Mapping[str, Any], kind: str) -> Any:
    """One of several classes of deepinv.

    Args:
        name: of the class.
        classes: by their names.
        kind: noun for the error message, "prior" or "denoiser".

    Raises:
        RecipeError: deepinv has no such class; suggests the nearest one.
    """
    if name in classes:
        return classes[name]
    near = near_names(name, classes, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(classes)}"
    raise RecipeError(f"deepinv has no {kind} '{name}'; {hint}")


def subclasses_in(module: Any, base: type) -> dict[str, Any]:
    """The subclasses of a class in a module, by name, without the class itself."""
    members = inspect.getmembers(module, inspect.isclass)
    return {name: member for name, member in members if issubclass(member, base) and member is not base}


def prior_classes() -> dict[str, Any]:
    """The priors of deepinv by name, explicit or not."""
    from deepinv.optim import prior

    return subclasses_in(prior, prior.Prior)


def denoiser_classes() -> dict[str, Any]:
    """The denoisers of deepinv by name."""
    from deepinv import models

    return subclasses_in(models, models.Denoiser)


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


class PlugAndPlay(Denoising, Networked):
    """A denoiser in the place of a proximal map: ``prox(v, step) = D(v)`` at the noise level ``sqrt(step / (C H W))``.

    Venkatakrishnan, Bouman, Wohlberg, "Plug-and-Play Priors for Model Based Reconstruction", GlobalSIP 2013. The noise
    level is that of Chan, Wang, Elgendy 2017 for a penalty that is a mean over the image's C H W values. In a splitting
    with penalty rho it is ``sqrt(weight / (2 rho))``.

    In general, the penalty of a denoiser has no formula and may not exist. The value given is the energy of Romano,
    Elad, Milanfar, "The Little Engine That Could: Regularization by Denoising", 2017, ``u . (u - D(u)) / 2``, divided
    by ``sigma^2 C H W``. For a linear ``D = (1 + sigma^2 H)^-1`` with symmetric H, the penalty is ``u . H u / 2``, and
    both agree to first order in sigma^2. Its gradient is ``u - D(u)``, divided by the same number, as in the paper. It
    is always finite, costs one call of the denoiser, and is exact if D is homogeneous with a symmetric Jacobian.

    Of deepinv 0.5, TVDenoiser, TVL1Denoiser and TGVDenoiser need neither weights nor other packages. MedianFilter and
    BilateralFilter do not either, but they ignore the noise level. Networks load their weights at the first use. Images
    are denoised one by one, without gradients.

    Args:
        denoiser: class of ``deepinv.models``, a denoiser.
        settings: arguments of this class, such as ``{"in_channels": 1, "out_channels": 1}`` of DRUNet for grey images.
        sigma: noise level of the penalty's denoiser, in [0, 1] units. The proximal map has the noise level of its step.

    Raises:
        RecipeError: deepinv has no such denoiser, it does not accept the settings, or needs a package that is not
            installed.
        InputError: at the first use: its weights cannot be loaded, or it does not accept images with so many channels.
    """

    @validated
    def __init__(
        self,
        *,
        denoiser: Annotated[str, Field(examples=["TVDenoiser", "DRUNet"])] = "TVDenoiser",
        settings: Mapping[str, Any] = {},
        sigma: Positive = 0.05,
    ) -> None:
        super().__init__()
        self.sigma = sigma
        self.denoise = _Denoiser(denoiser, settings)

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Pixels (1, B, C, H, W) -> (B,)."""
        energy: Tensor = _DenoisingEnergy.apply(coefficients[0], self.denoise, self.sigma)
        return energy / (self.sigma**2 * values_per_image(coefficients))

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Pixels (1, B, C, H, W), step > 0 -> the same shape, denoised; without gradients."""
        return self.denoise(coefficients[0], math.sqrt(step / values_per_image(coefficients)))[None]


class _DenoisingEnergy(torch.autograd.Function):
    """``u . (u - D(u)) / 2`` forwards, ``u - D(u)`` backwards."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, denoise: _Denoiser, sigma: float) -> Tensor:
        residual = value - denoise(value, sigma)
        ctx.save_for_backward(residual)
        return (value * residual).sum((1, 2, 3)) / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (residual,) = ctx.saved_tensors
        return gradients[0].view(-1, 1, 1, 1) * residual, None, None


class _Denoiser:
    """A denoiser of deepinv, loaded at the first use. It is no module, so its weights are neither trained nor saved.

    Args:
        name: of the class.
        settings: its arguments.

    Raises:
        RecipeError: see `PlugAndPlay`.
    """

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self.name, self.settings = name, dict(settings)
        self.accepted: set[int] = set()  # numbers of channels
        if not has_weights(name, self.settings):  # otherwise the weights would have to be loaded now
            try:
                self.try_on(1)
            except InputError as error:
                raise RecipeError(str(error)) from error

    @torch.no_grad()
    def __call__(self, images: Tensor, sigma: float) -> Tensor:
        """Images (B, C, H, W) with noise of standard deviation ``sigma`` -> the same shape; raises `InputError`."""
        if images.shape[1] not in self.accepted:
            self.try_on(images.shape[1])
        denoiser = self.module.to(images)
        # A copy with the same weights: deepinv's TV denoisers would start from the image of the previous call.
        return torch.cat([copy.copy(denoiser)(image[None], sigma) for image in images])

    @cached_property
    def module(self) -> Any:
        """The denoiser, ready for use; raises `InputError`."""
        try:
            with seeded(0), weights_only():  # a network draws random weights before it loads its own
                return denoiser_classes()[self.name](**self.settings).eval().requires_grad_(False)
        except Exception as error:
            remedy = f"; {WEIGHTS_REMEDY}" if has_weights(self.name, self.settings) else ""
            raise InputError(f"deepinv's {self.name} cannot be loaded: {error}{remedy}") from error

    @torch.no_grad()
    def try_on(self, channels: int) -> None:
        """Denoise a black image; raises `InputError`. A later error is then not a fault of the settings."""
        module, trial = self.module, torch.zeros(1, channels, *TRIAL_SIZE)
        try:
            same = copy.copy(module.to(trial))(trial, 0.05).shape == trial.shape
        except Exception as error:
            raise InputError(self.refusal(channels, f"{type(error).__name__}: {error}")) from error
        if not same:
            raise InputError(self.refusal(channels, "its result has another shape"))
        self.accepted.add(channels)

    def refusal(self, channels: int, reason: str) -> str:
        """The error message for images with so many channels."""
        return (
            f"deepinv's {self.name} with settings {self.settings} does not denoise an image of {channels} channels: "
            f"{reason}; change the settings (of networks in_channels and out_channels) or use TVDenoiser"
        )


def has_weights(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether a denoiser loads weights; raises `RecipeError` for a name or settings that deepinv does not have."""
    source = known_class(name, denoiser_classes(), "denoiser")
    try:
        bound = inspect.signature(source).bind(**settings)
    except TypeError as error:
        raise RecipeError(f"deepinv's {name} cannot be used with settings {dict(settings)}: {error}") from error
    bound.apply_defaults()
    return bound.arguments.get("pretrained") not in (None, False)
