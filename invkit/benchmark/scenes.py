"""The pictures of chosen cases: what recipes made of them and, where the data are there, what they were made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError, InvkitError
from ..core.evaluation import Sample
from .records import MetricOf, Named, Record, Store, natural
from .statistics import over_cases

__all__ = ["Choice", "Samples", "Window", "busiest", "choose", "grey", "of_case"]

SHARE = 0.3  # of the image's shorter side, the side of the crops
MARGIN = 0.06  # of the same, not looked at: there lie what deconvolution makes of the border, and what metrics cut
EVERYTHING = "all"


@dataclass(frozen=True)
class Choice:
    """A case to show, and why: "first", "worst", "median", "best", or an empty text where it was asked for."""

    case: str
    why: str = ""

    def words(self) -> str:
        """The case and why it is shown."""
        return f"{self.case}, the {self.why} case" if self.why else self.case


def choose(store: Store, dataset: str, metric: MetricOf | None, asked: Sequence[str] = ()) -> list[Choice]:
    """The cases to show of a dataset.

    Args:
        store: of the suite.
        dataset: its label.
        metric: by which cases are worst, median and best, as the mean of all recipes has it.
        asked: names of cases, or "all"; none for the first, the worst, the median and the best.

    Returns:
        Each case once; those asked for that the dataset lacks are left out.
    """
    records = store.of(dataset)
    cases = list(dict.fromkeys(record.case for record in records))
    if asked:
        return [Choice(case) for case in cases if case in asked or EVERYTHING in asked]
    chosen = {case: Choice(case, why) for why, case in reversed(standing_out(records, metric))}
    first = next(iter(cases), None)
    if first is not None:
        chosen = {first: Choice(first, "first")} | {case: choice for case, choice in chosen.items() if case != first}
    return sorted(chosen.values(), key=lambda choice: ("first", "worst", "median", "best").index(choice.why))


def standing_out(records: Sequence[Record], metric: MetricOf | None) -> list[tuple[str, str]]:
    """The worst, the best and the median case by a metric, the mean of all recipes; none without figures.

    One that is two of them is by the first of these words.
    """
    if metric is None:
        return []
    each = [
        over_cases([r for r in records if r.recipe == recipe], metric.label) for recipe in {r.recipe for r in records}
    ]
    figures: dict[str, list[float]] = {}
    for values in each:
        for case, value in values.items():
            if math.isfinite(value):
                figures.setdefault(case, []).append(value)
    order = sorted(figures, key=lambda case: (float(np.mean(figures[case])), natural(case)))
    order = order[::-1] if metric.better == "lower" else order
    return [("worst", order[0]), ("best", order[-1]), ("median", order[len(order) // 2])] if order else []


def of_case(store: Store, dataset: str, case: str) -> dict[str, Record]:
    """For each recipe its result of a case: of the first seed that is done, else of the first."""
    found: dict[str, Record] = {}
    for recipe in store.recipes:
        records = [r for r in store.of(dataset, recipe.label) if r.case == case]
        done = sorted((r for r in records if r.done), key=lambda record: record.seed)
        if records:
            found[recipe.label] = done[0] if done else records[0]
    return found


@dataclass
class Samples:
    """The samples of a dataset, if its data are there.

    Attributes:
        dataset: as the suite names it.
        root: the folder of all data, or None for the usual one.
        problem: why there are none, once that is known; an empty text before.
    """

    dataset: Named
    root: Path | None
    problem: str = field(default="", init=False)

    def of(self, case: str) -> Sample | None:
        """The sample of a case; None where it cannot be had, and then `problem` says why."""
        if self.problem:
            return None
        try:
            return self.load(case)
        except (InvkitError, OSError, ValueError) as error:
            self.problem = f"without blurry and sharp pictures of {self.dataset.label}: {error}"
            return None

    def load(self, case: str) -> Sample:
        """The sample of a case; raises `InvkitError` where it cannot be had."""
        from .plan import build_dataset
        from .suite import DatasetSpec

        spec = DatasetSpec(name=self.dataset.name, label=self.dataset.label, params=dict(self.dataset.params))
        dataset = build_dataset(spec, self.root)
        for each in dataset.cases():
            if each.name == case:
                return dataset.sample(each)
        raise InputError(f"it has no case {case} any more; has it changed since the suite was run?")


@dataclass(frozen=True)
class Window:
    """A part of a picture, shares of its height and width."""

    top: float
    left: float
    height: float
    width: float

    def cut(self, picture: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """The part of a picture (H, W) or (H, W, 3)."""
        top, left, height, width = self.pixels(picture.shape[0], picture.shape[1])
        return picture[top : top + height, left : left + width]

    def pixels(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width in pixels."""
        return (
            round(self.top * height),
            round(self.left * width),
            max(1, round(self.height * height)),
            max(1, round(self.width * width)),
        )


def busiest(picture: npt.NDArray[np.floating], share: float = SHARE) -> Window:
    """The square window with the most gradient energy, inside the picture and away from its borders.

    Args:
        picture: (H, W) or (H, W, 3) in [0, 1].
        share: side of the square over the picture's shorter side.
    """
    from scipy.ndimage import uniform_filter

    plane = grey(picture)
    height, width = plane.shape
    side = max(1, round(share * min(height, width)))
    energy = sum(np.pad(np.diff(plane, axis=axis) ** 2, [(0, int(a == axis)) for a in (0, 1)]) for axis in (0, 1))
    means = uniform_filter(np.asarray(energy), side)  # at (y, x) of the window that begins at y - side // 2
    begins = means[side // 2 : side // 2 + height - side + 1, side // 2 : side // 2 + width - side + 1]
    margin = min(round(MARGIN * min(height, width)), (min(begins.shape) - 1) // 2)
    inside = begins[margin : begins.shape[0] - margin, margin : begins.shape[1] - margin]
    top, left = (int(place) + margin for place in np.unravel_index(int(np.argmax(inside)), inside.shape))
    return Window(top / height, left / width, side / height, side / width)


def grey(picture: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(H, W) or (H, W, C) -> (H, W), the mean over the channels."""
    values = np.asarray(picture, dtype=np.float64)
    return values if values.ndim == 2 else values.mean(axis=-1)
