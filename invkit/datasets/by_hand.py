"""Sets that no script can fetch alone."""

from __future__ import annotations

from typing import ClassVar

from ..core.interfaces import Downloadable

__all__ = ["ByHand"]


class ByHand(Downloadable):
    """A set of which some files have no address that a script could fetch: their `Source` has an empty ``url``.

    Attributes:
        instructions: how to get those files by hand, in sentences.
    """

    instructions: ClassVar[str]
