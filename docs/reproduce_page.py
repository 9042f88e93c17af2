"""The page about reproducing SelfDeblur: commands, their cost, and what the committed results have measured of it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from tables import committed, table

from invkit.benchmark.costs import all_parameters, job_costs, known_costs
from invkit.benchmark.plan import make_plan
from invkit.benchmark.published import published_tables
from invkit.benchmark.suite import Suite, load_suite, selected
from invkit.core.durations import duration_text
from invkit.recipes.model import Recipe, load_recipe

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
RESULTS = BENCHMARKS / "results"
PAPER = "paper"  # the preset with the settings of the paper
NO_DATA = Path("no-data")
NETWORKS = "selfdeblur,selfdeblur-released,selfdeblur-delta"


@dataclass(frozen=True)
class PaperTable:
    """A table or a figure of the paper.

    Attributes:
        suite: the file in ``benchmarks``, without suffix.
        title: of the section.
        about: what the paper asks.
        recipes: of the suite, comma-separated; an empty text for all.
        show: the command that shows the results, after ``invkit bench``, with {} for the folder.
        presets: committed results by file name, without suffix, each with its preset.
        rows: the published row that belongs to a label of a recipe.
        columns: of the results, which compare with the published PSNR and SSIM.
        remark: what the figures do not show.
    """

    suite: str
    title: str
    about: str
    show: str
    remark: str
    recipes: str = ""
    presets: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, str] = ("psnr", "ssim")


TABLES = (
    PaperTable(
        "table1",
        "Table 1: joint or alternating optimisation",
        "Does one step move both networks (joint), or do the networks take turns (alternating)?",
        "table {} --published",
        "In the small preset with 1 - SSIM the order is the opposite of the paper's. With the paper's squared error it "
        "is that of the paper. These are two or three images, a quarter of the channels and an eighth of the "
        "iterations. They do not show which order holds at full size.",
        presets={"table1": "cpu", "table1_squared": "squared"},
        rows={"joint": "SelfDeblur, joint", "alternating": "SelfDeblur, alternating"},
    ),
    PaperTable(
        "table2",
        "Table 2: the network of the kernel",
        "How many hidden layers does the kernel's network need, and is a fully connected network better than a "
        "skip network (Double-DIP)?",
        "table {} --published",
        "In the small presets Double-DIP is not the worst, in contrast to the paper. They do not show whether it is at "
        "full size.",
        presets={"table2": "cpu", "table2_squared": "squared"},
        rows={
            "softmax-fcn": "SelfDeblur, one hidden layer",
            "k-plus": "SelfDeblur, k+ (two hidden layers)",
            "k-minus": "SelfDeblur, k- (no hidden layer)",
            "double-dip": "Double-DIP",
        },
    ),
    PaperTable(
        "table3",
        "Table 3: the images of Levin et al.",
        "SelfDeblur beside classical methods on all 32 images. `selfdeblur` has the settings of the paper, "
        "`selfdeblur-released` those of the authors' code, and `selfdeblur-delta` ends with a sparse deconvolution.",
        "table {} --published",
        "`selfdeblur-small` is another, smaller recipe, made for computers without a GPU. Its figures are not those of "
        "SelfDeblur. The classical methods of this suite are on the page [Measured](measured.md).",
        recipes=NETWORKS,
        presets={"table3": "cpu"},
        rows=dict.fromkeys(["selfdeblur", "selfdeblur-released", "selfdeblur-small"], "SelfDeblur")
        | {"selfdeblur-delta": "SelfDeblur Δ"},
    ),
    PaperTable(
        "table4",
        "Table 4: the images of Lai et al.",
        "SelfDeblur on 100 larger images. Compare `psnr-paper` and `ssim-paper` only, which follow the paper's "
        "convention.",
        "table {} --by category --metrics psnr-paper,ssim-paper --published",
        "No network has been run on these images, small or large. The classical methods of this suite are on the page "
        "[Measured](measured.md).",
        recipes=NETWORKS,
        rows={"selfdeblur": "SelfDeblur", "selfdeblur-released": "SelfDeblur", "selfdeblur-delta": "SelfDeblur Δ"},
        columns=("psnr-paper", "ssim-paper"),
    ),
    PaperTable(
        "figure3",
        "Figure 3: image and kernel during the optimisation",
        "Intermediate images and kernels of joint and of alternating optimisation on image 1 with kernel 4.",
        "plot {} --kinds snapshots,losses",
        "`--preset cpu` draws the same for 600 iterations of small networks, in minutes.",
    ),
)


def reproduce_page() -> str:
    """The page."""
    return "\n".join(
        [introduction(), *(part for each in TABLES for part in section(each)), one_image(), on_a_gpu(), full_size()]
    )


def introduction() -> str:
    """What to do first, and the cost of all tables."""
    totals = [(each, *cost_of(each)) for each in TABLES]
    bases = dict.fromkeys(basis for *_, basis in totals)
    rows = [
        [f"[{each.title}](#{each.suite})", str(jobs), duration_text(gpu), duration_text(gpu * cores_per_gpu())]
        for each, jobs, gpu, _ in totals
    ]
    return (
        "# Reproduce SelfDeblur\n\n"
        "The tables and Figure 3 of Ren et al., *Neural Blind Deconvolution Using Deep Priors*, CVPR 2020, are suites "
        "in the folder `benchmarks` of the checkout. Each has a preset `paper` with the paper's settings, 128 channels "
        "and 5000 iterations, which needs a GPU. This page lists the commands, their cost, and what has been measured "
        "so far. "
        f"{measured_at_full_size()}\n\n"
        "```bash\nexport INVKIT_DATA=/path/to/data\n"
        "invkit data fetch levin   # the images of tables 1 to 3 and of figure 3\n"
        "invkit data fetch lai     # says how to get the images of table 4 by hand\n```\n\n"
        "`--dry-run` prints the jobs and their time, and needs no data. A run can be stopped at any time. The same "
        "command then does the rest.\n\n"
        + table(["", "jobs", "hours on one GPU", "hours on two cores, bfloat16"], rows)
        + f"\nHours on a GPU are {'; '.join(bases)}. Hours on two cores are computed in the same way: "
        f"{known_costs()['iteration']['cpu']['basis']}. Both are taken as proportional to the number of pixels.\n"
    )


def measured_at_full_size() -> str:
    """Whether any committed result has the settings of the paper."""
    found = [result_name(each, PAPER) for each in TABLES if (RESULTS / f"{result_name(each, PAPER)}.csv").exists()]
    if not found:
        count = len(single_images())
        some = f" At full size, single images have been solved: {count} ([](#single-images))." if count else ""
        return f"**With the preset `paper`, the paper's tables have never been measured here.**{some}"
    return f"Only these results are of the preset `paper`: {', '.join(f'`{name}`' for name in found)}."


def result_name(paper: PaperTable, preset: str) -> str:
    """The name of the committed results of a preset without one of its own."""
    return f"{paper.suite}_{preset}"


def cores_per_gpu() -> float:
    """How many times longer two cores take than the GPU."""
    known = known_costs()["iteration"]
    return float(known["cpu"]["bfloat16"] / known["cuda"]["float32"])


def cost_of(paper: PaperTable) -> tuple[int, float, str]:
    """The number of jobs of a table at the paper's settings, their seconds on a GPU, and how these are known."""
    jobs = make_plan(paper_suite(paper), NO_DATA, count_only=True).jobs
    costs = job_costs(jobs)
    seconds = [costs[job.label, job.dataset.label].seconds for job in jobs]
    (basis,) = {cost.basis for cost in costs.values()}
    return len(jobs), sum(each for each in seconds if each is not None), basis


