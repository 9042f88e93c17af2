"""A candidate after its solve, with the kernels that its stages found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch

from ..core.result import Result
from .selection import ComparedKernel
from .stages import Stage

__all__ = ["KernelPlace", "SolvedCandidate", "compared_kernels"]

KernelPlace: TypeAlias = tuple[int, int]
"""The index of a candidate, and the number of the stage that found the kernel."""


@dataclass(frozen=True)
class SolvedCandidate:
    """A candidate and the kernels it led to.

    Attributes:
        stages: its own that find a kernel, and the stages that follow except the last.
        solved: their results; None for stages that were skipped.
        restorations: by the referee, with the kernel of each of these stages that has a new one; none if nothing is
            compared, or if there was no time.
        facts: the entries of a candidate that has candidates itself.
        seconds: all of it together.
    """

    stages: Sequence[Stage]
    solved: Sequence[Result | None]
    restorations: Mapping[int, Result]
    facts: Mapping[str, Any]
    seconds: float

    @property
    def last(self) -> int:
        """The number of the last stage that was not skipped."""
        return max(number for number, result in enumerate(self.solved) if result)

    def accepted(self, number: int) -> list[Result | None]:
        """The results of the stages with the kernel of one of them in all later ones."""
        chosen = self.solved[number]
        assert chosen is not None
        later = [
            one and replace(one, kernel=chosen.kernel, details={**one.details, "accepted": False})
            for one in self.solved[number + 1 :]
        ]
        return [*self.solved[: number + 1], *later]

    def entry(self, scores: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
        """The entry in the result's details, with the scores of the best kernel and the stage that found it.

        Args:
            scores: of each kernel, by the number of its stage.
        """
        number = min(scores, key=lambda key: scores[key].get("sum", 0.0)) if scores else self.last
        rounded = {name: round(value, 5) for name, value in scores.get(number, {}).items()}
        stage = self.stages[number].recipe.name
        return {"seconds": round(self.seconds, 3), "kernel_of": stage, "scores": rounded, **self.facts}


def compared_kernels(
    done: Mapping[int, SolvedCandidate], scores: Mapping[KernelPlace, Mapping[str, float]]
) -> list[ComparedKernel]:
    """The kernels that have a score.

    Args:
        done: the candidates that gave kernels, by index.
        scores: by place.
    """
    found = [(done[index].solved[number], each["sum"]) for (index, number), each in scores.items() if "sum" in each]
    return [ComparedKernel(torch.as_tensor(one.kernel), score) for one, score in found if one is not None]
