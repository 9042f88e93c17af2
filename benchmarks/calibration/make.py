"""Make the calibration set: blurry photographs with their truth, one part to choose settings on, one to report on.

    python benchmarks/calibration/make.py --output benchmarked/calibration --cases 420 --seed 0

The photographs are downloaded into ``benchmarked/photographs`` and checked; ``photographs.csv`` names their licences.
Two thirds of the cases are for choosing, one third is for reports. The two share neither photographs nor families of
kernels. A case depends on the seed and its index only: more cases leave the earlier ones as they were.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from blurry_cases import Case, Rendered, as_jpeg, drawn_case, rendered
from photographs import table
from PIL import Image
from report import write_rows

ROUND = ("choose", "choose", "report")  # the splits in turn


def main(
    output: Annotated[Path, typer.Option(help="Folder of the set.")] = Path("benchmarked/calibration"),
    cases: Annotated[int, typer.Option(min=1, help="Cases of both splits together.")] = 420,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes another set.")] = 0,
    photographs: Annotated[Path, typer.Option(help="Folder of the photographs.")] = Path("benchmarked/photographs"),
) -> None:
    """Write the pictures of all cases and cases.csv."""
    wanted = planned(cases, seed)
    rows: dict[str, dict[str, Any]] = {}
    for photograph in sorted({case.photograph for case in wanted}, key=lambda photograph: photograph.name):
        picture = photograph.read(photographs)
        for case in (case for case in wanted if case.photograph == photograph):
            made = rendered(case, picture)
            write(case, made, output)
            rows[case.id] = row(case, made)
    write_rows(output / "cases.csv", [rows[case.id] for case in wanted])
    typer.echo(f"{len(wanted)} cases of {len({case.photograph for case in wanted})} photographs are in {output}")


def planned(count: int, seed: int) -> list[Case]:
    """The first cases of the set, its splits in turn."""
    photographs = table()
    wanted = [(ROUND[n % 3], n // 3 * ROUND.count(ROUND[n % 3]) + (n % 3) % 2) for n in range(count)]
    return [drawn_case(split, index, seed, photographs) for split, index in wanted]


def write(case: Case, made: Rendered, output: Path) -> None:
    """Write the blurry picture, the sharp one and the kernel of a case."""
    folder = output / case.split
    folder.mkdir(parents=True, exist_ok=True)
    if case.jpeg is None:
        Image.fromarray(made.blurry).save(folder / f"{case.id}_blurry.png")
    else:
        (folder / f"{case.id}_blurry.jpg").write_bytes(as_jpeg(made.blurry, case.jpeg))
    Image.fromarray(made.sharp).save(folder / f"{case.id}_sharp.png")
    np.save(folder / f"{case.id}_kernel.npy", made.kernel)


def row(case: Case, made: Rendered) -> dict[str, Any]:
    """The row of a case in cases.csv."""
    height, width = made.blurry.shape[:2]
    return {
        "id": case.id,
        "split": case.split,
        "photograph": case.photograph.name,
        "kind": case.photograph.kind,
        "family": case.family,
        "kernel_size": made.kernel_size,
        "height": height,
        "width": width,
        "colour": int(case.colour),
        "sigma": case.sigma,
        "jpeg": "" if case.jpeg is None else case.jpeg,
        "gamma": case.gamma,
        "turn": round(case.turn, 3),
        "saturation": round(made.saturation, 5),
        "blurred": int(case.family != "none"),
        "noise": made.noise if case.sigma else "",
        "reduced": made.reduced,
        "top": made.top,
        "left": made.left,
    }


if __name__ == "__main__":
    typer.run(main)
