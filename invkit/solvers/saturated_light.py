"""A sensor that saturates, and the pixels whose light it did not measure (Whyte, Sivic, Zisserman, IJCV 2014)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.fidelity_abilities import KullbackLeibler

__all__ = ["blending_weights", "dilated_by_disk", "footprint", "sensor_response"]

RESPONSE_SHARPNESS = 50.0  # a of the saturating response R (Whyte et al. 2014, Sec. 4)
BLENDING_SIGMA, BLENDING_RADIUS = 3.0, 9  # of the Gaussian that blends the two updates, pixels
MIN_KERNEL_SHARE = 1e-2  # of a kernel's largest value; smaller values propagate no errors


def sensor_response(light: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Return the response of a sensor that saturates smoothly at ``level``, and its derivative (Whyte et al. 2014)."""
    excess = RESPONSE_SHARPNESS * (light - level)
    response = (light - F.softplus(excess) / RESPONSE_SHARPNESS).clamp_(min=KullbackLeibler.MIN_LIGHT)
    return response, torch.sigmoid(-excess)


def dilated_by_disk(mask: Tensor) -> Tensor:
    """Dilate a mask of zeros and ones by the disk of radius 3, the union of these three boxes."""
    boxes = ((7, 1), (5, 5), (1, 7))
    pooled = [F.max_pool2d(mask, box, stride=1, padding=(box[0] // 2, box[1] // 2)) for box in boxes]
    return torch.stack(pooled).amax(0)


def blending_weights(mask: Tensor) -> Tensor:
    """Blur a mask (B, C, H, W) by a Gaussian; its edge pixels are repeated beyond the border."""
    offsets = torch.arange(-BLENDING_RADIUS, BLENDING_RADIUS + 1, dtype=mask.dtype, device=mask.device)
    taps = torch.softmax(-offsets.square() / (2 * BLENDING_SIGMA**2), 0)
    planes = F.pad(mask.flatten(0, 1)[:, None], (BLENDING_RADIUS,) * 4, mode="replicate")
    rows = F.conv2d(planes, taps.view(1, 1, -1, 1))
    return F.conv2d(rows, taps.view(1, 1, 1, -1)).view_as(mask)


def footprint(kernel: Tensor) -> Tensor:
    """One where a kernel (B, 1, h, w) is above `MIN_KERNEL_SHARE` of its largest value, else zero."""
    return (kernel > MIN_KERNEL_SHARE * kernel.amax((-2, -1), keepdim=True)).to(kernel.dtype)
