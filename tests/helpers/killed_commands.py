"""Commands that a test kills at any moment. They run in processes that are forked from one with all imports done."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toy_benchmark import MeanSquare, Toy

import invkit.benchmark.jobs
import invkit.pipeline.job
from invkit.apps.cli.main import main
from invkit.apps.ui import worker
from invkit.apps.ui.messages import RUN_FOLDER, RestorationRequest, WorkerOrder
from invkit.apps.ui.store import RunStore
from invkit.core import registry

__all__ = ["KillableProcesses", "command", "restore_for_page"]

PRELOADED = [__name__, invkit.pipeline.job.__name__, invkit.benchmark.jobs.__name__]
GIVE_UP_SECONDS = 240.0


class KillableProcesses:
    """Processes that begin at once, because their parent has imported everything."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def run(self, function: Callable[..., None], *given: object) -> float:
        """Call a function in a process that ends by itself; returns the seconds that it took."""
        begun = time.monotonic()
        process = self.context.Process(target=function, args=given)
        process.start()
        process.join(GIVE_UP_SECONDS)
        assert process.exitcode == 0, f"{function.__name__}{given} ended with {process.exitcode}"
        return time.monotonic() - begun

    def kill(self, seconds: float, function: Callable[..., None], *given: object) -> bool:
        """Call a function in a process that is killed after so many seconds; returns whether it still ran."""
        process = self.context.Process(target=function, args=given)
        process.start()
        process.join(seconds)
        process.kill()
        process.join()
        return process.exitcode != 0


@contextmanager
def silent() -> Iterator[None]:
    """Nothing is printed, and nothing is left of the streams of the test."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    yield


def command(*words: str) -> None:
    """A command, with the toys of the benchmark tests registered; its exit code becomes that of the process."""
    registry.register("datasets", "toy", Toy)
    registry.register("metrics", "toy-error", MeanSquare)
    os.environ.pop("INVKIT_DATA", None)  # where no toys are
    sys.argv = ["invkit", *words]
    with silent():
        main()


def restore_for_page(folder: Path, photo: Path, overrides: tuple[str, ...]) -> None:
    """What the web page and its worker do with a request."""
    request = RestorationRequest(photo="photo.png", recipe="selfdeblur-small", kernel_size=7, overrides=overrides)
    with silent():
        store = RunStore(folder)
        work = store.new_work()
        worker.restore_photo(WorkerOrder(request=request, photo=photo, folder=work, device="cpu"), lambda _: None)
        store.keep(work / RUN_FOLDER, work.name)
        store.close()
