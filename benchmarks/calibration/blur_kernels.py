"""Kernels of the calibration set: five families to choose settings on, five others to report on.

Every family draws a kernel whose support has a given longer side. A motion is a path that is sampled in time: where the
camera is slow, the kernel is bright. The path is drawn with sub-pixel accuracy and a width of one to two pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from invkit.numerics.framing import centroid

Array = NDArray[np.float64]
Path = tuple[Array, Array]
"""Positions (n, 2) in any unit and the time spent at each, (n,)."""

Draw = Callable[[np.random.Generator, int], Array]
"""A random kernel whose support has about the given longer side, in pixels."""

SAMPLES = 3000  # of a path: the steps are far below a pixel for every kernel here
FAINTEST = 0.005  # of the largest entry; fainter entries are no part of the support
FINE = 0.4  # pixels, line width of a motion that is blurred again
OVERSAMPLING = 8  # of apertures, per pixel and direction


def shake(rng: np.random.Generator, size: int) -> Array:
    """Camera shake: a random walk with inertia, drawn back to where it began, with a few jerks."""
    return motion(rng, size, inert_walk(rng))


def dwelling(rng: np.random.Generator, size: int) -> Array:
    """A hand that pauses at a few points and jerks from one to the next."""
    points = rng.uniform(-1, 1, (rng.integers(2, 6), 2))
    times = rng.dirichlet(np.full(len(points), 1.5)) * rng.uniform(0.35, 0.75)
    pauses = [point + rng.normal(0, 0.02, (120, 2)).cumsum(axis=0) / 4 for point in points]
    strokes = [bowed(rng, a, b) for a, b in pairwise(points)]
    lengths = np.array([np.linalg.norm(stroke[-1] - stroke[0]) for stroke in strokes])
    shares = (1 - times.sum()) * lengths / lengths.sum()
    pieces = [(part, share) for part, share in zip([*pauses, *strokes], [*times, *shares], strict=True)]
    weights = [np.full(len(part), share / len(part)) for part, share in pieces]
    return motion(rng, size, (np.concatenate([part for part, _ in pieces]), np.concatenate(weights)))


def straight(rng: np.random.Generator, size: int) -> Array:
    """A straight motion whose speed rises and falls."""
    angle, t = rng.uniform(0, np.pi), np.linspace(-1, 1, SAMPLES)
    speed = 1 + rng.uniform(-0.6, 0.6) * t + rng.uniform(-0.3, 0.6) * t**2
    return motion(rng, size, (np.outer(t, (np.sin(angle), np.cos(angle))), 1 / np.maximum(speed, 0.2)))


def defocus(rng: np.random.Generator, size: int) -> Array:
    """A defocus: a uniform disc."""
    return aperture(size, lambda y, x: y**2 + x**2 <= 1)


def shake_and_defocus(rng: np.random.Generator, size: int) -> Array:
    """Camera shake of a scene that is slightly out of focus."""
    disc = defocus(rng, odd(max(3.0, size * rng.uniform(0.12, 0.4))))
    return behind_aperture(size, inert_walk(rng), disc)


def spline(rng: np.random.Generator, size: int) -> Array:
    """Smooth camera shake: a cubic spline through random points at random times."""
    return motion(rng, size, smooth_curve(rng))


def zigzag(rng: np.random.Generator, size: int) -> Array:
    """A polyline of two to five strokes with sharp turns, each at its own speed."""
    count = int(rng.integers(2, 6))
    turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.uniform(0.6, 2.9, count) * rng.choice((-1, 1), count))
    steps = rng.uniform(0.4, 1.0, count)[:, None] * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    corners = np.concatenate([np.zeros((1, 2)), steps.cumsum(axis=0)])
    t = np.linspace(0, count, SAMPLES, endpoint=False)
    stroke = t.astype(int)
    positions = corners[stroke] + (t - stroke)[:, None] * steps[stroke]
    return motion(rng, size, (positions, rng.uniform(0.4, 1.6, count)[stroke]))


def polygon(rng: np.random.Generator, size: int) -> Array:
    """A defocus through an aperture of five to eight blades."""
    blades, turn = int(rng.integers(5, 9)), rng.uniform(0, 2 * np.pi)
    normals = turn + 2 * np.pi * np.arange(blades) / blades
    reach = np.cos(np.pi / blades)

    def inside(y: Array, x: Array) -> NDArray[np.bool_]:
        return np.asarray(np.all([np.cos(a) * x + np.sin(a) * y <= reach for a in normals], axis=0))

    return aperture(size, inside)


def soft_spline(rng: np.random.Generator, size: int) -> Array:
    """Smooth camera shake seen through a soft or slightly defocused lens."""
    blur = rng.uniform(0.05, 0.13) * size + 0.4
    if rng.random() < 0.5:
        path = smooth_curve(rng)
        return fitted(size, lambda extent: np.asarray(gaussian_filter(drawn(path, extent - 3 * blur, FINE), blur)))
    disc = polygon(rng, odd(max(3.0, 2.5 * blur)))
    return behind_aperture(size, smooth_curve(rng), disc)


def vibration(rng: np.random.Generator, size: int) -> Array:
    """A slow bow with a fast vibration on top of it, as in a Lissajous figure."""
    t = np.linspace(0, 1, SAMPLES)
    bow = bowed(rng, np.zeros(2), rng.normal(size=2), SAMPLES)
    bow /= np.linalg.norm(bow[-1])
    turns, phase = rng.uniform(2, 6), rng.uniform(0, 2 * np.pi, 2)
    width = rng.uniform(0.05, 0.3, 2)
    swing = width * np.sin(2 * np.pi * turns * np.outer(t, (1, rng.uniform(0.6, 1.7))) + phase)
    return motion(rng, size, (bow + swing, np.ones(SAMPLES)))


CHOOSE: dict[str, Draw] = {
    "shake": shake,
    "dwelling": dwelling,
    "shake-defocus": shake_and_defocus,
    "straight": straight,
    "defocus": defocus,
}
REPORT: dict[str, Draw] = {
    "spline": spline,
    "zigzag": zigzag,
    "soft-spline": soft_spline,
    "vibration": vibration,
    "polygon": polygon,
}


def inert_walk(rng: np.random.Generator) -> Path:
    """A random walk whose velocity decays slowly; a weak spring keeps it from drifting away."""
    inertia, spring_constant = rng.uniform(0.95, 0.992), rng.uniform(0, 4e-4)
    kicks = rng.normal(size=(SAMPLES // 5, 2)) * (1 + 12 * (rng.random((SAMPLES // 5, 1)) < 0.006))
    velocity, position, path = rng.normal(size=2) / np.sqrt(1 - inertia), np.zeros(2), []
    for kick in kicks:
        velocity = inertia * velocity + kick - spring_constant * position
        position = position + velocity
        path.append(position)
    return dense(np.array(path)), np.ones(SAMPLES)


def smooth_curve(rng: np.random.Generator) -> Path:
    """A cubic spline through points that each lie about one step from the last."""
    count = int(rng.integers(4, 8))
    turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 1.0, count))
    steps = rng.gamma(3.0, 1 / 3, count)[:, None] * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    times = np.cumsum(rng.uniform(0.3, 1.0, count))
    curve = CubicSpline(times, steps.cumsum(axis=0))
    return curve(np.linspace(times[0], times[-1], SAMPLES)), np.ones(SAMPLES)


def bowed(rng: np.random.Generator, start: Array, end: Array, samples: int = 400) -> Array:
    """A slightly bent stroke.

    Args:
        rng: draws the bend.
        start: first point, (2,).
        end: last point, (2,).
        samples: number of points.

    Returns:
        (samples, 2).
    """
    t = np.linspace(0, 1, samples)[:, None]
    sideways = np.array([start[1] - end[1], end[0] - start[0]]) * rng.uniform(-0.35, 0.35)
    return np.asarray(start + t * (end - start) + 4 * t * (1 - t) * sideways)


def dense(path: Array) -> Array:
    """The same path sampled `SAMPLES` times."""
    curve = CubicSpline(np.linspace(0, 1, len(path)), path)
    return np.asarray(curve(np.linspace(0, 1, SAMPLES)))


def motion(rng: np.random.Generator, size: int, path: Path) -> Array:
    """The kernel of a path.

    Args:
        rng: draws the width of the line.
        size: longer side of the support, pixels.
        path: positions in any unit, and times.
    """
    width = rng.uniform(0.3, 0.7)
    return fitted(size, lambda extent: drawn(path, extent, width))


def behind_aperture(size: int, path: Path, spot: Array) -> Array:
    """The kernel of a motion during which the scene is out of focus.

    Args:
        size: longer side of the support, pixels.
        path: of the motion, in any unit.
        spot: kernel of the aperture, (d, d).
    """
    return fitted(size, lambda extent: np.asarray(fftconvolve(drawn(path, extent - len(spot) + 1, FINE), spot)))


def drawn(path: Path, extent: float, width: float) -> Array:
    """Draw a path with bilinear weights and a Gaussian line width.

    Args:
        path: positions in any unit, and times.
        extent: the longer side of the path, pixels.
        width: standard deviation of the line, pixels.

    Returns:
        A kernel (n, n) in a frame that is large enough.
    """
    positions, times = path
    low, high = positions.min(axis=0), positions.max(axis=0)
    scale = max(extent - 1, 0.5) / max(float((high - low).max()), 1e-9)
    frame = int(np.ceil(max(extent, 1))) + 10
    where = (positions - (low + high) / 2) * scale + frame / 2
    corner = np.floor(where).astype(int)
    part = where - corner
    kernel = np.zeros((frame + 2, frame + 2))
    for i in (0, 1):
        for j in (0, 1):
            weights = np.abs(1 - i - part[:, 0]) * np.abs(1 - j - part[:, 1]) * times
            np.add.at(kernel, (corner[:, 0] + i, corner[:, 1] + j), weights)
    return np.asarray(gaussian_filter(kernel, width))


def aperture(size: int, inside: Callable[[Array, Array], NDArray[np.bool_]]) -> Array:
    """A uniform aperture within the unit circle, drawn with antialiasing at a diameter of ``size`` pixels."""
    n = (size + 2) * OVERSAMPLING
    axis = (np.arange(n) - (n - 1) / 2) / (size / 2 * OVERSAMPLING)
    fine = inside(*np.meshgrid(axis, axis, indexing="ij")).astype(float)
    pixels = fine.reshape(size + 2, OVERSAMPLING, size + 2, OVERSAMPLING).mean(axis=(1, 3))
    return normalised(pixels)


def fitted(size: int, draw: Callable[[float], Array]) -> Array:
    """Draw a kernel smaller or larger until the longer side of its support is ``size`` or just below it.

    Args:
        size: wanted longer side of the support, pixels.
        draw: the kernel at a given extent, in pixels; not cropped or normalised.
    """
    extent, best = float(size), None
    for _ in range(8):
        kernel = normalised(draw(extent))
        longer = max(support_size(kernel))
        if longer <= size and (best is None or longer > max(support_size(best))):
            best = kernel
        if longer == size or (extent <= 1 and longer > size):
            break
        extent = max(extent + size - longer, 1.0)
    return kernel if best is None else best


def normalised(kernel: Array) -> Array:
    """Remove what is too faint to see, crop, centre and normalise a kernel."""
    kernel = np.where(kernel >= FAINTEST * kernel.max(), kernel, 0)
    return centred(kernel / kernel.sum())


def centred(kernel: Array) -> Array:
    """The smallest odd frame that holds a kernel and has its rounded centre of mass as the centre pixel."""
    rows, columns = (np.flatnonzero(kernel.any(axis=1 - axis)) for axis in (0, 1))
    kernel = kernel[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    offset = centroid(torch.from_numpy(np.ascontiguousarray(kernel))).round().numpy().astype(int)
    pads = []
    for length, shift in zip(kernel.shape, offset, strict=True):
        middle = length // 2 + int(shift)
        half = max(middle, length - 1 - middle)
        pads.append((half - middle, half - (length - 1 - middle)))
    return np.pad(kernel, pads)


def support_size(kernel: Array) -> tuple[int, int]:
    """The (height, width) of the non-zero part of a kernel."""
    rows, columns = (np.flatnonzero(kernel.any(axis=1 - axis)) for axis in (0, 1))
    return int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


def odd(size: float) -> int:
    """The odd number next to a size."""
    return 2 * int(size // 2) + 1
