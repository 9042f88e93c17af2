"""Small problems of every kind with all threads against one thread, on an idle and on a busy machine.

    python benchmarks/speed/busy_machine.py [--others 0 2] [--rounds 3] [--recipes inpaint-tv fast ...]
                                            [--output benchmarks/results/busy_machine.json]

A solve that gives a short operation to several threads waits at the end of each for the slowest of them. If other
programs use the cores, that thread may wait for a core for longer than all the operations take. invkit should therefore
choose the number of threads that helps. Each recipe restores a picture of 128 x 128 pixels, or as much data of another
kind. The two settings alternate in one process: the threads that torch uses by default, and one thread. A first run
that is not timed loads the libraries. Seconds are medians over the rounds. ``--others`` is the number of processes that
compute without a pause meanwhile; several numbers are measured one after the other. Iterations are reduced where a
recipe takes long, because only the ratio counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import invkit  # noqa: F401  before torch, whose threads then wait asleep, as those of the command line

# isort: split
import numpy as np
import numpy.typing as npt
import torch

from invkit.core.operator_parameters import CoilMapPrior
from invkit.operators.convolution import Convolution
from invkit.operators.multi_coil_mri import MultiCoilMRI
from invkit.operators.tomography import Tomography
from invkit.pipeline.job import prepare

sys.path.insert(0, str(Path(__file__).parent.parent))
from results_file import command_line, run_facts, write_results

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "busy_machine.json"
SIDE, KERNEL, NOISE = 128, 15, 0.005
GOAL = 1.3  # of the time with one thread

Picture: TypeAlias = npt.NDArray[np.float32]
Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """What a recipe is given: data, and the other arguments of `prepare`."""

    data: Any
    arguments: dict[str, Any]


def scene(side: int = SIDE, seed: int = 0) -> torch.Tensor:
    """Rectangles of different greys, (1, 1, side, side)."""
    random = np.random.default_rng(seed)
    image = np.full((side, side), 0.5, dtype=np.float32)
    for _ in range(40):
        top, left = random.integers(0, side - 8, 2)
        height, width = random.integers(6, side // 3, 2)
        image[top : top + height, left : left + width] = random.uniform(0.1, 0.9)
    return torch.from_numpy(image)[None, None]


def noisy(values: torch.Tensor, sigma: float = NOISE) -> torch.Tensor:
    return values + sigma * torch.randn(values.shape, generator=torch.Generator().manual_seed(0))


def stroke(turn: float) -> torch.Tensor:
    """A straight line as a kernel (1, 1, KERNEL, KERNEL)."""
    kernel = torch.zeros(1, 1, KERNEL, KERNEL)
    for step in np.linspace(-1, 1, 60) * (KERNEL // 2 - 1):
        kernel[0, 0, round(KERNEL // 2 + step * np.sin(turn)), round(KERNEL // 2 + step * np.cos(turn))] += 1
    return kernel / kernel.sum()


def blurred(turn: float = 0.5) -> Picture:
    image = Convolution()(scene(SIDE + KERNEL - 1), stroke(turn))
    return np.asarray(noisy(image).clamp(0, 1)[0, 0].numpy())


def unknown_blur() -> Given:
    return Given(blurred(), {"kernel_size": KERNEL})


def known_blur() -> Given:
    return Given(blurred(), {"kernel": stroke(0.5)[0, 0].numpy()})


def several_frames() -> Given:
    return Given([blurred(turn) for turn in (0.5, 1.5, 2.5)], {"kernel_size": KERNEL})


def noise() -> Given:
    return Given(noisy(scene(), 0.1).clamp(0, 1)[0, 0].numpy(), {})


def holes() -> Given:
    mask = (np.random.default_rng(0).random((SIDE, SIDE)) < 0.5).astype(np.float32)
    return Given(mask * scene()[0, 0].numpy(), {"kernel": mask})


def few_pixels() -> Given:
    kernel = torch.full((4, 4), 1 / 16).numpy()
    return Given(noisy(scene(SIDE // 2)).clamp(0, 1)[0, 0].numpy(), {"kernel": kernel})


def few_pixels_blind() -> Given:
    return Given(few_pixels().data, {"kernel_size": 8})


def haze() -> Given:
    transmission = torch.linspace(0.3, 0.8, SIDE)[:, None]
    channels = [transmission * scene(seed=seed)[0, 0] + (1 - transmission) * 0.85 for seed in range(3)]
    return Given(torch.stack(channels, -1).numpy(), {})


def projections() -> Given:
    image = torch.nn.functional.pad(scene(SIDE - 64), [32] * 4)
    return Given(noisy(Tomography()(image, torch.zeros(1, 1, 2, SIDE // 2)), 0.002)[0].numpy(), {})


def coils(known: bool) -> Given:
    down, along = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) * 2 - 1
    turn = 2 * np.pi * np.arange(4)[:, None, None] / 4
    maps = np.exp(-((down - np.sin(turn)) ** 2 + (along - np.cos(turn)) ** 2) / 2 + 1j * (turn + along))
    allowed = CoilMapPrior.allowed(torch.from_numpy(np.concatenate([maps.real, maps.imag])).float()[None])
    operator = MultiCoilMRI()
    data = operator(scene(), allowed)
    data = noisy(data) * operator.columns(SIDE, data)
    return Given(data[0].numpy(), {"kernel": allowed.numpy()} if known else {})


def known_coils() -> Given:
    return coils(known=True)


def unknown_coils() -> Given:
    return coils(known=False)


CASES: dict[str, tuple[Callable[[], Given], tuple[str, ...]]] = {
    "fast": (unknown_blur, ()),
    "pan-l0": (unknown_blur, ()),
    "pan-dark-channel": (unknown_blur, ()),
    "krishnan": (unknown_blur, ()),
    "cho-lee": (unknown_blur, ()),
    "xu-jia": (unknown_blur, ()),
    "xu-l0": (unknown_blur, ()),
    "pmp": (unknown_blur, ()),
    "perrone-favaro": (unknown_blur, ("solver.inner.iterations=20",)),
    "chan-wong-tv": (unknown_blur, ()),
    "defocus": (unknown_blur, ()),
    "levin-2011": (unknown_blur, ()),
    "variational-refinement": (unknown_blur, ()),
    "sparse-admm": (known_blur, ()),
    "sparse-irls": (known_blur, ()),
    "tv-admm": (known_blur, ()),
    "hyper-laplacian": (known_blur, ()),
    "richardson-lucy": (known_blur, ()),
    "richardson-lucy-saturated": (known_blur, ()),
    "ringing-removal": (known_blur, ()),
    "wiener": (known_blur, ()),
    "epll": (known_blur, ()),
    "denoise-tv": (noise, ()),
    "denoise-sparse": (noise, ()),
    "inpaint-tv": (holes, ()),
    "inpaint-sparse": (holes, ()),
    "super-resolution": (few_pixels, ()),
    "blind-super-resolution": (few_pixels_blind, ("solver.iterations=5",)),
    "multi-frame": (several_frames, ("solver.iterations=5",)),
    "varying-blur": (unknown_blur, ("solver.inner.iterations=3",)),
    "dehaze": (haze, ()),
    "tomography": (projections, ("solver.iterations=1",)),
    "blind-tomography": (projections, ("solver.iterations=1",)),
    "sense": (known_coils, ()),
    "blind-mri": (unknown_coils, ("solver.iterations=5",)),
    "selfdeblur": (unknown_blur, ("solver.iterations=4",)),
    "selfdeblur-small": (unknown_blur, ("solver.iterations=10",)),
    "inpaint-dip": (holes, ("solver.iterations=10",)),
    "denoise-dip": (noise, ("solver.iterations=10",)),
    "srn": (unknown_blur, ()),
}
"""For each recipe what it is given, and settings that shorten it."""


@contextmanager
def other_processes(number: int) -> Iterator[None]:
    """Processes that compute without a pause."""
    busy = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    started = [subprocess.Popen([sys.executable, "-S", "-c", busy]) for _ in range(number)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def seconds(recipe: str, threads: int) -> tuple[float, float]:
    """Seconds of the clock and of the processor for one restoration."""
    torch.set_num_threads(threads)
    make, overrides = CASES[recipe]
    given = make()
    wall, cpu = time.perf_counter(), time.process_time()
    prepare(given.data, recipe=recipe, overrides=overrides, device="cpu", **given.arguments).run()
    return time.perf_counter() - wall, time.process_time() - cpu


def measured(recipe: str, rounds: int, threads: int) -> Row:
    """Medians of one recipe with all threads and with one."""
    runs: dict[int, list[tuple[float, float]]] = {1: [], threads: []}
    for number in range(rounds):
        for setting in (1, threads) if number % 2 else (threads, 1):
            runs[setting].append(seconds(recipe, setting))
    walls, cpus = ({name: median(run[k] for run in found) for name, found in runs.items()} for k in (0, 1))
    return {
        "recipe": recipe,
        "wall_all": round(walls[threads], 3),
        "wall_one": round(walls[1], 3),
        "wall_ratio": round(walls[threads] / walls[1], 2),
        "cpu_ratio": round(cpus[threads] / cpus[1], 2),
    }


def rows(options: argparse.Namespace, threads: int) -> Iterator[Row]:
    """All measurements, printed as they come."""
    for recipe in options.recipes:
        seconds(recipe, 1)
        for others in options.others:
            with other_processes(others):
                row = {"others": others, **measured(recipe, options.rounds, threads)}
            mark = " above the goal" if row["wall_ratio"] > GOAL else ""
            print(
                f"{recipe:26}{others:2} others: {row['wall_all']:7.3f} s, one thread {row['wall_one']:7.3f} s, "
                f"ratio {row['wall_ratio']:5.2f} (processor {row['cpu_ratio']:.2f}){mark}",
                flush=True,
            )
            yield row


def main() -> None:
    parser = command_line(__doc__, RESULTS)
    parser.add_argument("--others", type=int, nargs="+", default=[0, 2], help="processes that use the cores meanwhile")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", default=list(CASES), choices=list(CASES), metavar="RECIPE")
    options, facts = parser.parse_args(), run_facts()
    found = list(rows(options, torch.get_num_threads()))
    write_results(options.output, {**facts, "goal": GOAL, "rows": found})


if __name__ == "__main__":
    main()
