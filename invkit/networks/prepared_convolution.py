"""Convolutions in mixed precision, and a convolution that saves memory by recomputing the layers before it."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["MixedConv2d", "PaddingMode", "PreparedConvolution", "batch_norm"]

PaddingMode = Literal["reflect", "replicate", "zeros"]


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Build a batch norm without running statistics, so that a call changes nothing."""
    return nn.BatchNorm2d(channels, track_running_stats=False)


class MixedConv2d(nn.Conv2d):
    """A convolution that computes in the precision of its input, whatever the precision of its parameters.

    Autocast would do the same for convolutions, but on a CPU it returns padding and upsampling to float32.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name in torch
        """Map features (B, in_channels, H, W) to (B, out_channels, H', W')."""
        bias = None if self.bias is None else self.bias.to(input.dtype)
        result: Tensor = self._conv_forward(input, self.weight.to(input.dtype), bias)
        return result


class PreparedConvolution(nn.Module):
    """Batch norm, leaky ReLU, padding and a convolution of stride 1 in one layer.

    Separate layers would keep two or three maps for the gradient: the inputs of the batch norm, of the padding and of
    the convolution. This layer keeps the first and computes the others again. The recomputation takes a few per cent
    of the convolution's time and saves a quarter of a solve's memory.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        size: side of the convolution, pixels, odd.
        padding: how features continue beyond the border.
        negative_slope: slope of the leaky ReLU below zero; 1 for no leaky ReLU.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int = 1, *, padding: PaddingMode = "reflect", negative_slope: float = 1.0
    ) -> None:
        super().__init__()
        self.norm = batch_norm(inputs)
        self.conv = MixedConv2d(inputs, outputs, size)
        self.border = size // 2
        self.padding = padding
        self.negative_slope = negative_slope

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, inputs, H, W) to (B, outputs, H, W) in the precision of the features."""
        norm, conv = self.norm, self.conv
        assert conv.bias is not None
        weight, bias = conv.weight.to(features.dtype), conv.bias.to(features.dtype)
        result: Tensor = _Recomputed.apply(features, norm.weight, norm.bias, weight, bias, self)
        return result

    def activate(self, normalised: Tensor) -> Tensor:
        """Apply the leaky ReLU in place."""
        return normalised if self.negative_slope == 1 else F.leaky_relu_(normalised, self.negative_slope)

    def activate_backward(self, gradient: Tensor, activated: Tensor) -> Tensor:
        """Propagate a gradient back through the leaky ReLU, whose output has the sign of its input."""
        if self.negative_slope == 1:
            return gradient
        before: Tensor = torch.ops.aten.leaky_relu_backward(gradient, activated, self.negative_slope, True)
        return before

    def pad(self, features: Tensor) -> Tensor:
        """Enlarge features by the border on each side."""
        mode = "constant" if self.padding == "zeros" else self.padding
        return F.pad(features, [self.border] * 4, mode) if self.border else features

    def pad_backward(self, gradient: Tensor, features: Tensor) -> Tensor:
        """Propagate a gradient back through the padding of these features."""
        border = self.border
        if border == 0:
            return gradient
        if self.padding == "zeros":
            return gradient[..., border:-border, border:-border]
        aten = torch.ops.aten
        backward = aten.reflection_pad2d_backward if self.padding == "reflect" else aten.replication_pad2d_backward
        before: Tensor = backward(gradient, features, [border] * 4)
        return before


class _Recomputed(torch.autograd.Function):
    """The convolution of a `PreparedConvolution`, which recomputes its input in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, scale: Tensor, shift: Tensor, weight: Tensor, bias: Tensor, of: PreparedConvolution
    ) -> Tensor:
        ready, mean, inverse = torch.native_batch_norm(features, scale, shift, None, None, True, 0.0, of.norm.eps)
        ctx.save_for_backward(features, scale, shift, weight, mean, inverse)
        ctx.of = of
        return F.conv2d(of.pad(of.activate(ready)), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, scale, shift, weight, mean, inverse = ctx.saved_tensors
        of, eps, aten = ctx.of, ctx.of.norm.eps, torch.ops.aten
        variance = inverse.pow(-2) - eps
        ready = of.activate(torch.native_batch_norm(features, scale, shift, mean, variance, False, 0.0, eps)[0])
        before, to_weight, to_bias = aten.convolution_backward(
            gradient, of.pad(ready), weight, [len(weight)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, True]
        )
        before = of.activate_backward(of.pad_backward(before, ready), ready)
        del ready  # frees a map as large as the features
        to_features, to_scale, to_shift = aten.native_batch_norm_backward(
            before, features, scale, None, None, mean, inverse, True, eps, [True, True, True]
        )
        return to_features, to_scale, to_shift, to_weight, to_bias, None
