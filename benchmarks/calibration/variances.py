"""Compare the posterior variances of the solver variational (Levin et al. 2011) with the errors that it makes.

    python benchmarks/calibration/variances.py --output benchmarks/results/levin_2011_variances.csv

Sharp crops of the split `choose` are blurred by the kernels of their cases, and get white noise whose differences have
the solver's standard deviation of 0.01. The solver starts from the true kernel, so that its errors are not those of a
wrong minimum. Each row has root mean squares, over the pixels inside or over the kernel's entries with a variance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from report import rows_of, write_rows
from torch import Tensor

from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.numerics.geometry import shape_of, size_of
from invkit.operators.convolution import Convolution
from invkit.regularizers.gaussian_scale_mixture import GaussianScaleMixture
from invkit.solvers.map.edge_filters import forward_differences
from invkit.solvers.variational import Variational

CROP = 220  # pixels
NOISE = 0.01  # standard deviation of a difference
LARGEST_KERNEL = 25  # pixels


def main(
    output: Annotated[Path, typer.Option(help="CSV file to write.")],
    folder: Annotated[Path, typer.Option(help="The set, from make.py.")] = Path("benchmarked/calibration"),
    cases: Annotated[int, typer.Option(min=1, help="So many of the cases with a small kernel.")] = 10,
) -> None:
    """Measure and write."""
    chosen = [row for row in rows_of(folder / "cases.csv") if row["split"] == "choose" and row["blurred"] == "1"]
    small = [row for row in chosen if 5 < int(row["kernel_size"]) <= LARGEST_KERNEL][:cases]
    rows = [{"case": row["id"], **measured(folder / "choose" / row["id"])} for row in small]
    write_rows(output, rows)


def measured(stem: Path) -> dict[str, float]:
    """Errors and predicted standard deviations of gradients and kernel for one case."""
    picture = Image.open(stem.with_name(f"{stem.name}_sharp.png")).convert("L")
    sharp = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None, None, :CROP, :CROP]
    kernel = torch.from_numpy(np.load(stem.with_name(f"{stem.name}_kernel.npy"))).float()[None, None]
    problem = problem_of(sharp, kernel)
    solver = Variational(iterations=8, rounds=3, sum_to_one=False, normalised=False)
    state = solver.start(problem)
    for _ in range(solver.iterations):
        state = solver.step(problem, state)
        state.iteration += 1
    variances = state.variances()
    free = variances["kernel"] > 0
    (top, left), (height, width) = ((n // 2 for n in size_of(kernel)), size_of(problem.data))
    inside = (..., slice(top, top + height - 1), slice(left, left + width - 1))  # the last differences are none
    truth, found = forward_differences(sharp)[inside], (state.mean * state.scale)[inside]
    return {
        "gradient_error": root_mean_square(found - truth),
        "gradient_deviation": root_mean_square(variances["gradients"][..., :-1, :-1].sqrt()),
        "kernel_error": root_mean_square((state.kernel / state.scale - kernel)[free]),
        "kernel_deviation": root_mean_square(variances["kernel"][free].sqrt()),
    }


def problem_of(sharp: Tensor, kernel: Tensor) -> Problem:
    """A sharp picture (1, 1, H, W), blurred and noisy; its kernel prior starts at the true kernel (1, 1, h, w)."""
    operator, generator = Convolution(padding="valid"), torch.Generator().manual_seed(0)
    blurred = operator(sharp, kernel)
    data = (blurred + NOISE / 2**0.5 * torch.randn(blurred.shape, generator=generator)).clamp(0, 1)
    return Problem(
        data=data,
        operator=operator,
        image_prior=Pixels(shape_of(sharp), data),
        kernel_prior=SimplexKernel(shape_of(kernel), start=kernel, parametrization="projection"),
        fidelity=MSE(),
        regularizers=(Term(GaussianScaleMixture(), 2 * NOISE**2),),
    )


def root_mean_square(values: Tensor) -> float:
    """Of values of any shape, rounded for the table."""
    return round(float(values.square().mean().sqrt()), 5)


if __name__ == "__main__":
    typer.run(main)
