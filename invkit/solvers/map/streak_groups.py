"""Light streaks of the same shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .streak_detection import Floats32, Streak

__all__ = ["comparable_shape", "matching_streaks", "streak_similarities"]

COMPARISON_SIGMA = 0.7  # of the Gaussian before shapes are compared, pixels: lamps differ in size
MIN_STREAK_LENGTH = 3.0  # of a streak in widths; blobs of any origin resemble each other


def matching_streaks(streaks: Sequence[Streak], similarity: float, count: int) -> list[Streak]:
    """The streaks that resemble one of them, which comes first; of all such groups the largest with the longest shapes.

    Streaks of overlapping components count once.

    Args:
        streaks: of `find_streaks`.
        similarity: the least one to the first.
        count: the least number.

    Returns:
        Empty if no group is so large.
    """
    best, most = list[Streak](), 0.0
    similarities = streak_similarities(streaks) if len(streaks) >= count else np.zeros((0, 0))
    for index in range(len(similarities)):
        group = group_around(index, streaks, similarities[index], similarity)
        worth = sum(similarities[index, one] * streaks[one].length for one in group)
        if len(group) >= count and streaks[index].length >= MIN_STREAK_LENGTH and worth > most:
            best, most = [streaks[one] for one in group], worth
    return best


def group_around(index: int, streaks: Sequence[Streak], similarities: Floats32, least: float) -> list[int]:
    """The indices of the streaks that resemble one of them; it comes first.

    Args:
        index: of this one.
        streaks: all.
        similarities: to this one, (N,).
        least: similarity of a member.
    """
    group = [index]
    for other in np.argsort(-similarities, kind="stable").tolist():
        if (
            other != index
            and similarities[other] >= least
            and not any(
                streaks[one].contains(streaks[other].peak) or streaks[other].contains(streaks[one].peak)
                for one in group
            )
        ):
            group.append(other)
    return group


def streak_similarities(streaks: Sequence[Streak]) -> Floats32:
    """The maximum normalised cross-correlation of each pair of shapes over shifts by whole pixels, (N, N).

    Roots of the light are compared, in which faint parts of a streak count more and saturation less.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2

    shapes = without_margins(np.stack([comparable_shape(streak.shape) for streak in streaks]))
    shapes /= np.linalg.norm(shapes, axis=(1, 2), keepdims=True)
    size = [next_fast_len(2 * side - 1, real=True) for side in shapes.shape[1:]]
    spectra, result = rfft2(shapes, size), np.eye(len(shapes), dtype=np.float32)
    for index in range(len(shapes) - 1):
        products = irfft2(spectra[index + 1 :] * spectra[index].conj(), size)
        result[index, index + 1 :] = result[index + 1 :, index] = products.max(axis=(1, 2))
    return result


def without_margins(shapes: Floats32) -> Floats32:
    """Shapes (N, h, w) without the rows and columns at opposite sides in which all of them are zero."""
    used = np.logical_or.reduce(shapes > 0)
    lines = np.logical_or.reduce(used, axis=1), np.logical_or.reduce(used, axis=0)
    top, left = (int((line | line[::-1]).argmax()) for line in lines)
    return shapes[:, top : shapes.shape[1] - top, left : shapes.shape[2] - left]


def comparable_shape(shape: Floats32) -> Floats32:
    """The root of a slightly blurred shape (h, w)."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(np.sqrt(gaussian_filter(shape, COMPARISON_SIGMA)))
