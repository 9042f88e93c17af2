"""The page of runs; those of one photograph are shown beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from .charts import Chart, Series, chart, evenly
from .kernels import KernelRow, kernel_row, parameter_row
from .page import Case, Cell, Evolution, Frame, Head, Method, Page, Shown, Table, cell, listed, method_of
from .pictures import Picture, Track, from_file, untracked
from .runs import Given, Run, Snapshot, dict_of, snapshots_of, stages_of

__all__ = ["runs_page"]

MOST_FRAMES = 24


def runs_page(
    runs: Sequence[Run], *, photos: Sequence[Path] = (), truth: Path | None = None, track: Track = untracked
) -> Page:
    """The page of runs.

    Args:
        runs: at least one.
        photos: what they were made from, where they have kept it nowhere.
        truth: the sharp picture, if all are of one photograph.
        track: watches the measuring of snapshots.

    Raises:
        InputError: there is a truth, and the runs are of several photographs.
    """
    named = dict(zip(unique([run.recipe for run in runs], [run.label for run in runs]), runs, strict=True))
    methods = {name: method_of(name, i, run.facts.get("recipe")) for i, (name, run) in enumerate(named.items())}
    groups = grouped(named)
    if truth is not None and len(groups) > 1:
        raise InputError(f"the runs are of {len(groups)} photographs, and the truth {truth} is of one; report on those")
    given = Given(photos, truth)
    cases = tuple(case_of(group, methods, given, track) for group in groups)
    place = {name: i for i, group in enumerate(groups) for name in group}
    return Page(
        title=next(iter(named)) if len(named) == 1 else f"{len(named)} runs",
        about=", ".join(case.name for case in cases[:3]) + (" and others" if len(cases) > 3 else ""),
        methods=tuple(methods.values()),
        cases=cases,
        records=(results_table(named, place),),
        facts=(stages_table(named), environment(named)),
        remarks=tuple(missing(cases)),
    )


def grouped(runs: Mapping[str, Run]) -> list[dict[str, Run]]:
    """The runs of each photograph, by name."""
    groups: dict[str, dict[str, Run]] = {}
    for name, run in runs.items():
        groups.setdefault(run.source, {})[name] = run
    return list(groups.values())


def unique(names: Sequence[str], labels: Sequence[str]) -> list[str]:
    """The names, with the label where a name is not unique, and a number where that is not either."""
    told = [name if names.count(name) == 1 else f"{name} ({label})" for name, label in zip(names, labels, strict=True)]
    return [name if told.count(name) == 1 else f"{name} {1 + told[:i].count(name)}" for i, name in enumerate(told)]


def missing(cases: Sequence[Case]) -> list[str]:
    """What there is to say where photographs are not at hand."""
    without = [case.name for case in cases if case.before is None]
    if not without:
        return []
    return [f"The photograph {', '.join(without)} is not beside the run; give it with --photo to compare with it."]


def case_of(runs: Mapping[str, Run], methods: Mapping[str, Method], given: Given, track: Track) -> Case:
    """A photograph and the runs made from it, by the names of their methods."""
    first = next(iter(runs.values()))
    size = first.facts.get("image_size")
    return Case(
        name=first.photo,
        before=next((found for run in runs.values() if (found := given.before(run)) is not None), None),
        truth=None if given.truth is None else from_file(given.truth),
        results=tuple(shown(name, run, methods[name].look) for name, run in runs.items()),
        kernels=tuple(kernel_rows(runs)),
        charts=(*quality_charts(runs, methods, given.truth, track), *loss_charts(runs, methods)),
        evolutions=tuple(filter(None, (evolution(name, run) for name, run in runs.items()))),
        size=f"{size[1]} × {size[0]}" if isinstance(size, list) and len(size) == 2 else "",  # noqa: RUF001
    )


def quality_charts(
    runs: Mapping[str, Run], methods: Mapping[str, Method], truth: Path | None, track: Track
) -> list[Chart]:
    """PSNR at the snapshots, of all runs together; none where the truth is not given or no run has two."""
    if truth is None:
        return []
    from .quality import psnr_on_the_way

    lines = [Series(name, methods[name].look, psnr_on_the_way(run, truth, track)) for name, run in runs.items()]
    found = chart("PSNR on the way", "iteration", "PSNR, dB", [line for line in lines if len(line.points) > 1])
    return [] if found is None else [found]


def shown(name: str, run: Run, look: int) -> Shown:
    """A run beside others."""
    psnr = dict_of(run.facts, "psnr")
    words = [f"{psnr['after']:.2f} dB"] if isinstance(psnr.get("after"), float) else []
    words += [f"{run.facts['seconds']:.1f} s"] if isinstance(run.facts.get("seconds"), int | float) else []
    remarks = [f"doubtful: {doubt}" for doubt in run.facts.get("doubts") or ()]
    remarks += ["there is no picture of it"] if run.image is None else []
    return Shown(name, look, ", ".join(words), run.image, tuple(remarks))


def kernel_rows(runs: Mapping[str, Run]) -> list[KernelRow]:
    """All kernels of a case on one scale; other unknowns each on its own."""
    found = {name: run.kernel for name, run in runs.items() if run.kernel is not None}
    row = kernel_row({name: kernel for name, kernel in found.items() if runs[name].has_kernel})
    others = [parameter_row(name, planes) for name, planes in found.items() if not runs[name].has_kernel]
    return [*([row] if row is not None else []), *others]


def loss_charts(runs: Mapping[str, Run], methods: Mapping[str, Method]) -> list[Chart]:
    """The loss of each run, in a chart of its own: those of two recipes do not compare."""
    charts = [
        chart(
            f"Loss of {name}",
            "iteration",
            "loss",
            [Series(name, methods[name].look, list(enumerate(run.losses, start=1)))],
            rules=stage_starts(run),
            log=True,
            keyed=False,
        )
        for name, run in runs.items()
    ]
    return [each for each in charts if each is not None]


def stage_starts(run: Run) -> list[tuple[float, str]]:
    """Where the stages after the first begin in the history, and their names: each has an objective of its own."""
    stages = stages_of(run)
    begins = accumulate(int(stage.get("iterations") or 0) for stage in stages)
    return [(float(begin) + 0.5, str(stage.get("name", ""))) for begin, stage in zip(begins, stages[1:], strict=False)]


def evolution(name: str, run: Run) -> Evolution | None:
    """The snapshots of a run's folder; None where there are not two."""
    frames = [
        Frame(
            f"iteration {one.iteration}", one.stage or f"solve {one.solve}", from_file(one.image, "small"), small(one)
        )
        for one in evenly(snapshots_of(run), MOST_FRAMES)
    ]
    return Evolution(name, tuple(frames)) if len(frames) > 1 else None


