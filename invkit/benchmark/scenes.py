"""The pictures of chosen cases: the blurry and sharp ones of the dataset, if it is there, and the part to enlarge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError, InvkitError
from ..core.evaluation import Floats, Sample
from .records import DatasetResults, MetricInfo, SuiteItem, natural
from .statistics import means_over_seeds
from .suite import DatasetSpec

__all__ = ["ALL_CASES", "Choice", "DatasetSamples", "PictureWindow", "busiest", "choose", "cropped_to_shape"]

WINDOW_SHARE = 0.3  # side of the enlarged part, as a share of the shorter side of the picture
BORDER_SHARE = 0.06  # of the shorter side; deconvolution disturbs this border, and metrics cut it
ALL_CASES = "all"
REASONS = ("first", "worst", "median", "best")


@dataclass(frozen=True)
class Choice:
    """A case to show, and the reason: "first", "worst", "median", "best", or an empty text if the user named it."""

    case: str
    why: str = ""

    def text(self) -> str:
        """The case and the reason."""
        return f"{self.case}, the {self.why} case" if self.why else self.case


def choose(results: DatasetResults, metric: MetricInfo | None, named: Sequence[str] = ()) -> list[Choice]:
    """The cases of a dataset to show, each once.

    Args:
        results: on the dataset.
        metric: defines the worst, the median and the best case, by the mean over all recipes.
        named: names of cases, or "all"; empty for the first, the worst, the median and the best.
    """
    cases = results.cases
    if named:
        return [Choice(case) for case in cases if case in named or ALL_CASES in named]
    found = [*reversed(extreme_cases(results, metric)), *(Choice(case, "first") for case in cases[:1])]
    return sorted({one.case: one for one in found}.values(), key=lambda one: REASONS.index(one.why))


def extreme_cases(results: DatasetResults, metric: MetricInfo | None) -> list[Choice]:
    """The worst, the best and the median case by the mean of all recipes; empty without values."""
    if metric is None:
        return []
    values: dict[str, list[float]] = {}
    for recipe in results.recipes:
        for case, value in means_over_seeds(results.of(recipe), metric.label).items():
            if math.isfinite(value):
                values.setdefault(case, []).append(value)
    order = sorted(values, key=lambda case: (float(np.mean(values[case])), natural(case)))
    order = order[::-1] if metric.better == "lower" else order
    places = {"worst": 0, "best": -1, "median": len(order) // 2}
    return [Choice(order[place], why) for why, place in places.items()] if order else []


@dataclass
class DatasetSamples:
    """The samples of a dataset, if its data are there.

    Attributes:
        dataset: as the suite names it.
        root: the folder of all data, or None for the default folder.
        problem: the reason why there are no samples, after the first failure; an empty text before.
    """

    dataset: SuiteItem
    root: Path | None
    problem: str = field(default="", init=False)

    def of(self, case: str) -> Sample | None:
        """The sample of a case; None if it cannot be loaded, and `problem` then says why."""
        if self.problem:
            return None
        try:
            return self.load(case)
        except (InvkitError, OSError, ValueError) as error:
            self.problem = f"without blurry and sharp pictures of {self.dataset.label}: {error}"
            return None

    def load(self, case: str) -> Sample:
        """The sample of a case; raises `InvkitError` if it cannot be loaded."""
        spec = DatasetSpec(name=self.dataset.name, label=self.dataset.label, params=dict(self.dataset.params))
        dataset = spec.build(self.root)
        for each in dataset.cases():
            if each.name == case:
                sample: Sample = dataset.sample(each)
                return sample
        raise InputError(f"the dataset has no case {case} any more; run the suite again if the dataset has changed")


def cropped_to_shape(picture: Floats, shape: tuple[int, ...]) -> Floats:
    """The central part of a picture (H, W[, C]), at most as high and wide as ``shape`` says."""
    top, left = (max(0, own - wanted) // 2 for own, wanted in zip(picture.shape[:2], shape[:2], strict=True))
    return picture[top : top + shape[0], left : left + shape[1]]


@dataclass(frozen=True)
class PictureWindow:
    """A part of a picture; all numbers are shares of its height and width."""

    top: float
    left: float
    height: float
    width: float

    def cut(self, picture: Floats) -> Floats:
        """The part of a picture (H, W) or (H, W, 3)."""
        top, left, height, width = self.pixels(picture.shape[0], picture.shape[1])
        return picture[top : top + height, left : left + width]

    def pixels(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of the part, in pixels, for a picture of that height and width."""
        sides = max(1, round(self.height * height)), max(1, round(self.width * width))
        return round(self.top * height), round(self.left * width), *sides


def busiest(picture: Floats, share: float = WINDOW_SHARE) -> PictureWindow:
    """The square window with the highest gradient energy, inside the picture and away from its borders.

    Args:
        picture: (H, W) or (H, W, 3) in [0, 1].
        share: side of the square, as a share of the picture's shorter side.
    """
    from scipy.ndimage import uniform_filter

    plane: npt.NDArray[np.float64] = np.asarray(picture, dtype=np.float64).reshape(*picture.shape[:2], -1).mean(axis=-1)
    height, width = plane.shape
    side = max(1, round(share * min(height, width)))
    energy = sum(np.pad(np.diff(plane, axis=axis) ** 2, [(0, int(a == axis)) for a in (0, 1)]) for axis in (0, 1))
    means = uniform_filter(np.asarray(energy), side)  # at (y, x) of the window that begins at y - side // 2
    starts = means[side // 2 : side // 2 + height - side + 1, side // 2 : side // 2 + width - side + 1]
    margin = min(round(BORDER_SHARE * min(height, width)), (min(starts.shape) - 1) // 2)
    inside = starts[margin : starts.shape[0] - margin, margin : starts.shape[1] - margin]
    top, left = (int(place) + margin for place in np.unravel_index(int(np.argmax(inside)), inside.shape))
    return PictureWindow(top / height, left / width, side / height, side / width)
