"""Several fidelities, one after another."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..core.errors import RecipeError
from ..core.interfaces import Fidelity

__all__ = ["Schedule"]


class Schedule(Fidelity):
    """A sequence of fidelities: each one is used until its last iteration, the last one to the end.

    Called without an iteration, the schedule is its last fidelity.

    Args:
        stages: (fidelity, until) in order. ``until`` is the first iteration (counted from 0) that no longer uses the
            fidelity; None for the last one.

    Raises:
        RecipeError: there is no stage, an ``until`` is missing, or they do not increase.
    """

    def __init__(self, stages: Sequence[tuple[Fidelity, int | None]]) -> None:
        super().__init__()
        self.ends = checked_ends([until for _, until in stages])
        self.stages = nn.ModuleList(fidelity for fidelity, _ in stages)

    def at(self, iteration: int) -> Fidelity:
        """The fidelity for an iteration, counted from 0."""
        position = sum(end <= iteration for end in self.ends)
        stage = self.stages[position]
        assert isinstance(stage, Fidelity)
        return stage.at(iteration)

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """The value of the last fidelity: two tensors (B, C, H, W) -> (B,)."""
        value: Tensor = self.stages[-1](predicted, data)
        return value


def checked_ends(untils: list[int | None]) -> list[int]:
    """The first iteration after each fidelity but the last; raises `RecipeError`."""
    if not untils:
        raise RecipeError("a schedule needs at least one fidelity; it has none")
    if untils[-1] is not None:
        raise RecipeError(f"the last fidelity has no end; leave out its 'until_iteration', which is {untils[-1]}")
    ends = [until for until in untils if until is not None]
    if len(ends) != len(untils) - 1:
        raise RecipeError(f"every fidelity but the last needs an 'until_iteration'; got {untils}")
    if any(later <= earlier for earlier, later in zip([0, *ends], ends, strict=False)):
        raise RecipeError(f"the 'until_iteration' of the fidelities must be above 0 and increase; got {ends}")
    return ends
