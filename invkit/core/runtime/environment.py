"""What a process is told by the variables of its environment."""

from __future__ import annotations

__all__ = ["thread_variables"]


def thread_variables(threads: int) -> dict[str, str]:
    """What must stand in a process's environment before it loads torch, for it to use so many threads."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
