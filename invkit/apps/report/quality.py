"""How good the snapshots of a run are, where the sharp picture is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...benchmark.strips import middle
from ...core.errors import InputError
from ...media.colour import to_luma_chroma
from ...media.images import read_image
from ...media.layouts import to_bchw
from ...numerics.registration import aligned_psnr
from .charts import evenly
from .pictures import Track
from .runs import Run, Snapshot, dict_of, snapshots_of

__all__ = ["psnr_on_the_way"]

MOST_POINTS = 60
BORDER, SHIFT = 15, 5  # pixels, of Levin's protocol


def psnr_on_the_way(run: Run, truth: Path, track: Track) -> list[tuple[float, float]]:
    """Iterations and PSNR of a run's snapshots, by Levin's protocol, and of its result.

    Those of another size than the truth's, as at a coarse scale, are left out; a larger one is cut to its middle, as
    what a valid convolution restores reaches beyond the photograph.

    Raises:
        InputError: the truth cannot be read.
    """
    sharp = luma(truth)
    taken = [one for one in snapshots_of(run) if one.stage]
    points = [
        (float(one.begun + one.iteration), psnr)
        for one in track(evenly(taken, MOST_POINTS), f"PSNR of {run.label}")
        if (psnr := psnr_of(one, sharp)) is not None
    ]
    last = dict_of(run.facts, "psnr").get("after")
    return [*points, *([(float(len(run.losses)), last)] if isinstance(last, float) else [])]


def psnr_of(snapshot: Snapshot, sharp: npt.NDArray[np.float32]) -> float | None:
    """Of one snapshot; None where it cannot be compared."""
    try:
        picture = luma(snapshot.image)
    except InputError:
        return None
    if any(mine < its for mine, its in zip(picture.shape, sharp.shape, strict=True)):
        return None
    border = min(BORDER, min(sharp.shape) // 4)
    return aligned_psnr(middle(picture, sharp.shape), sharp, border=border, max_shift=min(SHIFT, border))


def luma(path: Path) -> npt.NDArray[np.float32]:
    """The luma of a picture file, (H, W) in [0, 1]; raises `InputError`."""
    planes = to_bchw(read_image(path).pixels)[0]
    plane = to_luma_chroma(planes)[0] if planes.shape[1] == 3 else planes
    return np.asarray(plane[0, 0].numpy())
