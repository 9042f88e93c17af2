"""The page of runs: folders that ``invkit deblur`` has written, or results in memory, grouped by photograph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import InputError
from ...core.files import read_array, sha256_of
from ...core.result import IMAGE, KERNEL, Result
from ...media.animation import SnapshotFile, SolveHistory, evenly, snapshots_in
from ...media.figures import SCALE_QUANTILE, deviation_plane, kernel_stack, luma_of, protocol_margins
from ...media.images import read_image
from ...media.kernels import size_text
from ...media.layouts import channels_last, drawable_batch, to_bchw
from ...media.run_details import read_run_details
from ...media.run_folder import SUMMARY
from ...numerics.registration import aligned_psnr
from . import page
from .cases import case_charts, case_kernels
from .charts import Points
from .pictures import Picture, Track, picture_of, picture_of_file, untracked

__all__ = ["Run", "is_run", "read_run", "run_in_memory", "runs_page", "with_input"]

RUN_FRAMES = 24  # snapshots of a run that the page shows
PSNR_POINTS = 60  # snapshots whose PSNR is measured


@dataclass(frozen=True, eq=False)
class Run:
    """A result to be shown.

    Attributes:
        label: the folder's name, or a number.
        details: the content of result.json.
        image: the restored image, or None.
        kernel: (h, w) or (B, h, w), or None.
        has_kernel: whether ``kernel`` holds kernels and not another operator parameter.
        before: the input, if it is kept with the run.
        folder: of the run, or None for a result in memory.
        deviation: standard deviations of the image, (H, W) or (H, W, C), or None.
        kernel_deviation: of the kernel, (h, w), or None.
    """

    label: str
    details: Mapping[str, Any]
    image: Picture | None
    kernel: npt.NDArray[np.float64] | None
    has_kernel: bool = True
    before: Picture | None = None
    folder: Path | None = None
    deviation: npt.NDArray[np.float64] | None = None
    kernel_deviation: npt.NDArray[np.float64] | None = None

    def table(self, key: str) -> Mapping[str, Any]:
        """A table of the details; empty if it is missing."""
        value = self.details.get(key)
        return value if isinstance(value, dict) else {}

    @property
    def stages(self) -> list[Mapping[str, Any]]:
        """The details of the stages."""
        return [stage for stage in self.details.get("stages") or () if isinstance(stage, dict)]

    @property
    def inputs(self) -> list[Mapping[str, Any]]:
        """Name and digest of the input files."""
        given = self.details.get("image")
        return [each for each in (given if isinstance(given, list) else [given]) if isinstance(each, dict)]

    @property
    def source(self) -> str:
        """A text that is equal for runs of the same input."""
        given = self.details.get("image")
        return json.dumps(given, sort_keys=True) if given else f"run {self.label}"

    @property
    def photo(self) -> str:
        """The name of the input."""
        files = self.inputs
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        return f"{files[0].get('file', self.label)}{more}" if files else self.label

    @cached_property
    def snapshots(self) -> list[SnapshotFile]:
        """The snapshots in the folder."""
        return [] if self.folder is None else snapshots_in(self.folder)

    @cached_property
    def history(self) -> SolveHistory:
        """The stages of the snapshots."""
        return SolveHistory(self.details, max((one.solve for one in self.snapshots), default=0))


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / SUMMARY).is_file()


def read_run(folder: Path) -> Run:
    """The run in a folder.

    Raises:
        InputError: its result.json cannot be read.
    """
    details = read_run_details(folder / SUMMARY)
    kept = {name: folder / name for name in ("image.png", "image.npy", "photograph.png") if (folder / name).is_file()}
    image = kept.get("image.png") or kept.get("image.npy")
    return Run(
        label=folder.resolve().name,
        details=details,
        image=None if image is None else picture_of_file(image),
        kernel=read_planes(folder / "kernel.npy", folder / "operator_parameter.npy"),
        has_kernel=(folder / "kernel.npy").is_file(),
        before=picture_of_file(kept["photograph.png"]) if "photograph.png" in kept else None,
        folder=folder,
        deviation=read_map(folder / "image_deviation.npy"),
        kernel_deviation=read_planes(folder / "kernel_deviation.npy"),
    )


def read_map(path: Path) -> npt.NDArray[np.float64] | None:
    """The numbers of an image, (H, W) or (H, W, C); None if there is no such file, or another one."""
    values = read_numbers(path)
    return values if values is not None and values.ndim in (2, 3) else None


def read_planes(*paths: Path) -> npt.NDArray[np.float64] | None:
    """The numbers in the first readable file, (h, w) or (N, h, w)."""
    for values in map(read_numbers, paths):
        if values is not None and values.ndim >= 2:
            return values if values.ndim == 2 else values.reshape(-1, *values.shape[-2:])
    return None


def read_numbers(path: Path) -> npt.NDArray[np.float64] | None:
    """The numbers of an array file; None if it is missing, empty or no array."""
    try:
        values = np.asarray(read_array(path), dtype=np.float64)
    except ValueError:
        return None
    return values if values.size else None


def run_in_memory(result: Result, label: str) -> Run:
    """A result in memory; of a batch the first image."""
    stack = kernel_stack(result.kernel)
    return Run(
        label=label,
        details=result.summary(),
        image=picture_of(drawable_batch(result.image, result)[0]),
        kernel=stack[0] if len(stack) == 1 else stack,
        has_kernel=result.has_kernel,
        before=None if result.blurry is None else picture_of(drawable_batch(result.blurry, result)[0]),
        deviation=channels_last(result.deviations[IMAGE])[0] if result.deviations else None,
        kernel_deviation=kernel_stack(result.deviations[KERNEL])[0] if KERNEL in result.deviations else None,
    )


def with_input(run: Run, photos: Mapping[str, Path]) -> Run:
    """A run with its input: a given file by its digest, or a file with the right name and content near the run."""
    if not run.inputs:
        return run
    name, wanted = (str(run.inputs[0].get(key)) for key in ("file", "sha256"))
    folders = [] if run.folder is None else [run.folder, run.folder.resolve().parent, Path()]
    near = [folder / name for folder in folders if Path(name).name == name and (folder / name).is_file()]
    for path in [photos[wanted]] if wanted in photos else near:
        try:
            if sha256_of(path) == wanted:
                return replace(run, before=picture_of_file(path))
        except OSError:
            continue
    return run


def runs_page(runs: Sequence[Run], truth: Path | None = None, track: Track = untracked) -> page.ReportPage:
    """The page of runs.

    Args:
        runs: at least one.
        truth: the sharp image, if all runs are of one photograph.
        track: shows the progress of measuring snapshots.

    Raises:
        InputError: there is a truth, and the runs are of several photographs.
    """
    sources = len({run.source for run in runs})
    if truth is not None and sources > 1:
        raise InputError(
            f"the runs are of {sources} photographs, and the truth {truth} is of one; give runs of one photograph"
        )
    recipes = [str(run.table("recipe").get("name") or run.label) for run in runs]
    named = dict(zip(unique_names(recipes, [run.label for run in runs]), runs, strict=True))
    groups: dict[str, dict[str, page.MethodResult]] = {}
    for look, (name, run) in enumerate(named.items()):
        group = groups.setdefault(run.source, {})
        group[name] = method_result(run, page.method_of(name, look, run.details.get("recipe")))
        if truth is not None:
            group[name] = replace(group[name], quality=psnr_curve(run, truth, track))
    cases = [run_case([named[name] for name in group], list(group.values())) for group in groups.values()]
    cases = [case if truth is None else replace(case, truth=picture_of_file(truth)) for case in cases]
    places = {name: place for place, group in enumerate(groups.values()) for name in group}
    without = ", ".join(case.name for case in cases if case.before is None)
    missing = f"The photograph {without} is not beside the run; give it with --photo to compare with it."
    return page.ReportPage(
        title=next(iter(named)) if len(named) == 1 else f"{len(named)} runs",
        about=", ".join(case.name for case in cases[:3]) + (" and others" if len(cases) > 3 else ""),
        methods=[result.method for group in groups.values() for result in group.values()],
        cases=cases,
        records=[run_results(named, places)],
        facts=[run_timings(named), run_environment(named)],
        remarks=[missing] if without else [],
    )


def unique_names(names: Sequence[str], labels: Sequence[str]) -> list[str]:
    """The names; repeated names with their label, and with a number if that is repeated too.

    >>> unique_names(["fast", "best", "fast"], ["one", "two", "three"])
    ['fast (one)', 'best', 'fast (three)']
    """
    pairs = zip(names, labels, strict=True)
    longer = [name if names.count(name) == 1 else f"{name} ({label})" for name, label in pairs]
    return [n if longer.count(n) == 1 else f"{n} {1 + longer[:place].count(n)}" for place, n in enumerate(longer)]


def run_case(runs: Sequence[Run], results: Sequence[page.MethodResult]) -> page.CaseSection:
    """The section of the runs of one photograph."""
    size = runs[0].details.get("image_size")
    return page.CaseSection(
        name=runs[0].photo,
        size=size_text(size[1], size[0]) if isinstance(size, list) and len(size) == 2 else "",
        before=next((run.before for run in runs if run.before is not None), None),
        truth=None,
        results=results,
        kernels=case_kernels(results),
        charts=case_charts(results, ("PSNR", "PSNR, dB")),
    )


def method_result(run: Run, method: page.Method) -> page.MethodResult:
    """The result of a run."""
    psnr, seconds = run.table("psnr").get("after"), run.details.get("seconds")
    about = [f"{psnr:.2f} dB"] if isinstance(psnr, float) else []
    about += [f"{seconds:.1f} s"] if isinstance(seconds, int | float) else []
    remarks = [f"note: {notice}" for notice in run.details.get("notices") or ()]
    remarks += [f"warning: {warning}" for warning in run.details.get("warnings") or ()]
    losses = [np.nan if loss is None else float(loss) for loss in run.details.get("loss_history") or ()]
    shown = evenly(run.snapshots, RUN_FRAMES) if len(run.snapshots) > 1 else ()
    ends = accumulate(int(stage.get("iterations") or 0) for stage in run.stages)
    return page.MethodResult(
        method=method,
        about=", ".join(about),
        picture=run.image,
        remarks=(*remarks, *(["there is no image of it"] if run.image is None else [])),
        kernel=run.kernel,
        has_kernel=run.has_kernel,
        losses=list(enumerate(losses, start=1)),
        stages=[(end + 0.5, str(stage.get("name", ""))) for end, stage in zip(ends, run.stages[1:], strict=False)],
        frames=[snapshot_frame_of(one, run) for one in shown],
        **deviation_of(run),
    )


def deviation_of(run: Run) -> dict[str, Any]:
    """The standard deviations of a run, as far as there are any: a map, the meaning of its greys, and the kernel's."""
    if run.deviation is None:
        return {}
    values = deviation_plane(run.deviation)
    most = float(np.nanquantile(values, SCALE_QUANTILE)) or 1.0
    meaning = f"black 0, white {most:.2g} and more"
    picture = picture_of(values / most)
    return {"deviation": picture, "deviation_about": meaning, "kernel_deviation": run.kernel_deviation}


