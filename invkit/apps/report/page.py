"""The content of a page, before it is written: cases with results, tables, charts, methods."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .charts import Chart, Points
from .pictures import Picture

__all__ = ["CaseSection", "ColumnHead", "KernelRow", "KernelTile", "Method", "MethodResult", "PageCell", "PageTable",
           "ReportPage", "SnapshotFrame", "cell_of", "facts_table", "joined_pages", "method_of",
           "page_table"]  # fmt: skip

DASH = "–"  # noqa: RUF001  an empty cell


class Method(NamedTuple):
    """A recipe as it was run: a name that is unique in the page, a look, texts, and the JSON text for ``--recipe``."""

    name: str
    look: int
    title: str = ""
    source: str = ""
    notes: str = ""
    recipe: str = ""


class SnapshotFrame(NamedTuple):
    """A snapshot: its time, a remark, image and kernel."""

    when: str
    about: str
    image: Picture
    kernel: Picture | None = None


@dataclass(frozen=True, eq=False)
class MethodResult:
    """The result of a method for a photograph.

    Attributes:
        method: the method.
        about: its metrics, as "33.07 dB, 1.2 s".
        picture: the restored image, or None.
        remarks: warnings, or the reason for no image.
        kernel: (h, w), (B, h, w) of several, or None.
        has_kernel: whether ``kernel`` holds kernels and not another operator parameter.
        losses: iteration and loss.
        stages: the iteration at which each stage after the first starts, and its name.
        quality: iteration and metric.
        frames: snapshots.
        deviation: a map of the standard deviations of the image, or None.
        deviation_about: what its greys mean.
        kernel_deviation: standard deviations of the kernel, (h, w), or None.
    """

    method: Method
    about: str
    picture: Picture | None
    remarks: Sequence[str] = ()
    kernel: npt.NDArray[np.float64] | None = None
    has_kernel: bool = True
    losses: Points = ()
    stages: Sequence[tuple[float, str]] = ()
    quality: Points = ()
    frames: Sequence[SnapshotFrame] = ()
    deviation: Picture | None = None
    deviation_about: str = ""
    kernel_deviation: npt.NDArray[np.float64] | None = None


class KernelTile(NamedTuple):
    """A kernel: its method, its size as text, its picture."""

    name: str
    size: str
    picture: Picture


class KernelRow(NamedTuple):
    """Kernels side by side; black is ``low``, white is ``high``."""

    title: str
    tiles: Sequence[KernelTile]
    low: float
    high: float


@dataclass(frozen=True)
class CaseSection:
    """A photograph and its results.

    Attributes:
        name: short, for menus.
        size: width and height of the photograph in pixels, as text.
        before: the input.
        truth: the sharp image, if it is known.
        results: one for each method.
        kernels: each row has one scale.
        charts: of this case.
    """

    name: str
    size: str
    before: Picture | None
    truth: Picture | None
    results: Sequence[MethodResult]
    kernels: Sequence[KernelRow]
    charts: Sequence[Chart]

    @property
    def evolving(self) -> list[MethodResult]:
        """The results with snapshots."""
        return [result for result in self.results if result.frames]

    def pictures(self) -> Iterator[Picture]:
        """All pictures."""
        found = [self.before, *(result.picture for result in self.results), self.truth]
        found += [result.deviation for result in self.results]
        found += [tile.picture for row in self.kernels for tile in row.tiles]
        found += [each for result in self.results for frame in result.frames for each in (frame.image, frame.kernel)]
        return (picture for picture in found if picture is not None)


class ColumnHead(NamedTuple):
    """The head of a column; numbers are aligned to the right."""

    text: str
    numeric: bool = False


class PageCell(NamedTuple):
    """A text, the number to sort it by, the place of the case that it links to, and whether it is the best."""

    text: str
    value: float | None = None
    case: int | None = None
    bold: bool = False


class PageTable(NamedTuple):
    """A table; without heads a list of names and values; ``filtered`` if readers can filter its rows."""

    title: str
    heads: Sequence[ColumnHead]
    rows: Sequence[Sequence[PageCell]]
    about: str = ""
    notes: Sequence[str] = ()
    filtered: bool = False


@dataclass(frozen=True)
class ReportPage:
    """The content of a page.

    Attributes:
        title: of the page.
        about: one line about its content.
        methods: all recipes.
        cases: all photographs.
        overview: tables over all cases.
        charts: over all cases.
        records: tables of single results.
        facts: tables of timings and environment.
        remarks: what could not be shown, and why.
    """

    title: str
    about: str
    methods: Sequence[Method]
    cases: Sequence[CaseSection]
    overview: Sequence[PageTable] = ()
    charts: Sequence[Chart] = ()
    records: Sequence[PageTable] = ()
    facts: Sequence[PageTable] = ()
    remarks: Sequence[str] = ()

    def pictures(self) -> list[Picture]:
        """All pictures, each once."""
        return list(dict.fromkeys(picture for case in self.cases for picture in case.pictures()))


def joined_pages(pages: Sequence[ReportPage]) -> ReportPage:
    """One page with the content of several, whose cases and looks are numbered consecutively."""
    title = ", ".join(dict.fromkeys(page.title for page in pages))
    parts = [field.name for field in fields(ReportPage) if field.name not in ("title", "about")]
    content: dict[str, Any] = {part: [each for page in pages for each in getattr(page, part)] for part in parts}
    return ReportPage(title=title, about="; ".join(page.about for page in pages), **content)


def cell_of(value: Any, digits: int | None = None) -> PageCell:
    """A cell with a value; a dash for None and NaN.

    >>> cell_of(3.14159, 2).text, cell_of("finished").text
    ('3.14', 'finished')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return PageCell(DASH)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return PageCell(str(value))
    if math.isinf(value):
        return PageCell("∞" if value > 0 else "-∞", value)
    text = f"{value:.{digits}f}" if digits is not None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return PageCell(text, float(value))


def page_table(title: str, columns: Mapping[str, int | None], rows: Sequence[Sequence[Any]]) -> PageTable:
    """A table without its empty columns.

    Args:
        title: of the table.
        columns: the decimals of each column of numbers, None for a column of texts, by the column's head.
        rows: a value, or a `PageCell`, for each column.
    """
    decimals = list(columns.values())
    cells = [
        [v if isinstance(v, PageCell) else cell_of(v, digits) for v, digits in zip(row, decimals, strict=True)]
        for row in rows
    ]
    used = [place for place in range(len(columns)) if any(row[place].text != DASH for row in cells)]
    heads = [ColumnHead(head, digits is not None) for head, digits in columns.items()]
    return PageTable(title, [heads[place] for place in used], [[row[place] for place in used] for row in cells])


def facts_table(title: str, rows: Iterable[tuple[str, Any]]) -> PageTable:
    """A list of names and values, without empty values."""
    return PageTable(title, (), [(PageCell(n), PageCell(str(v))) for n, v in rows if v not in (None, "")])


def method_of(name: str, look: int, document: Any) -> Method:
    """The method of a resolved recipe.

    Args:
        name: in the page.
        look: number of its colour and dash.
        document: the recipe as in result.json.
    """
    recipe: dict[str, Any] = document if isinstance(document, dict) else {}
    title, source, notes = (str(recipe.get(key) or "") for key in ("title", "source", "notes"))
    text = json.dumps({"recipe": recipe}, indent=2, ensure_ascii=False) if recipe else ""
    return Method(name, look, title, source, notes, text)
