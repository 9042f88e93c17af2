"""Restore the cases of the calibration set with recipes that know nothing of the kernel, and compare with the truth.

    python benchmarks/calibration/report.py --recipe fast --recipe best --cases 40

For each case: PSNR of the luma (shifts aligned, Levin's protocol) of the input, of the restoration with the true kernel
(by the last step of each recipe) and of each recipe; whether the recipe gave a warning; seconds.
Rows are appended to the table, and cases in it are not restored again: Ctrl-C keeps what was done. The summary gives
means with 95 % intervals over the photographs (bootstrap).
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

MAX_SHIFT = 10  # pixels between the kernels' centres
BORDER = 15  # pixels
WORSE = 0.2  # dB below the input
DRAWS = 2000  # of the bootstrap
NUMBERS = ("input", "true_kernel", "restored", "warned", "seconds")


def main(
    recipe: Annotated[list[str], typer.Option(help="Recipe; may be given several times.")],
    folder: Annotated[Path, typer.Option(help="The set, from make.py.")] = Path("benchmarked/calibration"),
    split: Annotated[str, typer.Option(help="choose or report.")] = "report",
    cases: Annotated[
        int, typer.Option(min=1, help="So many cases of the split; the first ones are a balanced sample.")
    ] = 140,
    skip: Annotated[int, typer.Option(min=0, help="Leave out the first cases of the split.")] = 0,
    longest: Annotated[int, typer.Option(help="Leave out pictures with a longer side, pixels.")] = 10**6,
    table: Annotated[Path, typer.Option(help="CSV file to append to.")] = Path("benchmarked/calibration.csv"),
    processes: Annotated[int, typer.Option(min=1, help="Cases restored at a time, with one thread each.")] = 1,
    output: Annotated[Path | None, typer.Option(help="Markdown file for the tables of the page Measured.")] = None,
) -> None:
    """Restore and report."""
    wanted = [row for row in rows_of(folder / "cases.csv") if row["split"] == split][skip : skip + cases]
    wanted = [row for row in wanted if max(int(row["height"]), int(row["width"])) <= longest]
    done = {(row["case"], row["recipe"]) for row in rows_of(table)} if table.exists() else set()
    tasks = [(folder, row, name) for row in wanted for name in recipe if (row["id"], name) not in done]
    for result in track(results(restored, tasks, processes), "Restoring", total=len(tasks), disable=not tasks):
        append(table, result)
    mine = {row["id"] for row in wanted}
    everything = [row for row in rows_of(table) if row["case"] in mine]
    for name in recipe:
        typer.echo(summary(name, [row for row in everything if row["recipe"] == name]))
    if output is not None:
        output.write_text(page(split, recipe, everything), encoding="utf-8")


def rows_of(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def write_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same columns as a CSV file."""
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def append(file: Path, row: Mapping[str, Any]) -> None:
    """Append a row; a new file gets its heading first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    is_new = not file.exists()
    with file.open("a", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(row), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def results(do: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], processes: int) -> Iterator[Any]:
    """What a function makes of each task, in this process, or in several with one thread each.

    Args:
        do: the function.
        tasks: its arguments.
        processes: 1 for this process.
    """
    if processes == 1:
        yield from (do(*task) for task in tasks)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=one_thread) as pool:
        yield from (future.result() for future in as_completed([pool.submit(do, *task) for task in tasks]))


def one_thread() -> None:
    """Keep a process to one thread, so that it starts no workers either."""
    import torch

    torch.set_num_threads(1)


def restored(folder: Path, case: Mapping[str, str], recipe: str) -> dict[str, Any]:
    """The row of one case and recipe.

    Args:
        folder: of the set.
        case: its row of cases.csv.
        recipe: name or file.
    """
    import invkit
    from invkit.recipes.model import load_recipe

    path = folder / case["split"] / case["id"]
    blurry = next(iter(path.parent.glob(f"{case['id']}_blurry.*")))
    truth, kernel = Path(f"{path}_sharp.png"), np.load(f"{path}_kernel.npy")
    known = invkit.deconvolve(blurry, kernel, recipe=load_recipe(recipe).links()[-1], progress=False)
    started = time.monotonic()
    found = invkit.deblur(blurry, recipe=recipe, progress=False)
    return {
        "case": case["id"],
        "photograph": case["photograph"],
        "family": case["family"],
        "recipe": recipe,
        "input": round(distance(known.blurry, truth), 3),
        "true_kernel": round(distance(known.image, truth), 3),
        "restored": round(distance(found.image, truth), 3),
        "warned": int(bool(found.details.get("warnings"))),
        "kernel": "x".join(str(side) for side in np.asarray(found.kernel).shape[-2:]),
        "seconds": round(time.monotonic() - started, 2),
    }


def distance(image: Any, truth: Path) -> float:
    """PSNR of the luma after the best shift, dB."""
    from invkit.media.images import read_image
    from invkit.numerics.registration import aligned_psnr

    restored, sharp = luma(np.asarray(image)), luma(read_image(truth).pixels)
    border = min(BORDER, min(sharp.shape) // 8)
    return float(aligned_psnr(restored, sharp, border=border, max_shift=min(MAX_SHIFT, border)))


def luma(picture: Any) -> Any:
    """The luma of a picture (H, W) or (H, W, 3) as a tensor (H, W)."""
    import torch

    from invkit.media.colour import to_luma_chroma

    planes = torch.as_tensor(picture, dtype=torch.float32)
    return planes if planes.ndim == 2 else to_luma_chroma(planes.permute(2, 0, 1)[None])[0][0, 0]


class Figures:
    """What is reported of a recipe.

    Attributes:
        means: of the numbers of each row; dB, seconds.
        photographs: number of them.
        gap: to the restoration with the true kernel, dB, (cases,).
        interval: of the mean gap, dB, 95 %.
        worse: than the input, (cases,).
        warned: with a warning, (cases,).
        seconds: (cases,).
    """

    def __init__(self, rows: Sequence[Mapping[str, str]]) -> None:
        values = {key: np.array([float(row[key]) for row in rows]) for key in NUMBERS}
        photographs = np.array([row["photograph"] for row in rows])
        self.means = {key: value.mean() for key, value in values.items()}
        self.photographs = len(set(photographs))
        self.gap = values["true_kernel"] - values["restored"]
        self.interval = interval(self.gap, photographs)
        self.worse, self.warned = values["restored"] < values["input"] - WORSE, values["warned"] > 0
        self.seconds = values["seconds"]

    @property
    def untold(self) -> np.ndarray[Any, Any]:
        """Which are worse than the input without a warning."""
        return self.worse & ~self.warned


def summary(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    """Means with intervals, and the share of results worse than their input and not warned of."""
    found = Figures(rows)
    low, high = found.interval
    lines = [
        f"{name}: {len(rows)} cases of {found.photographs} photographs",
        f"  PSNR: input {found.means['input']:.2f} dB, true kernel {found.means['true_kernel']:.2f}, "
        f"restored {found.means['restored']:.2f}",
        f"  gap to the true kernel: mean {found.gap.mean():.2f} ({low:.2f} to {high:.2f}), "
        f"median {np.median(found.gap):.2f}, largest {found.gap.max():.1f}",
        f"  worse than the input {found.worse.mean():.1%}, without a warning {found.untold.mean():.1%}; "
        f"warned {found.warned.mean():.1%}",
        f"  seconds: median {np.median(found.seconds):.1f}, largest {found.seconds.max():.0f}",
    ]
    return "\n".join(lines)


def page(split: str, recipes: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    """The same as Markdown: one table of all cases, and the mean gaps by family of kernels.

    Args:
        split: of the set.
        recipes: in the order of the tables.
        rows: of the table.
    """
    mine = {name: [row for row in rows if row["recipe"] == name] for name in recipes}
    families = sorted({row["family"] for row in rows})
    return "\n".join(
        [
            f"# Part '{split}' of the calibration set",
            "",
            "| recipe | cases | photographs | input, dB | restored, dB | true kernel, dB | mean gap, dB (95 %) | "
            "median gap, dB | worse than the input | of these without a warning | warned | seconds |",
            "| --- " + "| ---: " * 11 + "|",
            *(line(name, mine[name]) for name in recipes),
            "",
            f"| mean gap, dB | {' | '.join(families)} |",
            "| --- " + "| ---: " * len(families) + "|",
            *(f"| {name} | {' | '.join(family_gap(mine[name], one) for one in families)} |" for name in recipes),
            "",
            f"- Seconds are those of one thread, median. Made with {made_with()}.",
            "",
        ]
    )


def line(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    """A recipe's line of the table of all cases."""
    found = Figures(rows)
    low, high = found.interval
    cells = [
        name,
        len(rows),
        found.photographs,
        *(f"{found.means[key]:.2f}" for key in ("input", "restored", "true_kernel")),
        f"{found.gap.mean():.2f} ({low:.2f} to {high:.2f})",
        f"{np.median(found.gap):.2f}",
        int(found.worse.sum()),
        int(found.untold.sum()),
        int(found.warned.sum()),
        f"{np.median(found.seconds):.1f}",
    ]
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def family_gap(rows: Sequence[Mapping[str, str]], family: str) -> str:
    """The mean gap to the true kernel of one family of kernels, and the number of its cases."""
    gaps = [float(row["true_kernel"]) - float(row["restored"]) for row in rows if row["family"] == family]
    return f"{np.mean(gaps):.2f} ({len(gaps)})" if gaps else ""


def made_with() -> str:
    """The versions and the machine."""
    import os
    import platform
    from importlib.metadata import version

    packages = ", ".join(f"{name} {version(name)}" for name in ("invkit", "torch", "numpy"))
    return f"{packages}, python {platform.python_version()}, {os.cpu_count()} cores"


def interval(values: np.ndarray[Any, np.dtype[np.float64]], groups: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The 95 % interval of the mean, with groups drawn again and again.

    Args:
        values: one for each case.
        groups: the photograph of each case; its cases are drawn together.
    """
    generator, names = np.random.default_rng(0), np.unique(groups)
    sums = np.array([values[groups == one].sum() for one in names])
    counts = np.array([(groups == one).sum() for one in names])
    drawn = generator.integers(0, len(names), (DRAWS, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


if __name__ == "__main__":
    typer.run(main)