def snapshot_frame_of(one: SnapshotFile, run: Run) -> page.SnapshotFrame:
    """A snapshot of a run for the page."""
    stage = run.history.stages[one.solve - 1][0] if run.history.stages else f"solve {one.solve}"
    kernel = None if one.kernel is None else picture_of_file(one.kernel, "small")
    return page.SnapshotFrame(f"iteration {one.iteration}", stage, picture_of_file(one.image, "small"), kernel)


def psnr_curve(run: Run, truth: Path, track: Track) -> Points:
    """Iteration and PSNR of the snapshots and of the result, by Levin's protocol.

    Snapshots smaller than the truth, as of a coarse scale, are left out. Larger ones are cut to their middle, because
    the image behind a valid convolution extends beyond the photograph.

    Args:
        run: the run.
        truth: the file of the sharp image.
        track: shows the progress.

    Raises:
        InputError: the truth cannot be read.
    """
    sharp = read_luma(truth)
    border, shift = protocol_margins(sharp.shape)
    points = []
    for one in track(evenly(run.snapshots if run.history.stages else [], PSNR_POINTS), f"PSNR of {run.label}"):
        try:
            image = read_luma(one.image)
        except InputError:
            continue
        top, left = ((own - wanted) // 2 for own, wanted in zip(image.shape, sharp.shape, strict=True))
        if top >= 0 and left >= 0:
            middle = image[top : top + sharp.shape[0], left : left + sharp.shape[1]]
            psnr = aligned_psnr(middle, sharp, border=border, max_shift=shift)
            points.append((float(run.history.stages[one.solve - 1][1] + one.iteration), psnr))
    last = run.table("psnr").get("after")
    return [*points, (float(len(run.history.losses)), last)] if isinstance(last, float) else points


def read_luma(path: Path) -> npt.NDArray[np.float32]:
    """The luma of an image file, (H, W), in [0, 1] or in units of its own; raises `InputError`."""
    picture, _ = to_bchw(read_image(path, in_units=True).pixels, in_units=True)
    return np.asarray(luma_of(channels_last(picture)[0], str(path)))


def run_results(runs: Mapping[str, Run], places: Mapping[str, int]) -> page.PageTable:
    """A row for each run; ``places`` are those of its case."""
    columns = {"photograph": None, "recipe": None, "PSNR before, dB": 2, "PSNR, dB": 2, "seconds": 2, "iterations": 0}
    rows = []
    for name, run in runs.items():
        psnr, facts, size = run.table("psnr"), run.details, run.details.get("kernel_size")
        kernel = size_text(*size) if isinstance(size, list) and len(size) == 2 else None
        values = [psnr.get("before"), psnr.get("after"), *map(facts.get, ("seconds", "iterations", "stopped")), kernel]
        rows.append([page.PageCell(run.photo, case=places[name]), name, *values])
    found = page.page_table("Every run", {**columns, "ended": None, "kernel": None}, rows)
    return found._replace(filtered=len(rows) > 1)


def run_timings(runs: Mapping[str, Run]) -> page.PageTable:
    """A row for each stage of each run."""
    columns = {"recipe": None, "stage": None, "solver": None, "iterations": 0, "seconds": 2, "ended": None}
    keys = ("name", "solver", "iterations", "seconds", "stopped")
    rows = [[name, *map(facts.get, keys)] for name, run in runs.items() for facts in run.stages or [run.details]]
    return page.page_table("Timings", columns, rows)


def run_environment(runs: Mapping[str, Run]) -> page.PageTable:
    """Versions, devices, seeds and inputs; if two runs differ, the value of each run."""
    facts = {name: environment_facts(run) for name, run in runs.items()}
    rows: list[tuple[str, str]] = []
    for key in dict.fromkeys(key for each in facts.values() for key in each):
        values = {name: each.get(key, "") for name, each in facts.items()}
        shared = len(set(values.values())) == 1
        rows += [(key, next(iter(values.values())))] if shared else [(f"{key}, {n}", v) for n, v in values.items()]
    return page.facts_table("Environment", rows)


def environment_facts(run: Run) -> dict[str, str]:
    """Everything beside the recipe that the result of a run depends on."""
    noise, known_from = run.details.get("noise_sigma"), run.details.get("noise_sigma_from", "")
    return {
        **{name: str(version) for name, version in run.table("versions").items()},
        "device": str(run.details.get("device") or ""),
        "seed": str(run.details.get("seed", "")),
        "noise level": f"{noise:.5f} ({known_from})" if isinstance(noise, float) else "",
        "colour": str(run.details.get("color") or ""),
        "SHA-256 of the photograph": ", ".join(str(each.get("sha256", ""))[:16] for each in run.inputs),
    }
