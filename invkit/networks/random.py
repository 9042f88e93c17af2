"""Random numbers that depend on a seed alone: not on the global generator, the device, or other threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seeded"]

_drawing = threading.RLock()  # torch's layers draw their weights from the one global generator


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a CPU generator with this seed inside the block, and restore the global generators after it.

    One thread at a time is in such a block.

    Example:
        >>> with seeded(3):
        ...     first = torch.rand(2)
        >>> with seeded(3):
        ...     torch.equal(torch.rand(2), first)
        True
    """
    with _drawing, torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the accelerators too
        yield
