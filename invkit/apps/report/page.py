"""What a page shows, before anything is written: cases with their results, tables, charts, recipes, environment."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .charts import Chart
from .kernels import KernelRow
from .pictures import Picture

__all__ = [
    "Case",
    "Cell",
    "Evolution",
    "Frame",
    "Head",
    "Method",
    "Page",
    "Shown",
    "Table",
    "cell",
    "joined",
    "listed",
    "method_of",
]

NONE = "–"  # noqa: RUF001  a dash, as tables have it


@dataclass(frozen=True)
class Method:
    """A recipe as it was run.

    Attributes:
        name: short, unique in the page.
        look: index of its colour and kind of line.
        title: of the recipe.
        source: its citation.
        notes: its own.
        recipe: the resolved recipe as JSON that ``--recipe`` takes, or an empty text.
    """

    name: str
    look: int
    title: str = ""
    source: str = ""
    notes: str = ""
    recipe: str = ""


@dataclass(frozen=True)
class Frame:
    """A snapshot: when it was taken, what is known of it, image and kernel."""

    when: str
    about: str
    image: Picture
    kernel: Picture | None = None


@dataclass(frozen=True)
class Evolution:
    """How a result came about; ``name`` is that of its method."""

    name: str
    frames: tuple[Frame, ...]


@dataclass(frozen=True)
class Shown:
    """A result beside others of the same case: its method's name and look, its figures in words, its picture.

    ``remarks`` is what must be said of it: that it is doubtful, or why there is no picture.
    """

    name: str
    look: int
    about: str
    picture: Picture | None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A photograph, and what methods made of it.

    Attributes:
        name: short, as it stands in menus.
        before: what was restored.
        truth: the sharp picture, where it is known.
        results: one for each method.
        kernels: rows of kernels, each row on one scale.
        charts: of this case alone.
        evolutions: of those results that have snapshots.
        size: width and height of the photograph, pixels, in words.
    """

    name: str
    before: Picture | None
    truth: Picture | None
    results: tuple[Shown, ...]
    kernels: tuple[KernelRow, ...] = ()
    charts: tuple[Chart, ...] = ()
    evolutions: tuple[Evolution, ...] = ()
    size: str = ""

    def pictures(self) -> Iterator[Picture]:
        """All that it shows."""
        some = [self.before, *(each.picture for each in self.results), self.truth]
        yield from (picture for picture in some if picture is not None)
        yield from (tile.picture for row in self.kernels for tile in row.tiles)
        for frame in (frame for evolution in self.evolutions for frame in evolution.frames):
            yield frame.image
            if frame.kernel is not None:
                yield frame.kernel


@dataclass(frozen=True)
class Head:
    """The head of a column; of numbers, which are to the right, or of words."""

    text: str
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """A text, the number by which it is sorted, the case it leads to (its place in the page), whether it is best."""

    text: str
    value: float | None = None
    case: int | None = None
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table; without heads a list of names and values; ``filtered`` where it is long enough to be searched."""

    title: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    about: str = ""
    notes: tuple[str, ...] = ()
    filtered: bool = False


@dataclass(frozen=True)
class Page:
    """All of a page.

    Attributes:
        title: of the page, or of what it is joined from.
        about: one line of what it is of.
        overview: tables and charts over all cases.
        records: tables of single results.
        facts: tables of how they were made: timings, environment.
        remarks: what could not be shown, and why.
    """

    title: str
    about: str
    methods: tuple[Method, ...]
    cases: tuple[Case, ...]
    overview: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    records: tuple[Table, ...] = ()
    facts: tuple[Table, ...] = ()
    remarks: tuple[str, ...] = ()

    def pictures(self) -> list[Picture]:
        """All pictures, each once."""
        return list(dict.fromkeys(picture for case in self.cases for picture in case.pictures()))


def joined(pages: Sequence[Page]) -> Page:
    """One page of several; the places of cases must have been counted through."""
    return Page(
        title=", ".join(dict.fromkeys(page.title for page in pages)),
        about="; ".join(page.about for page in pages),
        methods=tuple(method for page in pages for method in page.methods),
        cases=tuple(case for page in pages for case in page.cases),
        overview=tuple(table for page in pages for table in page.overview),
        charts=tuple(chart for page in pages for chart in page.charts),
        records=tuple(table for page in pages for table in page.records),
        facts=tuple(table for page in pages for table in page.facts),
        remarks=tuple(remark for page in pages for remark in page.remarks),
    )


def cell(value: Any, digits: int | None = None, case: int | None = None) -> Cell:
    """A cell of anything: numbers to so many digits, nothing as a dash, the rest as text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Cell(NONE)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(str(value), case=case)
    if math.isinf(value):
        return Cell("∞" if value > 0 else "-∞", value, case)
    text = f"{value:.{digits}f}" if digits is not None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return Cell(text, float(value), case)


def listed(title: str, rows: Iterable[tuple[str, Any]]) -> Table:
    """A table of facts, a line each, without those that are not known."""
    known = [(Cell(name), Cell(str(value))) for name, value in rows if value not in (None, "")]
    return Table(title, (), tuple(known))


def recipe_json(document: Mapping[str, Any]) -> str:
    """A resolved recipe as a file for ``--recipe``."""
    return json.dumps({"recipe": document}, indent=2, ensure_ascii=False) if document else ""


def method_of(name: str, look: int, document: Any) -> Method:
    """The method of a resolved recipe, as result.json has it."""
    table: Mapping[str, Any] = document if isinstance(document, dict) else {}
    title, source, notes = (str(table.get(key) or "") for key in ("title", "source", "notes"))
    return Method(name, look, title, source, notes, recipe_json(table))
