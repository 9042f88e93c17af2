"""Seconds and PSNR of the classical recipes against another checkout of invkit, in one run.

    python benchmarks/speed/classical.py --against ../invkit-before [--rounds 3] [--recipes fast pan-l0 ...]
                                         [--cases 1,1 2,4 3,7] [--output benchmarks/results/classical.json]

The two versions run alternately, each time in a new process, on images of Levin et al. (``image,kernel``; the folder
of all data is ``INVKIT_DATA``). A process loads its libraries and restores a small corner first, which does not count.
Then it restores each image once, with the default number of threads and with one thread. Seconds are sums over the
images and medians over the rounds, of the processor (with worker processes) and of the clock. PSNR is measured after
alignment, for each image.

Blind methods are chaotic: rounding can change a selection, and then the kernel. Therefore the other checkout also runs
on data that differ by a millionth, as a control. Differences of PSNR that are not larger than those of the control
have no meaning. Ctrl-C keeps the complete rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).parent.parent))
from results_file import command_line, run_facts, write_results

HERE = Path(__file__).resolve()
ROOT = HERE.parent.parent.parent
BLIND = (
    "fast", "best", "fast-map", "pan-l0", "xu-l0", "cho-lee", "xu-jia", "krishnan", "pan-dark-channel", "pmp",
    "chan-wong-tv", "perrone-favaro",
)  # fmt: skip
KNOWN = ("sparse-admm", "tv-admm", "hyper-laplacian", "sparse-irls", "ringing-removal")
CASES = ("1,1", "2,4", "3,7")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SETTINGS = ("default", "one")
CHANGE = 1e-6  # of the data, for the control, in [0, 1] units
CORNER = 80  # pixels

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class ProcessRun:
    """One process: a recipe on all images.

    Attributes:
        tree: "before", "now" or "control".
        threads: of `SETTINGS`.
        number: of the round.
    """

    recipe: str
    tree: str
    threads: str
    number: int


def all_runs(recipes: Sequence[str], rounds: int) -> list[ProcessRun]:
    """All processes in their order: before and now alternate, and so does the first of the two."""
    found = []
    for number in range(rounds):
        order = ("before", "now") if number % 2 == 0 else ("now", "before")
        for recipe in recipes:
            found += [ProcessRun(recipe, tree, threads, number) for threads in SETTINGS for tree in order]
            found += [ProcessRun(recipe, "control", "one", number)] if number == 0 else []
    return found


def taken(run: ProcessRun, trees: Mapping[str, Path], cases: Sequence[str]) -> Row:
    """The measurements of one process."""
    inherited = {name: value for name, value in os.environ.items() if name not in THREADS}
    few = dict.fromkeys(THREADS, "1") if run.threads == "one" else {}
    command = [sys.executable, str(HERE), "--one", run.recipe, "--cases", *cases]
    command += ["--change", str(CHANGE)] if run.tree == "control" else []
    environment = {**inherited, **few, "PYTHONPATH": str(trees[run.tree])}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{run.recipe} of {trees[run.tree]} failed with status {done.returncode}")
    measured: Row = json.loads(done.stdout)
    if Path(measured["package"]).resolve() != trees[run.tree].resolve():
        raise SystemExit(f"{trees[run.tree]} has no invkit in it: {measured['package']} was taken")
    return {"recipe": run.recipe, "tree": run.tree, "threads": run.threads, "round": run.number, **measured}


def all_taken(todo: Sequence[ProcessRun], trees: Mapping[str, Path], cases: Sequence[str]) -> Iterator[Row]:
    """The measurements of all processes, with the time left on the standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("left"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(todo))
        for run in todo:
            progress.update(task, description=f"{run.recipe}, {run.tree}, threads {run.threads}")
            yield taken(run, trees, cases)
            progress.advance(task)


def one(recipe: str, cases: Sequence[str], change: float) -> Row:
    """The measurements in this process, with the invkit that it imports."""
    import torch

    import invkit
    from invkit.datasets.levin import Levin

    levin = Levin(Path(os.environ["INVKIT_DATA"]))
    measured = []
    for number, name in enumerate(cases):
        image, kernel = map(int, name.split(","))
        case = levin.case(image, kernel)
        sample = levin.sample(case)
        assert sample.kernel is not None
        if number == 0:
            restored(recipe, sample.image[:CORNER, :CORNER], sample.kernel[:9, :9], (9, 9))
        measured.append({"case": name, **timed(recipe, sample, case.kernel_size, change)})
    package = str(Path(invkit.__file__).resolve().parent.parent)
    return {"package": package, "torch_threads": torch.get_num_threads(), "cases": measured}


