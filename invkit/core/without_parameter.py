"""Operators without a parameter: the image is all that is unknown."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ..numerics.geometry import Shape, Size, shape_of
from .interfaces import ForwardOperator, LinearOperator

__all__ = ["LinearWithoutParameter", "WithoutParameter"]


class WithoutParameter(ForwardOperator):
    """``y = A(x)``: an operator without a parameter, linear or not.

    A subclass defines `predicted` alone, and `image_shape` if the data have another shape than the image. A recipe for
    it names no kernel prior, and a problem in Python has ``KnownKernel()``: a kernel of one pixel, which is one, stands
    in the place of the parameter everywhere.

    Example:
        >>> class Quantised(WithoutParameter):
        ...     '''Values in steps of a tenth, with the gradient of the identity.'''
        ...     def predicted(self, image):
        ...         return image + ((10 * image).round() / 10 - image).detach()
        >>> Quantised()(torch.tensor([[[[0.33, 0.58]]]]), torch.ones(1, 1, 1, 1))
        tensor([[[[0.3000, 0.6000]]]])
    """

    @abstractmethod
    def predicted(self, image: Tensor) -> Tensor:
        """Image (B, C, H, W) -> data (B, C, H', W'); differentiable."""

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """`predicted`, whatever the kernel is."""
        return self.predicted(image)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """By default the shape of the data."""
        return data_shape

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """(B, 1, 1, 1), a kernel of one pixel."""
        return data_shape[0], 1, 1, 1


class LinearWithoutParameter(WithoutParameter, LinearOperator):
    """``y = A x``: a linear operator without a parameter; its adjoint follows from `predicted`.

    Example:
        >>> class Mirrored(LinearWithoutParameter):
        ...     def predicted(self, image):
        ...         return image + image.flip(-1)
        >>> Mirrored().adjoint(torch.tensor([[[[1.0, 3.0]]]]), torch.ones(1, 1, 1, 1))
        tensor([[[[4., 4.]]]])
    """

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (B, C, H', W') -> (B, C, H, W), by automatic differentiation; no gradient passes."""
        with torch.enable_grad():
            shape = self.image_shape(shape_of(data), shape_of(kernel))
            image = data.new_zeros(shape, requires_grad=True)
            (back,) = torch.autograd.grad(self.predicted(image), image, data.detach())
        return back
