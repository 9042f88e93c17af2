"""The blurred scene of a picture: what was drawn over it, broken pixels and transparent surroundings are left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core import registry
from ..core.errors import InputError
from ..core.interfaces import Blur
from ..numerics.bad_pixels import bad_pixels, filled_by_median
from ..numerics.borders import MIN_SCENE_SIDE, Rectangle, scene_rectangle
from ..numerics.geometry import Size, size_of
from ..numerics.inpainting import filled_smoothly
from ..numerics.noise import PATCH_SIDE, estimate_sigma
from ..numerics.overlays import overlay_of
from ..numerics.steep_edges import edge_steepness
from ..recipes.model import Recipe
from .input_image import NOTHING_KNOWN, InputImage, KnownOfData
from .inputs import Inputs
from .options import Options
from .variances import unmeasured_pixels

__all__ = ["UNKNOWN_SHARE", "Scene", "find_scene", "scene_of"]

Picture: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]

MIN_SIDE = 48  # pixels; a smaller picture shows too little of its blur
MIN_OPACITY = 0.5  # of a pixel whose colour counts
MIN_OPAQUE_SHARE = 0.1  # of the pixels; fewer are no scene
VISIBLE = 0.03  # in [0, 1], of what an overlay adds at least
VISIBLE_SHARE = 0.3  # of what it adds elsewhere; around it, little is added smoothly
FEATHER = 2  # pixels over which the restored image goes over into pixels that are kept
MIN_WHOLE_PATCHES = 0.25  # of the patches of the noise estimator, without a hidden pixel
NOISE_SEED = 0  # so that a run can be made again
MIN_STEEPNESS = 0.75  # of the edges of a sharp picture; 0.7 was the most in 269 blurred photographs
MIN_KNOWN_SHARE = 0.01  # of the pixels; of fewer no picture follows
MIN_POINT_MASS = 0.75  # of a kernel, within 3 x 3 pixels, that is a point

DESCRIPTIONS = {
    "transparent_share": "transparent pixels ({0:.0%} of the picture)",
    "masked_share": "masked or unmeasured pixels ({0:.1%} of the picture, now filled)",
    "frame": "a frame or bars ({0[0]} pixels at the top, {0[1]} at the bottom, {0[2]} left, {0[3]} right)",
    "bad_pixels": "{0} bad pixels (now filled)",
    "overlay_share": "writing or a mark over the picture ({0:.1%} of it)",
}
"""What may be left out, by its name in the details of a result; in the order of a sentence."""

LEFT_OUT_NOTICE = "left out, because it was not blurred with the scene: {}"
UNKNOWN_NOTICE = "left out, because their values are unknown: {}"
UNKNOWN_SHARE = "masked_share"  # what stays unknown in the whole picture, too
UNCHANGED_NOTICE = (
    "the picture is sharp already, and comes back as it was: its edges are one pixel wide, and the kernel found is a "
    "point"
)


@dataclass(frozen=True)
class Scene:
    """The part of a picture that is restored, and its place in the picture.

    Attributes:
        picture: (B, C, h, w) in [0, 1]; pixels that do not show the blurred scene are filled.
        whole: (B, C, H, W), the picture as it was given.
        place: rows and columns of the scene in the picture.
        known: which pixels of it show the blurred scene, and what is known of their noise.
        added: (1, C, h, w), what overlays add to the picture, in the result too.
        kept: (h, w) in [0, 1], the weight with which the given pixels are kept in the result.
        left_out: what was found, for the details of the result; empty if the scene is the whole picture.
        is_examined: whether a sharp picture is to be returned as it is.
        unknown_share: of the pixels of a whole picture, which are estimated with the others.
    """

    picture: Tensor
    whole: Tensor
    place: Rectangle = (slice(None), slice(None))
    known: KnownOfData = NOTHING_KNOWN
    added: Tensor = field(default_factory=lambda: torch.zeros(1, 1, 1, 1))
    kept: Tensor = field(default_factory=lambda: torch.zeros(1, 1))
    left_out: Mapping[str, Any] = field(default_factory=dict)
    is_examined: bool = False
    unknown_share: float = 0.0

    def with_variance(self, variance: Tensor | None) -> Scene:
        """The scene with the variances (B or 1, C or 1, H, W) of the whole picture's noise; None if not known."""
        if variance is None:
            return self
        known = replace(self.known, variance=variance[(..., *self.place)], is_needed=True)
        return replace(self, known=known)

    def given(self, scene: Tensor) -> Tensor:
        """The whole picture (B, C, H, W) before the solve; of a scene that is whole, the given image of it."""
        return self.whole if self.left_out else scene

    def put_back(self, restored: Tensor) -> Tensor:
        """The whole picture (B, C, H, W) with the restored scene (B, C, h, w) in its place.

        An image of another size, as of a recipe that enlarges, is returned as it is; such a scene is whole.
        """
        if not self.left_out:
            return restored
        whole = self.whole.to(restored).clone()
        part = whole[..., self.place[0], self.place[1]]
        part.copy_(torch.lerp(restored + self.added.to(restored), part, self.kept.to(restored)))
        return whole

    def is_sharp(self, picture: Tensor, kernel: Tensor) -> bool:
        """Whether the scene has no blur worth removing: all its edges are steep, and the kernel found is a point.

        Both are needed. A slightly blurred scene gives a small kernel, and a picture exposed twice has steep edges.

        Args:
            picture: (1, C, h, w) in [0, 1].
            kernel: the estimate, (h, w), summing to one.
        """
        if not self.is_examined:
            return False
        around = F.avg_pool2d(kernel[None, None].float(), 3, stride=1, padding=1) * 9
        is_point = float(around.max()) >= MIN_POINT_MASS
        return is_point and edge_steepness(picture[0].float().cpu().numpy()) >= MIN_STEEPNESS

    def facts(self, is_sharp: bool) -> dict[str, Any]:
        """What was left out, whether the scene is unchanged because it is sharp, and sentences that say so."""
        found = {**self.left_out, **({UNKNOWN_SHARE: self.unknown_share} if self.unknown_share else {})}
        parts = {name: text.format(found[name]) for name, text in DESCRIPTIONS.items() if name in found}
        unblurred = [text for name, text in parts.items() if name != UNKNOWN_SHARE]
        notices = [UNKNOWN_NOTICE.format(parts[UNKNOWN_SHARE])] if UNKNOWN_SHARE in parts else []
        notices += [LEFT_OUT_NOTICE.format(enumerated(unblurred))] if unblurred else []
        notices += [UNCHANGED_NOTICE] if is_sharp else []
        return {
            **({"left_out": found} if parts else {}),
            **({"unchanged": True} if is_sharp else {}),
            **({"notices": notices} if notices else {}),
        }


