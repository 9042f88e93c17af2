"""How much memory a solve takes."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .problem import Problem

__all__ = ["StatesMemory", "memory_needed"]


class StatesMemory(ABC):
    """The ability of a solver to say how much memory a solve takes, which depends on more than the image's prior.

    Attributes:
        memory_remedy: what a user can set if that is too much, to follow "crop the image, or".
    """

    memory_remedy: str

    @abstractmethod
    def memory_needed(self, problem: Problem) -> int:
        """Return about how many bytes a solve takes besides the problem itself."""


def memory_needed(solver: object, problem: Problem) -> int:
    """About the bytes that a solve takes besides the problem: as the solver says, or else the image prior."""
    return solver.memory_needed(problem) if isinstance(solver, StatesMemory) else problem.image_prior.memory_needed()
