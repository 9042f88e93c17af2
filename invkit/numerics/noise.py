"""The noise level of one image, from the image alone."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.errors import InputError
from .kurtosis import PATCH, sigma_of_planes

__all__ = ["NoiseMethod", "estimate_sigma"]

NoiseMethod: TypeAlias = Literal["zoran-weiss", "patch-covariance"]
LARGEST_FOR_COVARIANCE = 1_000_000  # samples; beyond, the middle of the image stands for the whole


def estimate_sigma(image: npt.NDArray[np.generic] | Tensor, method: NoiseMethod = "zoran-weiss") -> float:
    """The standard deviation of additive white Gaussian noise, the same in all channels and images of a batch.

    Args:
        image: (H, W), (C, H, W) or (B, C, H, W) in [0, 1], at least 8 pixels high and wide (below about 100 the
            estimate is rough); array or tensor, channels first.
        method: "zoran-weiss" (`invkit.numerics.kurtosis`) is within 15 % on blurred photographs with noise from
            0.002 to 0.1 and on sharp ones from 0.005 on (at 0.002, on most), and looks past clipped and constant
            areas. "patch-covariance" (deepinv's, after Chen, Zhu, Heng 2015) is so on blurred photographs from 0.005
            on, but takes the fine detail of a sharp one for noise. Both measure noise that is white: JPEG and
            denoising in a camera smooth it, and make it look smaller than it is.

    Returns:
        Sigma in [0, 1] units; 0 for a constant image. Rounding to 8 bits counts as noise of 0.0011 where the image is
        not flat.

    Raises:
        InputError: another shape, an image too small, NaN or infinite values, an unknown method, or
            "patch-covariance" finding no noise level.
    """
    planes = as_planes(image)
    if method == "zoran-weiss":
        return sigma_of_planes(planes)
    if method == "patch-covariance":
        return patch_covariance(planes)
    raise InputError(f"no noise estimator is called {method!r}; there are 'zoran-weiss' and 'patch-covariance'")


def as_planes(image: npt.NDArray[np.generic] | Tensor) -> npt.NDArray[np.float32]:
    """Every channel of every image as one plane: (N, H, W); raises `InputError`."""
    array = np.asarray(image.detach().cpu() if isinstance(image, Tensor) else image, dtype=np.float32)
    if array.ndim not in (2, 3, 4) or min(array.shape) == 0:
        raise InputError(f"an image must be (H, W), (C, H, W) or (B, C, H, W); got {array.shape}")
    if min(array.shape[-2:]) < PATCH:
        raise InputError(
            f"the noise of an image of {array.shape} (height and width last) cannot be estimated; "
            f"give at least {PATCH}x{PATCH} pixels, channels first, or the noise level itself"
        )
    if not np.isfinite(array).all():
        raise InputError("the image holds NaN or infinite values; mask or replace them first")
    return array.reshape(-1, *array.shape[-2:])


def patch_covariance(planes: npt.NDArray[np.float32]) -> float:
    """The estimator of deepinv on each plane (N, H, W): the root of the mean variance."""
    if np.ptp(planes) == 0:
        return 0.0
    from deepinv.models import PatchCovarianceNoiseEstimator

    limited = middle(torch.from_numpy(planes), LARGEST_FOR_COVARIANCE)
    try:
        sigmas: Tensor = PatchCovarianceNoiseEstimator()(limited[:, None])
    except RuntimeError as error:
        raise InputError(
            "the patch covariance shows no noise level in this image; use method 'zoran-weiss' or give the level itself"
        ) from error
    return float(sigmas.double().square().mean().sqrt())


def middle(planes: Tensor, samples: int) -> Tensor:
    """The middle of planes (N, H, W), of about ``samples`` numbers at most."""
    _, height, width = planes.shape
    scale = min(1.0, (samples / planes.numel()) ** 0.5)
    rows, columns = max(PATCH, int(height * scale)), max(PATCH, int(width * scale))
    top, left = (height - rows) // 2, (width - columns) // 2
    return planes[:, top : top + rows, left : left + columns]