def scene_of(inputs: Inputs, recipe: Recipe, options: Options) -> Scene:
    """The part of the inputs that a recipe restores: of a blurred picture its scene, otherwise everything.

    Args:
        inputs: that were read.
        recipe: the method.
        options: the user's.
    """
    operator = registry.load("operators", recipe.operator.name)
    image, variance = inputs.image, inputs.variance
    are_single_pictures = operator.data_range is not None and len(image.data) == 1
    unmeasured = unmeasured_pixels(variance, image.data) if variance is not None and are_single_pictures else None
    if options.whole_picture or not issubclass(operator, Blur):
        whole = whole_scene(image, unmeasured) if are_single_pictures else Scene(image.data, image.data)
        return whole.with_variance(variance)
    given = options.kernel_size or recipe.measurement.kernel_size
    size = given if isinstance(given, tuple) else (given, given) if isinstance(given, int) else (1, 1)
    least = size if inputs.parameter is None else size_of(inputs.parameter)
    return find_scene(image, least, unmeasured).with_variance(variance)


def whole_scene(image: InputImage, unmeasured: Mask | None = None) -> Scene:
    """One whole picture, of which only masked, transparent and unmeasured pixels are unknown; these are filled.

    Args:
        image: as it was read.
        unmeasured: (H, W); None: none.

    Raises:
        InputError: hardly any pixel is known.
    """
    data, transparent = image.data, transparent_pixels(image)
    hidden = transparent if unmeasured is None else transparent | unmeasured
    if not hidden.any():
        return Scene(data, data)
    share = round(float(hidden.mean()), 5)
    if share > 1 - MIN_KNOWN_SHARE:
        raise InputError(
            f"only {100 * (1 - share):.2g} % of the pixels were measured; the others are masked, transparent or of "
            "infinite variance"
        )
    given = data[0].numpy()
    shown = np.where(hidden, np.float32(0), given)
    filled = filled_smoothly(shown, hidden)
    sigma = noise_beside(shown, filled, hidden) if min(hidden.shape) >= PATCH_SIDE else 0.0
    known = KnownOfData(torch.from_numpy(~hidden)[None, None], is_needed=image.masked is not None)
    return Scene(torch.from_numpy(as_noisy(filled, hidden, sigma))[None], data, known=known, unknown_share=share)


