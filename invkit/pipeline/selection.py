"""Selection among kernels without the truth, by no-reference metrics of the images that they restore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.evaluation import NoReferenceMetric
from ..core.result import Result
from ..core.runtime.threads import threads_worth
from ..numerics.framing import resize_kernel_support, visible_part
from ..numerics.geometry import size_of
from ..recipes.components import blamed, check_component
from ..recipes.model import Recipe, SelectionSpec

__all__ = ["ComparedKernel", "Selection", "build_selection"]


@dataclass(frozen=True)
class ComparedKernel:
    """A kernel that a selection has compared.

    Attributes:
        kernel: (1, 1, h, w).
        score: the weighted sum of its metrics; the lowest one is the best.
    """

    kernel: Tensor
    score: float


def build_selection(recipe: Recipe, seed: int) -> list[NoReferenceMetric]:
    """The no-reference metrics of a recipe's selection; raises `InvkitError` that names the place."""
    places = [(f"selection.{index}", spec) for index, spec in enumerate(recipe.selection)]
    return [check_component(place, "no_reference_metrics", spec, seed, recipe.name).build({}) for place, spec in places]


@dataclass(frozen=True)
class Selection:
    """The built metrics of a recipe's selection.

    Attributes:
        metrics: each with its spec.
        data: that the restorations are of, (B, C, H, W).
    """

    metrics: Sequence[tuple[SelectionSpec, NoReferenceMetric]]
    data: Tensor

    @classmethod
    def of(cls, recipe: Recipe, seed: int, data: Tensor) -> Selection:
        """Build the selection of a recipe; raises `InvkitError`.

        Args:
            recipe: whose ``selection`` it is.
            seed: of metrics that draw random numbers.
            data: that the restorations are of, (B, C, H, W).
        """
        return cls(list(zip(recipe.selection, build_selection(recipe, seed), strict=True)), data)

    @torch.no_grad()
    def __call__(self, restorations: Sequence[Result]) -> list[dict[str, float]]:
        """The scores of each restoration by metric, and their weighted "sum"; the lowest sum is the best."""
        arguments = self.data, *comparable(restorations, size_of(self.data))
        columns, total = {}, torch.zeros(len(restorations))
        for index, (spec, metric) in enumerate(self.metrics):
            with blamed(f"selection.{index}", type(metric)), threads_worth(self.data.numel()):
                values = metric(*arguments)
            columns[spec.name if spec.name not in columns else f"{spec.name}.{index}"] = values
            total = total + spec.weight * values
        columns["sum"] = total.nan_to_num(nan=torch.inf)  # a restoration without a score must not win
        return [{name: float(values[i]) for name, values in columns.items()} for i in range(len(restorations))]


def comparable(restorations: Sequence[Result], data_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) cropped to the data, and kernels (N, 1, h, w) of one size."""
    kernels = [torch.as_tensor(result.kernel) for result in restorations]
    images = [
        visible_part(torch.as_tensor(result.image), data_size, size_of(kernel))
        for result, kernel in zip(restorations, kernels, strict=True)
    ]
    rows, columns = (max(side) for side in zip(*map(size_of, kernels), strict=True))
    return torch.cat(images), torch.cat([resize_kernel_support(kernel, (rows, columns)) for kernel in kernels])
