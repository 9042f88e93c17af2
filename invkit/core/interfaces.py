"""The abstract interfaces of the components in the toolkit's objective.

    minimise over the parameters of the image prior and of the kernel prior
    ``fidelity(A(x, k), y) + sum_i weight_i R_i``,   ``x = image_prior()``,  ``k = kernel_prior()``

Constructors of components follow one rule (`invkit.core.parameters`): positional arguments come from the problem,
keyword-only arguments may be set by a recipe. The solver, which minimises, is in `invkit.core.solver`. An ability that
a solver needs is a class here, such as `Assignable`; a component has the ability if it derives from this class. Those
of fidelities are in `invkit.core.fidelity_abilities`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from ..numerics.conjugate_gradients import conjugate_gradients
from ..numerics.finite_differences import IDENTITY, DifferenceFilter, apply_filters
from ..numerics.geometry import Shape, Size, shape_of
from .nested import Component
from .ranges import UNIT_RANGE, Convolving, NonNegative, ValueRange
from .result import DataReading

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Assignable",
    "Attracting",
    "Blur",
    "Denoising",
    "Fidelity",
    "ForwardOperator",
    "GriddedBlur",
    "ImagePrior",
    "KernelPrior",
    "LatentPrior",
    "LinearOperator",
    "Majorised",
    "Networked",
    "OperatorParameterPrior",
    "Proximable",
    "Regularizer",
    "Resizable",
    "Reweightable",
]


SOLVED = 1e-10  # residual of least squares in float64, relative; further iterations amplify rounding
PARAMETER_TOLERANCE = 1e-3  # deviation of a given operator parameter from its rule: rounding in low precision


class OperatorParameterPrior(Component, nn.Module, ABC):
    """How a parameter of the operator is parametrised: ``parameters()`` are optimised.

    Attributes:
        rule: property of all its values by construction, to complete "it must be ...".
        examples: shapes that its values may have; the conformance checks use them.
    """

    family: ClassVar[str] = "kernel_priors"
    rule: ClassVar[str]
    examples: ClassVar[tuple[Shape, ...]]

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    @abstractmethod
    def forward(self) -> Tensor:
        """Give the parameter, of ``self.shape``, allowed for its kind; a call does not change the prior."""

    @staticmethod
    @abstractmethod
    def allowed(value: Tensor) -> Tensor:
        """Return an allowed value near any finite value; an allowed value is returned unchanged."""

    @classmethod
    def flaw(cls, value: Tensor) -> str | None:
        """Say why a value is not allowed, to complete "it is ...", or return None."""
        if not bool(torch.isfinite(value).all()):
            return "not finite"
        off = float((value - cls.allowed(value)).abs().max())
        return None if off <= PARAMETER_TOLERANCE else f"off by {off:.3g}: it must be {cls.rule}"


class KernelPrior(OperatorParameterPrior):
    """How blur kernels are parametrised: non-negative and summing to one BY CONSTRUCTION.

    Several kernels, for example of the frames of a scene or of the parts of an image, are stacked along the batch.
    """

    rule = "non-negative and sum to one"
    examples = ((1, 1, 7, 7), (2, 1, 6, 6), (1, 1, 5, 8))  # odd, even and not square

    @abstractmethod
    def forward(self) -> Tensor:
        """Give the kernel, (B, 1, h, w) = ``self.shape``: a true-convolution kernel, >= 0, each summing to one."""

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Set the negative values of kernels (B, 1, h, w) to zero and scale each to sum one, or make it uniform.

        Example:
            >>> KernelPrior.allowed(torch.tensor([[[[-1.0, 1.0, 3.0]]]])).tolist()
            [[[[0.0, 0.25, 0.75]]]]
        """
        kernel = value.clamp(min=0)
        total = kernel.sum((-2, -1), keepdim=True)
        uniform = torch.full_like(kernel, 1 / (kernel.shape[-2] * kernel.shape[-1]))
        return torch.where(total > 0, kernel / total.where(total > 0, 1), uniform)