def find_scene(image: InputImage, min_size: Size = (1, 1), unmeasured: Mask | None = None) -> Scene:
    """The blurred scene of one picture: all of it, bit for bit, unless something has to be left out.

    Transparent pixels, frames and bars are cut away as far as possible; what remains of them, bad pixels and overlays
    are filled from their surroundings. The scene of several pictures, or of a very small one, is not looked for.

    Args:
        image: as it was read.
        min_size: (height, width) that the scene must have, pixels; otherwise nothing but unknown pixels is left out.
        unmeasured: (H, W), the pixels of which the user's variances say that they were not measured. Bad pixels are
            then not looked for: strong noise would be taken for them. None if no variances are given.
    """
    data, untouched = image.data, Scene(image.data, image.data, is_examined=True)
    if len(data) > 1:
        return untouched
    given, transparent = data[0].numpy(), transparent_pixels(image)
    is_masked = image.masked is not None or (unmeasured is not None and bool(unmeasured.any()))
    seen_through, transparent = transparent, transparent if unmeasured is None else transparent | unmeasured
    if min(size_of(data)) < MIN_SIDE and not transparent.any():
        return untouched
    place = opaque_rectangle(transparent) if transparent.any() else scene_rectangle(given)
    if any(lines.stop - lines.start < max(least, MIN_SCENE_SIDE) for lines, least in zip(place, min_size, strict=True)):
        return whole_scene(image, unmeasured) if is_masked else untouched
    hidden = transparent[place]
    known = np.where(hidden, np.float32(0), given[(slice(None), *place)])
    opaque = filled_smoothly(known, hidden)
    bad = bad_pixels(opaque) if unmeasured is None else np.zeros_like(opaque, dtype=bool)
    if bad.any() and edge_steepness(opaque) >= MIN_STEEPNESS:
        bad[:] = False  # a sharp picture may show stars
    picture = filled_by_median(opaque, bad)
    overlay = overlay_of(picture)
    if bad.any() and overlay.any():  # the dots of letters are no bad pixels
        bad &= feathered(visible_part_of(overlay)) == 0
        picture = filled_by_median(opaque, bad)
        overlay = overlay_of(picture)
    drawn = visible_part_of(overlay)
    left_out = findings("masked_share" if is_masked else "transparent_share", transparent, place, bad, drawn)
    if not left_out:
        return untouched
    picture = as_noisy(picture - overlay, hidden | drawn, noise_beside(known, opaque, hidden))
    unseen = np.zeros_like(hidden) if image.masked is not None else seen_through[place]  # a mask hides nothing to keep
    kept = torch.from_numpy(np.maximum(unseen, feathered(drawn)))
    added = torch.from_numpy(overlay)[None]
    unknown = hidden | drawn | bad.any(0)
    measured = torch.from_numpy(~unknown)[None, None] if unknown.any() else None
    known_pixels = KnownOfData(measured)
    return Scene(torch.from_numpy(picture)[None], data, place, known_pixels, added, kept, left_out, is_examined=True)


