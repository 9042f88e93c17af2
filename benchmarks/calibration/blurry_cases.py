"""Cases of the calibration set: a crop of a photograph, a kernel and the camera's degradations.

A case is drawn from its seed, split and index alone, so that more cases do not change earlier ones. Numbers come from a
low-discrepancy sequence and families in turn: the first cases of a split are a balanced sample of it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from blur_kernels import CHOOSE, REPORT, Array, Draw, support_size
from numpy.typing import NDArray
from photographs import Photograph, Picture
from PIL import Image
from scipy.ndimage import affine_transform
from scipy.signal import fftconvolve

SPLITS: Mapping[str, Mapping[str, Draw]] = {"choose": CHOOSE, "report": REPORT}
SHARES: Mapping[str, Mapping[str, int]] = {  # of 25 cases; seven in ten are camera shakes
    "choose": {"shake": 8, "dwelling": 5, "shake-defocus": 4, "straight": 4, "defocus": 3, "none": 1},
    "report": {"spline": 7, "zigzag": 5, "soft-spline": 4, "vibration": 3, "polygon": 5, "none": 1},
}
SHAKEN = ("shake", "dwelling", "shake-defocus", "straight", "spline", "zigzag", "soft-spline", "vibration")
SIDES = ((0, 200), (0.16, 250), (0.84, 500), (0.9, 700), (1, 1000))  # quantile and shorter side of a blurry picture
KERNELS = (5, 81)  # pixels, longer side of the support
LARGEST_KERNEL = 1 / 3  # of the shorter side of the blurry picture
SIGMAS = ((0.0, 0.12), (0.002, 0.25), (0.005, 0.28), (0.01, 0.18), (0.02, 0.11), (0.03, 0.06))  # sigma and share
GAMMA = 2.2
LUMA = (0.299, 0.587, 0.114)
SATURATED = (0.002, 0.05)  # share of the sharp scene beyond white
QUALITIES = (60, 96)
TURNING = 1 / 2  # share of the shaken cases whose camera also turned about its optical axis
TURNS = (0.2, 2.0)  # pixels by which the picture's corners moved, standard deviation over the exposure
ANGLES = 9  # at which a turning camera is taken to have stood
CROPS = 8  # tried until one has about as much detail as the whole photograph
IRRATIONAL = np.sqrt([2, 3, 5, 7, 11, 13, 17])  # steps of the low-discrepancy sequence

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """What a case is made of, and the numbers of its row in cases.csv."""

    id: str
    split: str
    photograph: Photograph
    family: str
    side: float
    size: float
    sigma: float
    jpeg: int | None
    gamma: float
    saturated: float
    colour: bool
    seed: tuple[int, ...]
    turn: float = 0.0


@dataclass(frozen=True)
class Rendered:
    """The pictures of a case (height, width[, 3]), its kernel, and what was found out while it was made."""

    blurry: Bytes
    sharp: Bytes
    kernel: NDArray[np.float32]
    kernel_size: int
    saturation: float
    noise: str
    reduced: int
    top: int
    left: int


def drawn_case(split: str, index: int, seed: int, photographs: Sequence[Photograph]) -> Case:
    """The case of an index in a split.

    Args:
        split: "choose" or "report".
        index: from 0.
        seed: of the whole set.
        photographs: all photographs of the table.
    """
    key = (seed, list(SPLITS).index(split))
    family = dealt(SHARES[split], index)
    turning = np.random.default_rng((*key, index, 2))  # apart, so that the other numbers do not depend on it
    turn = float(np.exp(turning.uniform(*np.log(TURNS)))) if turning.random() < TURNING else 0.0
    u = (np.random.default_rng(key).random(len(IRRATIONAL)) + (index + 1) * IRRATIONAL) % 1
    rng = np.random.default_rng((*key, index))
    quantiles, sides = zip(*SIDES, strict=True)
    return Case(
        id=f"{split[0]}{index:04d}",
        split=split,
        photograph=photograph_of(split, index, key, photographs),
        family=family,
        side=float(np.exp(np.interp(u[0], quantiles, np.log(sides)))),
        size=float(u[1]),
        sigma=quantile_of(SIGMAS, u[2]),
        jpeg=int(rng.integers(*QUALITIES)) if u[3] < 1 / 3 else None,
        gamma=GAMMA if u[4] < 1 / 3 else 1.0,
        saturated=float(np.exp(rng.uniform(*np.log(SATURATED)))) if u[5] < 1 / 5 else 0.0,
        colour=bool(u[6] < 1 / 3),
        seed=(*key, index),
        turn=turn if family in SHAKEN else 0.0,
    )


def photograph_of(split: str, index: int, key: tuple[int, ...], photographs: Sequence[Photograph]) -> Photograph:
    """Every photograph of a split once, its kinds in turn, then all of them again in another order.

    Args:
        split: "choose" or "report".
        index: of the case in its split, from 0.
        key: seed of the order, the same for all cases of the split.
        photographs: all photographs of the table.
    """
    mine = [photograph for photograph in photographs if photograph.split == split]
    turn, place = divmod(index, len(mine))
    rng = np.random.default_rng((*key, 1_000_000 + turn))
    order: list[tuple[float, str]] = []
    for kind in sorted({photograph.kind for photograph in mine}):
        names = [photograph.name for photograph in mine if photograph.kind == kind]
        start = rng.random()
        order += [((rank + start) / len(names), str(name)) for rank, name in enumerate(rng.permutation(names))]
    name = sorted(order)[place][1]
    return next(photograph for photograph in mine if photograph.name == name)


def dealt(shares: Mapping[str, int], index: int) -> str:
    """The family of an index: the one that is furthest behind its share each time."""
    given = dict.fromkeys(shares, 0)
    total = sum(shares.values())
    for turn in range(index % total + 1):
        family = max(shares, key=lambda name: shares[name] * (turn + 1) / total - given[name])
        given[family] += 1
    return family


def quantile_of(shares: Sequence[tuple[float, float]], u: float) -> float:
    """The value at quantile ``u`` of values with shares."""
    place = int(np.searchsorted(np.cumsum([share for _, share in shares]), u, side="right"))
    return shares[min(place, len(shares) - 1)][0]


def rendered(case: Case, picture: Picture) -> Rendered:
    """Make the pictures of a case from its photograph in [0, 1], (height, width, 3)."""
    rng = np.random.default_rng((*case.seed, 1))
    margin = 2 * int(np.ceil(3 * case.turn))  # a turning camera sees what lies beside the picture
    kernel, side = kernel_and_side(case, min(picture.shape[:2]) - margin, rng)
    frame = (kernel.shape[0] + margin, kernel.shape[1] + margin)
    reduced = reduction(picture, side + max(frame), rng)
    scene = smaller(picture if case.colour else picture @ np.array(LUMA), reduced)
    scene, top, left = crop(scene, side, frame, rng)
    light, saturation = exposed(scene**case.gamma, frame, case.saturated)
    sharp = encoded(inner(light, frame), case.gamma)
    noise = "poisson" if case.gamma > 1 or rng.random() < 1 / 4 else "gaussian"
    blurred = inner(turning_blur(light, kernel, case.turn, np.random.default_rng((*case.seed, 3))), (margin + 1,) * 2)
    observed = noisy(blurred.clip(0, 1), case.sigma * case.gamma, noise, rng)
    blurry = encoded(observed, case.gamma)
    size = max(support_size(kernel))
    return Rendered(blurry, sharp, kernel.astype(np.float32), size, saturation, noise, reduced, top, left)


def kernel_and_side(case: Case, shorter: int, rng: np.random.Generator) -> tuple[Array, int]:
    """The kernel and the shorter side of the blurry picture, such that the photograph is large enough for both.

    Args:
        case: gives the family and the sizes wanted.
        shorter: shorter side of the photograph, pixels.
        rng: draws the kernel.
    """
    if case.family == "none":
        return np.ones((1, 1)), int(min(case.side, shorter))
    side = min(case.side, shorter - KERNELS[0])
    state = rng.bit_generator.state
    largest = min(KERNELS[1], side * LARGEST_KERNEL)
    while True:
        rng.bit_generator.state = state
        low, high = np.log(KERNELS[0]), np.log(max(largest, KERNELS[0]))
        kernel = SPLITS[case.split][case.family](rng, round(float(np.exp(low + case.size * (high - low)))))
        fits = int(min(side, shorter - max(kernel.shape) + 1))
        if max(support_size(kernel)) <= fits * LARGEST_KERNEL:
            return kernel, fits
        largest *= 0.9


def reduction(picture: Picture, needed: int, rng: np.random.Generator) -> int:
    """How many times smaller the photograph is taken: 1 to 3, as far as it stays large enough.

    Args:
        picture: (height, width, 3).
        needed: shorter side that the crop needs, pixels.
        rng: chooses among what is possible.
    """
    return int(rng.integers(1, max(1, min(3, min(picture.shape[:2]) // needed)) + 1))


def smaller(picture: Array, times: int) -> Array:
    """A picture a whole number of times smaller: the mean over squares of pixels."""
    height, width = (length // times for length in picture.shape[:2])
    squares = picture[: height * times, : width * times].reshape(height, times, width, times, -1).mean(axis=(1, 3))
    return np.asarray(squares.reshape(height, width, *picture.shape[2:]))


def crop(scene: Array, side: int, kernel: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, int, int]:
    """A crop whose blurry picture has the given shorter side, and its top and left.

    Args:
        scene: (height, width) or (height, width, 3).
        side: shorter side of the blurry picture, pixels.
        kernel: (h, w), both odd.
        rng: chooses the place and the ratio of the sides.
    """
    longer = int(side * rng.choice((1, 4 / 3, 3 / 2)))
    upright = scene.shape[0] > scene.shape[1]
    wanted = (longer, side) if upright else (side, longer)
    sizes = [min(n + k - 1, length) for n, k, length in zip(wanted, kernel, scene.shape[:2], strict=True)]
    typical = detail(scene)
    for _ in range(CROPS):
        top, left = (int(rng.integers(0, length - n + 1)) for n, length in zip(sizes, scene.shape[:2], strict=True))
        part = scene[top : top + sizes[0], left : left + sizes[1]]
        if detail(part) >= 0.7 * typical:
            break
    return part, top, left


def detail(picture: Array) -> float:
    """The mean absolute difference of neighbouring pixels."""
    return float(np.abs(np.diff(picture, axis=0)).mean() + np.abs(np.diff(picture, axis=1)).mean())


def exposed(light: Array, kernel: tuple[int, ...], share: float) -> tuple[Array, float]:
    """Raise the exposure until a share of the visible scene is beyond white, and say how much of it is.

    A photograph with large white areas cannot be raised by so little; it stays as it is.

    Args:
        light: the scene with the margins of a valid convolution, (height, width[, 3]).
        kernel: (h, w), both odd.
        share: of the pixels without the margins, in at least one channel; 0 for no change.
    """
    if not share:
        return light, 0.0
    brightest = inner(light, kernel)
    brightest = brightest if brightest.ndim == 2 else brightest.max(axis=2)
    white = float(np.quantile(brightest, 1 - share))
    raised = float((brightest / white > 1 + 1e-9).mean()) if white > 0 else 0.0
    if not SATURATED[0] / 2 <= raised <= SATURATED[1]:
        return light, 0.0
    return light / white, raised


def inner(scene: Array, kernel: tuple[int, ...]) -> Array:
    """The scene in the frame of the blurry picture: without the margins of a valid convolution."""
    rows, columns = (n // 2 for n in kernel)
    return scene[rows : scene.shape[0] - rows, columns : scene.shape[1] - columns]


def valid_blur(scene: Array, kernel: Array) -> Array:
    """The valid convolution of a scene (height, width[, 3]) with a kernel."""
    if kernel.size == 1:
        return scene
    spread = kernel if scene.ndim == 2 else kernel[:, :, None]
    return np.asarray(fftconvolve(scene, spread, mode="valid", axes=(0, 1)))


def turning_blur(scene: Array, kernel: Array, turn: float, rng: np.random.Generator) -> Array:
    """The valid convolution, by a camera that also turns about the picture's centre while it moves.

    The camera's angle is a smooth random function of its position, as it is for a short exposure. Its mean is zero, so
    that the kernel is the one at the centre.

    Args:
        scene: (height, width) or (height, width, 3).
        kernel: (h, w), both odd.
        turn: pixels by which the corners move, standard deviation over the exposure; 0 for a plain convolution.
        rng: draws the angles.
    """
    if not turn:
        return valid_blur(scene, kernel)
    y, x = (2 * np.indices(kernel.shape) / np.array(kernel.shape)[:, None, None]) - 1
    course = np.tensordot(rng.normal(size=5), np.stack([y, x, y * x, y * y - 0.5, x * x - 0.5]), axes=1)
    course -= (course * kernel).sum()
    course *= turn / np.sqrt((course**2 * kernel).sum())
    nodes = turn * np.linspace(-3, 3, ANGLES)
    place = np.clip((course - nodes[0]) / (nodes[1] - nodes[0]), 0, ANGLES - 1 - 1e-9)
    corner = np.hypot(*scene.shape[:2]) / 2
    parts = [kernel * np.maximum(0, 1 - np.abs(place - number)) for number in range(ANGLES)]
    turned = [
        moved(valid_blur(scene, part), node / corner) for part, node in zip(parts, nodes, strict=True) if part.any()
    ]
    return np.asarray(sum(turned))


def moved(picture: Array, angle: float, shift: Array | float = 0.0, mode: str = "mirror") -> Array:
    """A picture moved rigidly.

    Args:
        picture: (height, width) or (height, width, 3).
        angle: by which it is turned about its centre, radians.
        shift: (down, right) from which each pixel is taken, pixels.
        mode: of `scipy.ndimage`, for pixels beyond the border.
    """
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = (np.array(picture.shape[:2]) - 1) / 2
    offset = centre - rotation @ centre + shift
    planes = np.moveaxis(np.atleast_3d(picture), 2, 0)
    done = [affine_transform(plane, rotation, offset, order=3, mode=mode) for plane in planes]
    return np.asarray(np.stack(done, axis=2).reshape(picture.shape))


def noisy(light: Array, sigma: float, kind: str, rng: np.random.Generator) -> Array:
    """Add noise.

    Args:
        light: in [0, 1].
        sigma: standard deviation; that of "poisson" noise at white, where it is largest.
        kind: "gaussian", or "poisson": a variance proportional to the light.
        rng: draws the noise.
    """
    spread = np.sqrt(light) if kind == "poisson" else 1.0
    return light + sigma * spread * rng.normal(size=light.shape)


def encoded(light: Array, gamma: float) -> Bytes:
    """Light as 8-bit values."""
    return np.asarray(np.rint(light.clip(0, 1) ** (1 / gamma) * 255), dtype=np.uint8)


def as_jpeg(picture: Bytes, quality: int) -> bytes:
    """A picture as the bytes of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=quality)
    return file.getvalue()