def small(snapshot: Snapshot) -> Picture | None:
    """The picture of its kernel, or of what is none."""
    return None if snapshot.kernel is None else from_file(snapshot.kernel, "small")


def results_table(runs: Mapping[str, Run], place: Mapping[str, int]) -> Table:
    """A line for each run."""
    heads = ("photograph", "recipe", "PSNR before, dB", "PSNR, dB", "seconds", "iterations", "ended", "kernel")
    numeric = ("PSNR before, dB", "PSNR, dB", "seconds", "iterations")
    rows = tuple(results_row(name, run, place[name]) for name, run in runs.items())
    used = [column for column in range(len(heads)) if any(row[column] != cell(None) for row in rows)]
    return Table(
        "Every run",
        tuple(Head(heads[column], heads[column] in numeric) for column in used),
        tuple(tuple(row[column] for column in used) for row in rows),
        filtered=len(rows) > 1,
    )


def results_row(name: str, run: Run, place: int) -> list[Cell]:
    """The line of a run."""
    psnr, size = dict_of(run.facts, "psnr"), run.facts.get("kernel_size")
    kernel = "×".join(map(str, size)) if isinstance(size, list) else None  # noqa: RUF001
    return [
        Cell(run.photo, case=place),
        cell(name),
        cell(psnr.get("before"), 2),
        cell(psnr.get("after"), 2),
        cell(run.facts.get("seconds"), 2),
        cell(run.facts.get("iterations")),
        cell(run.facts.get("stopped")),
        cell(kernel),
    ]


def stages_table(runs: Mapping[str, Run]) -> Table:
    """Where the time went."""
    heads = (
        Head("recipe"),
        Head("stage"),
        Head("solver"),
        Head("iterations", True),
        Head("seconds", True),
        Head("ended"),
    )
    rows = [
        (
            cell(name),
            *(cell(stage.get(key)) for key in ("name", "solver", "iterations")),
            cell(stage.get("seconds"), 2),
            cell(stage.get("stopped")),
        )
        for name, run in runs.items()
        for stage in stages_of(run) or [dict(run.facts)]
    ]
    return Table("Timings", heads, tuple(rows))


def environment(runs: Mapping[str, Run]) -> Table:
    """What the results depend on beside their recipes; what differs between runs is said of each."""
    facts = [dict(environment_of(run)) for run in runs.values()]
    rows: list[tuple[str, Any]] = []
    for key in dict.fromkeys(key for each in facts for key in each):
        values = dict.fromkeys(each.get(key, "") for each in facts)
        rows += [(key, next(iter(values)))] if len(values) == 1 else [
            (f"{key}, {name}", each.get(key, "")) for name, each in zip(runs, facts, strict=True)
        ]  # fmt: skip
    return listed("Environment", rows)


def environment_of(run: Run) -> list[tuple[str, str]]:
    """Versions, device, seed and noise level of a run, and the digest of its photograph."""
    noise = run.facts.get("noise_sigma")
    noted = run.facts.get("noise_sigma_from", "")
    digests = ", ".join(str(each.get("sha256", ""))[:16] for each in run.photographs)
    return [
        *((name, str(value)) for name, value in dict_of(run.facts, "versions").items()),
        ("device", str(run.facts.get("device") or "")),
        ("seed", str(run.facts.get("seed", ""))),
        ("noise level", f"{noise:.5f} ({noted})" if isinstance(noise, float) else ""),
        ("colour", str(run.facts.get("color") or "")),
        ("SHA-256 of the photograph", digests),
    ]
