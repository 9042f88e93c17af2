"""The variational free energy of a kernel: how well it explains the data with all images that fit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.evaluation import NoReferenceMetric
from ...core.parameters import Positive, PositiveInt, validated
from ...numerics.geometry import margins, size_of
from ...numerics.mean_field import MaskedConvolution, MeanField
from ...numerics.noise import PATCH_SIDE, estimate_sigma
from ...numerics.scale_mixture import NATURAL_GRADIENTS

__all__ = ["FreeEnergy"]


class FreeEnergy(NoReferenceMetric):
    """Free energy of the data's gradients given the kernel, for each gradient (Levin, Weiss, Durand, Freeman 2011).

    It is an upper bound of minus the logarithm of the kernel's likelihood, for which the image is integrated out
    (`invkit.numerics.mean_field`). Unlike the fit of one image, it does not prefer a kernel without blur. The kernel is
    fixed. Means and variances of the gradients start from the restoration. The prior is a mixture of three Gaussians,
    the paper's. All restorations have the same noise level. Of colour images the mean of the channels counts.

    Args:
        noise_factor: standard deviation of the noise of a gradient, relative to the estimated noise level of the data.
            White noise of pixels gives the square root of two. With that, or less, the metric preferred kernels with
            fine noise to the true one in three of four photographs that invkit blurred; with 2.5 in none.
        min_noise: no smaller standard deviation is assumed, in [0, 1] units; kernels are not exact either.
        rounds: reweightings.
        cg_iterations: conjugate-gradient iterations of each reweighting.
    """

    @validated
    def __init__(
        self,
        *,
        noise_factor: Positive = 2.5,
        min_noise: Positive = 3e-3,
        rounds: PositiveInt = 4,
        cg_iterations: PositiveInt = 8,
    ) -> None:
        super().__init__()
        self.noise_factor, self.min_noise = noise_factor, min_noise
        self.rounds, self.cg_iterations = rounds, cg_iterations

    @torch.no_grad()
    def forward(self, data: Tensor, images: Tensor, kernels: Tensor) -> Tensor:
        """One number for each restoration.

        Args:
            data: (1, C, H, W) in [0, 1].
            images: (N, C, H, W) in [0, 1].
            kernels: (N, 1, h, w).

        Returns:
            (N,), float64.
        """
        grey = data.mean(1, keepdim=True)
        pairs = zip(torch.split(images.mean(1, keepdim=True), 1), torch.split(kernels, 1), strict=True)
        noise = self.noise(grey) ** 2
        return torch.cat([self.energy(grey, image, kernel, noise) for image, kernel in pairs])

    def noise(self, data: Tensor) -> float:
        """Standard deviation of the noise of a gradient."""
        level = estimate_sigma(data) if min(size_of(data)) >= PATCH_SIDE else 0.0
        return max(self.noise_factor * level, self.min_noise)

    def energy(self, data: Tensor, image: Tensor, kernel: Tensor, noise: float) -> Tensor:
        """The free energy of one restoration, (1,).

        Args:
            data: (1, 1, H, W).
            image: (1, 1, H, W).
            kernel: (1, 1, h, w).
            noise: variance.
        """
        blurred, mask = neighbour_differences(data), neighbour_mask(data)
        blur = MaskedConvolution(kernel, mask)
        (top, bottom), (left, right) = margins(size_of(kernel))
        mean, target = F.pad(neighbour_differences(image), (left, right, top, bottom)), blur.adjoint(blurred)
        latent = MeanField(mean, torch.zeros_like(mean))
        for _ in range(self.rounds):
            precision = NATURAL_GRADIENTS.expected_precision(latent.second_moment)
            latent = latent.updated(blur, target, precision, noise=noise, cg_iterations=self.cg_iterations)
        total = latent.free_energy(blur, blurred, summed_energy, noise)
        return total.double() / mask.sum().clamp(min=1)


def summed_energy(second_moment: Tensor) -> Tensor:
    """The prior's energy of each image: (B, S, H, W) -> (B,)."""
    return NATURAL_GRADIENTS.energy(second_moment).sum((1, 2, 3))


def neighbour_differences(image: Tensor) -> Tensor:
    """Differences to the next pixel, down and along, zero across the border: (1, 1, H, W) -> (1, 2, H, W)."""
    return torch.cat([F.pad(image.diff(dim=-2), (0, 0, 0, 1)), F.pad(image.diff(dim=-1), (0, 1))], 1)


def neighbour_mask(image: Tensor) -> Tensor:
    """One where `neighbour_differences` lie within an image (1, 1, H, W), otherwise zero."""
    mask = torch.ones(1, 2, *size_of(image)).to(image)
    mask[:, 0, -1], mask[:, 1, :, -1] = 0, 0
    return mask
