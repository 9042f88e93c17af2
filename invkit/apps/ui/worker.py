"""The worker process, ``python -m invkit.apps.ui.worker``. It restores one photograph and reports to the page.

It first imports everything that a solve needs, so that no visitor waits for the imports. It then reads one
`WorkerOrder` from its standard input, carries it out, and writes its messages to its standard output. It exits when its
standard input is closed, because the page has gone. No other module of the page imports the pipeline.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ...core.errors import InputError, InvkitError
from ...core.files import write_atomically
from ...core.interfaces import Blur, KernelPrior
from ...core.problem import Problem
from ...core.result import Result
from ...core.solver import Observer, State
from ...media.images import read_image, write_image
from ...media.layouts import drawable_batch
from ...media.output import save_result
from ...media.snapshot_files import pictures
from ...numerics.framing import visible_part
from ...numerics.geometry import size_of
from ...pipeline.job import Job, prepare
from . import messages
from .messages import Crop, RestorationRequest, RunFacts, WorkerMessage, WorkerOrder
from .store import FACTS_FILE, VIEW_FOLDER
from .uploads import THUMBNAIL_SIDE, browser_jpeg

__all__ = ["preload", "restore_photo", "run_worker"]

PREVIEW_INTERVAL = 0.5  # seconds between two previews
PREVIEW_SIDE = 512  # pixels of a preview's longer side
FLOAT_BITS = 32  # samples of this depth need TIFF; PNG holds at most 16 bits
PRELOAD_SECONDS = 0.01  # time limit of a solve that only has to begin


class MessageChannel:
    """Sends messages to the page. Whatever libraries print goes to the standard error instead."""

    def __init__(self) -> None:
        self.stream: TextIO = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(self, message: WorkerMessage) -> None:
        """Write a message; exit if the page has gone."""
        try:
            self.stream.write(message.model_dump_json() + "\n")
            self.stream.flush()
        except BrokenPipeError:
            os._exit(1)


def run_worker() -> None:
    """Carry out one order."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # only a solve reacts to it (`deferred_interrupt`)
    send = MessageChannel().send
    preload()
    line = sys.stdin.readline()
    if not line.strip():
        return
    threading.Thread(target=listen, daemon=True).start()
    try:
        restore_photo(WorkerOrder.model_validate_json(line), send)
        send(messages.Done())
    except (InvkitError, OSError) as error:
        send(messages.Failed(error=str(error)))
    except Exception as error:  # the page waits for an answer, whatever has failed
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
        send(messages.Failed(error=f"invkit has an internal error ({reason}); its terminal shows where it occurred"))


def listen() -> None:
    """Wait for the stop command during a solve; exit when the page has gone, because nobody needs the result."""
    for line in sys.stdin:
        if line.strip() == messages.STOP_COMMAND:
            _thread.interrupt_main()
    os._exit(1)


def preload() -> None:
    """Start a small solve, which imports every module that a solve needs."""
    squares = np.kron(np.arange(36.0).reshape(6, 6) % 7 / 7, np.ones((8, 8)))
    with suppress(InvkitError):
        prepare(squares, recipe="fast", kernel_size=5).run(time_limit=PRELOAD_SECONDS)


def restore_photo(order: WorkerOrder, send: Callable[[WorkerMessage], None]) -> None:
    """Restore a photograph and write the run.

    Raises:
        InvkitError: the photograph cannot be restored as requested.
        OSError: a file cannot be written.
    """
    request = order.request
    photo = order.photo if request.crop is None else write_crop(order.photo, request.crop)
    job = prepare(
        photo,
        recipe=request.recipe,
        kernel_size=request.kernel_size,
        color=request.color,
        overrides=request.overrides,
        seed=request.seed,
        whole_picture=request.whole_picture,
        uncertainty=request.uncertainty,
        device=order.device,
        time_limit=request.time_limit,
    )
    send(prepared_message(job))
    result = job.run(time_limit=request.time_limit, progress=partial(StagePreviews, Previews(order.folder, send)))
    send(messages.Saving())
    write_run(result, request, order.folder / messages.RUN_FOLDER)


def write_crop(photo: Path, crop: Crop) -> Path:
    """Write a region of a photograph to a file of the same bit depth beside it.

    Raises:
        InputError: the region is not within the photograph.
    """
    whole = read_image(photo, in_units=True)
    height, width = whole.pixels.shape[:2]
    rows, columns = slice(crop.top, crop.top + crop.height), slice(crop.left, crop.left + crop.width)
    if rows.stop > height or columns.stop > width:
        raise InputError(
            f"the region ends at column {columns.stop} and row {rows.stop}, but the photograph has {width} x {height} "
            "pixels; select another region"
        )
    alpha = None if whole.alpha is None else whole.alpha[rows, columns]
    region = replace(whole, pixels=whole.pixels[rows, columns], alpha=alpha)
    path = photo.with_name("crop.tif" if whole.bits == FLOAT_BITS else "crop.png")
    write_image(path, region.put_back(region.pixels), whole.bits, icc_profile=whole.icc_profile)
    return path