def paper_suite(paper: PaperTable) -> Suite:
    """The suite of a table with the settings of the paper, without the recipes that are no networks."""
    chosen = paper.recipes.split(",") if paper.recipes else ()
    return selected(load_suite(BENCHMARKS / f"{paper.suite}.toml", PAPER), recipes=chosen)


def section(paper: PaperTable) -> list[str]:
    """Command, cost and measured figures of a table."""
    folder, chosen = f"benchmarked/{paper.suite}_paper", f" --recipes {paper.recipes}" if paper.recipes else ""
    run = f"invkit bench run benchmarks/{paper.suite}.toml --preset paper{chosen}"
    jobs, seconds, _ = cost_of(paper)
    head = (
        f"({paper.suite})=\n## {paper.title}\n\n{paper.about}\n\n"
        f"```bash\n{run} --dry-run\n{run} --output {folder}\ninvkit bench {paper.show.format(folder)}\n```\n\n"
        f"{jobs} jobs, about {duration_text(seconds)} on one GPU.\n"
    )
    return [head, measured(paper), f"{paper.remark}\n"]


def measured(paper: PaperTable) -> str:
    """The committed figures of a table beside the published ones, and what was changed for them."""
    rows, changes = [], []
    for name, preset in {**paper.presets, result_name(paper, PAPER): PAPER}.items():
        found = {recipe: records for recipe, records in jobs_of(name).items() if recipe in paper.rows}
        rows += [measured_row(paper, preset, recipe, records) for recipe, records in found.items()]
        changes += [change_of(paper, preset, list(found))] if found else []
    if not rows:
        return "Nothing of this is measured.\n"
    heads = ["recipe", "preset", "images", "PSNR, dB", "SSIM", "paper: PSNR, dB", "paper: SSIM"]
    before = "Measured, as means over that number of images; the paper's figures are means over all:\n"
    return "\n".join([before, table(heads, rows), "What was run for these figures:\n", *changes, ""])


