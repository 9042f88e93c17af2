"""Plug and play: a denoiser in the place of a proximal map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..core.interfaces import Denoising, Networked
from ..core.parameters import Positive, validated
from .denoisers import Denoiser, denoiser_of, named_denoiser
from .shrinkage import values_per_image

__all__ = ["PlugAndPlay"]


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
    are denoised one by one, without gradients. A file of weights is read without running code that it may contain.

    Python code may give any module, `of`. It is called with an image (1, C, H, W) and a noise level in [0, 1] units or,
    if its ``forward`` has one argument, with the image alone.

    Args:
        denoiser: class of ``deepinv.models``, a denoiser; or "module:Class" for a class of an installed module that
            derives from ``torch.nn.Module``, or an instance there.
        settings: arguments of this class, such as ``{"in_channels": 1, "out_channels": 1}`` of DRUNet for grey images.
        weights: path of a file of the network's weights, a ``state_dict`` that ``torch.save`` has written; None for
            those that the class has.
        sigma: noise level of the penalty's denoiser, in [0, 1] units. The proximal map has the noise level of its step.

    Raises:
        RecipeError: there is no such denoiser, it does not accept the settings, or needs a package that is not
            installed.
        InputError: its weights cannot be loaded, of deepinv's networks at the first use; or, at the first use, it does
            not accept images with so many channels.
    """

    @validated
    def __init__(
        self,
        *,
        denoiser: Annotated[str, Field(examples=["TVDenoiser", "DRUNet"])] = "TVDenoiser",
        settings: Mapping[str, Any] = {},
        weights: Annotated[str, Field(min_length=1)] | None = None,
        sigma: Positive = 0.05,
    ) -> None:
        super().__init__()
        self.sigma = sigma
        self.denoise = named_denoiser(denoiser, settings, weights)

    @classmethod
    def of(cls, module: nn.Module, *, sigma: float = 0.05) -> PlugAndPlay:
        """A module as the denoiser; a copy of it is used, so that the module does not change.

        Args:
            module: called with images and a noise level, or with images alone.
            sigma: noise level of the penalty's denoiser, in [0, 1] units.

        Example:
            >>> smooth = torch.nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
            >>> PlugAndPlay.of(smooth).prox(torch.eye(3)[None, None, None], 0.1)[0, 0, 0, 1]
            tensor([0.3333, 0.3333, 0.3333])
        """
        made = cls(sigma=sigma)
        made.denoise = denoiser_of(module)
        return made

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
    def forward(ctx: Any, value: Tensor, denoise: Denoiser, sigma: float) -> Tensor:
        residual = value - denoise(value, sigma)
        ctx.save_for_backward(residual)
        return (value * residual).sum((1, 2, 3)) / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (residual,) = ctx.saved_tensors
        return gradients[0].view(-1, 1, 1, 1) * residual, None, None
