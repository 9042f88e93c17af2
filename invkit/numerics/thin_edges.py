"""Thinned edges of an image: the pixels at which the gradient is strongest along its own direction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .finite_differences import gaussian_blur

__all__ = ["thin_edge_strength"]

NEIGHBOURS = ((1, 0), (0, 1), (1, 1), (1, -1))
"""The neighbour (row, column) along a gradient down, across, and along either diagonal."""


def thin_edge_strength(planes: Tensor, sigma: float) -> Tensor:
    """The length of the gradient where it is a maximum along its own direction, and zero elsewhere.

    The gradient is a central difference after a Gaussian. Its direction is rounded to one of four, and a pixel counts
    if both neighbours in this direction have shorter gradients (of two equal ones, the later counts).

    Args:
        planes: (n, H, W).
        sigma: standard deviation of the Gaussian, pixels, > 0.

    Returns:
        (n, H, W), >= 0; zero at the border, of which a neighbour is unknown.

    Example:
        >>> step = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]).expand(1, 5, 7)
        >>> (thin_edge_strength(step, sigma=0.5) > 0)[0, 2].tolist()
        [False, False, False, True, False, False, False]
    """
    if min(planes.shape[-2:]) < 3:
        return torch.zeros_like(planes)
    smooth = gaussian_blur(planes[:, None], sigma)[:, 0]
    rows = F.pad(smooth[:, 2:] - smooth[:, :-2], (0, 0, 1, 1))
    columns = F.pad(smooth[..., 2:] - smooth[..., :-2], (1, 1))
    length = (rows.square() + columns.square()).sqrt()
    axial, diagonal = rows.square() - columns.square(), 2 * rows * columns
    straight = axial.abs() >= diagonal.abs()
    directions = (
        straight & (axial >= 0),
        straight & (axial < 0),
        ~straight & (diagonal >= 0),
        ~straight & (diagonal < 0),
    )
    longest = torch.zeros_like(straight)
    for along, (row, column) in zip(directions, NEIGHBOURS, strict=True):
        before, after = neighbour(length, -row, -column), neighbour(length, row, column)
        longest |= along & (length >= before) & (length > after)
    inside = F.pad(torch.ones_like(longest[:, 1:-1, 1:-1]), (1, 1, 1, 1))
    return length * (longest & inside)


def neighbour(planes: Tensor, row: int, column: int) -> Tensor:
    """The value of the pixel that lies (row, column) farther, each -1, 0 or 1; zero beyond the border."""
    height, width = planes.shape[-2:]
    padded = F.pad(planes, (1, 1, 1, 1))
    return padded[:, 1 + row : 1 + row + height, 1 + column : 1 + column + width]