def transparent_pixels(image: InputImage) -> Mask:
    """The pixels of one picture whose colour does not count, (H, W); none if hardly any pixel would remain."""
    if image.masked is not None:
        return image.masked
    alpha = image.layout.alpha[0, 0].numpy() if image.layout.alpha is not None else image.photo and image.photo.alpha
    none = np.zeros(size_of(image.data), dtype=bool)
    if alpha is None:
        return none
    hidden = np.asarray(alpha) < MIN_OPACITY
    return hidden if hidden.mean() <= 1 - MIN_OPAQUE_SHARE else none


def opaque_rectangle(hidden: Mask) -> Rectangle:
    """The smallest rectangle with all pixels that are not hidden."""
    rows, columns = (np.flatnonzero(~hidden.all(axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def visible_part_of(overlay: Picture) -> Mask:
    """The pixels (H, W) to which an overlay (C, H, W) adds much, with their neighbours."""
    from scipy.ndimage import maximum_filter

    strength = np.abs(overlay).max(0)
    seen = strength[strength >= VISIBLE]
    if not len(seen):
        return np.zeros(strength.shape, dtype=bool)
    return np.asarray(maximum_filter(strength >= max(VISIBLE, VISIBLE_SHARE * float(np.median(seen))), 3))


def noise_beside(known: Picture, filled: Picture, hidden: Mask) -> float:
    """The standard deviation of the noise of the pixels that are not hidden.

    The estimator ignores constant areas, but not many small ones: they make every patch steep. Then it is applied to
    the filled picture, to which the hidden pixels bring almost no noise.

    Args:
        known: (C, h, w), zero where it is hidden.
        filled: (C, h, w).
        hidden: (h, w).
    """
    from scipy.ndimage import maximum_filter

    if np.mean(maximum_filter(hidden, PATCH_SIDE)) <= 1 - MIN_WHOLE_PATCHES:
        return estimate_sigma(known)
    return estimate_sigma(filled) / math.sqrt(np.mean(~hidden))


def as_noisy(picture: Picture, filled: Mask, sigma: float) -> Picture:
    """A picture whose filled pixels are as noisy as the others; too smooth, they would hide the noise of the picture.

    Args:
        picture: (C, h, w).
        filled: (h, w).
        sigma: standard deviation of the noise.
    """
    noise = np.random.default_rng(NOISE_SEED).standard_normal(picture.shape, dtype=np.float32)
    return np.ascontiguousarray((picture + np.float32(sigma) * noise * filled).clip(0, 1))


def enumerated(parts: Sequence[str]) -> str:
    """Parts of a sentence, one after the other.

    >>> enumerated(["a frame", "2 bad pixels", "writing"])
    'a frame, 2 bad pixels and writing'
    """
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def findings(hidden_as: str, hidden: Mask, place: Rectangle, bad: Mask, drawn: Mask) -> dict[str, Any]:
    """What is left out, by the names of `DESCRIPTIONS`.

    Args:
        hidden_as: the name of the hidden pixels.
        hidden: (H, W), the transparent or masked pixels of the picture.
        place: of the scene, h x w pixels.
        bad: (C, h, w), in the scene.
        drawn: (h, w), in the scene.
    """
    (rows, columns), (height, width) = place, hidden.shape
    frame = [rows.start, height - rows.stop, columns.start, width - columns.stop]
    found: dict[str, Any] = {}
    if hidden.any():
        found[hidden_as] = round(float(hidden.mean()), 5)
    elif any(frame):
        found["frame"] = frame
    if bad.any():
        found["bad_pixels"] = int(bad.any(0).sum())
    if drawn.any():
        found["overlay_share"] = round(float(drawn.sum()) / hidden.size, 5)
    return found


def feathered(mask: Mask) -> Picture:
    """Weights (H, W) that are 1 in a mask and decrease to 0 around it."""
    from scipy.ndimage import maximum_filter, uniform_filter

    side = 2 * FEATHER + 1
    return np.asarray(uniform_filter(maximum_filter(mask, side).astype(np.float32), side))