def measured_row(paper: PaperTable, preset: str, recipe: str, records: Sequence[Mapping[str, str]]) -> list[str]:
    """A recipe's means beside the published ones.

    Args:
        paper: the table.
        preset: of the results.
        recipe: its label.
        records: its jobs.
    """
    published = next(each for each in published_tables() if each["id"] == f"selfdeblur-{paper.suite}")
    theirs = next(row for row in published["rows"] if row["name"] == paper.rows[recipe] and "where" not in row)
    psnr, ssim = (fmean(float(record[column]) for record in records) for column in paper.columns)
    images = str(len({record["case"] for record in records}))
    own = [f"{psnr:.2f}", f"{ssim:.4f}", f"{theirs['psnr']:.2f}", f"{theirs['ssim']:.4f}"]
    return [f"`{recipe}`", f"`{preset}`", images, *own]


def jobs_of(name: str) -> dict[str, list[dict[str, str]]]:
    """The finished jobs of a committed result by recipe; none if there is no such result."""
    file, found = RESULTS / f"{name}.csv", dict[str, list[dict[str, str]]]()
    if file.exists():
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if row["status"] == "done":
                    found.setdefault(row["recipe"], []).append(row)
    return found


def change_of(paper: PaperTable, preset: str, labels: Sequence[str]) -> str:
    """A note with the recipes of a preset, their sizes, and the settings that the preset changes.

    Args:
        paper: the table.
        preset: its name.
        labels: of the recipes.
    """
    suite = load_suite(BENCHMARKS / f"{paper.suite}.toml", preset)
    named = {spec.label: spec for spec in suite.recipes if spec.label in labels}
    sizes: dict[str, list[str]] = {}
    for label, spec in named.items():
        size = size_in_words(load_recipe(spec.name).with_overrides([*suite.overrides, *spec.overrides]))
        sizes.setdefault(size, []).append(f"`{label}`" if label == spec.name else f"`{label}` (`{spec.name}`)")
    own = {label: code(spec.overrides) for label, spec in named.items() if spec.overrides}
    parts = [f"{', '.join(recipes)}: {size}" for size, recipes in sizes.items()]
    parts += [f"changed settings of all recipes: {code(suite.overrides)}"] if suite.overrides else []
    parts += [
        f"also of {', '.join(f'`{label}`' for label in own if own[label] == settings)}: {settings}"
        for settings in dict.fromkeys(own.values())
    ]
    return f"- `--preset {preset}`. {'. '.join(part[0].upper() + part[1:] for part in parts)}."


def code(settings: Sequence[str]) -> str:
    """Settings as code."""
    return ", ".join(f"`{each}`" for each in settings)


def size_in_words(recipe: Recipe) -> str:
    """The size of a recipe's image network and its iterations."""
    prior, solver = (all_parameters(recipe, place) for place in ("image_prior", "solver"))
    return f"{prior['channels']} channels, {solver['iterations']} iterations"


def single_images() -> Sequence[Mapping[str, Any]]:
    """The images that benchmarks/full_size.py has solved at full size; none if none is committed."""
    report = committed(RESULTS / "full_size.json")
    return report["rows"] if report else []


def solved_images() -> str:
    """Their figures."""
    if not single_images():
        return ""
    points = (500, 1000, 2000, 5000)
    rows = []
    for row in single_images():
        curve = {point["iteration"]: f"{point['psnr']:.2f}" for point in row["curve"]}
        rows.append(
            [row["image"], f"`{row['recipe']}`", *(curve[point] for point in points), f"{row['published image']:.2f}",
             f"{row['kernel-similarity']:.3f}", duration_text(row["seconds"])]
        )  # fmt: skip
    heads = ["image", "recipe", *(f"{point} iterations, dB" for point in points), "published image, dB",
             "similarity of the kernel", "time"]  # fmt: skip
    return (
        "\nMeasured by `python benchmarks/full_size.py`, in bfloat16 with a single thread, while other programs ran, "
        "beside the images that the authors published:\n\n" + table(heads, rows)
    )


