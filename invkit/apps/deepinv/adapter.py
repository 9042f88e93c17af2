"""deepinv's physics, priors and denoisers as components by their class names, as ``deepinv:Blur``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...core.registry import Adapter
from .calls import physics_classes
from .operators import operator_class
from .regularizers import regularizer_class, regularizer_names

__all__ = ["DeepinvAdapter"]

OFFERS: Mapping[str, tuple[Callable[[], Sequence[str]], Callable[[str], Any]]] = {
    "operators": (lambda: sorted(physics_classes()), operator_class),
    "regularizers": (regularizer_names, regularizer_class),
}
"""By family, the names that there are and what makes the component of one."""


class DeepinvAdapter(Adapter):
    """deepinv's linear physics as operators, its priors and denoisers as regularizers, by their class names.

    Their parameters are the arguments of deepinv's classes that a recipe can hold; a tensor stands there as nested
    lists or as the name of an .npy file.
    """

    def names(self, family: str) -> Sequence[str]:
        """Deepinv's class names."""
        return OFFERS[family][0]() if family in OFFERS else []

    def component(self, family: str, name: str) -> Any:
        """The component of one of deepinv's classes; raises `PluginError` where that can be none."""
        return OFFERS[family][1](name)