def prepared_message(job: Job) -> messages.Prepared:
    """What is known before the first iteration."""
    height, width = job.image.data.shape[-2:]
    kernel_height, kernel_width = job.assembly.problem.kernel_prior.shape[-2:]
    has_kernel = job.has_kernel and max(kernel_height, kernel_width) > 1
    return messages.Prepared(
        recipe=job.name,
        choice=job.facts.get("recipe_choice"),
        width=width,
        height=height,
        kernel=(kernel_height, kernel_width) if has_kernel else None,
        channels=job.image.data.shape[1],
    )


def write_run(result: Result, request: RestorationRequest, folder: Path) -> None:
    """Write the result and, in `VIEW_FOLDER`, the pictures and facts that the page shows.

    Args:
        result: the result; its details then hold the visitor's file name, and the crop.
        request: the visitor's request.
        folder: the run's folder.
    """
    source = {**result.details["image"], "file": request.photo}
    source.pop("path", None)  # the upload is deleted
    details = {**result.details, "image": source}
    details |= {} if request.crop is None else {"crop": request.crop.model_dump()}
    save_result(replace(result, details=details), folder)
    view, after, profile = folder / VIEW_FOLDER, drawable_batch(result.image, result)[0], result.icc_profile
    before = after if result.blurry is None else drawable_batch(result.blurry, result)[0]
    view.mkdir()
    (view / "before.jpg").write_bytes(browser_jpeg(before, icc_profile=profile))
    (view / "after.jpg").write_bytes(browser_jpeg(after, icc_profile=profile))
    (view / "thumbnail.jpg").write_bytes(browser_jpeg(after, THUMBNAIL_SIDE, profile))
    (view / FACTS_FILE).write_text(facts_of(result, request).model_dump_json(), encoding="utf-8")


def facts_of(result: Result, request: RestorationRequest) -> RunFacts:
    """The facts that the page shows of a run."""
    height, width = drawable_batch(result.image, result).shape[1:3]
    kernel = list(result.kernel.shape[-2:])
    return RunFacts(
        request=request,
        recipe=result.details["recipe"]["name"],
        stopped=result.stopped,
        seconds=round(result.seconds, 1),
        iterations=result.iterations,
        width=width,
        height=height,
        kernel=(kernel[0], kernel[1]) if result.has_kernel and max(kernel) > 1 else None,
        warnings=tuple(result.details.get("warnings", ())),
        notices=tuple(result.details.get("notices", ())),
        how_sure=result.details.get("uncertainty", {}).get("statement", ""),
    )


class Previews:
    """Writes ``image.png`` and ``kernel.png`` during all stages of a job, and sends a message for every pair.

    Each picture is replaced atomically, because the page may read it at any time.
    """

    def __init__(self, folder: Path, send: Callable[[WorkerMessage], None]) -> None:
        self.folder, self.send = folder, send
        self.written, self.count = float("-inf"), 0

    def write(self, problem: Problem, state: State, stage: StagePreviews) -> None:
        """Write both pictures, unless the last ones are recent.

        Args:
            problem: the stage's problem.
            state: its state; of a batch, the first image is shown.
            stage: the stage, for its title and iterations.
        """
        if time.monotonic() - self.written < PREVIEW_INTERVAL:
            return
        image, parameter = (value[:1].detach().float() for value in state.estimate())
        if isinstance(problem.operator, Blur):
            image = without_margin(image, parameter) if problem.operator.padding == "valid" else image
        is_kernel = issubclass(problem.operator.parameter_prior, KernelPrior)
        [(_, image_png)] = pictures("image", reduced(image))
        [(_, kernel_png)] = pictures("kernel" if is_kernel else "operator_parameter", parameter)
        write_atomically(self.folder / "image.png", image_png)
        write_atomically(self.folder / "kernel.png", kernel_png)
        self.written, self.count = time.monotonic(), self.count + 1
        news = messages.Iterated(
            stage=stage.title,
            iteration=state.iteration,
            iterations=stage.iterations,
            channels=image.shape[1],
            previews=self.count,
        )
        self.send(news)


class StagePreviews(Observer):
    """Writes previews of one stage, at most two pairs per second."""

    def __init__(self, previews: Previews, title: str) -> None:
        self.previews, self.title, self.iterations = previews, title, 0

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Remember the most iterations of the stage."""
        self.iterations = iterations

    def stepped(self, problem: Problem, state: State) -> None:
        """Write previews after an iteration."""
        self.previews.write(problem, state, self)


def without_margin(image: Tensor, kernel: Tensor) -> Tensor:
    """The part of an image (B, C, H, W) that the data of a valid convolution show, at any scale of the kernel."""
    height, width = (max(1, image.shape[axis] - kernel.shape[axis] + 1) for axis in (-2, -1))
    return visible_part(image, (height, width), size_of(kernel))


def reduced(image: Tensor) -> Tensor:
    """The image (B, C, H, W) with at most `PREVIEW_SIDE` pixels on its longer side."""
    scale = PREVIEW_SIDE / max(image.shape[-2:])
    size = [max(1, round(side * scale)) for side in image.shape[-2:]]
    return F.interpolate(image, size, mode="area") if scale < 1 else image


if __name__ == "__main__":
    run_worker()
