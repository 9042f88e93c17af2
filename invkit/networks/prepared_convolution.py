"""A convolution with what comes before it, in less memory."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["PaddingMode", "PreparedConvolution", "normalisation"]

PaddingMode = Literal["reflect", "replicate", "zeros"]


def normalisation(channels: int) -> nn.BatchNorm2d:
    """Batch norm that keeps nothing of what it has seen."""
    return nn.BatchNorm2d(channels, track_running_stats=False)


class PreparedConvolution(nn.Module):
    """Batch norm, leaky ReLU, padding and a convolution of stride 1: what the three layers would give one by one.

    They would keep two or three maps for the gradient: the input of the batch norm, of the padding and of the
    convolution. Here only the first is kept, and the others are computed again, which takes a few per cent of the
    convolution's time and saves a quarter of a solve's memory.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        size: side of the convolution, pixels, odd.
        padding: what the convolution sees outside.
        negative_slope: of the leaky ReLU; 1 for none.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int = 1, *, padding: PaddingMode = "reflect", negative_slope: float = 1.0
    ) -> None:
        super().__init__()
        self.norm = normalisation(inputs)
        self.conv = nn.Conv2d(inputs, outputs, size)
        self.border = size // 2
        self.mode = "constant" if padding == "zeros" else padding
        self.negative_slope = negative_slope

    def prepare(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """What the convolution gets: normalised with ``scale`` and ``shift`` (C,), activated, padded."""
        ready = F.batch_norm(features, None, None, scale, shift, training=True, eps=self.norm.eps)
        if self.negative_slope != 1:
            F.leaky_relu_(ready, self.negative_slope)  # batch norm needs its input for the gradient, not its output
        return F.pad(ready, [self.border] * 4, self.mode) if self.border else ready

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, inputs, H, W) -> (B, outputs, H, W)."""
        norm, conv = self.norm, self.conv
        result: Tensor = _Recomputed.apply(features, norm.weight, norm.bias, conv.weight, conv.bias, self)
        return result


class _Recomputed(torch.autograd.Function):
    """The convolution of a `PreparedConvolution`, which prepares its input once more for the gradient."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, scale: Tensor, shift: Tensor, weight: Tensor, bias: Tensor, of: PreparedConvolution
    ) -> Tensor:
        ctx.save_for_backward(features, scale, shift, weight)
        ctx.of = of
        return F.conv2d(of.prepare(features, scale, shift), weight, bias)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, weight = ctx.saved_tensors
        inputs = [tensor.detach().requires_grad_() for tensor in inputs]
        with torch.enable_grad():
            prepared = ctx.of.prepare(*inputs)
        # under autocast the convolution ran in the precision of its gradient
        low = [tensor.detach().to(gradient.dtype) for tensor in (prepared, weight)]
        to_input, to_weight, to_bias = torch.ops.aten.convolution_backward(
            gradient, *low, [weight.shape[0]], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, True]
        )
        del low  # may be a copy as large as the input
        back = torch.autograd.grad(prepared, inputs, to_input.to(prepared.dtype))
        return *back, to_weight.to(weight.dtype), to_bias.to(weight.dtype), None
