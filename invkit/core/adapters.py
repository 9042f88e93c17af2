"""How what another library has becomes components, without an entry point for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from .nested import Component

__all__ = ["Adapter"]


class Adapter(Component, ABC):
    """What another library has, as components: registered by a prefix, ``prefix:Name`` stands for a part of it.

    A distribution registers it in the group ``invkit.adapters``, as components are in theirs; the prefix should be the
    name of the library's distribution. A recipe may then say ``operator = "prefix:Name"``. It is built without
    arguments whenever it is asked.
    """

    family: ClassVar[str] = "adapters"

    @abstractmethod
    def names(self, family: str) -> Sequence[str]:
        """What the library has for a family, by its own names, none for most families; may import the library."""

    @abstractmethod
    def component(self, family: str, name: str) -> Any:
        """The component class of one of `names`, at every call the same.

        Raises:
            InvkitError: it cannot be one, and why.
        """
