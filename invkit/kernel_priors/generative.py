"""A small trained generator of camera shakes: a few numbers describe a kernel."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.interfaces import KernelPrior, Resizable
from ..core.parameters import NonNegative, Positive, Seed, validated
from ..networks.random import seeded
from ..numerics.framing import new_size
from ..numerics.geometry import Shape, centre
from .motion_path import enlarged_log_width, spots
from .simplex import softmax_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "GENERATOR_SIDE",
    "GENERATOR_STAGES",
    "GENERATOR_WEIGHTS",
    "LATENT_SIZE",
    "MAX_LATENT",
    "SEED_MAP",
    "GenerativeKernel",
    "generated_logits",
    "trained_weights",
]

LATENT_SIZE = 32
GENERATOR_SIDE = 33  # pixels, of the kernels in training
SEED_MAP = (32, 5)  # channels and side of the map that the linear layer gives
GENERATOR_STAGES = ((9, 32), (9, 32), (17, 32), (17, 4))
"""Side and output channels of each 3x3 convolution, whose input is interpolated to that side first.

The last four channels are the four pixels of each of 17x17 cells.
"""
LEAKY_SLOPE = 0.2  # of the leaky ReLU below zero
MAX_LATENT = 3.0  # standard deviations; training has hardly any latents beyond
GENERATOR_WEIGHTS = "motion_generator.npz"


class GenerativeKernel(KernelPrior, Resizable):
    """Camera shakes by a trained generator: the unknowns are its 32 latent numbers, and its weights are fixed.

    The generator is the decoder of a variational autoencoder (Kingma, Welling, ICLR 2014) of 33x33 motion kernels.
    Their paths are drawn from a Gaussian process (Schuler et al., TPAMI 2016) by deepinv's ``MotionBlurGenerator``.
    Asim, Shamshad, Ahmed, "Blind Image Deconvolution using Deep Generative Priors", TCI 2020, use such a prior.
    ``benchmarks/train_kernel_generator.py`` trains the weights and reports how well they fit kernels outside the
    training set.

    In training the latents are about standard normal; a hyperbolic tangent keeps ``scale * latent`` within three
    standard deviations. The frame of 33x33 pixels is stretched to the support. Each of its pixels becomes a Gaussian
    spot, whose width is an unknown too. The unknowns are of order one: ``joint-adam`` needs a ``kernel_lr`` of about
    0.02 for them. Use a pyramid: each of these few numbers changes all pixels, so a kernel far from the best one is
    easily trapped.

    Args:
        shape: (B, 1, h, w); each kernel has its own latent.
        scale: standard deviations in training per unit of the unknowns; it sets the length of a solver's steps.
        spread: standard deviation of the normal distribution of the starting unknowns; 0 for the mean of training.
        width: starting standard deviation of each pixel's spot, in pixels of the coarser grid, generator or kernel.
        seed: seed of the starting latents.

    Example:
        >>> kernel = GenerativeKernel((1, 1, 21, 21))()
        >>> round(kernel.sum().item(), 5), bool((kernel >= 0).all())
        (1.0, True)
    """

    @validated
    def __init__(
        self, shape: Shape, *, scale: Positive = 1.0, spread: NonNegative = 0.1, width: Positive = 0.7, seed: Seed = 0
    ) -> None:
        super().__init__(shape)
        self.scale = scale
        self.steps = (shape[2] / GENERATOR_SIDE, shape[3] / GENERATOR_SIDE)  # pixels per pixel of the generator
        with seeded(seed):
            self.latent = nn.Parameter(spread * torch.randn(shape[0], LATENT_SIZE))
        self.log_width = nn.Parameter(torch.full((shape[0], 1, 1), math.log(width * max(1.0, *self.steps))))
        self.weights = nn.Module()
        for name, value in trained_weights().items():
            self.weights.register_buffer(name, torch.from_numpy(value.astype(np.float32)))

    def forward(self) -> Tensor:
        """Give the kernel, (B, 1, h, w), >= 0, each summing to one."""
        latent = MAX_LATENT * torch.tanh(self.scale * self.latent / MAX_LATENT)
        logits = generated_logits(dict(self.weights.named_buffers()), latent)
        drawn = softmax_kernel(logits, (len(latent), 1, GENERATOR_SIDE, GENERATOR_SIDE))[:, 0]
        rows, columns = (
            spots(self.positions(side, step), side, self.log_width)
            for side, step in zip(self.shape[2:], self.steps, strict=True)
        )
        kernel = rows.mT @ drawn @ columns
        return (kernel / kernel.sum((1, 2), keepdim=True))[:, None]

    def positions(self, side: int, step: float) -> Tensor:
        """Return positions of the generator's rows or columns along a side, (1, 33), pixels; the centres coincide."""
        offsets = torch.arange(GENERATOR_SIDE, dtype=self.latent.dtype, device=self.latent.device) - GENERATOR_SIDE // 2
        return (centre((side, side))[0] + step * offsets)[None]

    @torch.no_grad()
    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the same latents, whose kernel is drawn ``scale`` times as large about the centre pixel.

        The spots are as wide as spots drawn on the old grid and then interpolated. Spots outside the new support are
        drawn at its border. Raises `InputError` for another batch.
        """
        new_size(self.shape, shape)
        kernel = copy.deepcopy(self)
        kernel.shape = shape
        kernel.steps = (scale * self.steps[0], scale * self.steps[1])
        kernel.log_width.copy_(enlarged_log_width(self.log_width, scale))
        return kernel


def generated_logits(weights: Mapping[str, Tensor], latent: Tensor) -> Tensor:
    """Apply the generator to latents.

    Args:
        weights: ``linear_weight`` (800, 32), ``linear_bias`` (800,), and for the i-th of `GENERATOR_STAGES`
            ``conv{i}_weight`` (outputs, inputs, 3, 3) and ``conv{i}_bias`` (outputs,).
        latent: (B, 32), in training about standard normal.

    Returns:
        Logits of the pixels, (B, 1, 33, 33).
    """
    features = F.linear(latent, weights["linear_weight"], weights["linear_bias"])
    features = features.view(len(latent), SEED_MAP[0], SEED_MAP[1], SEED_MAP[1])
    for stage, (size, _) in enumerate(GENERATOR_STAGES):
        features = F.leaky_relu(features, LEAKY_SLOPE)
        if features.shape[-1] != size:
            features = F.interpolate(features, size=(size, size), mode="bilinear", align_corners=True)
        features = F.conv2d(features, weights[f"conv{stage}_weight"], weights[f"conv{stage}_bias"], padding=1)
    return F.pixel_shuffle(features, 2)[..., :GENERATOR_SIDE, :GENERATOR_SIDE]


@cache
def trained_weights() -> Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float16]]]:
    """Read the weights that are part of the package, once."""
    with (files(__package__) / GENERATOR_WEIGHTS).open("rb") as file, np.load(file) as arrays:
        return dict(arrays)
