"""The page of measured figures, made from the committed results of the benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from counts_page import counts
from coverage_page import coverage
from measured_tables import REMARKS, SUITES
from tables import committed, table
from units_page import stacks, units

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
SIDES = (256, 1024, 4096)
PARTS = {"iteration": "an iteration: ", "block": "", "recipe": "the recipe "}


def measured_page() -> str:
    """The figures of all benchmarks, with the commands that make them."""
    head = (
        "# Measured\n\nThe commands beside the tables print these figures. `benchmarks/results` contains them, with "
        "the machine on which they were measured. It had two processor cores; times on other machines differ.\n"
    )
    figures = [problems(), *more_problems(), large_photo(), speed(), *classical(), *scaling(), noise()]
    figures += [*counts(RESULTS), *units(RESULTS), *stacks(RESULTS), *coverage(RESULTS)]
    return "\n".join([head, *suites(), *figures])


def read(name: str, command: str) -> Any:
    """One committed result; raises ``FileNotFoundError``, which names the command that writes it."""
    report = committed(RESULTS / name)
    if report is None:
        raise FileNotFoundError(f"{RESULTS / name} is missing; it is written by: {command}")
    return report


def suites() -> list[str]:
    """A section for each committed table, as ``invkit bench table`` wrote it."""
    files = {RESULTS / f"{name}.md": texts for name, texts in SUITES.items()}
    return [section(file, *texts) for file, texts in files.items() if file.exists()]


def section(file: Path, title: str, command: str) -> str:
    """A table with its title, the commands that make it, and headings one level lower than in its file."""
    _, *lines = file.read_text(encoding="utf-8").splitlines()
    lower = [f"#{line}" if line.startswith("#") else line for line in lines]
    jobs = (
        f"`benchmarks/results/{file.stem}.csv` has one line for each job, written by `invkit bench table --each`."
        if file.with_suffix(".csv").exists()
        else ""
    )
    remark = REMARKS.get(file.stem, "")
    return "\n".join([f"## {title}\n", f"```bash\n{command}\n```\n", f"{remark}\n", jobs, *lower, ""])


def problems() -> str:
    """The problems other than deblurring."""
    command = "python benchmarks/problems.py --output benchmarks/results/problems.json"
    return (
        "## Other problems\n\n"
        f"`{command}`: synthetic cases made from pictures of scikit-image. Each is compared with a classical method or "
        "with the known operator. The script describes the cases. Seconds are those of the processor, with one "
        "thread.\n\n" + problem_table(read("problems.json", command)["rows"])
    )


MORE_PROBLEMS = {
    "nonlinear": (
        "Operators that are not linear",
        "--only gamma --only phase-retrieval",
        "light that was blurred before a gamma curve, with a known kernel, and the phases of diffraction patterns of "
        "64x64 pixels. Weights were chosen on the astronaut.",
    ),
    "sure": (
        "Weights by Stein's estimate of the error",
        "--only weights",
        "total variation at eight weights, a factor of two apart: the best one, which needs the true image, and the "
        "one that the solver `sure` chose without it.",
    ),
}
"""For each committed result the title, the options of the command, and what it shows."""


def more_problems() -> list[str]:
    """The problems of `MORE_PROBLEMS` whose results are committed."""
    return [
        f"## {title}\n\n`python benchmarks/problems.py {options} --output benchmarks/results/{name}.json`: {about}\n\n"
        + problem_table(report["rows"])
        for name, (title, options, about) in MORE_PROBLEMS.items()
        if (report := committed(RESULTS / f"{name}.json"))
    ]


def problem_table(rows: list[dict[str, Any]]) -> str:
    """A table of the rows that `benchmarks/problems.py` wrote."""
    cells = [
        [
            r["problem"],
            r["scene"],
            r["method"],
            f"{r['psnr']:.2f}",
            f"{r['seconds']:.1f}",
            ", ".join(f"{name} {value}" for name, value in r["facts"].items()),
        ]
        for r in rows
    ]
    return table(["problem", "scene", "method", "PSNR, dB", "CPU seconds", ""], cells)


def large_photo() -> str:
    """Photographs of up to 24 megapixels, with a known and with an unknown kernel."""
    report = read("large_photo.json", "python benchmarks/large_photo.py")
    sizes = list(dict.fromkeys(row["megapixels"] for row in report["rows"]))
    recipes = dict.fromkeys(row["recipe"] for row in report["rows"])
    found = {(row["recipe"], row["megapixels"]): row for row in report["rows"]}
    rows = [
        [f"[`{recipe}`](recipes.md#{recipe})", *(large_cell(found.get((recipe, size))) for size in sizes)]
        for recipe in recipes
    ]
    return (
        "## Large photographs\n\n"
        "`python benchmarks/large_photo.py`: colour photographs with a motion blur of 65 pixels, or of an eighth of "
        "the shorter side if that is less. Each cell shows seconds and peak memory of the whole command, and the PSNR "
        "before and after, in dB: of all pixels, or for `fast`, whose kernel is unknown, of the middle after "
        "alignment.\n\n"
        + table(["recipe", *(f"{size:g} MP" for size in sizes)], rows)
        + "\n```{image} ../_static/large_photo.png\n"
        ":alt: Seconds and peak memory of five recipes over the size of the photograph, both axes logarithmic\n```\n"
        + f"\nMeasured with {report['machine']['threads']} threads on {report['machine']['cpus']} cores.\n"
    )


def large_cell(row: dict[str, Any] | None) -> str:
    """The figures of one restoration; empty if there is none."""
    if row is None:
        return ""
    return (
        f"{row['seconds']:.3g} s, {row['peak_gigabytes']:.1f} GB<br>{row['psnr_before']:.1f} → {row['psnr_after']:.1f}"
    )


def speed() -> str:
    """One iteration of the paper's network, compared with plain PyTorch."""
    report = read("speed.json", "python benchmarks/speed/against_plain.py")
    rows = [
        [
            name,
            f"{r['median_seconds']:.2f}",
            f"{r['median_of_ratios']:.2f}",
            str(r["goal_ratio"] or ""),
            f"{r['peak_gigabytes']:.2f}",
        ]
        for name, r in report["results"].items()
    ]
    return (
        "## An iteration of `selfdeblur`\n\n"
        "`python benchmarks/speed/against_plain.py`: 255x255 data, 27x27 kernel, 128 channels. The versions run "
        "alternately. Plain is the same mathematics written directly in PyTorch. The peak memory is that of the whole "
        "process, of which the libraries take about half.\n\n"
        + table(["version", "seconds (median)", "ratio to plain (median)", "goal", "peak memory, GB"], rows)
        + f"\n{machine(report['machine'])}\n"
    )


