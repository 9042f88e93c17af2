"""Photographs without truth, for eyes to judge: before, after and kernel of each on one sheet.

    python benchmarks/calibration/contact_sheet.py FOLDER --recipe fast --output sheet

Restored photographs are kept in the output folder, and not restored again: Ctrl-C keeps what was done.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont
from report import results
from rich.progress import track

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
CELL = 380  # pixels, longer side of a picture on the sheet
KERNEL = 90  # pixels, side of the kernel, in a corner of the second picture
COLUMNS, ROWS = 2, 5  # photographs on a page
LINE = 16  # pixels, height of the caption


def main(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of photographs.")],
    recipe: Annotated[str, typer.Option(help="Recipe; its kernel size is unknown.")] = "fast",
    output: Annotated[Path, typer.Option(help="Folder of the results and of the sheets.")] = Path("sheet"),
    processes: Annotated[int, typer.Option(min=1, help="Photographs restored at a time, one thread each.")] = 1,
) -> None:
    """Restore every photograph of a folder and put them on sheets of ten."""
    photographs = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not photographs:
        raise typer.BadParameter(f"{folder} has no photographs ({', '.join(SUFFIXES)})")
    output.mkdir(parents=True, exist_ok=True)
    missing = [path for path in photographs if not (output / path.stem / "result.json").exists()]
    tasks = [(path, recipe, output) for path in missing]
    for file in track(results(restore, tasks, processes), "Restoring", total=len(tasks), disable=not tasks):
        typer.echo(file)
    for number, start in enumerate(range(0, len(photographs), COLUMNS * ROWS), start=1):
        file = output / f"sheet_{number}.jpg"
        sheet(photographs[start : start + COLUMNS * ROWS], output).save(file, quality=88)
        typer.echo(file)


def restore(photograph: Path, recipe: str, output: Path) -> Path:
    """Restore one photograph; returns the folder of the result.

    Args:
        photograph: file.
        recipe: name or file.
        output: folder that gets a folder for each photograph.
    """
    import invkit

    folder = output / photograph.stem
    invkit.deblur(photograph, recipe=recipe, progress=False).save(folder, overwrite=True)
    return folder


def sheet(photographs: Sequence[Path], output: Path) -> Image.Image:
    """One page: of each photograph the input and the result, with the kernel in its corner."""
    page = Image.new("RGB", (COLUMNS * 2 * CELL, ROWS * (CELL + LINE)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=12)
    for number, path in enumerate(photographs):
        left, top = number % COLUMNS * 2 * CELL, number // COLUMNS * (CELL + LINE)
        facts = json.loads((output / path.stem / "result.json").read_text(encoding="utf-8"))
        doubtful = "  (doubtful)" if facts.get("warnings") else ""
        draw.text((left + 4, top + 1), f"{path.stem}{doubtful}", fill="black", font=font)
        for place, file in ((left, path), (left + CELL, output / path.stem / "image.png")):
            with Image.open(file) as picture:
                small = picture.convert("RGB")
                small.thumbnail((CELL - 4, CELL - 4))
            page.paste(small, (place, top + LINE))
        page.paste(kernel_picture(np.load(output / path.stem / "kernel.npy")), (left + 2 * CELL - KERNEL, top + LINE))
    return page


def kernel_picture(kernel: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Image.Image:
    """A kernel (h, w), bright on black, as large as fits into its corner."""
    plane = np.asarray(255 * kernel / kernel.max(), dtype=np.uint8)
    scale = KERNEL / max(plane.shape)
    size = (max(round(plane.shape[1] * scale), 1), max(round(plane.shape[0] * scale), 1))
    return Image.fromarray(plane).resize(size, Image.Resampling.NEAREST).convert("RGB")


if __name__ == "__main__":
    typer.run(main)
