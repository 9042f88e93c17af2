"""Observers that the command line names, as ``--observe tensorboard:every=5``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import InputError
from ..core.files import parse_value
from ..core.nested import ComponentSpec
from ..core.solver import Observer
from ..recipes.components import check_component

__all__ = ["observers_of", "read_observer"]

OPTION = "--observe"
SEPARATOR = r",(?=\s*\w+\s*=)"  # a comma before a key, but not a comma inside a list


def observers_of(texts: Sequence[str], folder: Path, seed: int) -> list[Observer]:
    """Build observers from texts.

    Args:
        texts: each ``name`` or ``name:key=value,key=value``.
        folder: the run's folder, to which observers may write.
        seed: of the observers' random numbers.

    Raises:
        InputError: a text has another form.
        UnknownNameError, PluginError: as `registry.load`.
        RecipeError: a parameter is unknown or of the wrong type or range.
    """
    built: list[Observer] = []
    for spec in map(read_observer, texts):
        checked = check_component(spec.name, Observer.family, spec, seed, OPTION)
        built.append(checked.build({"folder": folder}))
    return built


def read_observer(text: str) -> ComponentSpec:
    """Parse ``name`` or ``distribution:name``, with or without ``:key=value,...``; a value is TOML or a plain string.

    Raises:
        InputError: the text has another form.

    Example:
        >>> read_observer("snapshots:every=5").params
        {'every': 5}
    """
    before, equals, _ = text.partition("=")
    name, colon, key = before.rpartition(":") if equals else (before, "", "")
    if not name.strip() or (equals and not (colon and key.strip())):
        raise InputError(f"{OPTION} needs NAME or NAME:KEY=VALUE,KEY=VALUE, as snapshots:every=10; got '{text}'")
    pairs = [setting.partition("=") for setting in re.split(SEPARATOR, text[len(name) + 1 :])] if equals else []
    return ComponentSpec(name=name.strip(), params={k.strip(): parse_value(v.strip()) for k, _, v in pairs})
