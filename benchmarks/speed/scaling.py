"""Seconds over the sizes of photograph and kernel: runs test_scaling.py, condenses its medians and draws them.

    python benchmarks/speed/scaling.py [--quick] [--threads 2] [--output FILE] [--figure FILE] [--draw-only]

Grey photographs have a side of 64 to 4096 pixels with a kernel of 31 pixels. Kernels have a side of 11 to 101 pixels
with a photograph of 512 pixels (256 for the networks). One call does not count; the median of the following rounds
counts. Calls of more than four seconds, and recipes above 512 pixels, have one round. Exponents are slopes of straight
lines through the logarithms, over the three largest photographs and over all kernels. --quick uses three small sizes of
each and writes into build/.

Use --threads 1 on a machine with other load, because threads that wait for each other then wait for other programs too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from results_file import command_line, run_facts, write_results

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RESULTS, FIGURE = ROOT / "benchmarks" / "results" / "scaling.json", ROOT / "docs" / "_static" / "scaling.png"
TRIAL = ROOT / "build"
KERNEL = 31  # pixels, while the photograph's side varies
LARGEST = 3  # number of photographs for the fit of the exponent of the pixels

Row: TypeAlias = dict[str, Any]


def timed(quick: bool, threads: int) -> list[Row]:
    """Run the tests in a process of their own; a row for each case."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "benchmark.json"
        command = [sys.executable, "-m", "pytest", str(HERE / "test_scaling.py"), "-v", "-p", "no:cacheprovider"]
        command += ["--benchmark-json", str(file), "--benchmark-quiet", *(["--quick"] if quick else [])]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, check=False)
        if done.returncode:
            raise SystemExit(f"the tests failed with status {done.returncode}; nothing is written")
        return [row_of(benchmark) for benchmark in json.loads(file.read_text(encoding="utf-8"))["benchmarks"]]


def row_of(benchmark: Mapping[str, Any]) -> Row:
    """The results of a case."""
    part, stats, stages = benchmark["group"].split(":")[0], benchmark["stats"], benchmark["extra_info"].get("stages")
    figures = {"seconds": rounded(stats["median"]), "minimum": rounded(stats["min"]), "rounds": stats["rounds"]}
    more = {} if stages is None else {"stages": {name: rounded(seconds) for name, seconds in stages.items()}}
    return {"part": part, **benchmark["params"], **figures, **more}


def rounded(seconds: float) -> float:
    """To three digits."""
    return float(f"{seconds:.3g}")


def names(rows: Sequence[Row]) -> list[str]:
    """The workloads, in their order."""
    return list(dict.fromkeys(row["what"] for row in rows))


def by_pixels(rows: Sequence[Row], what: str) -> list[Row]:
    """The rows of a workload over the sizes of the photograph."""
    return [row for row in rows if row["what"] == what and row["kernel"] == KERNEL]


def by_kernel(rows: Sequence[Row], what: str) -> list[Row]:
    """The rows of a workload over the sizes of the kernel, at the size of photograph that has several kernels."""
    own = [row for row in rows if row["what"] == what]
    sides = {row["side"] for row in own if row["kernel"] != KERNEL}
    return sorted((row for row in own if row["side"] in sides), key=lambda row: int(row["kernel"]))


def exponents(rows: Sequence[Row]) -> dict[str, dict[str, float | None]]:
    """The growth of the seconds with the pixels and with the kernel's side; None for too few sizes."""
    found = {}
    for what in names(rows):
        large = by_pixels(rows, what)[-LARGEST:]
        pixels = exponent([row["side"] ** 2 for row in large], [row["seconds"] for row in large])
        several = by_kernel(rows, what)
        side = exponent([row["kernel"] for row in several], [row["seconds"] for row in several])
        found[what] = {"pixels": pixels, "kernel_side": side}
    return found


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float | None:
    """The slope of a straight line through the logarithms, by least squares."""
    if len(sizes) < LARGEST:
        return None
    return round(float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]), 2)


def measured(quick: bool, threads: int) -> dict[str, Any]:
    """The whole report."""
    from workloads import cases

    begun = time.perf_counter()
    rows = timed(quick, threads)
    minutes, facts = round((time.perf_counter() - begun) / 60, 1), run_facts()
    return {
        **facts,
        "machine": {**facts["machine"], "threads": threads},
        "minutes": minutes,
        "exponents": exponents(rows),
        "left_out": [
            {"what": case.what, "side": case.side, "kernel": case.kernel, "because": case.because}
            for case in cases(quick)
            if case.because
        ],
        "rows": rows,
    }


def table(report: Mapping[str, Any]) -> str:
    """Seconds by the side of the photograph, with the exponents."""
    rows = report["rows"]
    sides = sorted({row["side"] for row in rows if row["kernel"] == KERNEL})
    lines = [f"{'':18}" + "".join(f"{side:>9}" for side in sides) + f"{'pixels^':>9}{'kernel^':>9}"]
    for what in names(rows):
        seconds = {row["side"]: f"{row['seconds']:.3g}" for row in by_pixels(rows, what)}
        grows = ["" if slope is None else f"{slope:.2f}" for slope in report["exponents"][what].values()]
        lines.append(f"{what:18}" + "".join(f"{text:>9}" for text in [*(seconds.get(s, "") for s in sides), *grows]))
    return "\n".join(lines)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--quick", action="store_true", help="three small sizes, into build/")
    parser.add_argument("--threads", type=int, default=2, help="threads of the timed process")
    parser.add_argument("--figure", type=Path, help="the figure, a PNG file")
    parser.add_argument("--draw-only", action="store_true", help="draw the content of --output without measuring")
    options = parser.parse_args()
    output: Path = options.output or (TRIAL / RESULTS.name if options.quick else RESULTS)
    figure: Path = options.figure or (TRIAL / FIGURE.name if options.quick else FIGURE)
    if not options.draw_only:
        if find_spec("pytest_benchmark") is None:
            raise SystemExit("pytest-benchmark is missing; it comes with the extra: pip install -e '.[bench]'")
        write_results(output, measured(options.quick, options.threads))
    from scaling_figure import draw

    report = json.loads(output.read_text(encoding="utf-8"))
    print(table(report))
    draw(report, figure)
    print(f"drawn: {figure}")


if __name__ == "__main__":
    main()
