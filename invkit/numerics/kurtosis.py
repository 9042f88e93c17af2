"""Noise from the kurtosis of band-pass responses, after Zoran and Weiss.

Zoran, Weiss, "Scale invariance and noise in natural images", ICCV 2009: the response of a clean photograph to any
band-pass filter has heavy tails, of one kurtosis for all filters; white Gaussian noise brings the kurtosis of those
filters towards 3 where the photograph has little energy. With ``s_i`` the variance of the i-th DCT filter's response
and ``v`` the variance of the noise, fourth cumulants add and the noise has none, hence

    ``kurtosis_i = 3 + excess * ((s_i - v) / s_i)^2``

in which ``excess`` and ``v`` are fitted to the measured kurtoses by least absolute deviations. Three things are added,
for photographs where one patch of sky and one of gravel make the kurtosis unbounded: it is measured where the image is
quietest, which is told from the low frequencies, of which white noise in the high ones is independent; a deviation is
measured against the kurtosis itself, because so grows its sampling error; and the excess is that of a Laplace
distribution or more, without which a patch of mere noise, of kurtosis 3 everywhere, would leave ``v`` undetermined.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["PATCH", "sigma_of_planes"]

PATCH = 8
LOWEST_HIGH = (
    9  # horizontal plus vertical frequency from which a filter measures noise; below, it tells quiet from busy
)
MOST_PATCHES = 100_000
QUIET_SHARE = 0.05
FEWEST_QUIET = 1000
LEAST_EXCESS = 3.0  # of a Laplace distribution
CLIPPED_SHARE = 1e-3  # an extreme value that so many pixels share is a limit of the sensor or the format

Floats = npt.NDArray[np.float64]
Planes = npt.NDArray[np.float32]


def sigma_of_planes(planes: Planes) -> float:
    """Noise standard deviation over all planes (N, H, W) together; 0 where nothing varies."""
    patches = informative(sample(planes), clipping_levels(planes))
    if len(patches) == 0:
        return 0.0
    variances, kurtoses = moments(quiet_responses(patches))
    return fit_sigma(variances, kurtoses)


def sample(planes: Planes) -> Planes:
    """Overlapping patches (n, 64) on a grid that is as dense as their number allows."""
    stride = max(1, int(np.ceil(np.sqrt(planes.size / MOST_PATCHES))))
    stride += 1 - stride % 2  # odd, so as not to fall in step with the 8x8 blocks of JPEG
    windows = np.lib.stride_tricks.sliding_window_view(planes, (PATCH, PATCH), axis=(1, 2))
    patches: Planes = windows[:, ::stride, ::stride].reshape(-1, PATCH * PATCH)
    return np.require(patches, requirements="W")  # as torch asks for; of one patch they are still a view


def clipping_levels(planes: Planes) -> tuple[float, float]:
    """The darkest and brightest value, each where many pixels share it, or else an infinity no pixel reaches."""
    low, high = float(planes.min()), float(planes.max())
    enough = max(2.0, CLIPPED_SHARE * planes.size)
    return (
        low if np.count_nonzero(planes == low) >= enough else -np.inf,
        high if np.count_nonzero(planes == high) >= enough else np.inf,
    )


def informative(patches: Planes, limits: tuple[float, float]) -> Planes:
    """The patches that are not constant and, where enough remain, hold no clipped pixel."""
    low, high = (ends.numpy() for ends in torch.from_numpy(patches).aminmax(dim=1))  # ten times as fast as NumPy's
    varied = low < high
    unclipped = varied & (low > limits[0]) & (high < limits[1])
    kept: Planes = patches[unclipped if np.count_nonzero(unclipped) >= FEWEST_QUIET else varied]
    return kept


def quiet_responses(patches: Planes) -> Floats:
    """Responses of the high-frequency filters on the patches with the least energy in the low ones: (n, 21)."""
    basis, frequency = dct_filters()
    busy = (responses(patches, basis[(frequency > 0) & (frequency < LOWEST_HIGH)]) ** 2).sum(axis=1)
    count = min(len(patches), max(FEWEST_QUIET, int(QUIET_SHARE * len(patches))))
    quiet = np.argpartition(busy, count - 1)[:count]
    return responses(patches[quiet], basis[frequency >= LOWEST_HIGH]).astype(np.float64)


def responses(patches: Planes, filters: Planes) -> Planes:
    """Of patches (n, 64) to filters (m, 64), (n, m); by torch: NumPy's threads spin for a tenth of a second."""
    found: Planes = (torch.from_numpy(patches) @ torch.from_numpy(filters).T).numpy()
    return found


def dct_filters() -> tuple[Planes, npt.NDArray[np.int64]]:
    """The orthonormal 8x8 DCT basis, (64, 64) with a filter per row, and the frequency (sum of both) of each."""
    order = np.arange(PATCH)
    cosines = np.cos(np.pi * np.outer(order, 2 * order + 1) / (2 * PATCH)) * np.sqrt(2 / PATCH)
    cosines[0] /= np.sqrt(2)
    return np.kron(cosines, cosines).astype(np.float32), np.add.outer(order, order).ravel()


def moments(responses: Floats) -> tuple[Floats, Floats]:
    """Variance and kurtosis of each filter's responses (n, filters); filters without response are left out."""
    squares = (responses - responses.mean(axis=0)) ** 2
    variances = squares.mean(axis=0)
    seen = variances > np.finfo(np.float32).eps ** 2
    return variances[seen], (squares**2).mean(axis=0)[seen] / variances[seen] ** 2


def fit_sigma(variances: Floats, kurtoses: Floats) -> float:
    """Least absolute deviations of the kurtosis model over its excess and the noise, by search over the noise.

    For each noise level the best excess is a weighted median, so that one search in one dimension finds both.
    """
    if len(variances) == 0:
        return 0.0
    # A little above the least variance, which by chance lies under the noise's own.
    sigmas = np.linspace(0, 1.05 * np.sqrt(variances.min()), 200)
    gains = np.clip(1 - sigmas[:, None] ** 2 / variances, 0, None) ** 2
    confidence = 1 / np.maximum(kurtoses, 3)
    excess = np.maximum(best_excess(kurtoses - 3, gains, confidence), LEAST_EXCESS)
    deviations = confidence * np.abs(kurtoses - 3 - excess[:, None] * gains)
    return float(sigmas[np.argmin(deviations.sum(axis=1))])


def best_excess(measured: Floats, gains: Floats, confidence: Floats) -> Floats:
    """``argmin_e sum_i confidence_i |measured_i - e gains_i|`` for each row of gains (m, filters): (m,)."""
    ratios = np.divide(measured, gains, out=np.zeros_like(gains), where=gains > 0)
    order = np.argsort(ratios, axis=1)
    weights = np.take_along_axis(confidence * gains, order, axis=1).cumsum(axis=1)
    middle = np.argmax(weights >= weights[:, -1:] / 2, axis=1)
    return np.take_along_axis(np.take_along_axis(ratios, order, axis=1), middle[:, None], axis=1)[:, 0]
