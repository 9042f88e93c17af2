"""Observers that the command line names, as ``--observe tensorboard:every=5``."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import InputError, one_line
from ..core.files import parse_value
from ..core.nested import ComponentSpec
from ..core.problem import Problem
from ..core.solver import Observer, State, StopReason
from ..recipes.components import check_component

__all__ = ["GuardedObserver", "observers_of", "read_observer"]

OPTION = "--observe"
SEPARATOR = r",(?=\s*\w+\s*=)"  # a comma before a key, but not a comma inside a list


def observers_of(texts: Sequence[str], folder: Path, seed: int) -> list[Observer]:
    """Build observers from texts; an observer that fails during the solve does not end it.

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
        built.append(GuardedObserver(spec.name, checked.build({"folder": folder})))
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


class GuardedObserver(Observer):
    """An observer that is dropped with a warning when it first fails, because it must not cost a solve of hours.

    Args:
        name: name of the observer, for the warning.
        inner: the observer.
    """

    def __init__(self, name: str, inner: Observer) -> None:
        self.name, self.inner, self.failed = name, inner, False

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Call the inner observer, unless it has failed."""
        self._call(self.inner.started, problem, state, iterations)

    def stepped(self, problem: Problem, state: State) -> None:
        """Call the inner observer, unless it has failed."""
        self._call(self.inner.stepped, problem, state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Call the inner observer, unless it has failed."""
        self._call(self.inner.stopped, problem, state, reason)

    def _call(self, method: Callable[..., None], *arguments: Any) -> None:
        if self.failed:
            return
        try:
            method(*arguments)
        except Exception as error:  # a plugin may fail in any way
            self.failed = True
            warnings.warn(
                f"the observer '{self.name}' has failed ({one_line(error)}); the solve continues without it",
                RuntimeWarning,
                stacklevel=2,
            )
