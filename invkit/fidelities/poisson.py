"""Kullback-Leibler divergences, for the noise of photons with and without that of the sensor."""

from __future__ import annotations

from ..core.fidelity_abilities import KullbackLeibler
from ..core.parameters import NonNegative, Positive, validated

__all__ = ["GaussianPoisson", "Poisson"]


class Poisson(KullbackLeibler):
    """Mean Kullback-Leibler divergence of the prediction from the data: the log-likelihood of Poisson noise.

    ``y log(y / p) - y + p``, up to the scale of the counts (Richardson, JOSA 1972; Lucy, Astronomical Journal 1974).
    Predictions and data below 1e-6 count as 1e-6. Data c times as large have a divergence c times as large, so the
    number of photons at white need not be known.

    Example:
        >>> import torch
        >>> Poisson()(torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), 0.25)).round(decimals=4)
        tensor([0.0767])
    """


class GaussianPoisson(KullbackLeibler):
    """The divergence for photons that a sensor counts with Gaussian read noise, by the shifted Poisson approximation.

    A pixel that expects n electrons records a Poisson number of them plus Gaussian noise of standard deviation s. The
    sum has the mean n and the variance ``n + s^2``. With ``s^2`` added, mean and variance agree, as for a Poisson
    variable of mean ``n + s^2``: Snyder, Helstrom, Lanterman, Faisal, White, "Compensation for readout noise in CCD
    images", JOSA A 1995. The exact likelihood is a series in every pixel (Chouzenoux, Jezierska, Pesquet, Talbot, SIAM
    J. Imaging Sciences 2015). The approximation is convex, has a proximal map in closed form and fits Richardson-Lucy.
    Without read noise it is 'poisson'; with few electrons beside it, squared error with the variance of each pixel.

    Args:
        white_electrons: electrons at value 1 of the data. For counts that were divided by the largest count, this is
            the largest count times the sensor's gain in electrons per count.
        read_noise: s, electrons.

    Example:
        >>> import torch
        >>> GaussianPoisson(white_electrons=100, read_noise=3).shift
        0.09
    """

    @validated
    def __init__(self, *, white_electrons: Positive = 1000.0, read_noise: NonNegative = 3.0) -> None:
        super().__init__()
        self.shift = read_noise**2 / white_electrons
