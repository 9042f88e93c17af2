"""How sure a method is of its estimate: posterior variances in a state and in a result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

__all__ = ["GRADIENTS", "KERNEL", "Uncertain", "variances_of"]

KERNEL, GRADIENTS = "kernel", "gradients"  # the names of the variances


class Uncertain(ABC):
    """The ability of a state to give posterior variances: it holds a distribution, not only its most likely value."""

    @abstractmethod
    def variances(self) -> Mapping[str, Tensor]:
        """Return posterior variances by name, >= 0, in squares of the values' units.

        - `KERNEL`: of the entries of the kernel that `State.estimate` gives, (B, 1, h, w);
        - `GRADIENTS`: of the first differences of the latent image at the pixels of the data, (B, 2 C, H, W): those
          down of every channel, then those along.

        A state may give one of them, or none before its first step.
        """


def variances_of(state: object) -> dict[str, Tensor]:
    """The posterior variances of a state, on the CPU; empty if it has none."""
    found = state.variances() if isinstance(state, Uncertain) else {}
    return {name: value.detach().cpu() for name, value in found.items()}
