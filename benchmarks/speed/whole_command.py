"""Seconds of whole commands, from the start of the process to its end, against another checkout of invkit.

    python benchmarks/speed/whole_command.py --against ../invkit-before [--rounds 5]
                                             [--output benchmarks/results/whole_command.json]

The commands restore a grey crop of 255 x 255 pixels of the bundled blurry photograph. The two versions alternate, each
time in a new process that loads all libraries. A first round, which writes compiled modules, does not count. Seconds
are medians over the rounds, of the clock, and of the processor with worker processes. ``import torch`` alone is
measured beside them. The images of both versions are compared, bit for bit.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))
from results_file import command_line, run_facts, write_results

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "whole_command.json"
SAMPLES = ROOT / "invkit" / "datasets" / "samples"
SIDE = 255  # pixels
INVKIT = ("-m", "invkit")
COMMANDS = {
    "deconvolve": [*INVKIT, "deconvolve", "photo.png", "--kernel", str(SAMPLES / "coffee_kernel.npy")],
    "deblur, fast": [*INVKIT, "deblur", "photo.png", "--recipe", "fast", "--kernel-size", "23"],
    "import torch": ["-c", "import torch"],
}
Seconds: TypeAlias = tuple[float, float]


def run(command: Sequence[str], tree: Path, folder: Path, output: str) -> Seconds:
    """Seconds of the clock and of the processor of one process."""
    written = ["--output", output, "--overwrite"] if command[:2] == list(INVKIT) else []
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, *command, *written],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(tree)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measured(name: str, trees: Mapping[str, Path], rounds: int, folder: Path) -> dict[str, Any]:
    """Medians of one command in both versions, and whether the images have the same bits."""
    runs: dict[str, list[Seconds]] = {tree: [] for tree in trees}
    for number in range(rounds + 1):
        for tree in sorted(trees, reverse=bool(number % 2)):
            seconds = run(COMMANDS[name], trees[tree], folder, tree)
            runs[tree] += [seconds] if number else []
    row: dict[str, Any] = {"command": name}
    for index, what in enumerate(("wall", "cpu")):
        before, now = (median(seconds[index] for seconds in runs[tree]) for tree in ("before", "now"))
        row[what] = {"before": round(before, 2), "now": round(now, 2), "ratio": round(now / before, 3)}
    if COMMANDS[name][1] == "invkit":
        images = [(folder / tree / "image.png").read_bytes() for tree in trees]
        row["same_image"] = images[0] == images[1]
    return row


def main() -> None:
    parser = command_line(__doc__, RESULTS)
    parser.add_argument("--against", type=Path, required=True, help="the folder of another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    options, rows = parser.parse_args(), []
    trees = {"before": options.against.resolve(), "now": ROOT}
    with TemporaryDirectory() as made:
        folder = Path(made)
        Image.open(SAMPLES / "coffee_blurry.png").convert("L").crop((0, 0, SIDE, SIDE)).save(folder / "photo.png")
        for name in COMMANDS:
            rows.append(measured(name, trees, options.rounds, folder))
            print(rows[-1], flush=True)
    write_results(options.output, {**run_facts(), "rows": rows})


if __name__ == "__main__":
    main()
