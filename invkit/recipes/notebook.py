"""Recipes as a small piece of HTML for notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from ..core.nested import ComponentSpec
from ..media.html import MUTED, card_html, table_html

__all__ = ["recipe_html"]


def recipe_html(
    heading: str, title: str, source: str, notes: str, parts: Iterable[tuple[str, Iterable[tuple[str, ComponentSpec]]]]
) -> str:
    """A recipe with its components and the parameters that it sets.

    Args:
        heading: the recipe's name.
        title: one line.
        source: a citation, or an empty text.
        notes: shown on request, or an empty text.
        parts: the components of the recipe by place, under an empty heading; those of its candidates and of the next
            recipe, each under a heading that folds them.
    """
    citation = f'<div style="{MUTED}">{escape(source)}</div>' if source else ""
    folded = f"<details><summary>notes</summary>{escape(notes)}</details>" if notes else ""
    return card_html(f"Recipe {heading}", title, citation + folded + "".join(part_html(*part) for part in parts), ())


def part_html(heading: str, components: Iterable[tuple[str, ComponentSpec]]) -> str:
    """The components of one part, folded if it has a heading."""
    rows = table_html((place, f"{weight_text(spec)}{value_text(spec.model_dump())}") for place, spec in components)
    return f"<details><summary>{escape(heading)}</summary>{rows}</details>" if heading else rows


def weight_text(spec: ComponentSpec) -> str:
    """The weight of a regularizer and its factor, as ``0.01 data-size ·``; empty for other components."""
    changed = spec.model_dump(exclude_defaults=True)
    factors = [
        f"{changed[key]:g}" if key == "weight" else changed[key] for key in ("weight", "scale_by") if key in changed
    ]
    return " ".join([*factors, "· "]) if factors else ""


def value_text(value: Any) -> str:
    """A parameter's value; a component as ``name(parameter=value, ...)``."""
    if isinstance(value, Mapping) and "name" in value:
        inside = ", ".join(f"{key}={value_text(each)}" for key, each in (value.get("params") or {}).items())
        return f"{value['name']}({inside})" if inside else str(value["name"])
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    return json.dumps(value) if isinstance(value, bool | int | float | None) else str(value)
