"""Markdown tables, and the committed results that they show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def committed(file: Path) -> dict[str, Any] | None:
    """The content of a JSON file of results; None if it is not committed."""
    found: dict[str, Any] | None = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    return found


def row_table(rows: Sequence[dict[str, Any]], left_out: Sequence[str] = ()) -> str:
    """A Markdown table of the rows of a result.

    Args:
        rows: the figures by their names, the same names in each row.
        left_out: names that the table does not show.
    """
    shown = [name for name in rows[0] if name not in left_out]
    cells = [[row[name] for name in shown] for row in rows]
    return table(shown, [[f"{one:g}" if isinstance(one, int | float) else str(one) for one in line] for line in cells])


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; bars inside cells are escaped, because they would end the cell."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
