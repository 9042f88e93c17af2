"""The house in one picture: the words of the sentence as boxes, and in each the names that may stand there."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape

from invkit.core import registry

__all__ = ["house_picture"]

WIDTH, TOP, HEIGHT = 1000, 48, 616
LINE, CHARACTER = 16, 6.6  # pixels between lines of names, and of one character of them
ABOUT = (
    "Image prior and kernel prior give x and k; the forward operator makes of them what the fidelity compares with the "
    "data; regularizers add penalties; the solver moves the unknowns of both priors; a recipe names them all."
)


@dataclass(frozen=True)
class Box:
    """A word of the sentence, with what may stand there.

    Attributes:
        family: of the registry.
        word: as it is called in the sentence.
        gives: what it gives, in the sentence's letters.
        x: left, pixels.
        y: top, pixels.
        width: pixels.
        height: pixels.
    """

    family: str
    word: str
    gives: str
    x: int
    y: int
    width: int
    height: int

    def drawn(self, root: str) -> str:
        """A rectangle that leads to the family's part of the components page."""
        # a name is not parted at its hyphens
        names = textwrap.wrap(
            ", ".join(registry.names(self.family)), int((self.width - 24) / CHARACTER), break_on_hyphens=False
        )
        parts = [
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="8"/>',
            text(self.x + 12, self.y + 25, self.word, "word"),
            text(self.x + self.width - 12, self.y + 25, self.gives, "gives"),
            *(text(self.x + 12, self.y + 48 + LINE * row, line) for row, line in enumerate(names)),
        ]
        return f'<a href="{root}{page_of(self.family)}">{"".join(parts)}</a>'


def page_of(family: str) -> str:
    """Where a family is listed."""
    place = "recipes.html" if family == "recipes" else f"components.html#components-{family.replace('_', '-')}"
    return f"generated/{place}"


def text(x: int, y: int, words: str, kind: str = "names") -> str:
    """One line."""
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(words)}</text>'


BOXES = (
    Box("image_priors", "image prior", "x", 20, 60, 240, 112),
    Box("kernel_priors", "kernel prior", "k", 20, 212, 240, 164),
    Box("operators", "forward operator", "A(x, k)", 330, 228, 230, 128),
    Box("regularizers", "regularizers", "Σ λᵢ Rᵢ", 640, 60, 340, 112),
    Box("fidelities", "fidelity", "A(x, k) ≈ y ?", 640, 228, 200, 66),
    Box("solvers", "solver", "minimises their sum", 330, 428, 510, 98),
)
# from, over, to; what stands beside an arrow, and where
ARROWS = (
    ("M260 100 H640", "x", 440, 92),
    ("M260 140 H445 V228", "", 0, 0),
    ("M260 292 H330", "k", 290, 284),
    ("M560 262 H640", "A(x, k)", 568, 254),
    ("M900 262 H840", "y", 868, 254),
    ("M740 294 V428", "", 0, 0),
    ("M980 116 H992 V478 H840", "", 0, 0),
    ("M330 476 H140 V376", "moves the unknowns", 150, 468),
    ("M140 476 H8 V116 H20", "", 0, 0),
)
# heading; then families with what they are
SHELVES = (
    ("A classical solver holds", ("edge_selection", "kernel_estimation", "kernel_postprocessing")),
    ("A recipe names it all", ("recipes", "no_reference_metrics")),
    ("A benchmark compares", ("datasets", "metrics")),
    ("An observer watches", ("observers",)),
)


def house_picture(root: str = "") -> str:
    """The picture as SVG, to be placed inside a page, whose colours it takes.

    Args:
        root: way from the page to the documentation's front page, empty or ending in a slash.
    """
    drawn = [*(box.drawn(root) for box in BOXES), data_box(), *map(arrow, ARROWS), *shelves(root)]
    head = f'<svg class="house" viewBox="0 {TOP} {WIDTH} {HEIGHT}" role="group" aria-label="{escape(ABOUT)}">'
    return f'<div class="house-frame">{head}{TIP}{"".join(drawn)}</svg></div>\n'


TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path class="tip" d="M0 0 L8 4 L0 8 Z"/></marker></defs>'
)


def data_box() -> str:
    """The measurement, which is no component."""
    return (
        '<rect class="data" x="900" y="236" width="80" height="52" rx="8"/>'
        + text(940, 258, "data", "centred word")
        + text(940, 277, "your photo", "centred names")
    )


def arrow(drawn: tuple[str, str, int, int]) -> str:
    """A line with a tip, and its letter."""
    path, words, x, y = drawn
    return f'<path class="arrow" d="{path}" marker-end="url(#tip)"/>' + (text(x, y, words, "on-arrow") if words else "")


def shelves(root: str) -> list[str]:
    """What stands around the sentence, a column each."""
    parts = ['<path class="rule" d="M20 566 H980"/>']
    for column, (heading, families) in enumerate(SHELVES):
        x = 20 + 250 * column
        parts.append(text(x, 594, heading, "word"))
        for row, family in enumerate(families):
            count = len(registry.names(family))
            words = f"{family.replace('_', ' ')} ({count})"
            parts.append(f'<a href="{root}{page_of(family)}">{text(x, 616 + 18 * row, words, "names link")}</a>')
    return parts
