"""How many threads a solve is worth, and that for so long only.

PyTorch shares out every operation among the threads of the process, one for each core unless it is told otherwise.
For an image of 255 x 255 pixels an operation takes some ten microseconds, and the threads wait for each other for as
long as they save: on two cores the time stayed within a tenth, for nearly twice the work, and rose to eightfold where
another process needed a core. So small images get one thread. The number that torch is set to, by itself, by
``OMP_NUM_THREADS`` or by ``torch.set_num_threads``, is the most that is ever used, and is what it was afterwards. The
setting holds for the process: what other threads of a program compute meanwhile has no more either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from ..interfaces import Assignable, Blur, Denoising, Proximable
from ..problem import Problem

__all__ = ["threads_at_most", "threads_for", "threads_worth"]

FEW = 2**17  # values of an image: on two cores the threads save a fifth of the time at 1.5e5, a tenth at 6.5e4


@contextmanager
def threads_at_most(number: int) -> Iterator[None]:
    """Let torch use no more threads than these; also those begun here that have not used it yet."""
    before = torch.get_num_threads()
    if before <= number:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_worth(values: int) -> AbstractContextManager[None]:
    """As many threads as plain operations on so many values are worth: one for few, else all."""
    return threads_at_most(1) if values < FEW else nullcontext()


def threads_for(problem: Problem) -> AbstractContextManager[None]:
    """As many threads as a problem is worth: one on a CPU for a small image that is computed itself, else all."""
    light = problem.data.device.type == "cpu" and is_plain(problem)
    return threads_worth(math.prod(problem.image_prior.shape)) if light else nullcontext()


def is_plain(problem: Problem) -> bool:
    """Whether steps are made of quick operations: no network gives the image or denoises it."""
    terms = [term.regularizer for term in problem.regularizers]
    quick = all(isinstance(term, Proximable) and not isinstance(term, Denoising) for term in terms)
    return quick and isinstance(problem.image_prior, Assignable) and isinstance(problem.operator, Blur)
