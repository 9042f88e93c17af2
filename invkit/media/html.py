"""Frames and tables in HTML for notebooks: no scripts, files or colours of their own."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["MUTED", "card_html", "table_html"]

BORDER = "1px solid rgba(127,127,127,.35)"  # visible on white and on black
CARD = f"border:{BORDER};border-radius:6px;padding:.7em 1em;display:inline-block;max-width:100%;text-align:left"
MUTED = "opacity:.7;font-size:90%"
CELL = f"text-align:left;vertical-align:top;padding:.15em 1em .15em 0;border:0;border-top:{BORDER};background:none"


def card_html(title: str, subtitle: str, body: str, rows: Iterable[tuple[str, str]]) -> str:
    """A frame with a heading, a body and a table.

    Args:
        title: text.
        subtitle: text, may be empty.
        body: HTML.
        rows: pairs of texts.
    """
    head = f"<b>{escape(title)}</b>" + (f" <span>{escape(subtitle)}</span>" if subtitle else "")
    return f'<div style="{CARD}"><div>{head}</div>{body}{table_html(rows)}</div>'


def table_html(rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and texts; empty without rows."""
    lines = "".join(
        f'<tr><td style="{CELL};opacity:.7">{escape(name)}</td><td style="{CELL}">{escape(text)}</td></tr>'
        for name, text in rows
    )
    return f'<table style="margin:.4em 0 0;border-collapse:collapse">{lines}</table>' if lines else ""
