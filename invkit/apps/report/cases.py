"""A case of a page: the kernels and charts of several methods' results for one photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ...media.kernels import centred_kernel, mosaic, padded_kernel, size_text
from .charts import Chart, Series, line_chart
from .page import KernelRow, KernelTile, MethodResult
from .pictures import picture_of

__all__ = ["case_charts", "case_kernels", "kernel_row", "parameter_row"]

Planes = npt.NDArray[np.float64]


def case_charts(results: Sequence[MethodResult], metric: tuple[str, str]) -> list[Chart]:
    """The chart of a metric, given by its label and its label with unit, and the chart of each loss.

    The losses of two recipes do not compare, so each has its own chart.
    """
    curves = [Series(r.method.name, r.method.look, r.quality) for r in results if len(r.quality) > 1]
    charts = [line_chart(f"{metric[0]} of the snapshots", ("iteration", metric[1]), curves)]
    for result in results:
        title, line = f"Loss of {result.method.name}", Series(result.method.name, result.method.look, result.losses)
        charts.append(line_chart(title, ("iteration", "loss"), [line], rules=result.stages, log=True, keyed=False))
    return [chart for chart in charts if chart is not None]


def case_kernels(results: Sequence[MethodResult], true: Planes | None = None) -> list[KernelRow]:
    """The kernels of all methods in one row, and each other operator parameter in its own; ``true`` comes first."""
    known = {} if true is None else {"true": true}
    found = {r.method.name: (r.kernel, r.has_kernel) for r in results if r.kernel is not None}
    row = kernel_row(known | {name: kernel for name, (kernel, is_kernel) in found.items() if is_kernel})
    others = [parameter_row(name, planes) for name, (planes, is_kernel) in found.items() if not is_kernel]
    unsure = kernel_row({r.method.name: r.kernel_deviation for r in results if r.kernel_deviation is not None})
    others += [] if unsure is None else [unsure._replace(title="Standard deviation of the kernel")]
    return others if row is None else [row, *others]


def kernel_row(kernels: Mapping[str, Planes]) -> KernelRow | None:
    """The kernels of a case by method, centred, with one scale and one size of pixels; None without kernels."""
    if not kernels:
        return None
    drawn = {name: centred_kernel(k) if k.ndim == 2 else mosaic(k, 0.0).astype(float) for name, k in kernels.items()}
    side = max((max(square.shape) for name, square in drawn.items() if kernels[name].ndim == 2), default=1)
    high = max(float(np.nanmax(kernel)) for kernel in drawn.values()) or 1.0
    tiles = []
    for name, kernel in drawn.items():
        fits = kernel.shape[0] == kernel.shape[1] <= side and (side - kernel.shape[0]) % 2 == 0
        shown = padded_kernel(kernel, side) if fits else kernel
        tiles.append(KernelTile(name, planes_text(kernels[name]), picture_of(shown / high, "exact")))
    return KernelRow("Kernels" if len(tiles) > 1 else "Kernel", tiles, 0.0, high)


def parameter_row(name: str, planes: Planes) -> KernelRow:
    """Another operator parameter than a kernel, (h, w) or (N, h, w), its planes side by side; the smallest is black."""
    values = np.nan_to_num(planes)
    low, high = float(values.min()), float(values.max())
    unit = ((values - low) / (high - low or 1.0)).reshape(-1, *values.shape[-2:])
    tile = KernelTile(name, planes_text(planes), picture_of(mosaic(unit, 1.0), "exact"))
    return KernelRow("Operator parameter", (tile,), low, high)


def planes_text(planes: Planes) -> str:
    """The number of planes, their height and width."""
    several = f"{planes.shape[0]} of " if planes.ndim > 2 else ""
    return several + size_text(*planes.shape[-2:])
