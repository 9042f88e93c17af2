"""Tables as Markdown, LaTeX, HTML, and for the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from .tables import Cell, Row, Table

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as Drawn

__all__ = ["as_html", "as_latex", "as_markdown", "as_terminal"]

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"±": r"$\pm$", "≤": r"$\leq$", "∞": r"$\infty$", "†": r"$\dagger$", "‡": r"$\ddagger$", "§": r"\S{}"},
    **{"Δ": r"$\Delta$", "–": "--", "×": r"$\times$", "é": r"\'e"},  # noqa: RUF001  what pdfTeX's fonts lack
}
SPREAD = " ± "
LEAST = 16  # columns of the terminal for the names, which are broken where they are longer
NARROW = "Intervals are left out, as the terminal is narrow; --format md has them."


def as_markdown(title: str, tables: Sequence[Table]) -> str:
    """GitHub's Markdown: a heading, a table and its notes for each."""
    heading = [f"# {markdown(title)}\n"] if title else []
    return "\n".join([*heading, *map(markdown_table, tables)])


def markdown_table(table: Table) -> str:
    """One table; figures are to the right, what was published is in italics."""
    lines = [f"## {markdown(table.title)}", "", f"{markdown(table.about)}.", ""]
    lines += [markdown_row(table.heads), markdown_row(["---", *(["---:"] * (len(table.heads) - 1))], raw=True)]
    for row in table.rows:
        name = markdown(row.name)
        first = (f"*{name}*" if row.published else name) + "".join(f" [{mark}]" for mark in row.marks)
        lines.append(markdown_row([first, *(markdown_cell(cell) for cell in row.cells)], raw=True))
    notes = [markdown(f"[{note.mark}] {note.text}" if note.mark else note.text) for note in table.notes]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def markdown_row(cells: Sequence[str], *, raw: bool = False) -> str:
    """Cells between bars."""
    return f"| {' | '.join(cells if raw else map(markdown, cells))} |"


def markdown_cell(cell: Cell) -> str:
    """A figure, the best in bold."""
    return f"**{cell.text}**" if cell.bold else cell.text


def markdown(text: str) -> str:
    """A text without what Markdown would read as a sign."""
    return re.sub(r"([\\|*_<`])", r"\\\1", text)


def as_latex(title: str, tables: Sequence[Table]) -> str:
    """LaTeX for the package booktabs, a table environment each; the title becomes a comment."""
    heading = [f"% {title}".replace("\n", " ")] if title else []
    return "\n".join([*heading, r"% needs \usepackage{booktabs}", *map(latex_table, tables)])


def latex_table(table: Table) -> str:
    """One table environment with its notes below."""
    measured, published = ([latex_row(row) for row in table.rows if row.published is kind] for kind in (False, True))
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{latex(table.title)} ({latex(table.about)})}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(table.heads) - 1)}}}",
            r"    \toprule",
            f"    {' & '.join(map(latex, table.heads))} \\\\",
            *([r"    \midrule", *measured] if measured else []),
            *([r"    \midrule", *published] if published else []),
            r"    \bottomrule",
            r"  \end{tabular}",
            *latex_notes(table),
            r"\end{table}",
            "",
        ]
    )


def latex_row(row: Row) -> str:
    """A line of a tabular."""
    marks = rf"\textsuperscript{{{','.join(map(latex, row.marks))}}}" if row.marks else ""
    cells = [rf"\textbf{{{latex(cell.text)}}}" if cell.bold else latex(cell.text) for cell in row.cells]
    return f"    {' & '.join([latex(row.name) + marks, *cells])} \\\\"


def latex_notes(table: Table) -> list[str]:
    """The notes as a small paragraph, a line each."""
    if not table.notes:
        return []
    lines = [
        (rf"\textsuperscript{{{latex(note.mark)}}} " if note.mark else "") + latex(note.text) for note in table.notes
    ]
    return [
        r"  \par\smallskip",
        r"  \begin{minipage}{\linewidth}\footnotesize",
        *(f"    {line}\\par" for line in lines),
        r"  \end{minipage}",
    ]


def latex(text: str) -> str:
    """A text without what LaTeX would read as a command, and with its own signs."""
    return "".join(LATEX.get(sign, sign) for sign in text)


def as_html(title: str, tables: Sequence[Table]) -> str:
    """A page that needs nothing else; a click on a column's head sorts by it."""
    from jinja2 import Environment

    source = (files(__package__) / "tables.html.jinja").read_text(encoding="utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    return page.render(title=title or "Benchmark", tables=tables) + "\n"


def as_terminal(title: str, tables: Sequence[Table], width: int = 120) -> Group:
    """For `rich` to print on so many columns; intervals are left out, and that is said, where there is no room."""
    from rich.console import Group
    from rich.markup import escape

    return Group(
        *([f"[bold]{escape(title)}[/bold]\n"] if title else []), *(terminal_table(table, width) for table in tables)
    )


def terminal_table(table: Table, width: int) -> Group:
    """One table with its notes; what was published is dim."""
    from rich.console import Group
    from rich.markup import escape

    drawn, notes = terminal_cells(table, shortened=False), [f"{note.mark} {note.text}".strip() for note in table.notes]
    if any(SPREAD in cell.text for row in table.rows for cell in row.cells) and wide(table) > width:
        drawn = terminal_cells(table, shortened=True)
        notes = [note for note in notes if not note.startswith("±")] + [NARROW]
    about = f"[dim]{escape(table.about)}[/dim]"
    return Group(f"[bold]{escape(table.title)}[/bold]  {about}", drawn, *map(escape, notes), "")


def terminal_cells(table: Table, *, shortened: bool) -> Drawn:
    """The table itself, with the intervals left out where it is to be narrow."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table as Grid

    grid = Grid(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, head in enumerate(table.heads):
        how: Any = {"justify": "right", "no_wrap": True} if place else {"overflow": "fold", "min_width": LEAST}
        grid.add_column(escape(in_lines(head)), **how)
    for row in table.rows:
        texts = [cell.text.partition(SPREAD)[0] if shortened else cell.text for cell in row.cells]
        cells = [f"[bold green]{t}[/bold green]" if c.bold else t for t, c in zip(texts, row.cells, strict=True)]
        grid.add_row(escape(" ".join([row.name, *row.marks])), *cells, style="dim" if row.published else None)
    return grid


def in_lines(head: str) -> str:
    """A column's head on lines as short as its words."""
    return head.replace("-", "-\n").replace(", ", ",\n").replace(" ≤", "\n≤")


def wide(table: Table) -> int:
    """How many columns of the terminal a table takes."""
    lines = [[" ".join([row.name, *row.marks]), *(cell.text for cell in row.cells)] for row in table.rows]
    heads = [max(in_lines(head).split("\n"), key=len) for head in table.heads]
    return sum(2 + max(map(len, column)) for column in zip(heads, *lines, strict=True))
