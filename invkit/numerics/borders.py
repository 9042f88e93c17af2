"""The scene within a picture that has a frame or bars of one colour around it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["MIN_SCENE_SIDE", "Rectangle", "scene_rectangle"]

Picture: TypeAlias = npt.NDArray[np.float32]
Rectangle: TypeAlias = tuple[slice, slice]

FLAT_DEVIATION = 0.02  # in [0, 1], mean of a line: noise, JPEG and scanners change the colour of a frame by less
STRAY_DEVIATION = 0.15  # in [0, 1]: pixels that differ by more are no part of a frame
MAX_STRAY_SHARE = 0.02  # of a line's pixels, which may be bad ones
RINGING_REACH = 16  # lines of one JPEG block with halved chroma, in which the frame's edge may ring
MIN_STEP = 0.08  # in [0, 1]: a weaker edge between frame and scene does not disturb an estimate
MIN_STEP_SHARE = 0.15  # of the first line's pixels that differ from the frame
MOST = 0.6  # of the first line's pixels: a smaller share suffices only if the frame's colour is rare in the scene
MAX_SAME_SHARE = 0.25  # of a scene's pixels in which a colour is rare; paper around text has the colour of the frame
MIN_STRAIGHT_SHARE = 0.8  # of the pixels that differ within the first lines differ in the first one; not so in text
FIRST_LINES = 5  # of the scene
MIN_ABRUPTNESS = 0.6  # of the difference that arises within two lines; in a picture blurred by 5 pixels 0.4
FULL_STEP = 0.75  # of the next line's difference; a line with less is a mixture of frame and scene
MIN_SCENE_SIDE = 32  # pixels


def scene_rectangle(picture: Picture) -> Rectangle:
    """Rows and columns of the scene within frames and bars of any colour, on one to four sides, also nested ones.

    A frame is drawn after the blur. Its lines have one colour, and the scene begins abruptly and on the whole length of
    the side. A dark sky or a white wall at the border of a scene has no such edge, because its edge is blurred.

    Args:
        picture: (C, H, W) in [0, 1].

    Returns:
        The rows and columns; the whole picture if it has no frame, or if less than 32 pixels would remain.

    Example:
        >>> scene = np.random.default_rng(0).random((3, 60, 80), dtype=np.float32)
        >>> scene_rectangle(np.pad(scene, ((0, 0), (9, 0), (0, 7)), constant_values=1))
        (slice(9, 69, None), slice(0, 80, None))
    """
    top, left = 0, 0
    bottom, right = picture.shape[1:]
    while True:
        inner = picture[:, top:bottom, left:right]
        rows = border_lines(inner), border_lines(inner[:, ::-1])
        turned = inner.swapaxes(1, 2)
        columns = border_lines(turned), border_lines(turned[:, ::-1])
        found = sum(rows) + sum(columns)
        small = min(bottom - top - sum(rows), right - left - sum(columns)) < MIN_SCENE_SIDE
        if not found or small:
            return slice(top, bottom), slice(left, right)
        if sum(rows):  # the corners belong to both sides; columns are then shorter and are looked at again
            top, bottom = top + rows[0], bottom - rows[1]
        else:
            left, right = left + columns[0], right - columns[1]


def border_lines(picture: Picture) -> int:
    """The number of lines of a frame at the top of (C, H, W); 0 without a frame."""
    colour = np.median(picture[:, 0], axis=1)
    distance = np.abs(picture - colour[:, None, None]).max(0)
    mean = distance.mean(1)
    flat = int(np.argmax((mean > FLAT_DEVIATION) | ((distance > STRAY_DEVIATION).mean(1) > MAX_STRAY_SHARE)))
    last = flat + RINGING_REACH
    if flat == 0 or last + RINGING_REACH > len(mean):  # no flat line, or hardly any other
        return 0
    for edge in range(flat, last):  # a mixture of frame and scene, or the first line of the scene
        differs = distance[edge + 1 : edge + 1 + FIRST_LINES] > MIN_STEP
        first, any_of_them = differs[0].mean(), differs.any(0).mean()
        rise, beyond = mean[edge + 1] - mean[edge - 1], mean[edge + 2 : edge + 1 + FIRST_LINES].mean()
        is_straight = first >= MIN_STEP_SHARE and first >= MIN_STRAIGHT_SHARE * any_of_them
        if is_straight and rise >= MIN_ABRUPTNESS * beyond:
            is_frame = first >= MOST or (distance[edge:] < MIN_STEP).mean() <= MAX_SAME_SHARE
            return int(is_frame) * (edge + int(mean[edge] < FULL_STEP * mean[edge + 1]))
    return 0
