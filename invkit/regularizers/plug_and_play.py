"""A denoiser of deepinv in the place of a proximal map."""

from __future__ import annotations

import copy
import difflib
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
from ..core.interfaces import Denoising
from ..core.parameters import Positive, validated
from ..networks.random import seeded
from .shrinkage import values_of

__all__ = ["PlugAndPlay"]

TRIAL = (64, 64)  # height and width of the image that a denoiser is tried on
WEIGHTS = "connect once, give the path of its weights as settings.pretrained, or take TVDenoiser"


class PlugAndPlay(Denoising):
    """A denoiser where a proximal map should be: ``prox(v, step) = D(v)`` at the noise ``sqrt(step / (C H W))``.

    Venkatakrishnan, Bouman, Wohlberg, "Plug-and-Play Priors for Model Based Reconstruction", GlobalSIP 2013; the
    noise level as in Chan, Wang, Elgendy 2017, for a penalty that is a mean over the image's C H W values: in a
    splitting that pulls to the denoised image with a penalty rho, ``sqrt(weight / (2 rho))``.

    Of the penalty whose map a denoiser is there is in general no formula, and there need not be one. The value given
    is the energy of Romano, Elad, Milanfar, "The Little Engine That Could: Regularization by Denoising", 2017,
    ``u . (u - D(u)) / 2``, over ``sigma^2 C H W``: for a linear ``D = (1 + sigma^2 H)^-1``, H symmetric, whose penalty
    is ``u . H u / 2``, they agree to first order in sigma^2. Its gradient is as there ``u - D(u)``, over the same:
    always finite, one call of the denoiser, and exact where D is homogeneous and its Jacobian symmetric.

    Of deepinv 0.5, TVDenoiser, TVL1Denoiser and TGVDenoiser need neither weights nor other packages; nor do
    MedianFilter and BilateralFilter, which do the same at every noise level. Networks load their weights at the
    first use. Images are denoised one by one, without gradients.

    Args:
        denoiser: class name, of ``deepinv.models``.
        settings: arguments of the class, as ``{"in_channels": 1, "out_channels": 1}`` of DRUNet for grey images.
        sigma: noise level in [0, 1] units of the penalty's denoiser; the proximal map's follows from the step.

    Raises:
        RecipeError: deepinv has no such denoiser, it does not take the settings or needs a package that is not
            installed.
        InputError: when it is used: its weights cannot be loaded, or it does not take images of so many channels.
    """

    @validated
    def __init__(
        self,
        *,
        denoiser: Annotated[
            str, Field(description="class of deepinv.models, a denoiser", examples=["TVDenoiser", "DRUNet"])
        ] = "TVDenoiser",
        settings: Annotated[Mapping[str, Any], Field(description="arguments of the class")] = {},
        sigma: Annotated[Positive, Field(description="noise level ([0, 1] units) of the penalty's denoiser")] = 0.05,
    ) -> None:
        super().__init__()
        self.sigma = sigma
        self.denoise = _Denoiser(denoiser, settings)

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Pixels (1, B, C, H, W) -> (B,)."""
        energy: Tensor = _Energy.apply(coefficients[0], self.denoise, self.sigma)
        return energy / (self.sigma**2 * values_of(coefficients))

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Pixels (1, B, C, H, W), step > 0 -> the same shape, denoised; without gradients."""
        return self.denoise(coefficients[0], math.sqrt(step / values_of(coefficients)))[None]


class _Energy(torch.autograd.Function):
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
    """A denoiser of deepinv, loaded when it is first needed; no module, as its weights are not to be trained or saved.

    Args:
        name: of the class.
        settings: its arguments.

    Raises:
        RecipeError: see `PlugAndPlay`.
    """

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self.name, self.settings = name, dict(settings)
        self.tried: set[int] = set()  # numbers of channels
        if not has_weights(name, self.settings):  # else it is not known before they are loaded
            try:
                self.try_on(1)
            except InputError as error:
                raise RecipeError(str(error)) from error

    @torch.no_grad()
    def __call__(self, images: Tensor, sigma: float) -> Tensor:
        """Images (B, C, H, W) with noise of standard deviation ``sigma`` -> the same shape; raises `InputError`."""
        if images.shape[1] not in self.tried:
            self.try_on(images.shape[1])
        denoiser = self.module.to(images)
        # a copy, of the same weights: deepinv's TV denoisers would go on from what they were given last
        return torch.cat([copy.copy(denoiser)(image[None], sigma) for image in images])

    @cached_property
    def module(self) -> Any:
        """The denoiser, ready for use; raises `InputError`."""
        try:
            with seeded(0):  # a network draws the weights that it then loads
                return classes()[self.name](**self.settings).eval().requires_grad_(False)
        except Exception as error:
            remedy = f"; {WEIGHTS}" if has_weights(self.name, self.settings) else ""
            raise InputError(f"deepinv's {self.name} cannot be loaded: {error}{remedy}") from error

    @torch.no_grad()
    def try_on(self, channels: int) -> None:
        """Denoise a black image; raises `InputError`, so that what fails later is no fault of the settings."""
        module, trial = self.module, torch.zeros(1, channels, *TRIAL)
        try:
            same = copy.copy(module.to(trial))(trial, 0.05).shape == trial.shape
        except Exception as error:
            raise InputError(self.refusal(channels, f"{type(error).__name__}: {error}")) from error
        if not same:
            raise InputError(self.refusal(channels, "it gives one of another shape"))
        self.tried.add(channels)

    def refusal(self, channels: int, reason: str) -> str:
        """What cannot be denoised, and why."""
        return (
            f"deepinv's {self.name} with settings {self.settings} does not denoise an image of {channels} channels: "
            f"{reason}; change the settings (of networks in_channels and out_channels) or take TVDenoiser"
        )


def has_weights(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether a denoiser will load weights; raises `RecipeError` for a name or settings that deepinv does not have."""
    known = classes()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
        raise RecipeError(f"deepinv has no denoiser '{name}'; {hint}")
    try:
        bound = inspect.signature(known[name]).bind(**settings)
    except TypeError as error:
        raise RecipeError(f"deepinv's {name} cannot be used with settings {dict(settings)}: {error}") from error
    bound.apply_defaults()
    return bound.arguments.get("pretrained") not in (None, False)


def classes() -> dict[str, Any]:
    """The denoisers of deepinv by name."""
    from deepinv import models

    members = inspect.getmembers(models, inspect.isclass)
    return {name: c for name, c in members if issubclass(c, models.Denoiser) and c is not models.Denoiser}