class ForwardOperator(Component, nn.Module, ABC):
    """``y = A(x; k)``, differentiable; k is the operator's parameter, mostly a blur kernel.

    An operator is stateless: a call never stores its arguments. Two calls with two kernels and one backward pass are
    therefore exact. Almost all operators are linear in the image x, and derive from `LinearOperator`.

    Attributes:
        parameter_prior: the class of the priors of k.
        data_range: of the data: (0, 1) for pictures, None for other numbers.
        data_form: the shape of data that are no pictures, for errors.
        example: a shape that data may have; the conformance checks use it.
    """

    family: ClassVar[str] = "operators"
    parameter_prior: ClassVar[type[OperatorParameterPrior]] = KernelPrior  # type: ignore[type-abstract]
    data_range: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    data_form: ClassVar[str] = "(C, H, W)"
    example: ClassVar[Shape] = (2, 2, 9, 8)

    def __init__(self) -> None:
        super().__init__()  # torch's own constructor accepts any keyword, so a misspelt parameter would pass

    @abstractmethod
    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) and kernel (B, 1, h, w) -> data (B, C, H', W'); differentiable in both."""

    @abstractmethod
    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """Shape of the image that produces data of ``data_shape``; for a valid convolution H = H' + h - 1."""

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """Shape of the parameter: by default one blur kernel of ``kernel_size`` for each image of the data's batch."""
        return data_shape[0], 1, *kernel_size

    def reading(self, data: Tensor) -> DataReading:
        """What data (B, C, H', W') that are no pictures are taken for; raises `InputError` if they cannot be that."""
        return DataReading()

    def initial_parameter(self, data: Tensor, shape: Shape) -> Tensor | None:
        """A value of the parameter that its prior may start from, estimated from the data; by default None."""
        return None

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """An image that its prior may start from: by default grey.

        Args:
            data: (B, C, H', W').
            kernel: the current value of the parameter, of `parameter_shape`.

        Returns:
            In [0, 1], of `image_shape`, or smaller if it is the middle of the image.
        """
        shape = self.image_shape(shape_of(data), shape_of(kernel))
        return data.new_full(shape, 0.5)


class LinearOperator(ForwardOperator):
    """The ability of an operator to be linear in the image, with an adjoint, which linear solvers need.

    Attributes:
        brightness_iterations: conjugate gradients after which an image of data is about as bright as it should be.
    """

    brightness_iterations: ClassVar[int] = 8

    @abstractmethod
    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (B, C, H', W') -> (B, C, H, W) with ``<A x, y> = <x, A^T y>`` for the same kernel."""

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """By default the adjoint of the data, scaled to fit them best; arguments as `ForwardOperator` says."""
        back = self.adjoint(data, kernel)
        again: Tensor = self(back, kernel)
        scale = (again * data).sum() / again.square().sum().clamp(min=torch.finfo(data.dtype).tiny)
        return (scale * back).clamp(0, 1)

    @torch.no_grad()
    def brightness(self, data: Tensor, kernel: Tensor) -> float:
        """About the largest value of the image of such data, by default of `fitted`; proportional to the data.

        Args:
            data: (B, C, H', W').
            kernel: a value of the parameter, of `parameter_shape`.
        """
        return float(self.fitted(data, kernel).max())

    def fitted(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The least-squares image of ``brightness_iterations`` conjugate gradients; arguments as `brightness`."""
        back = self.adjoint(data, kernel)

        def normal(image: Tensor) -> Tensor:
            return self.adjoint(self(image, kernel), kernel)

        return conjugate_gradients(normal, back, 0 * back, iterations=self.brightness_iterations, tolerance=SOLVED)


class Blur(LinearOperator, Convolving):
    """The ability of an operator to be a convolution of pictures by its kernel (B, 1, h, w)."""

    axes = 2

    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data, (B, C, H', W'), which are the middle of the image."""
        return data


class GriddedBlur(LinearOperator, NonNegative):
    """The ability of an operator to blur one image by kernels on a grid over it, between which it interpolates.

    Attributes:
        grid: rows and columns of kernels; the outer kernels lie on the borders of the data.
        margin: pixels on each side by which the frame of unknown kernels exceeds the kernel size asked for.
    """

    grid: Size
    margin: int

    @abstractmethod
    def convolution(self) -> Blur:
        """The blur by one of the kernels alone, with the padding "valid"."""


class ImagePrior(Component, nn.Module, ABC):
    """How the image is parametrised: ``parameters()`` are optimised; a call does not change the prior.

    Attributes:
        range: lowest and highest value of the image; a prior may have another one than [0, 1] (`ranges.Ranged`).
    """

    family: ClassVar[str] = "image_priors"
    range: ValueRange = UNIT_RANGE
    BYTES_PER_PIXEL: ClassVar[int] = 32  # of a gradient of free pixels: a few copies of the image

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    @abstractmethod
    def forward(self) -> Tensor:
        """The image, (B, C, H, W) = ``self.shape``, within ``self.range``."""

    def memory_needed(self) -> int:
        """Approximate bytes that a gradient of the prior needs: by default a few copies of the image."""
        return self.BYTES_PER_PIXEL * math.prod(self.shape)


class LatentPrior(nn.Module, ABC):
    """The ability of a prior to be a network with a fixed random input, which a solver may perturb."""

    latent: Tensor

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """The output for another input of the shape of ``self.latent``."""

    def forward(self) -> Tensor:
        """The output for the prior's own fixed input."""
        return self.decode(self.latent)


