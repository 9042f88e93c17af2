"""The default recipe on the three photographs with camera shake, for eyes to judge: there is no ground truth.

    INVKIT_DATA=... python benchmarks/real_photos.py [--recipe best] [--output photos]

Writes one folder per photograph, as ``invkit deblur`` does. The pictures may not be redistributed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import invkit
from invkit.core.errors import InputError

SIZES = {"fishes": 41, "flower": 25, "house": 51}
"""Kernel sizes in pixels, those that Ren et al. (CVPR 2020) give."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="best")
    parser.add_argument("--output", type=Path, default=Path("photos"))
    arguments = parser.parse_args()
    folder = Path(os.environ.get("INVKIT_DATA", "")) / "real"
    if not os.environ.get("INVKIT_DATA") or not folder.is_dir():
        raise InputError("set INVKIT_DATA to the folder that holds real/fishes.jpg, flower.jpg and house.jpg")
    for name, size in SIZES.items():
        result = invkit.deblur(folder / f"{name}.jpg", recipe=arguments.recipe, kernel_size=size)
        result.save(arguments.output / name, overwrite=True)
        print(f"{name}: {result.seconds:.1f} s, see {arguments.output / name / 'overview.png'}", flush=True)


if __name__ == "__main__":
    main()
