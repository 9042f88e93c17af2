"""The page of measured figures, made from the committed results of the commands in benchmarks/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tables import table

from invkit.recipe import Recipe, load_recipe

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
PUBLISHED = {"cho-lee": 30.57, "krishnan": 29.88, "xu-jia": 31.67, "pan-dark-channel": 32.69, "pmp": 32.45}  # dB
SIZES = {
    "plus4": "the kernel sizes given are the true ones rounded up to odd, plus 4, as a user would",
    "true": "the kernel sizes given are the true ones, rounded up to odd",
}


def measured_page() -> str:
    """The figures of every benchmark, with the command that makes them."""
    head = (
        "# Measured\n\nEach figure is printed by the command beside it and committed with the machine that made it in "
        "`benchmarks/results`. Two processor cores; other machines give other seconds.\n"
    )
    return "\n".join([head, *classical_levin(), levin_small(), speed(), noise()])


def read(name: str, command: str) -> Any:
    """One committed result; raises ``FileNotFoundError`` that says which command writes it."""
    file = RESULTS / name
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; it is written by: {command}")
    return json.loads(file.read_text(encoding="utf-8"))


def classical_levin() -> list[str]:
    """A section for each run of the classical recipes on Levin's images that has been committed."""
    files = sorted(RESULTS.glob("classical_levin*.json"))
    return [classical_run(file.name, json.loads(file.read_text(encoding="utf-8"))) for file in files]


def classical_run(name: str, report: dict[str, Any]) -> str:
    """Known kernels first, then blind, of one run."""
    count = max(row["images"] for row in report["summary"])
    known = [row for row in report["summary"] if is_known(load_recipe(row["recipe"]))]
    blind = [row for row in report["summary"] if row not in known]
    end = " Every blind recipe ends with `sparse-admm`."
    title = "with the true kernel sizes" if report["sizes"] == "true" else "with generous kernel sizes"
    return "\n".join(
        [
            f"## Classical recipes on Levin's images, {title if blind else 'with the true kernels'}\n",
            f"`INVKIT_DATA=... {report['command']}`: {count} images, Levin's protocol. The error ratio is to the "
            "deconvolution with the true kernel that comes with the data; seconds are of processor time in one thread, "
            "the median over the images.\n",
            *([f"The true kernels given:\n\n{classical_table(known)}"] if known else []),
            *([f"Blind; {SIZES[report['sizes']]}.{end}\n\n{blind_table(blind)}"] if blind else []),
            f"`benchmarks/results/{name.replace('.json', '.csv')}` has every image. Made with torch {report['torch']}, "
            f"{report['processor']}.\n",
        ]
    )


def is_known(recipe: Recipe) -> bool:
    """Whether a recipe is given its kernel."""
    return recipe.kernel_prior is None or recipe.kernel_prior.name == "known"


def blind_table(rows: list[dict[str, Any]]) -> str:
    """The figures, with those that were published beside them."""
    if not any(row["recipe"] in PUBLISHED for row in rows):
        return classical_table(rows)
    note = (
        "\nPublished: Ren et al., CVPR 2020, for the authors' kernels followed by Levin's non-blind deconvolution; of "
        "`pmp`, Wen et al., TCSVT 2021.\n"
    )
    return classical_table(rows, {row["recipe"]: shown(PUBLISHED.get(row["recipe"]), ".2f") for row in rows}) + note


def classical_table(rows: list[dict[str, Any]], published: dict[str, str] | None = None) -> str:
    """One line a recipe."""
    heads = ["recipe", "PSNR, dB", "minimum, dB", "SSIM", "error ratio", "ratio at most 2", "seconds"]
    lines = [
        [
            f"[`{row['recipe']}`](recipes.md#{row['recipe']})",
            shown(row["psnr"], ".2f"),
            shown(row["psnr_min"], ".2f"),
            shown(row["ssim"], ".4f"),
            shown(row["error_ratio"], ".2f"),
            shown(row["share_ratio_2"], ".0%"),
            shown(row["cpu_seconds"], ".2f"),
        ]
        for row in rows
    ]
    if published is None:
        return table(heads, lines)
    lines = [[*line[:2], published[row["recipe"]], *line[2:]] for row, line in zip(rows, lines, strict=True)]
    return table([*heads[:2], "published, dB", *heads[2:]], lines)


def shown(figure: float | None, form: str) -> str:
    """A figure, or nothing where there is none."""
    return "" if figure is None else format(figure, form)


def levin_small() -> str:
    """The small recipe on four of Levin's images."""
    report = read("levin_small.json", "python benchmarks/levin_small.py")
    rows = [
        [
            f"({r['image']}, {r['kernel']})",
            str(r["kernel_size"]),
            f"{r['psnr']:.2f}",
            f"{r['goal']}",
            f"{r['seconds']:.0f}",
        ]
        for r in report["results"]
    ]
    return (
        "## `selfdeblur-small` on Levin's images\n\n"
        "`INVKIT_DATA=... python benchmarks/levin_small.py`: PSNR of the output by Levin's protocol, seed 0. The "
        "recipe's rate was chosen on (2, 3) and (3, 1).\n\n"
        + table(["(image, kernel)", "kernel size given", "PSNR, dB", "goal, dB", "seconds"], rows)
        + f"\n{machine(report)}\n"
    )


def speed() -> str:
    """One iteration of the paper's network against plain PyTorch."""
    report = read("speed.json", "python benchmarks/speed.py")
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
        "`python benchmarks/speed.py`: 255x255 data, 27x27 kernel, 128 channels; the versions take turns in one run. "
        "Plain is the same mathematics written directly in PyTorch. The peak is the whole process's, of which the "
        "libraries take about half.\n\n"
        + table(["version", "seconds (median)", "ratio to plain (median)", "goal", "peak memory, GB"], rows)
        + f"\n{machine(report['machine'])}\n"
    )


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
        "`INVKIT_DATA=... python benchmarks/noise.py`: share of figures within 15 % of the truth, noise of .002 to .1 "
        "added to photographs and to the same blurred. The six misses of the default are all at .002.\n\n"
        + table(["method", *states, "seconds a megapixel"], rows)
    )


def machine(facts: dict[str, Any]) -> str:
    """What the figures were made on."""
    return (
        f"Made with torch {facts['torch']}, {facts['threads']} threads, {facts['processor']}; "
        f"load average {facts['load_average'][0]}."
    )