def one_image() -> str:
    """A single image at full size without a GPU."""
    seconds = 5000 * known_costs()["iteration"]["cpu"]["bfloat16"]
    return (
        "(single-images)=\n## One image without a GPU\n\n"
        "```bash\ninvkit deblur $INVKIT_DATA/levin/blurry/im3_kernel5_img.png --recipe selfdeblur-released "
        "--kernel-size 17 \\\n    --set solver.precision=bfloat16 --device cpu "
        "--truth $INVKIT_DATA/levin/sharp/im3.png --output full_size\n```\n\n"
        f"This is one job of Table 3 in bfloat16: about {duration_text(seconds)} on two cores, computed from the "
        "seconds of an iteration. After Ctrl-C, the same command with `--resume` continues.\n" + solved_images()
    )


def on_a_gpu() -> str:
    """The script for a GPU, and its figures if they are committed."""
    command = "INVKIT_DATA=/path/to/data python benchmarks/speed/gpu.py --output benchmarks/results/gpu.json"
    head = (
        "## Ten minutes of a GPU\n\n"
        f"```bash\n{command}\n```\n\n"
        "This script runs the tests that need a GPU, times an iteration, and solves Levin's images at full size, first "
        "one by one and then the four images of a kernel at once. Each result is written to the file at once.\n"
    )
    report = committed(RESULTS / "gpu.json")
    if report is None:
        return f"{head}\nIt has never run on a GPU: invkit has not been measured on one.\n"
    return f"{head}\nMeasured on {report['machine']['device']}:\n\n{gpu_iterations(report)}\n{gpu_images(report)}"


def gpu_iterations(report: Mapping[str, Any]) -> str:
    """The seconds of an iteration."""
    rows = [
        [
            row["version"],
            f"{1000 * row['seconds']:.2f}",
            "" if row["ratio_to_plain"] is None else f"{row['ratio_to_plain']:.2f}",
        ]
        for row in results_of(report, "iteration")
        if "seconds" in row
    ]
    return table(["iteration", "milliseconds", "ratio to plain PyTorch"], rows)


def gpu_images(report: Mapping[str, Any]) -> str:
    """The images that were solved one by one."""
    rows = [
        [row["case"], f"`{row['recipe']}`", row["precision"], str(row["iterations"]), f"{row['seconds']:.1f}",
         f"{row['psnr']:.2f}", f"{row['published_psnr']:.2f}" if "published_psnr" in row else ""]
        for row in results_of(report, "images")
    ]  # fmt: skip
    return table(["image", "recipe", "precision", "iterations", "seconds", "PSNR, dB", "published image, dB"], rows)


def results_of(report: Mapping[str, Any], part: str) -> Sequence[Mapping[str, Any]]:
    """The results of a part of gpu.py; none if it did not run."""
    found: Sequence[Mapping[str, Any]] = report["parts"].get(part, {}).get("results", [])
    return found


def full_size() -> str:
    """What has never been measured."""
    lines = [line for each in TABLES for line in unmeasured(each)]
    gpu = (
        [] if (RESULTS / "gpu.json").exists() else ["- Anything on a GPU: seconds, memory, and the quality of a result"]
    )
    return "\n".join(["## What has never been measured\n", "At the settings of the paper:\n", *lines, *gpu, ""])


def unmeasured(paper: PaperTable) -> list[str]:
    """The recipes of a table that lack images at the settings of the paper, as a line."""
    suite, done = paper_suite(paper), jobs_of(result_name(paper, PAPER))
    cases = len(make_plan(suite, NO_DATA, count_only=True).jobs) // len(suite.recipes)
    singles = single_images() if paper.suite == "table3" else []
    solved = {spec.label: {record["case"] for record in done.get(spec.label, ())} for spec in suite.recipes}
    counts = {
        label: len(images | {row["image"] for row in singles if row["recipe"] == label})
        for label, images in solved.items()
    }
    never = [f"`{label}`" for label, count in counts.items() if not count]
    left = [f"{', '.join(never)} on any image"] if never else []
    left += [f"`{label}` on {cases - n} of {cases} images" for label, n in counts.items() if 0 < n < cases]
    return [f"- {paper.title}: {'; '.join(left)}"] if left else []
