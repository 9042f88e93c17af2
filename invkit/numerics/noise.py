"""The noise level of one image, estimated from the image alone.

The default estimator follows Zoran and Weiss, "Scale invariance and noise in natural images", ICCV 2009. The response
of a clean photograph to a band-pass filter has heavy tails, with the same kurtosis for all filters. White Gaussian
noise moves the kurtosis of a filter towards 3 where the photograph has little energy. Let ``s_i`` be the variance of
the response to the i-th DCT filter and ``v`` the variance of the noise. Fourth cumulants add, and that of the noise is
zero. Hence

    ``kurtosis_i = 3 + excess * ((s_i - v) / s_i)^2``.

``excess`` and ``v`` are fitted to the measured kurtoses by least absolute deviations. Three changes make the estimate
robust on photographs with very different regions, such as sky and gravel:

- The kurtosis is measured on the quietest patches. Low frequencies select them, because white noise in the high
  frequencies is independent of the low ones.
- Each deviation is divided by the kurtosis, because its sampling error grows with the kurtosis.
- The excess is at least that of a Laplace distribution. Otherwise a patch of pure noise, which has kurtosis 3 for every
  filter, would leave ``v`` undetermined.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError

__all__ = [
    "PATCH_SIDE",
    "ROUNDING_SIGMA",
    "NoiseMethod",
    "estimate_sigma",
    "photon_gain",
    "rounding_sigma",
    "saturation_levels",
    "weights_of_variances",
    "without_negligible",
]

NoiseMethod: TypeAlias = Literal["zoran-weiss", "patch-covariance"]
Floats32: TypeAlias = npt.NDArray[np.float32]
Floats64: TypeAlias = npt.NDArray[np.float64]

PATCH_SIDE = 8  # pixels; an image must have at least as many along each side
SENSOR_BITS = 16  # at most; floating-point numbers have more
MIN_HIGH_FREQUENCY = 9  # horizontal plus vertical; filters below it select patches, the others measure the noise
MAX_PATCHES = 100_000
QUIET_SHARE = 0.05
MIN_QUIET_PATCHES = 1000
MIN_EXCESS_KURTOSIS = 3.0  # of a Laplace distribution
SATURATED_SHARE = 1e-3  # an extreme value of so many pixels is a limit of the sensor or of the file format
PLANES_AT_ONCE = 16  # of a stack, so that temporary tensors are small
BLOCK_SIDE = 16  # pixels; a block has one ratio of variance to mean
PRECISE_QUANTILE = 0.1  # of the variances; a few data may be more precise by far, and most may be dead
NEGLIGIBLE = 1e-5  # of the weight of precise data; less is lost in the rounding of transforms
MIN_BLOCK_SHARE = 0.02  # of the brightest block's mean; darker blocks have too few photons for a ratio
SECOND_DIFFERENCE, DIFFERENCE_ENERGY = (1.0, -2.0, 1.0), 36.0  # along both axes: almost zero on a blurred picture
QUIET_BLOCKS, QUIET_BIAS = 0.1, 0.8  # the lowest tenth of blocks without texture is about 0.8 of their mean
MAX_COVARIANCE_SAMPLES = 1_000_000  # "patch-covariance" uses the centre of a larger image


def rounding_sigma(bits: int) -> float:
    """Standard deviation of rounding to whole numbers of so many bits, in [0, 1] units; 0 for floating point.

    Example:
        >>> round(255 * rounding_sigma(8), 3), rounding_sigma(32)
        (0.289, 0.0)
    """
    return 1 / (2**bits - 1) / 12**0.5 if bits <= SENSOR_BITS else 0.0


ROUNDING_SIGMA = rounding_sigma(8)


def estimate_sigma(image: npt.NDArray[np.generic] | Tensor, method: NoiseMethod = "zoran-weiss") -> float:
    """Estimate the standard deviation of additive white Gaussian noise, common to all channels and images of a batch.

    Args:
        image: (H, W), (C, H, W) or (B, C, H, W) in [0, 1], an array or a tensor with at least 8x8 pixels. Below about
            100x100 pixels the estimate is rough.
        method: "zoran-weiss" has an error of at most 15 % on blurred photographs with noise from 0.002 to 0.1, and on
            sharp ones from 0.005 on (on most of them at 0.002). It ignores saturated and constant areas.
            "patch-covariance" (deepinv's, after Chen, Zhu, Heng 2015) has the same error on blurred photographs from
            0.005 on, but takes the fine detail of a sharp photograph for noise. Both assume white noise. JPEG and
            denoising in a camera smooth the noise, and both methods then underestimate it.

    Returns:
        Sigma in [0, 1] units; 0 for a constant image. Rounding to 8 bits counts as noise of 0.0011 where the image is
        not flat.

    Raises:
        InputError: the shape is another one, the image is too small or not finite, the method is unknown, or
            "patch-covariance" finds no noise level.

    Example:
        >>> noise = np.random.default_rng(0).normal(scale=0.05, size=(100, 100))
        >>> round(estimate_sigma(0.5 + noise), 2)
        0.05
    """
    planes = as_planes(image)
    if method == "zoran-weiss":
        return kurtosis_sigma(planes)
    if method == "patch-covariance":
        return patch_covariance_sigma(planes)
    raise InputError(f"no noise estimator is called {method!r}; use 'zoran-weiss' or 'patch-covariance'")


def photon_gain(data: Tensor, measured: Tensor | None = None) -> Tensor:
    """Estimate how much one photon adds to the data, for photon noise: the variance over the mean.

    The noise of a pixel that receives n photons has the variance n, so data of g times the photons have the variance g
    times their mean. In blocks of 16x16 pixels, the variance is that of a second difference along both axes (Immerkaer,
    "Fast Noise Variance Estimation", CVIU 1996), which a blurred picture hardly has; the lowest tenth of the blocks
    ignores those with texture. Noise that is not white, as after JPEG, is underestimated, and noise of less than about
    0.003 in a sharp photograph is overestimated.

    Args:
        data: (B, C, H, W), >= 0; zero without light.
        measured: which values count, bool, of the data's shape; None: all.

    Returns:
        (B,), >= 0: of each image, common to its channels; zero for images that are too small.

    Example:
        >>> random = torch.Generator().manual_seed(0)
        >>> counts = torch.poisson(torch.full((1, 1, 100, 100), 50.0), generator=random)
        >>> 0.9 < 100 * float(photon_gain(counts / 100)) < 1.1
        True
    """
    if min(data.shape[-2:]) < len(SECOND_DIFFERENCE):
        return data.new_zeros(len(data))
    planes = data.flatten(0, 1)[:, None]
    counted = (
        planes.new_ones(1).expand_as(planes)
        if measured is None
        else measured.expand_as(data).flatten(0, 1)[:, None].to(data)
    )
    pairs = zip(*(torch.split(one, PLANES_AT_ONCE) for one in (planes, counted)), strict=True)
    found = [block_moments(*pair) for pair in pairs]
    shares, squares, means = (torch.cat(one).reshape(len(data), -1) for one in zip(*found, strict=True))
    tiny = torch.finfo(data.dtype).tiny
    bright = means > MIN_BLOCK_SHARE * shares * (means / shares.clamp(min=tiny)).amax(1, keepdim=True)
    ratios = (squares / means.clamp(min=tiny)).masked_fill(~bright, torch.nan)
    return (ratios.nanquantile(QUIET_BLOCKS, 1) / QUIET_BIAS).nan_to_num(nan=0.0)


def block_moments(planes: Tensor, counted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each block of planes (N, 1, H, W): the share of values that count, their mean squared response, their mean.

    Args:
        planes: the data.
        counted: 1 for values that count, otherwise 0; of the same shape.
    """
    taps = planes.new_tensor(SECOND_DIFFERENCE)
    response = F.conv2d(F.conv2d(planes, taps.view(1, 1, 3, 1)), taps.view(1, 1, 1, 3))
    whole = (F.avg_pool2d(counted, 3, stride=1) > 1 - 0.5 / 9).to(planes)  # no value under the filter is missing
    block = [min(BLOCK_SIDE, side) for side in response.shape[-2:]]
    return (
        F.avg_pool2d(whole, block),
        F.avg_pool2d(response.square() / DIFFERENCE_ENERGY * whole, block),
        F.avg_pool2d(planes[..., 1:-1, 1:-1] * whole, block),
    )


def without_negligible(variance: Tensor) -> Tensor:
    """Variances, infinite where they are so large beside those of the precise data that the data say nothing.

    Weights below a hundred thousandth are lost in the rounding of Fourier transforms in single precision.

    Args:
        variance: > 0, of any shape, some of them finite.

    Example:
        >>> without_negligible(torch.tensor([1e-4, 2e-4, 1e30])).isinf().tolist()
        [False, False, True]
    """
    finite = variance[variance.isfinite()].numpy()
    limit = float(np.quantile(finite, PRECISE_QUANTILE)) / NEGLIGIBLE
    return torch.where(variance < limit, variance, torch.inf)


def weights_of_variances(variance: Tensor, known: Tensor | None = None) -> tuple[Tensor, float]:
    """The weights of data, and the noise level of those of weight 1.

    Weights are proportional to 1 / variance. Their mean over the known data is 1, so that weights of regularizers keep
    their meaning: ``w_i = level^2 / variance_i`` with ``level^2 = 1 / mean(1 / variance)``, the harmonic mean.

    Args:
        variance: (B or 1, C or 1, H, W), infinite where nothing was measured.
        known: other pixels that are unknown, as (1, 1, H, W), bool, false there; None: none.

    Returns:
        Float32, of the common shape of both, zero where the data are unknown; and the standard deviation.

    Raises:
        InputError: no datum is known.

    Example:
        >>> weights, level = weights_of_variances(torch.tensor([[[[1.0, 0.25, torch.inf]]]]))
        >>> weights.tolist(), round(level, 4)
        ([[[[0.4000000059604645, 1.600000023841858, 0.0]]]], 0.6325)
    """
    counted = variance.isfinite() if known is None else variance.isfinite() & known
    inverse = torch.where(counted, 1 / variance, 0)
    if not bool(counted.any()):
        raise InputError("no pixel of the scene was measured: all variances there are NaN or infinite")
    square = float(counted.sum() / inverse.sum())
    return (square * inverse).float(), float(square**0.5)


def as_planes(image: npt.NDArray[np.generic] | Tensor) -> Floats32:
    """Every channel of every image as one plane: (N, H, W); raises `InputError`."""
    array = np.asarray(image.detach().cpu() if isinstance(image, Tensor) else image, dtype=np.float32)
    if array.ndim not in (2, 3, 4) or min(array.shape) == 0:
        raise InputError(f"an image must be (H, W), (C, H, W) or (B, C, H, W); got {array.shape}")
    if min(array.shape[-2:]) < PATCH_SIDE:
        raise InputError(
            f"the noise of an image of {array.shape} (height and width last) cannot be estimated; "
            f"give at least {PATCH_SIDE}x{PATCH_SIDE} pixels, channels first, or the noise level itself"
        )
    if not np.isfinite(array).all():
        raise InputError("the image has NaN or infinite values; mask or replace them first")
    return array.reshape(-1, *array.shape[-2:])


# "patch-covariance"


def patch_covariance_sigma(planes: Floats32) -> float:
    """The estimate of deepinv for each plane (N, H, W), combined as the root of the mean variance."""
    if np.ptp(planes) == 0:
        return 0.0
    from deepinv.models import PatchCovarianceNoiseEstimator

    limited = central_planes(torch.from_numpy(planes), MAX_COVARIANCE_SAMPLES)
    try:
        sigmas: Tensor = PatchCovarianceNoiseEstimator()(limited[:, None])
    except RuntimeError as error:
        raise InputError(
            "the patch covariance shows no noise level in this image; use method 'zoran-weiss' or give the level itself"
        ) from error
    return float(sigmas.double().square().mean().sqrt())


def central_planes(planes: Tensor, samples: int) -> Tensor:
    """The centre of planes (N, H, W), with about ``samples`` numbers at most."""
    _, height, width = planes.shape
    scale = min(1.0, (samples / planes.numel()) ** 0.5)
    rows, columns = max(PATCH_SIDE, int(height * scale)), max(PATCH_SIDE, int(width * scale))
    top, left = (height - rows) // 2, (width - columns) // 2
    return planes[:, top : top + rows, left : left + columns]


# "zoran-weiss"


def kurtosis_sigma(planes: Floats32) -> float:
    """The noise level of all planes (N, H, W) together; 0 where every patch is constant."""
    patches = informative_patches(sample_patches(planes), saturation_levels(planes))
    return fit_sigma(*variances_and_kurtoses(quiet_responses(patches))) if len(patches) else 0.0


def sample_patches(planes: Floats32) -> Floats32:
    """Overlapping patches (n, 64) on a regular grid with about `MAX_PATCHES` places at most."""
    stride = max(1, int(np.ceil(np.sqrt(planes.size / MAX_PATCHES))))
    stride += 1 - stride % 2  # odd, so that the grid does not follow the 8x8 blocks of JPEG
    windows = np.lib.stride_tricks.sliding_window_view(planes, (PATCH_SIDE, PATCH_SIDE), axis=(1, 2))
    patches: Floats32 = windows[:, ::stride, ::stride].reshape(-1, PATCH_SIDE * PATCH_SIDE)
    return np.require(patches, requirements="W")  # torch needs writable memory; a single patch is still a view


def saturation_levels(planes: Floats32) -> tuple[float, float]:
    """The darkest and the brightest value, each if many pixels have it; otherwise an infinity that no pixel reaches."""
    low, high = float(planes.min()), float(planes.max())
    enough = max(2.0, SATURATED_SHARE * planes.size)
    return (
        low if np.count_nonzero(planes == low) >= enough else -np.inf,
        high if np.count_nonzero(planes == high) >= enough else np.inf,
    )


def informative_patches(patches: Floats32, levels: tuple[float, float]) -> Floats32:
    """The patches that are not constant; without those that have a saturated pixel, if enough remain."""
    low, high = (ends.numpy() for ends in torch.from_numpy(patches).aminmax(dim=1))  # ten times as fast as NumPy's
    varied = low < high
    unsaturated = varied & (low > levels[0]) & (high < levels[1])
    kept: Floats32 = patches[unsaturated if np.count_nonzero(unsaturated) >= MIN_QUIET_PATCHES else varied]
    return kept


def quiet_responses(patches: Floats32) -> Floats64:
    """Responses of the 21 high-frequency filters on the patches with the least low-frequency energy: (n, 21)."""
    basis, frequency = dct_filters()
    low = basis[(frequency > 0) & (frequency < MIN_HIGH_FREQUENCY)]
    energy = (filter_responses(patches, low) ** 2).sum(axis=1)
    count = min(len(patches), max(MIN_QUIET_PATCHES, int(QUIET_SHARE * len(patches))))
    quiet = np.argpartition(energy, count - 1)[:count]
    return filter_responses(patches[quiet], basis[frequency >= MIN_HIGH_FREQUENCY]).astype(np.float64)


def filter_responses(patches: Floats32, filters: Floats32) -> Floats32:
    """Patches (n, 64) times filters (m, 64): (n, m). By torch, because NumPy's threads keep spinning for 0.1 s."""
    found: Floats32 = (torch.from_numpy(patches) @ torch.from_numpy(filters).T).numpy()
    return found


def dct_filters() -> tuple[Floats32, npt.NDArray[np.int64]]:
    """The orthonormal 8x8 DCT basis, (64, 64) with one filter per row, and the summed frequency of each, (64,)."""
    order = np.arange(PATCH_SIDE)
    cosines = np.cos(np.pi * np.outer(order, 2 * order + 1) / (2 * PATCH_SIDE)) * np.sqrt(2 / PATCH_SIDE)
    cosines[0] /= np.sqrt(2)
    return np.kron(cosines, cosines).astype(np.float32), np.add.outer(order, order).ravel()


def variances_and_kurtoses(responses: Floats64) -> tuple[Floats64, Floats64]:
    """Variance and kurtosis of each filter's responses (n, m), (m',) each; filters without response are left out."""
    squares = (responses - responses.mean(axis=0)) ** 2
    variances = squares.mean(axis=0)
    seen = variances > np.finfo(np.float32).eps ** 2
    return variances[seen], (squares**2).mean(axis=0)[seen] / variances[seen] ** 2


def fit_sigma(variances: Floats64, kurtoses: Floats64) -> float:
    """Fit the kurtosis model by least absolute deviations: two arrays (m,) -> sigma.

    For each noise level the best excess is a weighted median. A search over the noise level alone finds both.
    """
    if len(variances) == 0:
        return 0.0
    # The search goes a little beyond the smallest variance, which by chance can be below the variance of the noise.
    sigmas = np.linspace(0, 1.05 * np.sqrt(variances.min()), 200)
    gains = np.clip(1 - sigmas[:, None] ** 2 / variances, 0, None) ** 2
    confidence = 1 / np.maximum(kurtoses, 3)
    excess = np.maximum(best_excess(kurtoses - 3, gains, confidence), MIN_EXCESS_KURTOSIS)
    deviations = confidence * np.abs(kurtoses - 3 - excess[:, None] * gains)
    return float(sigmas[np.argmin(deviations.sum(axis=1))])


def best_excess(measured: Floats64, gains: Floats64, confidence: Floats64) -> Floats64:
    """The excess of least absolute deviation, ``argmin_e sum_i confidence_i |measured_i - e gains_i|``.

    Args:
        measured: excess kurtoses, (m,).
        gains: factors of the excess, one row for each noise level, (n, m).
        confidence: weights of the deviations, (m,).

    Returns:
        One excess for each noise level, (n,).
    """
    ratios = np.divide(measured, gains, out=np.zeros_like(gains), where=gains > 0)
    order = np.argsort(ratios, axis=1)
    weights = np.take_along_axis(confidence * gains, order, axis=1).cumsum(axis=1)
    median = np.argmax(weights >= weights[:, -1:] / 2, axis=1)
    return np.take_along_axis(np.take_along_axis(ratios, order, axis=1), median[:, None], axis=1)[:, 0]
