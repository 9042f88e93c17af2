"""Sharp crops of photographs that were never used to choose a setting, for the suite held_out.toml.

    python benchmarks/held_out.py            # writes benchmarked/held-out/*.png
    invkit bench run benchmarks/held_out.toml --output benchmarked/held_out

The photographs are those that scikit-image and Matplotlib bring along, with their licences; nothing is fetched. The
photograph that comes with invkit is not among them, since it has been looked at while settings were chosen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
import skimage
import typer
from PIL import Image

SIDE = 320  # pixels: with the kernels taken off, about as much as Levin's images
CROPS = {  # name -> top and left of the crop
    "astronaut": (0, 80),
    "camera": (40, 120),
    "chelsea": (0, 70),
    "coins": (0, 40),
    "motorcycle_left": (120, 200),
    "rocket": (60, 160),
    "grace_hopper": (40, 100),
}


def main(output: Annotated[Path, typer.Option(help="Folder for the crops.")] = Path("benchmarked/held-out")) -> None:
    """Write a crop of each photograph, of 320 x 320 grey pixels at most."""
    output.mkdir(parents=True, exist_ok=True)
    for name, (top, left) in CROPS.items():
        grey = np.asarray(Image.open(found(name)).convert("L"))
        Image.fromarray(grey[top : top + SIDE, left : left + SIDE]).save(output / f"{name}.png")
    typer.echo(f"{len(CROPS)} crops are in {output}")


def found(name: str) -> Path:
    """The file of a photograph, of whatever kind; fails where neither package has it."""
    places = [Path(skimage.__file__).parent / "data", Path(matplotlib.get_data_path()) / "sample_data"]
    files = [file for place in places for file in place.glob(f"{name}.*") if file.suffix in (".png", ".jpg")]
    if not files:
        raise typer.BadParameter(f"neither scikit-image nor Matplotlib brings '{name}' along in this version")
    return files[0]


if __name__ == "__main__":
    typer.run(main)
