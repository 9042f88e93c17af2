"""Random numbers that depend on a seed alone: not on the global generator, not on the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a CPU generator seeded with ``seed`` inside, and leave the global generators as they were after."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the accelerators too
        yield
