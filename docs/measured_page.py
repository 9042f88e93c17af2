"""The page of measured figures, made from the committed results of the benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from counts_page import counts
from tables import table

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
SIDES = (256, 1024, 4096)
PARTS = {"iteration": "an iteration: ", "block": "", "recipe": "the recipe "}
SUITES = {
    "calibration": (
        "Photographs that nobody looked at",
        "python benchmarks/calibration/make.py\n"
        "python benchmarks/calibration/report.py --recipe fast --recipe best --cases 76 --processes 2 "
        "--output benchmarks/results/calibration.md",
    ),
    "levin_default": (
        "Levin's 32 images by fast and best",
        "invkit bench run benchmarks/table3.toml --recipes fast,best --output benchmarked/levin_default\n"
        "invkit bench table benchmarked/levin_default --metrics psnr,ssim,error-ratio,seconds,cpu-seconds "
        "--interval none --published --output benchmarks/results/levin_default.md",
    ),
    "table3": (
        "Levin's 32 images by every method",
        "invkit bench run benchmarks/table3.toml --preset cpu --output benchmarked/table3\n"
        "invkit bench table benchmarked/table3 --metrics psnr,ssim,error-ratio,cpu-seconds --interval none "
        "--published --output benchmarks/results/table3.md",
    ),
    "patches": (
        "Levin's 32 images by patches along edges",
        "invkit bench run benchmarks/table3.toml --preset cpu --recipes sun-2013 --output benchmarked/patches\n"
        "invkit bench table benchmarked/patches --metrics psnr,ssim,error-ratio,kernel-similarity,seconds,cpu-seconds "
        "--interval none --published --output benchmarks/results/patches.md",
    ),
    "zuo_2016": (
        "Levin's 32 images by generalised shrinkage with a learned schedule",
        "invkit bench run benchmarks/table3.toml --preset cpu --recipes zuo-2016 --output benchmarked/zuo_2016\n"
        "invkit bench table benchmarked/zuo_2016 --metrics psnr,ssim,error-ratio,kernel-similarity,seconds,cpu-seconds "
        "--interval none --published --output benchmarks/results/zuo_2016.md",
    ),
    "michaeli_irani": (
        "Eight of Levin's images by patches that recur",
        "invkit bench run benchmarks/table3.toml --recipes michaeli-irani --limit 8 "
        "--output benchmarked/michaeli_irani\n"
        "invkit bench table benchmarked/michaeli_irani --metrics psnr,ssim,error-ratio,kernel-similarity,seconds,"
        "cpu-seconds --interval none --output benchmarks/results/michaeli_irani.md",
    ),
    "alternating": (
        "Levin's 32 images by total variation with gradient steps in turn",
        "invkit bench run benchmarks/table3.toml --recipes perrone-favaro,chan-wong-tv "
        "--output benchmarked/alternating\n"
        "invkit bench table benchmarked/alternating "
        "--metrics psnr,ssim,error-ratio,kernel-similarity,seconds,cpu-seconds --interval none --published "
        "--output benchmarks/results/alternating.md",
    ),
    "table3_true": (
        "The same with the true kernel sizes",
        "invkit bench run benchmarks/table3.toml --preset true-sizes --recipes fast-map,cho-lee,pan-l0 "
        "--output benchmarked/table3_true\n"
        "invkit bench table benchmarked/table3_true --metrics psnr,ssim,error-ratio,cpu-seconds --interval none "
        "--output benchmarks/results/table3_true.md",
    ),
    "levin_2011": (
        "Levin's 32 images by levin-2011, with two last steps",
        "invkit bench run benchmarks/levin_2011.toml --output benchmarked/levin_2011\n"
        "invkit bench table benchmarked/levin_2011 --interval none --published "
        "--output benchmarks/results/levin_2011.md",
    ),
    "levin_2011_true": (
        "The same with the true kernel sizes, with the last step of the recipe",
        "invkit bench run benchmarks/levin_2011.toml --preset true-sizes --recipes levin-2011 "
        "--output benchmarked/levin_2011_true\n"
        "invkit bench table benchmarked/levin_2011_true --interval none "
        "--output benchmarks/results/levin_2011_true.md",
    ),
    "unknown": (
        "Levin's images, unknown kernel size",
        "invkit bench run benchmarks/levin_harder.toml --preset unknown --recipes fast,best "
        "--output benchmarked/unknown\n"
        "invkit bench table benchmarked/unknown --metrics psnr,ssim,error-ratio,cpu-seconds --interval none "
        "--output benchmarks/results/unknown.md",
    ),
    **{
        f"noise{percent}": (
            f"Levin's images with additional noise of {percent / 100}",
            f"invkit bench run benchmarks/levin_harder.toml --preset noise{percent} "
            f"--output benchmarked/noise{percent}\n"
            f"invkit bench table benchmarked/noise{percent} --metrics psnr,ssim,error-ratio,cpu-seconds "
            f"--interval none --output benchmarks/results/noise{percent}.md",
        )
        for percent in (1, 2, 5)
    },
    "noise1_network": (
        "Four of Levin's images with additional noise of 0.01, with a network",
        "invkit bench run benchmarks/levin_harder.toml --preset noise1 --limit 4 "
        "--recipes selfdeblur-small,fast,pan-l0 --output benchmarked/noise1_network\n"
        "invkit bench table benchmarked/noise1_network --metrics psnr,ssim,error-ratio,cpu-seconds --interval none "
        "--output benchmarks/results/noise1_network.md",
    ),
    "held_out": (
        "Photographs on which no setting was chosen",
        "python benchmarks/held_out.py\n"
        "invkit bench run benchmarks/held_out.toml --output benchmarked/held_out\n"
        "invkit bench table benchmarked/held_out --metrics aligned-psnr,aligned-ssim,kernel-similarity,cpu-seconds "
        "--interval none --output benchmarks/results/held_out.md",
    ),
    "ablation": (
        "The contribution of each part of fast and best",
        "python benchmarks/held_out.py\n"
        "invkit bench run benchmarks/ablation.toml --output benchmarked/ablation\n"
        "invkit bench table benchmarked/ablation --interval none --output benchmarks/results/ablation.md",
    ),
    "table4_best": (
        "Twenty of Lai's images",
        "invkit bench run benchmarks/table4.toml --preset cpu --recipes best,fast --limit 20 "
        "--output benchmarked/table4_best\n"
        "invkit bench table benchmarked/table4_best --by category --metrics psnr-paper,psnr,cpu-seconds "
        "--interval none --output benchmarks/results/table4_best.md",
    ),
    "table4_fast": (
        "Lai's 100 images",
        "invkit bench run benchmarks/table4.toml --preset cpu --recipes fast --output benchmarked/table4_fast\n"
        "invkit bench table benchmarked/table4_fast --by category --metrics psnr-paper,psnr,cpu-seconds "
        "--interval none --published --output benchmarks/results/table4_fast.md",
    ),
    "table4": (
        "Lai's 100 images by single candidates",
        "invkit bench run benchmarks/table4.toml --preset cpu --recipes fast-map,pan-l0 --output benchmarked/table4\n"
        "invkit bench table benchmarked/table4 --by category --metrics psnr-paper,psnr,cpu-seconds --interval none "
        "--published --output benchmarks/results/table4.md",
    ),
    "successors": (
        "Successors of SelfDeblur",
        "pip install ./plugins/invkit-wdip ./plugins/invkit-vdip ./plugins/invkit-noise-robust\n"
        "invkit bench run benchmarks/successors.toml --output benchmarked/successors\n"
        "invkit bench table benchmarked/successors --interval none --output benchmarks/results/successors.md",
    ),
    "table1": (
        "Joint or alternating optimisation",
        "invkit bench run benchmarks/table1.toml --preset cpu --output benchmarked/table1\n"
        "invkit bench table benchmarked/table1 --published --output benchmarks/results/table1.md",
    ),
    "table1_squared": (
        "Joint or alternating optimisation, with the loss of the paper",
        "invkit bench run benchmarks/table1.toml --preset squared --output benchmarked/table1_squared\n"
        "invkit bench table benchmarked/table1_squared --interval none --output benchmarks/results/table1_squared.md",
    ),
    "table2": (
        "Networks for the kernel",
        "invkit bench run benchmarks/table2.toml --preset cpu --output benchmarked/table2\n"
        "invkit bench table benchmarked/table2 --published --output benchmarks/results/table2.md",
    ),
    "table2_squared": (
        "Networks for the kernel, with the loss of the paper",
        "invkit bench run benchmarks/table2.toml --preset squared --output benchmarked/table2_squared\n"
        "invkit bench table benchmarked/table2_squared --interval none --output benchmarks/results/table2_squared.md",
    ),
}
"""The tables that may be committed, by file name: title, and the commands that make the table."""

FORMER = "`fast` and `best` are here as they were before decision 18."
REMARKS = {
    "calibration": "The part `report` of the calibration set, on which nothing was chosen. The kernel size is unknown. "
    "The gap is the distance to the restoration with the true kernel by the recipe's own last step. The seconds of "
    "`best` were measured while other programs used the machine. Where the camera turned, which it did in half of the "
    "shaken cases, that kernel is the one at the centre of the picture.",
    "noise2": FORMER,
    "noise5": FORMER,
    "noise1_network": FORMER,
    "held_out": FORMER,
    "ablation": FORMER,
    "levin_default": FORMER,
    "table4_best": FORMER,
    "successors": "SelfDeblur's authors report failures on image 3 with kernel 6 and on image 4 with kernel 8; the "
    "small network succeeds on both. VDIP is better than SelfDeblur on three of the four images, W-DIP on two. The "
    "noise-robust method is made for noise and is worse without it; its settings for 800 iterations were not tuned.",
    "table3": "All recipes except `selfdeblur-small` end with the deconvolution as it was before decision 11, with "
    f"other weights, and `perrone-favaro` and `chan-wong-tv` have other settings now. {FORMER}",
    "michaeli_irani": "On the same images `pan-l0` gives 33.36 dB. Image 4 and kernel 2 of image 2 fail.",
    "alternating": "With large kernels, both lose at the middle scales of their pyramid. The rule that `chan-wong-tv` "
    "follows to normalise its kernel was chosen after both rules were seen on four of these images.",
    "noise1": f"{FORMER} On one image (4, 4) `best` selects a wrong kernel, and `fast` does not: with more candidates, "
    "it happens more often that a wrong one looks best because of noise.",
    "patches": "The published row ends with another deconvolution: with the true kernel it gives 34.53 dB, and the one "
    "used here gives 35.55. Other programs ran at the same time, which affects the seconds more than those of the "
    "processor.",
    "zuo_2016": "The published row ends with another deconvolution and has its authors' schedule. The schedule used "
    "here loses most on kernel 6, whose faint stroke it finds on one of the four images only.",
    "table4": "Both recipes end with the deconvolution as it was before decision 11.",
    "table4_fast": f"{FORMER} The seconds are those of the processor; other programs ran at the same time.",
    "table1": "In the paper, joint optimisation is 2.5 dB better after 5000 iterations. In this preset, whose loss is "
    "1 - SSIM after 100 iterations, alternating optimisation is half a decibel better on these three images. With the "
    "loss of the paper (next table), the order is that of the paper.",
    "table2": "As in the paper, one hidden layer is best, two layers are slightly worse, and no hidden layer is worst. "
    "In contrast to the paper, Double-DIP is not worse, with either loss, in 600 iterations of a small network; the "
    "reason was not found.",
}
"""A remark below the commands of a table."""


def measured_page() -> str:
    """The figures of all benchmarks, with the commands that make them."""
    head = (
        "# Measured\n\nThe commands beside the tables print these figures. `benchmarks/results` contains them, with "
        "the machine on which they were measured. It had two processor cores; times on other machines differ.\n"
    )
    figures = [problems(), large_photo(), speed(), *classical(), *scaling(), noise(), *counts(RESULTS)]
    return "\n".join([head, *suites(), *figures])


def read(name: str, command: str) -> Any:
    """One committed result; raises ``FileNotFoundError``, which names the command that writes it."""
    file = RESULTS / name
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; it is written by: {command}")
    return json.loads(file.read_text(encoding="utf-8"))


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
    rows = [
        [
            r["problem"],
            r["scene"],
            r["method"],
            f"{r['psnr']:.2f}",
            f"{r['seconds']:.1f}",
            ", ".join(f"{name} {value}" for name, value in r["facts"].items()),
        ]
        for r in read("problems.json", command)["rows"]
    ]
    return (
        "## Other problems\n\n"
        f"`{command}`: synthetic cases made from pictures of scikit-image. Each is compared with a classical method or "
        "with the known operator. The script describes the cases. Seconds are those of the processor, with one "
        "thread.\n\n" + table(["problem", "scene", "method", "PSNR, dB", "CPU seconds", ""], rows)
    )


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
    file = RESULTS / "classical.json"
    if not file.exists():
        return []
    report = json.loads(file.read_text(encoding="utf-8"))
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
    file = RESULTS / "scaling.json"
    if not file.exists():
        return []
    report = json.loads(file.read_text(encoding="utf-8"))
    seconds = {(r["what"], r["side"], r["kernel"]): f"{r['seconds']:.3g}" for r in report["rows"]}
    rows = [
        [
            f"{PARTS[part]}{what}",
            *(seconds.get((what, side, 31), "") for side in SIDES),
            *("" if power is None else f"{power:.2f}" for power in report["exponents"][what].values()),
        ]
        for part, what in dict.fromkeys((r["part"], r["what"]) for r in report["rows"])
    ]
    facts = {**report["machine"], **report["versions"]}
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
