"""The toolkit in one picture: the terms of its sentence with their components, and the order of the folders."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape

from invkit.core import registry

__all__ = ["house_picture"]

WIDTH, TOP, HEIGHT = 1000, 48, 716
LINE_HEIGHT, CHARACTER_WIDTH = 16, 6.6  # of names, pixels
ABOUT = (
    "Image prior and kernel prior give x and k. The forward operator computes A(x, k). The fidelity compares A(x, k) "
    "with the data. Regularizers add penalties. The solver changes the unknowns of both priors. A recipe names all of "
    "these components."
)


@dataclass(frozen=True)
class Box:
    """A term of the sentence, with the components of its family.

    Attributes:
        family: of the registry.
        term: its name in the sentence.
        gives: its value, in the letters of the sentence.
        x: left, pixels.
        y: top, pixels.
        width: pixels.
        height: pixels.
    """

    family: str
    term: str
    gives: str
    x: int
    y: int
    width: int
    height: int

    def drawn(self, root: str) -> str:
        """A rectangle that links to the family on the components page."""
        names = textwrap.wrap(
            ", ".join(registry.names(self.family)), int((self.width - 24) / CHARACTER_WIDTH), break_on_hyphens=False
        )
        parts = [
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="8"/>',
            text(self.x + 12, self.y + 25, self.term, "heading"),
            text(self.x + self.width - 12, self.y + 25, self.gives, "gives"),
            *(text(self.x + 12, self.y + 48 + LINE_HEIGHT * row, line) for row, line in enumerate(names)),
        ]
        return f'<a href="{root}{page_of(self.family)}">{"".join(parts)}</a>'


def page_of(family: str) -> str:
    """The page that lists a family."""
    place = "recipes.html" if family == "recipes" else f"components.html#components-{family.replace('_', '-')}"
    return f"generated/{place}"


def text(x: int, y: int, content: str, kind: str = "names") -> str:
    """One line of text at a point, in a class of the style sheet."""
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(content)}</text>'


BOXES = (
    Box("image_priors", "image prior", "x", 20, 60, 240, 112),
    Box("kernel_priors", "kernel prior", "k", 20, 212, 240, 180),
    Box("operators", "forward operator", "A(x, k)", 330, 228, 230, 160),
    Box("regularizers", "regularizers", "Σ λᵢ Rᵢ", 640, 60, 340, 160),
    Box("fidelities", "fidelity", "A(x, k) ≈ y ?", 640, 228, 200, 84),
    Box("solvers", "solver", "minimises their sum", 330, 412, 510, 144),
)
# path of an arrow; its label, and the point of the label
ARROWS = (
    ("M260 100 H640", "x", 440, 92),
    ("M260 140 H445 V228", "", 0, 0),
    ("M260 292 H330", "k", 290, 284),
    ("M560 262 H640", "A(x, k)", 568, 254),
    ("M900 262 H840", "y", 868, 254),
    ("M740 312 V412", "", 0, 0),
    ("M980 116 H992 V478 H840", "", 0, 0),
    ("M330 476 H140 V392", "changes the unknowns", 150, 468),
    ("M140 476 H8 V116 H20", "", 0, 0),
)
# heading and families of each column below the sentence
COLUMNS = (
    ("Steps of classical solvers", ("edge_selection", "kernel_estimation", "kernel_postprocessing")),
    ("Methods", ("recipes", "no_reference_metrics")),
    ("Benchmarks", ("datasets", "metrics")),
    ("During a solve", ("observers",)),
)
# folders from high to low; "components" stands for the folders of the boxes, metrics and datasets
LEVELS = (
    ("apps",),
    ("benchmark",),
    ("pipeline",),
    ("recipes", "testing"),
    ("components",),
    ("media",),
    ("core",),
    ("networks", "numerics"),
)


def house_picture(root: str = "") -> str:
    """The picture as SVG, to be included in a page, whose style sheet sets the colours.

    Args:
        root: path from the page to the front page of the documentation, empty or ending in a slash.
    """
    drawn = [*(box.drawn(root) for box in BOXES), data_box(), *map(arrow, ARROWS), *columns(root), *levels()]
    head = f'<svg class="house" viewBox="0 {TOP} {WIDTH} {HEIGHT}" role="group" aria-label="{escape(ABOUT)}">'
    return f'<div class="house-frame">{head}{TIP}{"".join(drawn)}</svg></div>\n'


TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path class="tip" d="M0 0 L8 4 L0 8 Z"/></marker></defs>'
)


def data_box() -> str:
    """The box of the measurement, which is no component."""
    return (
        '<rect class="data" x="900" y="236" width="80" height="52" rx="8"/>'
        + text(940, 258, "data", "centred heading")
        + text(940, 277, "your photo", "centred names")
    )


def arrow(drawn: tuple[str, str, int, int]) -> str:
    """An arrow with its label."""
    path, label, x, y = drawn
    return f'<path class="arrow" d="{path}" marker-end="url(#tip)"/>' + (text(x, y, label, "on-arrow") if label else "")


def columns(root: str) -> list[str]:
    """The families outside the sentence, with links, below a rule."""
    parts = ['<path class="rule" d="M20 566 H980"/>']
    for column, (heading, families) in enumerate(COLUMNS):
        x = 20 + 250 * column
        parts.append(text(x, 594, heading, "heading"))
        for row, family in enumerate(families):
            label = f"{family.replace('_', ' ')} ({len(registry.names(family))})"
            parts.append(f'<a href="{root}{page_of(family)}">{text(x, 616 + 18 * row, label, "names link")}</a>')
    return parts


def levels() -> list[str]:
    """The folders of the package in the order of their imports, below a second rule."""
    heading = "Folders: each imports only from those on its right (components: the boxes above, metrics, datasets)"
    parts = ['<path class="rule" d="M20 672 H980"/>', text(20, 698, heading, "heading")]
    step, width = 960 // len(LEVELS), 960 // len(LEVELS) - 20
    for index, folders in enumerate(LEVELS):
        x, y = 20 + step * index, 741 if len(folders) == 1 else 732
        parts.append(f'<rect x="{x}" y="714" width="{width}" height="44" rx="8"/>')
        parts += [text(x + width // 2, y + 17 * row, name, "centred names") for row, name in enumerate(folders)]
        if index:
            parts.append(f'<path class="arrow" d="M{x - 20} 736 H{x}" marker-end="url(#tip)"/>')
    return parts