class Assignable(ABC):
    """The ability of a prior to be set to a given image or kernel, so that a solver may compute it directly."""

    @abstractmethod
    def assigned(self, value: Tensor) -> Self:
        """A new prior with the same settings that gives ``value``, or the nearest valid image or kernel.

        Args:
            value: (B, C, H, W) of any size; the new prior has its device and precision.
        """


class Resizable(ABC):
    """The ability of a prior to continue on a finer or coarser grid."""

    @abstractmethod
    def resized(self, shape: Shape, scale: float) -> Self:
        """A new prior whose output is about that of this one, resampled about the centre.

        Args:
            shape: of the new prior's output, (B, C, H, W).
            scale: new pixels per old pixel along each side; the rest of the new size is cropped or filled.
        """


class Regularizer(Component, nn.Module, ABC):
    """A penalty R on an image or a kernel; its weight belongs to the problem."""

    family: ClassVar[str] = "regularizers"

    def __init__(self) -> None:
        super().__init__()  # torch's own constructor accepts any keyword, so a misspelt parameter would pass

    @abstractmethod
    def forward(self, value: Tensor) -> Tensor:
        """Value (B, C, H, W) -> (B,), differentiable, with finite gradients everywhere."""


class Proximable(Regularizer):
    """The ability to be ``R(u) = g(D u)`` with small linear filters D and a g with a known proximal map.

    For a penalty on the pixels themselves D is the identity, and `prox` is the proximal map of R.

    Attributes:
        filters: the K filters of D.
    """

    filters: tuple[DifferenceFilter, ...] = (IDENTITY,)

    @abstractmethod
    def penalty(self, coefficients: Tensor) -> Tensor:
        """g: coefficients (K, B, C, H, W) -> (B,), differentiable, with finite gradients everywhere."""

    @abstractmethod
    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """``argmin_z step * g(z) + ||z - coefficients||^2 / 2``: (K, B, C, H, W), step > 0 -> the same shape."""

    def forward(self, value: Tensor) -> Tensor:
        """Value (B, C, H, W) -> (B,); filter responses that reach beyond the border count as zero."""
        return self.penalty(apply_filters(value, self.filters, wrap=False))


class Denoising(Proximable):
    """The ability to be given by its proximal map alone, a denoiser; its penalty need not match the map."""


class Networked:
    """The ability to compute by a network, whose operations are so long that threads share them with profit."""


class Majorised(Proximable):
    """The ability to be replaced, near an image, by a weighted sum of squares: `Reweightable` or `Attracting`."""


class Reweightable(Majorised):
    """The ability to be majorised by weighted squares, for iteratively reweighted least squares."""

    @abstractmethod
    def weights(self, coefficients: Tensor) -> Tensor:
        """Weights w with ``g(z) <= g(coefficients) + (sum w z^2 - sum w coefficients^2) / 2`` for every z.

        Coefficients (K, B, C, H, W) -> w of the same shape, >= 0 and finite.
        """


class Attracting(Majorised, Denoising):
    """The ability to attract an image to a target t that is made from it: R(u) is about ``sum w (u - t)^2 / 2``.

    Solvers hold the target while they compute the next image; the penalty need not decrease when the target changes.
    """

    @abstractmethod
    def attraction(self, value: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Weights w, >= 0 and finite, and targets t, for an image and the first one of the solve; all (B, C, H, W)."""

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """``argmin_z step * sum w (z - t)^2 / 2 + ||z - image||^2 / 2``: (1, B, C, H, W) -> the same shape."""
        weights, targets = self.attraction(coefficients[0], coefficients[0])
        return ((coefficients[0] + step * weights * targets) / (1 + step * weights))[None]


class Fidelity(Component, nn.Module, ABC):
    """How predicted data are compared with measured data."""

    family: ClassVar[str] = "fidelities"

    def __init__(self) -> None:
        super().__init__()  # torch's own constructor accepts any keyword, so a misspelt parameter would pass

    @abstractmethod
    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Two tensors (B, C, H, W) in [0, 1] -> (B,), zero for equal ones."""

    def at(self, iteration: int) -> Fidelity:
        """The fidelity at an iteration (counted from 0): itself, unless it is a schedule."""
        return self