def classical() -> list[str]:
    """Classical recipes compared with an earlier version, if the result is committed."""
    report = committed(RESULTS / "classical.json")
    if report is None:
        return []
    kinds = ("cpu_default", "wall_default", "cpu_one")
    rows = [
        [
            f"[`{recipe}`](recipes.md#{recipe})",
            *(f"{r[kind]['before']:.2f} → {r[kind]['now']:.2f} ({r[kind]['ratio']:.2f})" for kind in kinds),
            *(f"{r[tree]['mean_difference']:+.2f} ({r[tree]['largest']:.2f})" for tree in ("psnr_now", "psnr_control")),
        ]
        for recipe, r in report["results"].items()
    ]
    heads = ["recipe", "processor seconds", "seconds", "seconds of one thread", "PSNR, dB", "PSNR of the control, dB"]
    return [
        "## Classical recipes, before and after they were made faster\n\n"
        f"`{report['command']}`: sums over Levin's images {', '.join(report['setting']['cases'])}. The two versions "
        "ran alternately. Cells of seconds show before → after and their quotient, with the default number of threads "
        "and with one thread. PSNR columns show the mean difference and, in brackets, the largest one. Blind methods "
        "are chaotic: the control is the earlier version on data that differ by a millionth.\n\n" + table(heads, rows)
    ]


def scaling() -> list[str]:
    """Seconds over the sizes of photograph and kernel, if the result is committed."""
    report = committed(RESULTS / "scaling.json")
    if report is None:
        return []
    seconds = {(r["what"], r["side"], r["kernel"]): f"{r['seconds']:.3g}" for r in report["rows"]}
    rows = [
        [
            f"{PARTS[part]}{what}",
            *(seconds.get((what, side, 31), "") for side in SIDES),
            *("" if power is None else f"{power:.2f}" for power in report["exponents"][what].values()),
        ]
        for part, what in dict.fromkeys((r["part"], r["what"]) for r in report["rows"])
    ]
    facts = {**report["versions"], **report["machine"]}
    return [
        "## Seconds over the sizes\n\n"
        "`python benchmarks/speed/scaling.py`: seconds of an iteration of a solver, of a building block and of a whole "
        "recipe, for grey photographs and a kernel of 31x31 pixels. The last columns are the exponents with which the "
        "seconds grow: with the number of pixels, over the three largest sizes, and with the kernel's side, from 11 to "
        "101.\n\n"
        + table(["what", *(f"{side}x{side}" for side in SIDES), "power of pixels", "power of kernel's side"], rows)
        + "\n```{image} ../_static/scaling.png\n"
        ":alt: Seconds against pixels, and against the kernel's side, of solvers, building blocks and recipes\n```\n"
        + f"\n{machine(facts)}\n"
    ]


def noise() -> str:
    """Noise estimation on photographs."""
    report = read("noise.json", "python benchmarks/noise.py")
    states = list(report["zoran-weiss"]["within 15 %"])
    rows = [
        [
            method,
            *(report[method]["within 15 %"][state] for state in states),
            str(report[method]["seconds for a megapixel"]),
        ]
        for method in ("zoran-weiss", "patch-covariance")
    ]
    return (
        "## Noise level\n\n"
        "`INVKIT_DATA=... python benchmarks/noise.py`: share of estimates within 15 % of the truth, for noise of 0.002 "
        "to 0.1 added to sharp and blurred photographs. All six misses of the default are at 0.002.\n\n"
        + table(["method", *states, "seconds a megapixel"], rows)
    )


def machine(facts: dict[str, Any]) -> str:
    """The machine on which the figures were measured."""
    return (
        f"Measured with torch {facts['torch']}, {facts['threads']} threads, {facts['processor']}; "
        f"load average {facts['load_average'][0]}."
    )
