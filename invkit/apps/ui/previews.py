"""Pictures of image and kernel on the way, for a page that shows them as they come."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from ...core.files import write_atomically
from ...core.interfaces import Blur, ForwardOperator, KernelPrior
from ...core.problem import Problem
from ...core.solver import Observer, State, StopReason
from ...media.encoding import encode_png, quantised
from ...media.kernels import kernel_picture, planes_picture
from ...media.layouts import channels_last
from ...numerics.geometry import size_of, visible_part
from .messages import Step

__all__ = ["Previews", "StagePreviews"]

EVERY = 0.5  # seconds between two of them
LONGEST = 512  # pixels
BITS = 8
PICTURES = (1, 3)  # channels


class Previews:
    """The pictures of one job, over all stages of it.

    Args:
        folder: where ``image.png`` and ``kernel.png`` are written, again and again, each whole.
        tell: what is told of each.
    """

    def __init__(self, folder: Path, tell: Callable[[Step], None]) -> None:
        self.folder, self.tell = folder, tell
        self.written, self.count = float("-inf"), 0

    def stage(self, title: str) -> StagePreviews:
        """The observer of a stage."""
        return StagePreviews(self, title)

    def write(self, problem: Problem, state: State, title: str, iterations: int) -> None:
        """Write both pictures, of a batch the first."""
        image, kernel = state.estimate()
        image = without_margin(image, kernel, problem.operator)
        has_kernel = issubclass(problem.operator.parameter_prior, KernelPrior)
        pictures = {"image.png": image_picture(image), "kernel.png": parameter_picture(kernel, has_kernel)}
        for name, content in pictures.items():
            write_atomically(self.folder / name, content)
        self.written, self.count = time.monotonic(), self.count + 1
        told = Step(
            title=title,
            iteration=state.iteration,
            iterations=iterations,
            channels=image.shape[1],
            pictures=self.count,
        )
        self.tell(told)


class StagePreviews(Observer):
    """Has pictures of one stage written, the first at once and then at most two a second."""

    def __init__(self, previews: Previews, title: str) -> None:
        self.previews, self.title, self.iterations = previews, title, 0

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Remember how long it may take."""
        self.iterations = iterations

    def stepped(self, problem: Problem, state: State) -> None:
        """Write when it is time."""
        if time.monotonic() - self.previews.written >= EVERY:
            self.previews.write(problem, state, self.title, self.iterations)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Nothing: another stage, or the result, is to be seen at once."""


def without_margin(image: Tensor, kernel: Tensor, operator: ForwardOperator) -> Tensor:
    """The image where the data are, also at a coarse scale: that of a valid convolution sticks out of them."""
    if not (isinstance(operator, Blur) and operator.padding == "valid"):
        return image
    height, width = (max(1, image.shape[axis] - kernel.shape[axis] + 1) for axis in (-2, -1))
    return visible_part(image, (height, width), size_of(kernel))


def image_picture(image: Tensor) -> bytes:
    """A PNG of the first of (B, C, H, W), its longer side `LONGEST` at most."""
    first = image[:1].detach().float()
    scale = LONGEST / max(first.shape[-2:])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in first.shape[-2:]]
        first = F.interpolate(first, size, mode="area")
    if first.shape[1] not in PICTURES:
        return encode_png(planes_picture(first[0].double().cpu().numpy()))
    return encode_png(quantised(channels_last(first.clamp(0, 1).cpu())[0], BITS))


def parameter_picture(unknown: Tensor, is_kernel: bool) -> bytes:
    """A PNG of the first of (B, C, h, w)."""
    first = unknown[0].detach().double().cpu().numpy()
    return encode_png(kernel_picture(first[0]) if is_kernel else planes_picture(first))
