"""Attention over all positions of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .prepared_convolution import MixedConv2d, batch_norm

__all__ = ["NonLocalBlock"]


class NonLocalBlock(nn.Module):
    """``x + BN(W y)``, where ``y_i = mean_j (theta(x_i) . phi(x_j)) g(x_j)``: the dot-product non-local block.

    Wang, Girshick, Gupta, He, "Non-local Neural Networks", CVPR 2018, Eqs. 2, 4 and 6. The block has half the channels
    inside, and keys and values are 2x2 max-pooled. The scale of the batch norm starts at zero, so the block starts as
    the identity.

    Args:
        channels: C, even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.query = MixedConv2d(channels, inner, 1)
        self.key = MixedConv2d(channels, inner, 1)
        self.value = MixedConv2d(channels, inner, 1)
        self.output = MixedConv2d(inner, channels, 1)
        self.norm = batch_norm(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, H, W), with H and W >= 2, to the same shape."""
        batch, _, height, width = features.shape
        query = self.query(features).flatten(2)
        key = F.max_pool2d(self.key(features), 2).flatten(2)
        value = F.max_pool2d(self.value(features), 2).flatten(2)
        # values x keys first: the same product, without the matrix of all pairs of positions
        mixed = torch.bmm(torch.bmm(value, key.transpose(1, 2)), query) / key.shape[2]
        result: Tensor = features + self.norm(self.output(mixed.view(batch, -1, height, width)))
        return result