def timed(recipe: str, sample: Any, size: Any, change: float) -> Row:
    """Seconds and PSNR of one image."""
    import numpy as np
    import torch

    from invkit.numerics.registration import aligned_psnr

    noise = change * np.random.default_rng(0).standard_normal(sample.image.shape, dtype=np.float32)
    image = (sample.image + noise).clip(0, 1)
    wall, cpu = time.perf_counter(), worked()
    result = restored(recipe, image, sample.kernel, size)
    wall, cpu = time.perf_counter() - wall, worked() - cpu
    pictures = (torch.as_tensor(np.asarray(picture)).float() for picture in (result.image, sample.truth))
    return {"cpu": round(cpu, 4), "wall": round(wall, 4), "psnr": round(aligned_psnr(*pictures, max_shift=10), 4)}


def worked() -> float:
    """Processor seconds of this process and of its worker processes."""
    import psutil

    workers = [child.cpu_times() for child in psutil.Process().children()]
    return time.process_time() + float(sum(times.user + times.system for times in workers))


def restored(recipe: str, image: Any, kernel: Any, size: Any) -> Any:
    from invkit.pipeline.job import prepare

    known = {"kernel": kernel / kernel.sum()} if recipe in KNOWN else {"kernel_size": size}
    return prepare(image, recipe=recipe, device="cpu", **known).run()


def summary(rows: Sequence[Row], recipe: str) -> Row:
    """Medians, ratios and differences of one recipe; empty for an incomplete recipe."""
    found: Row = {}
    for threads in SETTINGS:
        for what in ("cpu", "wall"):
            seconds = {tree: totals(rows, recipe, tree, threads, what) for tree in ("before", "now")}
            if all(seconds.values()):
                before, now = median(seconds["before"]), median(seconds["now"])
                found[f"{what}_{threads}"] = {"before": before, "now": now, "ratio": round(before / now, 3)}
    psnr = {tree: psnrs(rows, recipe, tree) for tree in ("before", "now", "control")}
    for tree in ("now", "control"):
        differences = [psnr[tree][case] - psnr["before"][case] for case in psnr[tree] if case in psnr["before"]]
        if differences:
            largest = max(map(abs, differences))
            found[f"psnr_{tree}"] = {"mean_difference": round(mean(differences), 3), "largest": round(largest, 3)}
    found["psnr"] = psnr
    return found


def totals(rows: Sequence[Row], recipe: str, tree: str, threads: str, what: str) -> list[float]:
    chosen = [row for row in rows if (row["recipe"], row["tree"], row["threads"]) == (recipe, tree, threads)]
    return [round(sum(case[what] for case in row["cases"]), 4) for row in chosen]


def psnrs(rows: Sequence[Row], recipe: str, tree: str) -> dict[str, float]:
    """Of each image, with one thread."""
    chosen = [row for row in rows if (row["recipe"], row["tree"], row["threads"]) == (recipe, tree, "one")]
    return {case["case"]: case["psnr"] for row in chosen for case in row["cases"]}


def table(results: Mapping[str, Row]) -> str:
    """Seconds before and now and their ratio, for each setting; differences of PSNR, mean and largest."""
    heads = [f"{what} {threads}" for threads in SETTINGS for what in ("cpu", "wall")]
    lines = [f"{'':17}" + "".join(f"{head + ' x':>22}" for head in heads) + f"{'PSNR now':>16}{'control':>16}"]
    for recipe, row in results.items():
        cells = [row.get(head.replace(" ", "_")) for head in heads]
        times = [f"{c['before']:.2f} > {c['now']:.2f} {c['ratio']:5.2f}" if c else "" for c in cells]
        scores = [row.get(f"psnr_{tree}") for tree in ("now", "control")]
        decibels = [f"{s['mean_difference']:+.2f} ({s['largest']:.2f})" if s else "" for s in scores]
        lines.append(f"{recipe:17}" + "".join(f"{t:>22}" for t in times) + "".join(f"{d:>16}" for d in decibels))
    return "\n".join(lines)


def compare(options: argparse.Namespace) -> None:
    rows: list[Row] = []
    trees = {"before": options.against, "control": options.against, "now": ROOT}
    with suppress(KeyboardInterrupt):
        for row in all_taken(all_runs(options.recipes, options.rounds), trees, options.cases):
            rows.append(row)
    results = {recipe: found for recipe in options.recipes if (found := summary(rows, recipe))["psnr"]["now"]}
    print(table(results))
    setting = {"cases": options.cases, "rounds": options.rounds, "against": str(options.against), "change": CHANGE}
    write_results(options.output, {**run_facts(), "setting": setting, "results": results, "rows": rows})


def main() -> None:
    parser = command_line(__doc__, ROOT / "benchmarks" / "results" / "classical.json")
    parser.add_argument("--against", type=Path, help="the folder of another checkout")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each version and setting")
    parser.add_argument("--recipes", nargs="+", default=[*BLIND, *KNOWN])
    parser.add_argument("--cases", nargs="+", default=list(CASES), help="of Levin's images: image,kernel")
    parser.add_argument("--one", metavar="RECIPE", help=argparse.SUPPRESS)
    parser.add_argument("--change", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.cases, options.change)))
    elif options.against is None or not (options.against / "invkit").is_dir():
        parser.error("--against needs the folder of another checkout, with the package invkit in it")
    else:
        compare(options)


if __name__ == "__main__":
    main()
