"""How many worker processes the candidates of a stage are worth."""

from __future__ import annotations

import torch

from ..core import registry
from ..core.runtime.workers import affordable_workers, can_start_workers
from .stages import RunControl, Stage

__all__ = ["worthwhile_workers"]

MIN_CANDIDATES_FOR_WORKERS = 4  # fewer are solved before a worker has loaded its libraries
MIN_VALUES_FOR_WORKERS = 2**14  # of the picture
MAX_PROCESSES = 5  # more would wait for the last candidate
WORKER_START_SECONDS = 3.0  # until a worker has loaded its libraries
WORKER_BYTES = 2**29  # memory of a worker's libraries
BYTES_PER_VALUE = 400  # of a picture: some fifty pictures of its size, and their spectra


def worthwhile_workers(stage: Stage, device: torch.device, control: RunControl) -> int:
    """The number of worker processes that the candidates of a stage are worth.

    None for few candidates, a small picture or a short time limit; on a GPU, which one process keeps busy; if observers
    are to see every step; and if components are registered in this process only. Never more than there are threads and
    memory for.

    Args:
        stage: with candidates.
        device: where to solve.
        control: observers and time limit.
    """
    values, limit = stage.data.numel(), control.time_limit
    is_quick = len(stage.candidates) < MIN_CANDIDATES_FOR_WORKERS or values < MIN_VALUES_FOR_WORKERS
    is_short = limit is not None and limit < WORKER_START_SECONDS
    must_stay_here = device.type != "cpu" or control.observers or registry.is_extended() or not can_start_workers()
    if is_quick or is_short or must_stay_here:
        return 0
    processes = min(torch.get_num_threads(), len(stage.candidates), MAX_PROCESSES)
    return min(processes - 1, affordable_workers(WORKER_BYTES + values * BYTES_PER_VALUE))
