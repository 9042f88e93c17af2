"""The measured data of a run, scaled to [0, 1] where they are not pictures of full brightness, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError
from ..core.ranges import UNIT_RANGE, ValueRange
from ..core.result import Array, DataReading
from ..media.colour import to_luma_chroma
from ..media.images import Layout, Photo, from_bchw
from ..numerics.geometry import Size, size_of
from ..numerics.noise import rounding_sigma, saturation_levels, weights_of_variances

if TYPE_CHECKING:
    from ..media.stacks import Stack

__all__ = ["NOTHING_KNOWN", "InputImage", "KnownOfData", "resized_planes", "scaled_to_unit"]

DIM = 0.25  # the largest value of a picture that is brightened; blur leaves half of thin white strokes on black
REACHED = 0.999  # in [0, 1]; an image whose largest value is between this and 1 is cut off at 1
BRIGHTEST = 0.95  # of scaled data; from 0.99 on, data count as saturated
LEAST_CUT_OFF, CUT_OFF_SHARE = 50, 0.002  # values in own units that are equal to the largest, and their share
LEAST_CONTRAST = 1e-5  # of numbers, relative to the largest; single precision has a hundredth of it
SINGLE_PRECISION = (1e-30, 1e30)  # of the largest magnitude, so that squares are not lost
WHOLE_WHITE = {8: 255.0, 16: 65535.0}  # of unsigned integers, by their bits
FLOAT_BITS = 32
SENSOR_WHITES = (1023, 4095, 16383)  # of 10, 12 and 14 bits, in files of 16; a dim page of text has other levels
PEDESTAL = 0.5  # of the largest value; where all data are above it, their least value is subtracted

DIM_NOTICE = "the picture is dim: it was restored as if {:.4g} were white, and is returned as dark as it was"
SCALE_NOTICE = "the image's brightest value was estimated as {:.4g}; the data were divided by {:.4g} for the solve only"
WHITE_NOTICE = "{:g} was taken for white"
UNITS_NOTICE = "the data run from {:.4g} to {:.4g}, in units of their own: for the solve only, {}"


@dataclass(frozen=True)
class InputImage:
    """The measured data, and the layout in which an image of them is returned.

    The data that were given are ``black + white * data``.

    Attributes:
        data: (B, C, H, W), float32; pictures lie in [0, 1].
        layout: of the input; of several inputs, of the first.
        photo: the file that it came from, without its pixels: depth, alpha and colour profile; None for an array.
        stack: the file of a stack, without its values; None for anything else.
        masked: (H, W), the pixels that a NumPy masked array hides, whose values do not matter; None for none.
        white: the difference of given values that is 1 in the data; below 1 for a dim picture.
        black: the given value that is 0 in the data.
        range: of the image of the data; [0, 1] for a picture whose white is known.
        brightness: about the largest value of the image of data that are no picture or have units of their own; None
            for pictures.
        degree: of the operator's homogeneity: data that are no picture were divided by ``white**degree``.
        reading: what data that are no picture were taken for.
        is_complex: whether images of the data are complex: (B, 2, H, W), of which the second channel is imaginary.
        is_cut_off: whether many of the data have their highest value, as where a sensor is saturated.
        told: how the data were scaled, for the user; empty if they were not.
    """

    data: Tensor
    layout: Layout
    photo: Photo | None = None
    stack: Stack | None = None
    masked: npt.NDArray[np.bool_] | None = None
    white: float = 1.0
    black: float = 0.0
    range: ValueRange = UNIT_RANGE
    brightness: float | None = None
    degree: float = 1.0
    reading: DataReading = field(default_factory=DataReading)
    is_complex: bool = False
    is_cut_off: bool = False
    told: str = ""

    def in_units(self, picture: Tensor) -> Tensor:
        """An image of the data, of any shape, in the units of the data that were given."""
        scaled = picture if self.white == 1 else picture * self.white
        return scaled if self.black == 0 else scaled + self.black

    def from_units(self, picture: Tensor) -> Tensor:
        """The inverse of `in_units`."""
        return (picture if self.black == 0 else picture - self.black) / self.white

    def in_layout(self, picture: Tensor) -> Array:
        """An image (B, C, H, W) in the layout of the input; alpha is resized, and dropped from several images.

        Complex images have complex values.

        Several images are returned as (B, C, H, W), even if one was given.
        """
        size, picture = size_of(picture), self.in_units(picture)
        picture = torch.complex(picture[:, :1], picture[:, 1:]) if self.is_complex else picture
        if len(picture) > 1 and (self.layout.ndim < 4 or len(picture) != len(self.data)):
            return from_bchw(picture, Layout(self.layout.kind, 4, self.layout.bits))
        if self.layout.planes:
            return from_bchw(picture, self.layout)
        ndim = 3 if self.layout.ndim == 2 and picture.shape[1] > 1 else self.layout.ndim
        alpha = None if self.layout.alpha is None else resized_planes(self.layout.alpha, size)
        array = from_bchw(picture, replace(self.layout, ndim=ndim, alpha=alpha))
        if self.masked is not None:
            return masked_again(np.asarray(array), self.masked)
        if self.photo is None or self.photo.alpha is None:
            return array
        opacity = resized_planes(torch.from_numpy(self.photo.alpha)[None, None].float(), size)[0, 0].numpy()
        return replace(self.photo, alpha=opacity).put_back(np.asarray(array))

    @property
    def bits(self) -> int:
        """Bits per sample of the input, in which results are written."""
        return self.layout.bits if self.photo is None else self.photo.bits

    @property
    def divisor(self) -> float:
        """The difference of given data that is 1 in the data: that of the image, to the operator's degree."""
        return float(self.white**self.degree)

    @property
    def rounding(self) -> float:
        """Standard deviation of the error of rounding to the bits of the input, in units of the data."""
        return rounding_sigma(self.bits) / self.white

    def divided_by(self, white: float, brightness: float, degree: float = 1.0) -> InputImage:
        """The data divided by a number to a power; the image of them is multiplied with the number.

        Args:
            white: the number.
            brightness: about the largest value of the image, in the units of the given data.
            degree: the power.
        """
        scaled = replace(self, white=white, brightness=brightness, degree=degree, range=(0.0, inf))
        told = SCALE_NOTICE.format(brightness, scaled.divisor)
        return replace(scaled, data=self.data / scaled.divisor, told=told)

    def doubts(self, image: Tensor) -> list[str]:
        """Why the data may be others than they are taken for, and whether their image (B, C, H, W) was cut off."""
        has_bound = self.brightness is not None and not self.is_cut_off
        if not (has_bound and REACHED <= float(image.max()) <= 1):  # an image without a bound does not end there
            return list(self.reading.doubts)
        count, highest = int((image >= REACHED).sum()), self.black + self.white
        return [
            *self.reading.doubts,
            f"{count} of {image.numel()} pixels of the image were cut off at {highest:.4g}, the highest value that the "
            "recipe can give them; the data may hold outliers, or too little of the image",
        ]

    @property
    def shown_white(self) -> float:
        """The value that is drawn as white: of a picture its own, else about the largest."""
        if self.brightness is not None:
            return self.brightness if self.brightness > self.black else self.black + self.white
        return self.white if self.bits == FLOAT_BITS else 1.0

    def with_white(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Facts for the details of a result, with what the data were taken for and how they were scaled."""
        if self.stack is not None:
            facts = {**facts, "stack": {"metadata": dict(self.stack.metadata), "resolution": self.stack.resolution}}
        said = [one for one in (self.reading.text, self.told) if one]
        if not said:
            return dict(facts)
        scaled = {"white": self.white} if self.white != 1 else {}
        scaled |= {"black": self.black} if self.black != 0 else {}
        return {**facts, **scaled, "notices": [*facts.get("notices", ()), *said]}


@dataclass(frozen=True)
class KnownOfData:
    """What is known of each datum, beside its value.

    Attributes:
        measured: which pixels were measured, (1, 1, H, W), bool; None: all.
        variance: of the noise, (B or 1, C or 1, H, W), infinite where nothing was measured; None if it is not known.
        is_needed: whether the last stage is refused if it would not use this.
    """

    measured: Tensor | None = None
    variance: Tensor | None = None
    is_needed: bool = False

    def weights_and_level(self, color: Literal["luma", "rgb"]) -> tuple[Tensor | None, float | None]:
        """The weights of the data of a colour, and the noise level; None where all are 1, and where it is not known.

        The variance of the luma is the mean of the channels' by their shares in the luma, as ``sigma`` is that of all.
        """
        if self.variance is None:
            return self.measured, None
        is_luma = color == "luma" and self.variance.shape[1] == 3
        return weights_of_variances(to_luma_chroma(self.variance)[0] if is_luma else self.variance, self.measured)

    def at(self, place: tuple[Any, ...]) -> KnownOfData:
        """The same of a part of the data, in memory of its own."""
        measured = None if self.measured is None else self.measured[place].clone()
        return replace(
            self, measured=measured, variance=None if self.variance is None else self.variance[place].clone()
        )


NOTHING_KNOWN = KnownOfData()


def masked_again(array: npt.NDArray[Any], masked: npt.NDArray[np.bool_]) -> np.ma.MaskedArray[Any, Any]:
    """An image (H, W) or (H, W, C) of another size or not, with the mask of the given image."""
    seen = resized_planes(torch.from_numpy(masked)[None, None].float(), (array.shape[0], array.shape[1]))[0, 0] > 0.5
    mask = seen.numpy() if array.ndim == 2 else np.repeat(seen.numpy()[..., None], array.shape[-1], -1)
    return np.ma.masked_array(array, mask)


def resized_planes(planes: Tensor, size: Size) -> Tensor:
    """Planes (B, C, H, W) on another grid of the same view, bilinear; unchanged if they have that size."""
    if size_of(planes) == tuple(size):
        return planes
    return F.interpolate(planes, size, mode="bilinear", align_corners=False, antialias=True)


def scaled_to_unit(image: InputImage, white: float | None = None, *, keeps_constants: bool = True) -> InputImage:
    """Data in [0, 1], for which weights, thresholds and the level of saturation are made.

    A picture of which something reaches `DIM` stays as it is. A dim one, as those of a 16-bit camera that reach a
    fiftieth of white, is divided so that its largest value is `BRIGHTEST`, or 1 if it is the white of a sensor
    that has cut it off. Numbers
    outside [0, 1] have units of their own, such as counts. They are divided likewise, and their image may be brighter
    than every datum. If some are negative, or if all are far above zero, their least value is subtracted first, and the
    image may be darker than that. A blur keeps constants, so that the scaled data have the same blur.

    Args:
        image: in its own units.
        white: the value that becomes 1, of 8 and 16 bits as a whole number; None to estimate it as above.
        keeps_constants: whether the operator maps a constant image to the same constant, so that a value may be
            subtracted.

    Raises:
        InputError: data are above the value that was given for white, differ by less than single precision resolves,
            or are negative where nothing may be subtracted.

    Example:
        >>> given = InputImage(torch.linspace(-19, 361, 64).view(1, 1, 8, 8), Layout("array", 2, 32))
        >>> found = scaled_to_unit(given)
        >>> [round(float(end), 4) for end in found.data.aminmax()], round(found.white), round(found.black), found.range
        ([0.0, 0.95], 400, -19, (-inf, inf))
    """
    low, high = (float(end) for end in image.data.aminmax())
    has_units = low < 0 or high > 1
    if white is None and not has_units and not 0 < high < DIM:
        return image
    check_numbers(low, high, keeps_constants)
    black = black_of(low, high) if has_units and keeps_constants else 0.0
    unit = WHOLE_WHITE.get(image.bits, 1.0)  # of a white that is given
    white = None if white is None else white / unit
    if white is not None and high > white:
        raise InputError(
            f"the data reach {unit * high:.6g}, above the {unit * white:g} given for white; give {unit * high:.6g} or "
            "more"
        )
    cut_off = cut_off_count(image.data, high, has_units)
    whole = white - black if white is not None else (high - black) / (1 if cut_off else BRIGHTEST)
    kept = replace(image, data=((image.data - black) / whole).clamp(0, 1), white=whole, black=black)
    given = "" if white is None else WHITE_NOTICE.format(white * unit)
    if not has_units:
        return replace(kept, range=(0.0, max(1.0, 1 / whole)), told=given or DIM_NOTICE.format(whole))
    change = f"{black:.4g} was subtracted, and they were divided by {whole:.4g}" if black else ""
    told = UNITS_NOTICE.format(low, high, change or f"they were divided by {whole:.4g}")
    told += f"; {cut_off} of them have the largest value, which counts as white" if cut_off else ""
    ends = (-inf if low < 0 else -black / whole, 1.0 if cut_off else inf)
    return replace(kept, range=ends, brightness=high, is_cut_off=cut_off > 0, told=told)


def check_numbers(low: float, high: float, keeps_constants: bool) -> None:
    """Refuse numbers that cannot be scaled to [0, 1]; raises `InputError`.

    Args:
        low: their least.
        high: their largest.
        keeps_constants: as for `scaled_to_unit`.
    """
    largest = max(abs(low), abs(high))
    if not SINGLE_PRECISION[0] < largest < SINGLE_PRECISION[1]:
        raise InputError(
            f"the largest magnitude of the data is {largest:.3g}, beyond single precision; multiply them by a number "
            "that brings it near 1"
        )
    if high - low < LEAST_CONTRAST * largest:
        raise InputError(
            f"the data run from {low:.9g} to {high:.9g}, which differ by less than single precision resolves; subtract "
            f"{low:.6g} first"
        )
    if low < 0 and not keeps_constants:
        raise InputError(
            f"the data run from {low:.4g}, and this operator has no negative data; subtract the background"
        )


def cut_off_count(data: Tensor, high: float, has_units: bool) -> int:
    """How many data have the highest value, if so many have it that the sensor has cut them off; else 0.

    Args:
        data: (B, C, H, W).
        high: the highest value.
        has_units: whether they are numbers in units of their own, as counts, of which a few are equal by chance.
    """
    if saturation_levels(data.numpy())[1] != high:
        return 0
    count = int((data == high).sum())
    if has_units:
        return count if count >= max(LEAST_CUT_OFF, CUT_OFF_SHARE * data.numel()) else 0
    return count if round(high * WHOLE_WHITE[16]) in SENSOR_WHITES else 0


def black_of(low: float, high: float) -> float:
    """The value that becomes 0 of data from ``low`` to ``high``: 0, or their least if it is negative or a pedestal."""
    return low if low < 0 or low > PEDESTAL * high else 0.0
