"""Observers by name: who watches a restoration from the command line, as ``--observe tensorboard:every=5``."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.parameters import reason
from ..core.problem import Problem
from ..core.solver import Observer, State, StopReason
from ..recipes.model import ComponentSpec, check_component
from ..recipes.toml import toml_value

__all__ = ["Guarded", "observers_of", "read_observer"]

OPTION = "--observe"
NEXT = r",(?=\s*\w+\s*=)"  # a comma before another key, and none inside a list


def observers_of(texts: Sequence[str], folder: Path, seed: int) -> list[Observer]:
    """The observers that are asked for, built; a failure of one while it watches does not end the solve.

    Args:
        texts: as ``name`` or ``name:key=value,key=value``.
        folder: of the run, to which they may write.
        seed: of every random number, where one has any.

    Raises:
        InputError: a text is not of that form.
        UnknownNameError, PluginError: as `registry.load`.
        RecipeError: a parameter is unknown or of the wrong type or range.
    """
    built: list[Observer] = []
    for spec in map(read_observer, texts):
        checked = check_component(spec.name, Observer.family, spec, seed, OPTION)
        built.append(Guarded(spec.name, checked.build({"folder": folder})))
    return built


def read_observer(text: str) -> ComponentSpec:
    """``name``, ``distribution:name`` or either with ``:key=value,...``, each value as TOML or a plain word.

    Raises:
        InputError: it is not of that form.
    """
    before, equals, _ = text.partition("=")
    name, colon, key = before.rpartition(":") if equals else (before, "", "")
    if not name.strip() or (equals and not (colon and key.strip())):
        raise InputError(f"{OPTION} takes NAME or NAME:KEY=VALUE,KEY=VALUE, as snapshots:every=10; got '{text}'")
    pairs = [setting.partition("=") for setting in re.split(NEXT, text[len(name) + 1 :])] if equals else []
    return ComponentSpec(name=name.strip(), params={k.strip(): toml_value(v.strip()) for k, _, v in pairs})


class Guarded(Observer):
    """Another observer, which is left out from its first failure on, with a warning: hours of a solve are worth more.

    Args:
        name: what it was asked for by.
        inner: the observer.
    """

    def __init__(self, name: str, inner: Observer) -> None:
        self.name, self.inner, self.failed = name, inner, False

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """As the other."""
        self._tell(self.inner.started, problem, state, iterations)

    def stepped(self, problem: Problem, state: State) -> None:
        """As the other."""
        self._tell(self.inner.stepped, problem, state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """As the other."""
        self._tell(self.inner.stopped, problem, state, reason)

    def _tell(self, what: Callable[..., None], *told: Any) -> None:
        if self.failed:
            return
        try:
            what(*told)
        except Exception as error:  # a plugin may fail in any way
            self.failed = True
            warnings.warn(
                f"the observer '{self.name}' has failed ({reason(error)}); the solve goes on without it",
                RuntimeWarning,
                stacklevel=2,
            )
