"""The kernel that several light streaks of one picture have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.errors import NotApplicableError
from ...numerics.geometry import Size
from .kernel_postprocessing import heavy_components_of_plane
from .streak_detection import RIM, Floats32, LightMeter, Mask, Streak, find_streaks
from .streak_groups import comparable_shape, matching_streaks

__all__ = ["Estimate", "streak_kernel"]

SEARCH_FACTOR = 2  # of the frame, in which streaks are searched: a kernel that its frame cuts off shows it is too small
MAX_COMBINED = 8  # streaks, the sharpest
KERNEL_ROUNDS = 4  # of estimating the kernel and fitting it to the streaks
FIT_ROUNDS = 5  # of a robust fit
MIN_FIT_PIXELS = 20
NOISE_FLOOR = 1e-5  # of linear light
MODEL_TOLERANCE = 0.1  # of the fitted light: lamps have a size, and cameras are not quite linear
SHARPNESS_POWER = 8  # of the weights: large lamps blur the kernel
COMMON_QUANTILE = 0.3  # of the streaks, outside the first one: what most of them have belongs to the kernel
MIN_QUANTILE_STREAKS = 3
GROWTH_SHARE = 0.05  # of the largest value: from there a pixel belongs to the kernel's support
MIN_EXPLAINED_SHARE = 0.65  # of the variance around a streak
MIN_EXPLAINED = 2  # streaks: the first explains itself
FAINT_ENTRY = 0.03  # of the largest; fainter ones do not belong to the extent of a kernel
SMALL_COMPONENT = 0.03  # of the mass; neither do smaller components


def streak_kernel(
    data: Floats32, frame: Size, *, gamma: float, saturation: float, similarity: float, count: int
) -> Floats32:
    """The kernel that the light streaks of a picture draw.

    Streaks are searched in twice the kernel's frame, or half of the picture if that is less. Of a longer kernel, the
    frame cuts the ends off.

    Args:
        data: (C, H, W) in [0, 1].
        frame: (h, w) of the kernel.
        gamma: exponent that makes the picture linear.
        saturation: value from which data are saturated.
        similarity: of streaks that have the same shape, in (0, 1].
        count: the least number of streaks of the same shape.

    Returns:
        (h, w), >= 0, summing to one.

    Raises:
        NotApplicableError: there are not so many, or they have no kernel in common.
    """
    if min(whole - side for whole, side in zip(data.shape[1:], frame, strict=True)) < 0:
        raise NotApplicableError(f"the kernel's frame of {frame[0]}x{frame[1]} pixels is larger than the picture")
    height, width = (
        max(side, min(SEARCH_FACTOR * side, whole // 2)) for side, whole in zip(frame, data.shape[1:], strict=True)
    )
    meter = LightMeter.of(data, (height, width), gamma, saturation)
    streaks = find_streaks(data, meter, (height, width))
    alike = matching_streaks(streaks, similarity, count)
    if not alike:
        raise no_streaks(f"of {len(streaks)} small bright shapes, fewer than {count} are alike")
    estimate = common_estimate(alike, meter)
    if estimate.explained(meter) < MIN_EXPLAINED:
        raise no_streaks(f"{len(alike)} small bright shapes are alike, but no kernel explains the light around them")
    return in_frame(estimate.kernel, frame)


def no_streaks(reason: str) -> NotApplicableError:
    """The error of a picture without streaks."""
    return NotApplicableError(f"no light streaks that draw the kernel: {reason}; use another recipe")


@dataclass
class Estimate:
    """The kernel so far.

    Attributes:
        kernel: (h, w), summing to one.
        support: where the streaks' mean is taken, (h, w); elsewhere a low quantile.
        places: (N, 2), (row, column) of the kernel's middle pixel in the picture for each streak, pixels.
        streaks: N, of one shape.
    """

    kernel: Floats32
    support: Mask
    places: Floats32
    streaks: Sequence[Streak]

    def views(self, meter: LightMeter) -> list[tuple[Streak, View]]:
        """The streaks that the kernel fits, and their views."""
        found = [(one, view_of(one, place, self, meter)) for one, place in zip(self.streaks, self.places, strict=True)]
        return [(streak, view) for streak, view in found if view is not None]

    def explained(self, meter: LightMeter) -> int:
        """The number of streaks whose light, in and around the kernel, the kernel explains.

        Saturated light is explained by a brighter kernel.
        """
        from scipy.ndimage import binary_dilation

        near = binary_dilation(self.kernel >= FAINT_ENTRY * self.kernel.max(), np.ones((3, 3)), iterations=2 * RIM)
        count = 0
        for _, view in self.views(meter):
            seen = near & ((view.weight > 0) | (view.least > 0))
            light = np.where(view.least > 0, np.maximum(view.kernel, self.kernel), view.kernel)[seen]
            if seen.sum() >= MIN_FIT_PIXELS:
                residual = np.square(light - self.kernel[seen]).mean()
                count += int(residual <= (1 - MIN_EXPLAINED_SHARE) * light.var())
        return count

    def recentred(self) -> Estimate:
        """The same with the middle of the kernel's extent in the middle of the frame, by whole pixels."""
        from scipy.ndimage import shift

        away = [at - side // 2 for at, side in zip(middle_of(self.kernel), self.kernel.shape, strict=True)]
        back = [-distance for distance in away]
        kernel, support = (shift(plane, back, order=0) for plane in (self.kernel, self.support.astype(np.uint8)))
        return replace(self, kernel=kernel, support=support > 0, places=self.places + np.array(away, dtype=np.float32))


def common_estimate(streaks: Sequence[Streak], meter: LightMeter) -> Estimate:
    """The kernel k of patches ``p_i = a_i k + b_i``, aligned to fractions of a pixel, by a robust weighted mean.

    Gain and offset of each streak are fitted robustly, without saturated pixels. Sharp streaks weigh more, because
    small lamps blur the kernel less. Outside the support of the first streak, only light that most streaks have counts:
    other lamps near a streak are not part of the kernel, but faint parts of the kernel may be. Where every streak is
    saturated, the kernel is as bright as the streak with the smallest gain requires.

    Args:
        streaks: of one shape; the first is the reference.
        meter: of the picture.

    Returns:
        With a kernel of the size of the meter's patch.
    """
    from scipy.ndimage import binary_dilation

    first, *others = streaks
    chosen = [first, *sorted(others, key=lambda streak: -streak.sharpness)][:MAX_COMBINED]
    reference = comparable_shape(first.shape)
    shifts = [displacement(comparable_shape(streak.shape), reference) for streak in chosen]
    places = np.array([streak.place for streak in chosen], dtype=np.float32) + np.array(shifts, dtype=np.float32)
    support = binary_dilation(first.own, np.ones((3, 3)), iterations=RIM)
    now = Estimate(first.shape / first.shape.sum(), support, places, chosen)
    for _ in range(KERNEL_ROUNDS):
        now = improved(now.recentred(), meter)
    return now


def improved(now: Estimate, meter: LightMeter) -> Estimate:
    """One round of `common_estimate`: fit the kernel to every streak, then average the streaks."""
    from scipy.ndimage import binary_dilation

    sharpest = max(streak.sharpness for streak in now.streaks)
    views = [(view, (streak.sharpness / sharpest) ** SHARPNESS_POWER) for streak, view in now.views(meter)]
    if not views:
        return now
    total = sum(view.weight * factor for view, factor in views)
    mean = sum(view.weight * factor * view.kernel for view, factor in views) / np.maximum(total, 1e-30)
    mean = np.where(total > 0, mean, np.max([view.least for view, _ in views], axis=0))
    common = np.minimum(mean, quantile_of([view for view, _ in views]))
    kernel = np.clip(np.where(now.support, mean, common), 0, None).astype(np.float32)
    if not kernel.sum() > 0:
        return now
    grown = now.support | binary_dilation(kernel > GROWTH_SHARE * kernel.max(), np.ones((3, 3)))
    return replace(now, kernel=kernel / kernel.sum(), support=grown)


@dataclass(frozen=True)
class View:
    """What one streak says about the kernel; each plane is (h, w).

    Attributes:
        kernel: the patch without its offset and gain.
        weight: of each pixel, zero where the kernel is not seen.
        least: what saturated pixels say, a lower bound; elsewhere zero.
    """

    kernel: Floats32
    weight: Floats32
    least: Floats32


def view_of(streak: Streak, place: Floats32, now: Estimate, meter: LightMeter) -> View | None:
    """The view of one streak; None outside the picture, or if the kernel does not fit it.

    Args:
        streak: gives the channels.
        place: (row, column) of the kernel's middle pixel in the picture, pixels.
        now: the estimate.
        meter: of the picture.
    """
    whole = np.floor(place).astype(int)
    if (whole < 0).any() or (whole >= meter.size).any():
        return None
    centre = (int(whole[0]), int(whole[1]))
    light, saturated = aligned_patch(meter, centre, place - whole, streak.channels)
    inside = meter.inside(centre)
    valid = inside & ~saturated
    if valid.sum() < MIN_FIT_PIXELS:
        return None
    gain, offset, noise = robust_line(now.kernel[valid], light[valid])
    if gain <= 0:
        return None
    kernel, peak = (light - offset) / gain, float(now.kernel.max())
    scale = noise / gain + 1.5 * MODEL_TOLERANCE * np.maximum(now.kernel, 0.02 * peak)
    trust = 1 / (1 + np.square((kernel - now.kernel) / (2 * scale)))
    variance = (noise / gain) ** 2 + (MODEL_TOLERANCE * peak) ** 2
    weight = np.where(valid, trust / variance, 0).astype(np.float32)
    least = np.where(inside & saturated & now.support, kernel, 0).astype(np.float32)
    return View(kernel, weight, least)


def aligned_patch(
    meter: LightMeter, centre: tuple[int, int], fraction: Floats32, channels: Mask
) -> tuple[Floats32, Mask]:
    """Light (h, w) of some channels around a place between pixels, by cubic splines; and where it is saturated.

    Args:
        meter: of the picture.
        centre: (row, column), whole pixels.
        fraction: the rest of the place, in [0, 1).
        channels: (C,), bool.
    """
    from scipy.ndimage import binary_dilation, shift

    light, saturated = meter.around(centre, more=2)
    total, mask = light[channels].sum(axis=0), binary_dilation(saturated[channels].any(axis=0), np.ones((3, 3)))
    moved = shift(total, -fraction, order=3, mode="nearest")[2:-2, 2:-2]
    hidden = shift(mask.astype(np.float32), -fraction, order=1, mode="nearest")[2:-2, 2:-2]
    return moved, hidden > 0.01


def robust_line(kernel: Floats32, light: Floats32) -> tuple[float, float, float]:
    """Gain, offset and noise of ``light = gain * kernel + offset``, by reweighted least squares with Cauchy weights.

    Args:
        kernel: (n,).
        light: (n,).
    """
    weights, gain, offset, noise = np.ones_like(light), 0.0, 0.0, 0.0
    for _ in range(FIT_ROUNDS):
        mean_kernel, mean_light = np.average(kernel, weights=weights), np.average(light, weights=weights)
        spread = float((weights * np.square(kernel - mean_kernel)).sum())
        gain = float((weights * (kernel - mean_kernel) * (light - mean_light)).sum()) / max(spread, 1e-30)
        offset = float(mean_light - gain * mean_kernel)
        residual = light - gain * kernel - offset
        noise = 1.4826 * float(np.median(np.abs(residual))) + NOISE_FLOOR
        scale = noise + MODEL_TOLERANCE * max(gain, 0.0) * kernel
        weights = np.square(noise / scale) / (1 + np.square(residual / (2 * scale)))
    return gain, offset, noise


def quantile_of(views: Sequence[View]) -> Floats32:
    """A low quantile of the views at each pixel; zero where few streaks are seen."""
    seen = np.stack([view.weight > 0 for view in views])
    count = seen.sum(axis=0)
    ordered = np.sort(np.where(seen, np.stack([view.kernel for view in views]), np.inf), axis=0)
    rank = np.floor(COMMON_QUANTILE * np.maximum(count - 1, 0)).astype(int)
    return np.where(count >= MIN_QUANTILE_STREAKS, np.take_along_axis(ordered, rank[None], axis=0)[0], 0)


def displacement(moved: Floats32, still: Floats32) -> tuple[float, float]:
    """How far (down, right) a shape (h, w) is from another one, in pixels and fractions of them."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    size = [next_fast_len(2 * side - 1, real=True) for side in moved.shape]
    product = irfft2(rfft2(moved, size) * rfft2(still, size).conj(), size)
    row, column = (int(at) for at in np.unravel_index(product.argmax(), product.shape))
    down, right = parabola_peak(product[:, column], row), parabola_peak(product[row], column)
    return down, right


def parabola_peak(values: Floats32, index: int) -> float:
    """The position of the highest value of a periodic line (n,), in [-n / 2, n / 2], from it and its two neighbours."""
    count = len(values)
    before, peak, after = (float(values[(index + step) % count]) for step in (-1, 0, 1))
    curvature = before - 2 * peak + after
    position = index + (0.5 * (before - after) / curvature if curvature < 0 else 0.0)
    return position - count if index > count // 2 else position


def middle_of(kernel: Floats32) -> tuple[int, int]:
    """The pixel (row, column) in the middle of the extent of a kernel (h, w).

    Faint entries and small components, which may be noise, do not count.
    """
    strong = np.where(kernel >= FAINT_ENTRY * kernel.max(), kernel, 0)
    rows, columns = np.nonzero(strong * heavy_components_of_plane(strong, SMALL_COMPONENT))
    return int(rows.min() + rows.max() + 1) // 2, int(columns.min() + columns.max() + 1) // 2


def in_frame(kernel: Floats32, frame: Size) -> Floats32:
    """The part of a kernel in a frame around the middle of its extent, summing to one.

    Args:
        kernel: (h, w), each side at least as long as the frame's.
        frame: the new (h, w).
    """
    top, left = (
        min(max(at - side // 2, 0), whole - side)
        for at, side, whole in zip(middle_of(kernel), frame, kernel.shape, strict=True)
    )
    part = kernel[top : top + frame[0], left : left + frame[1]]
    return np.asarray(part / part.sum())
