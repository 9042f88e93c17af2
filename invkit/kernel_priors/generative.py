"""A small trained generator of camera shakes: a kernel is named by a few numbers."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import KernelPrior, Resizable
from ..core.parameters import NonNegative, Positive, Seed, validated
from ..networks.random import seeded
from ..numerics.geometry import Shape, centre, new_size
from .motion_path import enlarged, spots
from .simplex import softmax_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["COARSEST", "LATENT_SIZE", "SIZE", "STAGES", "GenerativeKernel", "generated"]

LATENT_SIZE = 32
SIZE = 33  # pixels, of the kernels that it was trained on
COARSEST = (32, 5)  # channels and size of what the latent is spread out to
STAGES = ((9, 32), (9, 32), (17, 32), (17, 4))
"""Size and output channels of each 3x3 convolution; its input is interpolated to that size first.

The last four channels are the four pixels of each of 17x17 cells.
"""
SLOPE = 0.2  # of the leaky ReLU below zero
FARTHEST = 3.0  # standard deviations of the latents in training, beyond which it has seen next to nothing
WEIGHTS = "motion_generator.npz"


class GenerativeKernel(KernelPrior, Resizable):
    """Camera shakes by a trained generator: the unknowns are its 32 latent numbers, its weights stay.

    The decoder of a variational autoencoder (Kingma, Welling, ICLR 2014) of 33x33 motion kernels, whose paths are
    drawn from a Gaussian process (Schuler et al., TPAMI 2016, by deepinv's ``MotionBlurGenerator``). Such a prior is in
    Asim, Shamshad, Ahmed, "Blind Image Deconvolution using Deep Generative Priors", TCI 2020. The weights are trained
    by ``benchmarks/train_kernel_generator.py``, which also says how near they come to kernels not seen.

    In training the latents are about standard normal; ``scale * latent`` is kept within three standard deviations by a
    hyperbolic tangent. The frame of 33x33 pixels is stretched to the support, and each of its pixels drawn as a
    Gaussian spot, whose width is an unknown too. All are of order one: ``joint-adam`` wants a ``kernel_lr`` of about
    0.02 for them, in a pyramid, since a few numbers that act on all pixels are easily caught far from the best.

    Args:
        shape: (B, 1, h, w); each kernel has a latent of its own.
        scale: standard deviations per unit of the unknowns: how far a step of a solver goes.
        spread: standard deviation of the normal distribution that the unknowns start from; 0 for the generator's
            middle.
        width: standard deviation of the spots to start from, in pixels of the coarser of generator and kernel.
        seed: of where the latents start.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        scale: Annotated[Positive, Field(description="standard deviations in training per unit of the unknowns")] = 1.0,
        spread: Annotated[
            NonNegative, Field(description="standard deviation of the distribution that the unknowns start from")
        ] = 0.1,
        width: Annotated[
            Positive,
            Field(description="standard deviation of each pixel's spot to start from, pixels of the coarser grid"),
        ] = 0.7,
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        self.scale = scale
        self.steps = (shape[2] / SIZE, shape[3] / SIZE)  # new pixels per pixel of the generator
        with seeded(seed):
            self.latent = nn.Parameter(spread * torch.randn(shape[0], LATENT_SIZE))
        self.log_width = nn.Parameter(torch.full((shape[0], 1, 1), math.log(width * max(1.0, *self.steps))))
        self.weights = nn.Module()
        for name, value in trained_weights().items():
            self.weights.register_buffer(name, torch.from_numpy(value.astype(np.float32)))

    def forward(self) -> Tensor:
        """The kernel, (B, 1, h, w), >= 0, each summing to one."""
        latent = FARTHEST * torch.tanh(self.scale * self.latent / FARTHEST)
        logits = generated(dict(self.weights.named_buffers()), latent)
        drawn = softmax_kernel(logits, (len(latent), 1, SIZE, SIZE))[:, 0]
        rows, columns = (
            spots(self.positions(side, step), side, self.log_width)
            for side, step in zip(self.shape[2:], self.steps, strict=True)
        )
        kernel = rows.mT @ drawn @ columns
        return (kernel / kernel.sum((1, 2), keepdim=True))[:, None]

    def positions(self, side: int, step: float) -> Tensor:
        """Where the generator's rows or columns lie along a side, (1, 33), pixels: centre upon centre."""
        offsets = torch.arange(SIZE, dtype=self.latent.dtype, device=self.latent.device) - SIZE // 2
        return (centre((side, side))[0] + step * offsets)[None]

    @torch.no_grad()
    def resized(self, shape: Shape, scale: float) -> Self:
        """The same latents, their kernel drawn ``scale`` times as large about the centre pixel.

        The spots are as wide as if they had been drawn on the old grid, and then interpolated. What would leave the
        new support is gathered at its border. Raises `InputError` for another batch.
        """
        new_size(self.shape, shape)
        kernel = copy.deepcopy(self)
        kernel.shape = shape
        kernel.steps = (scale * self.steps[0], scale * self.steps[1])
        kernel.log_width.copy_(enlarged(self.log_width, scale))
        return kernel


def generated(weights: Mapping[str, Tensor], latent: Tensor) -> Tensor:
    """The generator: latents (B, 32) -> logits of the pixels, (B, 1, 33, 33).

    Args:
        weights: ``linear_weight`` (800, 32), ``linear_bias`` (800,), and for the i-th of `STAGES` ``conv{i}_weight``
            (outputs, inputs, 3, 3), ``conv{i}_bias`` (outputs,).
        latent: in training about standard normal.
    """
    features = F.linear(latent, weights["linear_weight"], weights["linear_bias"])
    features = features.view(len(latent), COARSEST[0], COARSEST[1], COARSEST[1])
    for stage, (size, _) in enumerate(STAGES):
        features = F.leaky_relu(features, SLOPE)
        if features.shape[-1] != size:
            features = F.interpolate(features, size=(size, size), mode="bilinear", align_corners=True)
        features = F.conv2d(features, weights[f"conv{stage}_weight"], weights[f"conv{stage}_bias"], padding=1)
    return F.pixel_shuffle(features, 2)[..., :SIZE, :SIZE]


@cache
def trained_weights() -> Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float16]]]:
    """The weights that are shipped, read when first needed."""
    with (files(__package__) / WEIGHTS).open("rb") as file, np.load(file) as arrays:
        return dict(arrays)
