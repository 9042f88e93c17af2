"""Kernels compared without the truth: by selection of what the last of several recipes makes of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..core.interfaces import NoReferenceMetric
from ..core.result import Result
from ..core.runtime.threads import threads_worth
from ..core.solver import Observer
from ..numerics.geometry import resize_kernel_support, size_of, visible_part
from ..recipes.model import SelectionSpec, blamed
from .assemble import build_scores
from .stages import Stage, later_place, placed

__all__ = ["Judge", "Scoring"]

SMOOTHER = 2.5  # times the noise level; of 1, 2.5, 5 and 10 what chooses best on blurred Kodak photographs


@dataclass
class Judge:
    """What the last of several stages makes of a kernel, of the data of the first and under one noise level.

    The level is `SMOOTHER` times the one that the last stage would take for the first kernel that is judged, and stays:
    under a level of its own, a kernel that is wrong would have the smoother image, and win for being wrong; and in an
    image that is made for the eye, what noise is left counts for more than how wrong the kernel is.

    Attributes:
        stage: the last, on the data of the first; once a kernel has been judged, under the level of all.
        device: where to solve.
        place: in the recipe of the first, for errors.
        seen: what it made of the kernels so far.
        settled: whether the noise level is.
    """

    stage: Stage
    device: torch.device
    place: str
    seen: dict[tuple[tuple[int, ...], bytes], Result] = field(default_factory=dict)
    settled: bool = False

    @classmethod
    def of(cls, stages: Sequence[Stage], device: torch.device) -> Judge:
        """The judge of a chain of stages."""
        first, last = stages[0], stages[-1]
        return cls(replace(first, recipe=last.recipe, candidates=()), device, later_place(len(stages) - 1))

    def __call__(self, kernel: Tensor, observers: Callable[[], Sequence[Observer]], limit: float | None) -> Result:
        """The restoration with a kernel (1, 1, h, w); the same again for one that was judged to its end.

        Args:
            kernel: as it stands.
            observers: gives the watchers of the solve, if there is one.
            limit: seconds it may take.

        Raises:
            InvkitError: as the last stage.
        """
        if not self.settled:
            level = self.stage.knowing(kernel).sigma
            self.stage = replace(self.stage, sigma=level and SMOOTHER * level, estimated=False)
            self.settled = True
        key = tuple(kernel.shape), kernel.numpy().tobytes()
        if key in self.seen:
            return self.seen[key]
        with placed(self.place):
            assembly = self.stage.assembled(size_of(kernel), kernel)
            result = assembly.solver.solve(assembly.problem.to(self.device), observers=observers(), time_limit=limit)
        if result.is_complete:
            self.seen[key] = result
        return result


@dataclass(frozen=True)
class Scoring:
    """The selection of one recipe, built.

    Attributes:
        selection: each with its spec.
        data: that the restorations are of, (B, C, H, W).
    """

    selection: Sequence[tuple[SelectionSpec, NoReferenceMetric]]
    data: Tensor

    @classmethod
    def of(cls, stage: Stage, data: Tensor) -> Scoring:
        """The selection of a stage's recipe; raises `InvkitError`."""
        return cls(list(zip(stage.recipe.selection, build_scores(stage.recipe, stage.seed), strict=True)), data)

    @torch.no_grad()
    def __call__(self, judged: Sequence[Result]) -> list[dict[str, float]]:
        """Of each restoration every score, by name, and the weighted "sum" of them; the least is the best."""
        given = self.data, *alike(judged, size_of(self.data))
        columns, total = {}, torch.zeros(len(judged))
        for place, (spec, score) in enumerate(self.selection):
            with blamed(f"selection.{place}", type(score)), threads_worth(self.data.numel()):
                values = score(*given)
            columns[spec.name if spec.name not in columns else f"{spec.name}.{place}"] = values
            total = total + spec.weight * values
        columns["sum"] = total.nan_to_num(nan=torch.inf)  # what cannot be told is no reason to choose it
        return [{name: float(values[i]) for name, values in columns.items()} for i in range(len(judged))]


def alike(judged: Sequence[Result], data_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) that show what the data show, and kernels (N, 1, h, w) of one size."""
    kernels = [torch.as_tensor(result.kernel) for result in judged]
    images = [
        visible_part(torch.as_tensor(result.image), data_size, size_of(kernel))
        for result, kernel in zip(judged, kernels, strict=True)
    ]
    rows, columns = (max(side) for side in zip(*map(size_of, kernels), strict=True))
    return torch.cat(images), torch.cat([resize_kernel_support(kernel, (rows, columns)) for kernel in kernels])
