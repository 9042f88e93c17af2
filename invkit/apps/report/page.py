"""The content of a page, before it is written: cases with results, tables, charts, methods."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from .charts import Chart
from .pictures import Picture

__all__ = [
    "CaseSection",
    "ColumnHead",
    "Evolution",
    "KernelRow",
    "KernelTile",
    "Method",
    "PageCell",
    "PageTable",
    "ReportPage",
    "ShownResult",
    "SnapshotFrame",
    "cell_of",
    "facts_table",
    "joined_pages",
    "method_of",
    "table_with",
]

DASH = "–"  # noqa: RUF001  an empty cell


@dataclass(frozen=True)
class Method:
    """A recipe as it was run.

    Attributes:
        name: short, unique in the page.
        look: number of its colour and dash.
        title: of the recipe.
        source: citation of the recipe.
        notes: of the recipe.
        recipe: the resolved recipe as JSON for ``--recipe``, or an empty text.
    """

    name: str
    look: int
    title: str = ""
    source: str = ""
    notes: str = ""
    recipe: str = ""


@dataclass(frozen=True)
class SnapshotFrame:
    """A snapshot: its time, a remark, image and kernel."""

    when: str
    about: str
    image: Picture
    kernel: Picture | None = None


@dataclass(frozen=True)
class Evolution:
    """The snapshots of a method's result."""

    name: str
    frames: tuple[SnapshotFrame, ...]


@dataclass(frozen=True)
class ShownResult:
    """The result of a method: its metrics as text, its image, and remarks (warnings, or the reason for no image)."""

    name: str
    look: int
    about: str
    picture: Picture | None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class KernelTile:
    """A kernel: its method, its size as text, its picture."""

    name: str
    size: str
    picture: Picture


@dataclass(frozen=True)
class KernelRow:
    """Kernels side by side; black is ``low``, white is ``high``."""

    title: str
    tiles: tuple[KernelTile, ...]
    low: float
    high: float


@dataclass(frozen=True)
class CaseSection:
    """A photograph and its results.

    Attributes:
        name: short, for menus.
        before: the input.
        truth: the sharp image, if it is known.
        results: one for each method.
        kernels: each row has one scale.
        charts: of this case.
        evolutions: of the results with snapshots.
        size: width and height of the photograph in pixels, as text.
    """

    name: str
    before: Picture | None
    truth: Picture | None
    results: tuple[ShownResult, ...]
    kernels: tuple[KernelRow, ...] = ()
    charts: tuple[Chart, ...] = ()
    evolutions: tuple[Evolution, ...] = ()
    size: str = ""

    def pictures(self) -> Iterator[Picture]:
        """All pictures."""
        found = [self.before, *(result.picture for result in self.results), self.truth]
        found += [tile.picture for row in self.kernels for tile in row.tiles]
        found += [each for one in self.evolutions for frame in one.frames for each in (frame.image, frame.kernel)]
        return (picture for picture in found if picture is not None)


@dataclass(frozen=True)
class ColumnHead:
    """The head of a column; numbers are aligned to the right."""

    text: str
    numeric: bool = False


@dataclass(frozen=True)
class PageCell:
    """A text, the number to sort it by, the place of the case that it links to, and whether it is the best."""

    text: str
    value: float | None = None
    case: int | None = None
    bold: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table; without heads a list of names and values; ``filtered`` if readers can filter its rows."""

    title: str
    heads: tuple[ColumnHead, ...]
    rows: tuple[tuple[PageCell, ...], ...]
    about: str = ""
    notes: tuple[str, ...] = ()
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
    methods: tuple[Method, ...]
    cases: tuple[CaseSection, ...]
    overview: tuple[PageTable, ...] = ()
    charts: tuple[Chart, ...] = ()
    records: tuple[PageTable, ...] = ()
    facts: tuple[PageTable, ...] = ()
    remarks: tuple[str, ...] = ()

    def pictures(self) -> list[Picture]:
        """All pictures, each once."""
        return list(dict.fromkeys(picture for case in self.cases for picture in case.pictures()))


def joined_pages(pages: Sequence[ReportPage]) -> ReportPage:
    """One page with the content of several, whose cases and looks are numbered consecutively."""
    title = ", ".join(dict.fromkeys(page.title for page in pages))
    parts = [field.name for field in fields(ReportPage) if field.name not in ("title", "about")]
    content: dict[str, Any] = {part: tuple(each for page in pages for each in getattr(page, part)) for part in parts}
    return ReportPage(title=title, about="; ".join(page.about for page in pages), **content)


def cell_of(value: Any, digits: int | None = None) -> PageCell:
    """A cell with a value.

    >>> cell_of(3.14159, 2).text, cell_of(None).text, cell_of("finished").text
    ('3.14', '–', 'finished')
    """  # noqa: RUF002  a dash
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return PageCell(DASH)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return PageCell(str(value))
    if math.isinf(value):
        return PageCell("∞" if value > 0 else "-∞", value)
    text = f"{value:.{digits}f}" if digits is not None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return PageCell(text, float(value))


def table_with(
    title: str, heads: Sequence[ColumnHead], rows: Iterable[Sequence[PageCell]], *, filtered: bool = False
) -> PageTable:
    """A table without its empty columns.

    Args:
        title: of the table.
        heads: of the columns.
        rows: one cell for each column.
        filtered: whether readers can filter the rows, if there are several.
    """
    rows = list(rows)
    used = [place for place in range(len(heads)) if any(row[place] != PageCell(DASH) for row in rows)]
    cells = tuple(tuple(row[place] for place in used) for row in rows)
    return PageTable(title, tuple(heads[place] for place in used), cells, filtered=filtered and len(rows) > 1)


def facts_table(title: str, rows: Iterable[tuple[str, Any]]) -> PageTable:
    """A list of names and values, without empty values."""
    known = [(PageCell(name), PageCell(str(value))) for name, value in rows if value not in (None, "")]
    return PageTable(title, (), tuple(known))


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
