"""What a Dask worker does when it starts. Imported only where Dask is there."""

from __future__ import annotations

import signal
import threading

import torch
from distributed.diagnostics.plugin import WorkerPlugin

from .. import __version__

__all__ = ["Steady"]


class Steady(WorkerPlugin):  # type: ignore[misc]  # distributed is not typed
    """Sees that a worker is of the same version, lets it ignore Ctrl-C, and gives it its threads.

    Ctrl-C in a terminal reaches every process that was started from it; workers are ended by who started them.

    Args:
        threads: of torch; None leaves them as they are.
    """

    name = "invkit-steady"

    def __init__(self, threads: int | None) -> None:
        self.threads, self.version = threads, __version__

    def setup(self, worker: object) -> None:
        """At the start of each worker; raises ``RuntimeError`` in one of another version."""
        if __version__ != self.version:
            raise RuntimeError(f"a worker has invkit {__version__}, and this is {self.version}")
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
