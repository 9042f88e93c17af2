"""The words of the toolkit's one sentence, as abstract interfaces.

    minimise over the unknowns of the image prior and the kernel prior
    ``fidelity(A(x, k), y) + sum_i weight_i R_i``,   ``x = image_prior()``,  ``k = kernel_prior()``

Every class here is abstract. Constructors of components follow one rule (`invkit.parameters`): positional arguments
are given by the problem, keyword-only arguments may be set by a recipe. The solver, who does the minimising, is in
`invkit.solver`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from torch import Tensor, nn

from .parameters import Shape

__all__ = [
    "Fidelity",
    "ForwardOperator",
    "ImagePrior",
    "KernelPrior",
    "LatentPrior",
    "Proximable",
    "Regularizer",
]


class ForwardOperator(nn.Module, ABC):
    """``y = A(x; k)``, linear in the image x.

    Stateless: a call never stores its arguments, so that two calls with two kernels and one backward pass are exact.
    """

    @abstractmethod
    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) and kernel (B, 1, h, w) -> data (B, C, H', W'); differentiable in both."""

    @abstractmethod
    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (B, C, H', W') -> (B, C, H, W) with ``<A x, y> = <x, A^T y>`` for the same kernel."""

    @abstractmethod
    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """Shape of the image that produces data of ``data_shape``; for a valid convolution H = H' + h - 1."""


class ImagePrior(nn.Module, ABC):
    """How the image is parametrised: what is optimised is ``parameters()``; calling the prior changes nothing in it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    @abstractmethod
    def forward(self) -> Tensor:
        """The image, (B, C, H, W) = ``self.shape``, in [0, 1]."""

    def memory_needed(self) -> int:
        """Bytes that a gradient of the prior takes, roughly; here: a few copies of the image."""
        return 32 * math.prod(self.shape)


class KernelPrior(nn.Module, ABC):
    """How the operator's unknown is parametrised; a blur kernel is non-negative and sums to one BY CONSTRUCTION."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    @abstractmethod
    def forward(self) -> Tensor:
        """The kernel, (B, 1, h, w) = ``self.shape``: a true-convolution kernel, >= 0, each summing to one."""


class LatentPrior(nn.Module, ABC):
    """The ability of a prior to be a network with a fixed random input, which a solver may perturb."""

    latent: Tensor

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """What the prior would give for another input of the shape of ``self.latent``."""

    def forward(self) -> Tensor:
        """What the prior gives for its own fixed input."""
        return self.decode(self.latent)


class Regularizer(nn.Module, ABC):
    """A penalty R on an image or a kernel; its weight belongs to the problem, not to it."""

    @abstractmethod
    def forward(self, value: Tensor) -> Tensor:
        """Value (B, C, H, W) -> (B,), differentiable, with finite gradients everywhere."""


class Proximable(Regularizer):
    """The ability to solve ``argmin_u step * R(u) + ||u - value||^2 / 2``."""

    @abstractmethod
    def prox(self, value: Tensor, step: float) -> Tensor:
        """Value (B, C, H, W), step > 0 -> (B, C, H, W)."""


class Fidelity(nn.Module, ABC):
    """How predicted data are compared with the measured."""

    @abstractmethod
    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Two tensors (B, C, H, W) in [0, 1] -> (B,), zero where they are equal."""

    def at(self, iteration: int) -> Fidelity:
        """The fidelity to use at an iteration (counted from 0): itself, unless it is a schedule."""
        return self
