"""SelfDeblur at its full size on single images of Levin et al., beside the images that its authors published.

    INVKIT_DATA=... python benchmarks/full_size.py 3,5 2,3 --output benchmarks/results/full_size.json

For each image and kernel: 128 channels, 5000 iterations, in bfloat16, the kernel size of table 3 (the true one, odd,
plus 4). An image takes about 45 minutes of two cores. Runs lie in ``--runs``; one that was stopped is continued, and
one that is complete is not solved again. PSNR follows Levin's protocol, with shifts up to 10 pixels as in table 3. The
curve has the PSNR of the image and the similarity of the kernel to the true one after every 500 iterations.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from results_file import command_line, print_rows, run_facts, write_results

from invkit.datasets.levin import Levin
from invkit.media.figures import protocol_margins
from invkit.media.images import read_image
from invkit.metrics.kernel_similarity import kernel_similarity
from invkit.numerics.registration import aligned_psnr

MAX_SHIFT = 10  # pixels
EVERY, SHOWN = 250, 500  # iterations: between snapshots, and between points of the curve

Floats = npt.NDArray[np.float32]


class LevinImage:
    """A blurry image of Levin et al., its truth, its kernel and the image that SelfDeblur's authors published."""

    def __init__(self, numbers: str, data: Path) -> None:
        image, kernel = numbers.split(",")
        self.name = f"im{image}_kernel{kernel}"
        dataset = Levin(data)
        case = next(case for case in dataset.cases() if case.name == self.name)
        sample = dataset.sample(case)
        assert sample.truth is not None  # as of every case of this set
        assert sample.kernel is not None
        assert case.kernel_size is not None
        self.side, self.sharp, self.kernel = case.kernel_size[0], np.asarray(sample.truth), np.asarray(sample.kernel)
        folder = data / "levin"
        self.blurry, self.truth = folder / f"blurry/{self.name}_img.png", folder / f"sharp/im{image}.png"
        self.published = folder / f"results/selfdeblur/{self.name}_img_x.png"

    def psnr(self, image: Floats) -> float:
        """By Levin's protocol, of an image of the truth's size or of one that extends beyond it on all sides."""
        margins = [(own - wanted) // 2 for own, wanted in zip(image.shape, self.sharp.shape, strict=True)]
        inner = image[tuple(slice(m, m + n) for m, n in zip(margins, self.sharp.shape, strict=True))]
        border, _ = protocol_margins(self.sharp.shape)
        return round(float(aligned_psnr(inner, self.sharp, border=border, max_shift=MAX_SHIFT)), 2)


def grey(file: Path) -> Floats:
    """A grey picture in [0, 1], (H, W)."""
    pixels = np.asarray(read_image(file).pixels, dtype=np.float32)
    return pixels if pixels.ndim == 2 else pixels[..., 0]


def solve(image: LevinImage, recipe: str, iterations: int, folder: Path) -> None:
    """Run or continue the solve as a user would; Ctrl-C keeps what was done."""
    command = [sys.executable, "-m", "invkit", "deblur", str(image.blurry), "--recipe", recipe, "--device", "cpu"]
    command += ["--kernel-size", str(image.side), "--truth", str(image.truth), "--output", str(folder)]
    command += ["--set", "solver.precision=bfloat16", "--set", f"solver.iterations={iterations}"]
    command += ["--observe", f"snapshots:every={EVERY}", *(["--resume"] if folder.exists() else [])]
    subprocess.run(command, check=True)


def measured(image: LevinImage, folder: Path) -> dict[str, Any]:
    """The figures of a complete run."""
    facts = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    curve = []
    for file in sorted((folder / "snapshots").glob("*-image.png")):
        iteration = int(file.name.split("-")[1])
        if iteration % SHOWN == 0:
            kernel = np.load(file.with_name(file.name.replace("-image.png", "-kernel.npy")))
            similarity = round(kernel_similarity(kernel.reshape(kernel.shape[-2:]), image.kernel), 3)
            curve.append({"iteration": iteration, "psnr": image.psnr(grey(file)), "kernel-similarity": similarity})
    return {
        "image": image.name,
        "recipe": facts["recipe"]["name"],
        "iterations": facts["iterations"],
        "input": image.psnr(grey(image.blurry)),
        "psnr": image.psnr(
            np.load(folder / "image.npy") if (folder / "image.npy").exists() else grey(folder / "image.png")
        ),
        "published image": image.psnr(grey(image.published)),
        "kernel-similarity": round(kernel_similarity(np.load(folder / "kernel.npy"), image.kernel), 3),
        "seconds": round(facts["seconds"]),
        "curve": curve,
    }


def main() -> None:
    """Solve what is not solved yet, print and write."""
    parser = command_line(__doc__)
    parser.add_argument("images", nargs="+", metavar="IMAGE,KERNEL", help="numbers of Levin's image and kernel, as 3,5")
    parser.add_argument("--recipe", default="selfdeblur-released")
    parser.add_argument("--iterations", type=int, default=5000)
    parser.add_argument("--runs", type=Path, default=Path("benchmarked/full_size"), help="folder of the runs")
    given = parser.parse_args()
    rows = []
    for numbers in given.images:
        image = LevinImage(numbers, Path(os.environ["INVKIT_DATA"]))
        folder = given.runs / f"{given.recipe}-{image.name}"
        if not (folder / "result.json").exists():
            solve(image, given.recipe, given.iterations, folder)
        rows.append(measured(image, folder))
        print_rows({"": [{name: value for name, value in rows[-1].items() if name != "curve"}]})
        write_results(given.output, {**run_facts(), "rows": rows})


if __name__ == "__main__":
    main()
