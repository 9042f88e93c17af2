"""An order carried out: the photograph restored, and written with what the page shows of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import InputError, InvkitError
from ...core.files import write_atomically
from ...core.result import Result
from ...media.images import read_image, write_image
from ...media.layouts import channels_last
from ...media.output import save_result
from ...pipeline.job import Job, prepare
from .asked import Asked, Crop
from .messages import MADE, Begun, News, Order, Saving
from .pictures import shown, thumbnail
from .previews import Previews
from .store import FACTS, VIEW

__all__ = ["restored", "warm_up"]

TELLING = ("recipe_picked", "doubts", "noise_sigma")  # of a result's details
FLOAT = 32  # bits, which PNG does not hold
PATIENCE = 0.01  # seconds, of a solve that is only to begin


def warm_up() -> None:
    """Have imported all that a solve imports on its way, by beginning a small one."""
    squares = np.kron(np.arange(36.0).reshape(6, 6) % 7 / 7, np.ones((8, 8)))
    with suppress(InvkitError):
        prepare(squares, recipe="fast", kernel_size=5).run(time_limit=PATIENCE)


def restored(order: Order, tell: Callable[[News], None]) -> None:
    """Restore a photograph and write the run.

    Raises:
        InvkitError: it cannot be restored so.
        OSError: something cannot be written.
    """
    asked, made = order.asked, order.folder / MADE
    photo = order.photo if asked.crop is None else cropped(order.photo, asked.crop, order.folder)
    job = prepare(
        photo,
        recipe=asked.recipe,
        kernel_size=asked.kernel_size,
        color=asked.color,
        overrides=asked.overrides,
        seed=asked.seed,
        device=order.device,
        time_limit=asked.time_limit,
    )
    tell(begun(job))
    result = job.run(time_limit=asked.time_limit, progress=Previews(order.folder, tell).stage)
    tell(Saving())
    save_result(with_names(result, asked), made)
    write_view(result, made / VIEW)
    facts = {**facts_of(result), "recipe": job.name, "asked": asked.model_dump(mode="json")}
    write_atomically(made / VIEW / FACTS, json.dumps(facts).encode())


def cropped(photo: Path, crop: Crop, folder: Path) -> Path:
    """A part of a photograph as a file, at the photograph's depth; raises `InputError` where it is not within it."""
    whole = read_image(photo)
    height, width = whole.pixels.shape[:2]
    rows, columns = slice(crop.top, crop.top + crop.height), slice(crop.left, crop.left + crop.width)
    if rows.stop > height or columns.stop > width:
        raise InputError(
            f"the part reaches to ({columns.stop}, {rows.stop}) in a photograph of {width} x {height} pixels; mark "
            "another one"
        )
    alpha = None if whole.alpha is None else whole.alpha[rows, columns]
    part = replace(whole, pixels=whole.pixels[rows, columns], alpha=alpha)
    path = folder / ("part.tif" if whole.bits == FLOAT else "part.png")
    write_image(path, part.put_back(part.pixels), whole.bits, icc_profile=whole.icc_profile)
    return path


def begun(job: Job) -> Begun:
    """What is known before the first step."""
    height, width = job.measured.data.shape[-2:]
    size = job.assembly.problem.kernel_prior.shape[-2:]
    kernel = (size[0], size[1]) if job.has_kernels and max(size) > 1 else None
    return Begun(
        recipe=job.name,
        why=job.facts.get("recipe_picked"),
        width=width,
        height=height,
        kernel=kernel,
        channels=job.measured.data.shape[1],
    )


def with_names(result: Result, asked: Asked) -> Result:
    """A result whose details call the photograph what its owner does."""
    image = {**(result.details.get("image") or {}), "file": asked.photo}
    part = {} if asked.crop is None else {"part": asked.crop.model_dump()}
    return replace(result, details={**result.details, "image": image, **part})


def facts_of(result: Result) -> dict[str, Any]:
    """What the page says of a run."""
    height, width = channels_last(result.image).shape[1:3]
    kernel = list(result.kernel.shape[-2:]) if result.has_kernel and max(result.kernel.shape[-2:]) > 1 else None
    return {
        "stopped": result.stopped,
        "seconds": round(result.seconds, 1),
        "iterations": result.iterations,
        "width": width,
        "height": height,
        "kernel": kernel,
        **{name: result.details[name] for name in TELLING if name in result.details},
    }


def write_view(result: Result, folder: Path) -> None:
    """The pictures before and after, and a small one, each for a browser."""
    folder.mkdir()
    image = channels_last(result.image)[0]
    before = image if result.blurry is None else channels_last(result.blurry)[0]
    profile = result.icc_profile
    pictures = {
        "before.jpg": shown(before, icc_profile=profile),
        "after.jpg": shown(image, icc_profile=profile),
        "thumbnail.jpg": thumbnail(image, profile),
    }
    for name, content in pictures.items():
        write_atomically(folder / name, content)
