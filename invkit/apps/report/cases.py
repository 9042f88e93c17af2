"""A case of a page: the results of several methods for one photograph, with kernels, charts and snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...benchmark.strips import centred_kernel, padded_kernel
from ...media.kernels import mosaic
from .charts import Chart, Points, Series, line_chart
from .page import CaseSection, Evolution, KernelRow, KernelTile, Method, ShownResult, SnapshotFrame
from .pictures import Picture, picture_of

__all__ = ["MethodResult", "case_section", "kernel_row", "parameter_row", "size_text"]

Planes = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MethodResult:
    """The result of a method for a photograph.

    Attributes:
        method: the method.
        about: its metrics, as "33.07 dB, 1.2 s".
        picture: the restored image, or None.
        remarks: warnings, or the reason for no image.
        kernel: (h, w), (B, h, w) of several, or None.
        has_kernel: whether ``kernel`` holds kernels and not another operator parameter.
        losses: iteration and loss.
        stages: the iteration at which each stage after the first starts, and its name.
        quality: iteration and metric.
        frames: snapshots.
    """

    method: Method
    about: str
    picture: Picture | None
    remarks: tuple[str, ...] = ()
    kernel: Planes | None = None
    has_kernel: bool = True
    losses: Points = ()
    stages: Sequence[tuple[float, str]] = ()
    quality: Points = ()
    frames: tuple[SnapshotFrame, ...] = ()


def case_section(
    name: str,
    results: Sequence[MethodResult],
    *,
    before: Picture | None,
    truth: Picture | None,
    true_kernel: Planes | None = None,
    metric: tuple[str, str] = ("PSNR", "PSNR, dB"),
    size: str = "",
) -> CaseSection:
    """The section of a case.

    Args:
        name: of the case.
        results: one for each method.
        before: the input.
        truth: the sharp image.
        true_kernel: (h, w), or None.
        metric: of ``quality``: its label, and its label with the unit.
        size: of the photograph, as text.
    """
    true = {} if true_kernel is None else {"true": true_kernel}
    kernels = {r.method.name: r.kernel for r in results if r.kernel is not None and r.has_kernel}
    rows = [kernel_row({**true, **kernels})]
    rows += [parameter_row(r.method.name, r.kernel) for r in results if r.kernel is not None and not r.has_kernel]
    evolutions = (Evolution(result.method.name, result.frames) for result in results if result.frames)
    return CaseSection(
        name=name,
        before=before,
        truth=truth,
        results=tuple(ShownResult(r.method.name, r.method.look, r.about, r.picture, r.remarks) for r in results),
        kernels=tuple(row for row in rows if row is not None),
        charts=tuple(chart for chart in case_charts(results, metric) if chart is not None),
        evolutions=tuple(evolutions),
        size=size,
    )


def case_charts(results: Sequence[MethodResult], metric: tuple[str, str]) -> list[Chart | None]:
    """The metric of all methods in one chart, and a chart of each loss, because two recipes' losses do not compare."""
    curves = [Series(r.method.name, r.method.look, r.quality) for r in results if len(r.quality) > 1]
    losses = [
        line_chart(
            f"Loss of {result.method.name}",
            ("iteration", "loss"),
            [Series(result.method.name, result.method.look, result.losses)],
            rules=result.stages,
            log=True,
            keyed=False,
        )
        for result in results
    ]
    return [line_chart(f"{metric[0]} of the snapshots", ("iteration", metric[1]), curves), *losses]


def kernel_row(kernels: Mapping[str, Planes]) -> KernelRow | None:
    """The kernels of a case by method, centred, with one scale and one size of pixels; None without kernels."""
    if not kernels:
        return None
    drawn = {name: centred_kernel(k) if k.ndim == 2 else mosaic(k, 0.0).astype(float) for name, k in kernels.items()}
    side = max((max(square.shape) for name, square in drawn.items() if kernels[name].ndim == 2), default=1)
    high = max(float(np.nanmax(kernel)) for kernel in drawn.values()) or 1.0
    tiles = [
        KernelTile(name, planes_text(kernels[name]), picture_of(enlarged(kernel, side) / high, "exact"))
        for name, kernel in drawn.items()
    ]
    return KernelRow("Kernels" if len(tiles) > 1 else "Kernel", tuple(tiles), 0.0, high)


def enlarged(kernel: Planes, side: int) -> Planes:
    """A square kernel in the middle of a square of ``side`` pixels; other shapes unchanged."""
    is_square = kernel.shape[0] == kernel.shape[1] <= side and (side - kernel.shape[0]) % 2 == 0
    return padded_kernel(kernel, side) if is_square else kernel


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


def size_text(first: int, second: int) -> str:
    """Two sides, as ``5 × 7``."""  # noqa: RUF002  a true times sign
    return f"{first} × {second}"  # noqa: RUF001
