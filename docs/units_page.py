"""The sections of the measured figures on units of data and on stacks of planes."""

from __future__ import annotations

from pathlib import Path

from tables import committed, row_table


def units(results: Path) -> list[str]:
    """The same scene in several units, and many small pictures at once, if the result is committed in a folder."""
    report = committed(results / "units.json")
    if report is None:
        return []
    return [
        "## Units of the data\n\n"
        f"`{report['command']}`: three pictures of scikit-image under the kernel of the bundled sample, in several "
        "units. PSNR, dB, in the units of the sharp picture, means over the pictures: of `sparse-admm` with the true "
        "kernel, and of `fast`. *Furthest* is the largest difference of one picture from that at exposure 1. At an "
        "exposure of 0.005 a picture has 328 levels, whose rounding is a third of the noise.\n\n"
        + row_table(report["pictures"])
        + "\nThe phantom of `sense`, whose k-space was multiplied:\n\n"
        + row_table(report["k-space"])
        + "\n100 galaxies of 41x41 pixels, each with its own kernel, together and one by one. The difference of the "
        "results is a share of the brightest pixel:\n\n" + row_table(report["galaxies"])
    ]


def stacks(results: Path) -> list[str]:
    """Methods for stacks, and their memory, if the result is committed in a folder."""
    report = committed(results / "stacks.json")
    if report is None:
        return []
    return [
        "## Stacks of planes\n\n"
        f"`{report['command']}`: *bars* is a stack of a microscope, 32x64x64, whose scale is unknown; *dark* is a "
        "synthetic one, where no border matters. PSNR after the best gain, dB; seconds of the processor, one thread. "
        "The number is that of the steps, from a constant, without acceleration.\n\n"
        + row_table(report["rows"])
        + "\nMemory during a restoration of 64x320x320 voxels with a kernel of 11x13x13, beyond what the process had "
        "before. Large stacks are solved in blocks (Richardson-Lucy) or tiles. The last column is the root mean square "
        "difference, a share of the brightest voxel:\n\n" + row_table(report["memory"])
    ]
