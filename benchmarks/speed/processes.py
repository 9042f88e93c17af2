"""The versions run alternately, each in a process of its own, so that other load on the machine affects all equally.

A process of its own is needed because settings of the process, as the C library's allocator that invkit changes, and
the state of its memory would affect the other versions.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from invkit.core.errors import InputError
from invkit.core.runtime.process import OPT_OUT, keep_large_blocks
from invkit.core.runtime.threads import thread_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from loky import ProcessPoolExecutor
    from subjects import ProblemSize

ProgressFunction: TypeAlias = Callable[[str, int, "float | None"], None]
"""Called with the version that starts (or "done"), the number of rounds done, and the seconds left if known."""


@dataclass(frozen=True)
class SpeedRequest:
    """Sizes, device and threads of each process; None for the number of threads that torch chooses."""

    size: ProblemSize
    device: str = "auto"
    threads: int | None = None


@dataclass
class Measured:
    """The measurements by version.

    Attributes:
        surveys: flops, bytes and peak bytes of each stage.
        rounds: for each complete round, the seconds of each stage.
        peaks: bytes, the peak memory over all rounds.
        machine: facts on which the results depend.
        unavailable: why a version was left out.
        interrupted: whether Ctrl-C ended the last round.
    """

    surveys: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    rounds: list[dict[str, dict[str, float]]] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


class VersionRun:
    """A version in the process that times it; raises `InvkitError` if the device is unknown or cannot run it."""

    current: VersionRun

    def __init__(self, version: str, request: SpeedRequest) -> None:
        import torch
        from subjects import subject_of
        from survey import PeakMemory

        from invkit.pipeline.options import choose_device

        if request.threads:
            torch.set_num_threads(request.threads)
        self.device = choose_device(request.device)
        make_current(self.device)
        self.memory, self.is_plain = PeakMemory(self.device), version == "plain"
        self.subject = subject_of(version, request.size, self.device)

    def survey(self) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        """The counts of all stages, and the machine.

        The survey lies between two runs that do the work of first runs. Meanwhile the C library returns freed memory;
        otherwise each stage would have the peak of the previous stages.
        """
        from survey import Survey

        opted_out = os.environ.get(OPT_OUT, "")
        os.environ[OPT_OUT] = "1"
        keep_large_blocks.cache_clear()
        self.run()
        with Survey(self.device) as survey:
            self.subject.run(survey)
        os.environ[OPT_OUT] = opted_out
        keep_large_blocks.cache_clear()
        if not self.is_plain:
            keep_large_blocks()
        self.run()
        self.memory.reset()
        return survey.facts(), machine_of(self.device)

    def run(self) -> tuple[dict[str, float], int]:
        """The seconds of the stages, and the peak memory since the survey, bytes."""
        from survey import Stopwatch

        watch = Stopwatch()
        self.subject.run(watch)
        return watch.seconds, self.memory.peak()


def make_current(device: torch.device) -> None:
    """Make a numbered GPU the current one; torch refuses one without a number, which is the current one anyway."""
    import torch

    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def machine_of(device: torch.device) -> dict[str, Any]:
    """Facts on which the results depend."""
    import torch

    from invkit.benchmark.measuring import machine_facts

    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {
        **machine_facts(device),
        "device": str(device),
        **gpu,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
    }


def ignore_interrupts() -> None:
    """Ctrl-C is for the command, which ends its processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def first_survey(version: str, request: SpeedRequest) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """In a process of its own: make the version and survey it."""
    VersionRun.current = VersionRun(version, request)
    return VersionRun.current.survey()


def one_run() -> tuple[dict[str, float], int]:
    """In the same process: run the version once."""
    return VersionRun.current.run()


@contextmanager
def process_of(request: SpeedRequest) -> Iterator[ProcessPoolExecutor]:
    """A pool of one process, which is killed at the end."""
    from loky import ProcessPoolExecutor

    variables = {} if request.threads is None else thread_variables(request.threads)
    pool = ProcessPoolExecutor(1, timeout=None, initializer=ignore_interrupts, env=variables)
    try:
        yield pool
    finally:
        pool.shutdown(kill_workers=True)


def measure_versions(
    request: SpeedRequest, rounds: int, progress: ProgressFunction, versions: Sequence[str]
) -> Measured:
    """Let each version run once in each round.

    Ctrl-C keeps the complete rounds; before the first complete round it is raised.

    Args:
        request: sizes, device and threads.
        rounds: number of rounds.
        progress: is called before each run and after each round.
        versions: some of `subjects.TITLES`.

    Raises:
        InputError: the device does not exist, or memory is insufficient.
    """
    from subjects import UnavailableError

    measured, pools = Measured(), {}
    with ExitStack() as stack:
        for version in versions:
            progress(f"{version}, survey", 0, None)
            pool = stack.enter_context(process_of(request))
            try:
                survey, measured.machine = result_of(version, pool.submit(first_survey, version, request))
            except UnavailableError as error:
                measured.unavailable[version] = str(error)
                continue
            measured.surveys[version], pools[version] = survey, pool
        started = time.monotonic()
        try:
            for done in range(rounds):
                left = (time.monotonic() - started) / done * (rounds - done) if done else None
                answers = {}
                for version, pool in pools.items():
                    progress(version, done, left)
                    answers[version] = result_of(version, pool.submit(one_run))
                measured.rounds.append({version: seconds for version, (seconds, _) in answers.items()})
                measured.peaks = {version: peak for version, (_, peak) in answers.items()}
                progress("done", done + 1, (time.monotonic() - started) / (done + 1) * (rounds - done - 1))
        except KeyboardInterrupt:
            measured.interrupted = True
            if not measured.rounds:
                raise
    return measured


def result_of(version: str, future: Any) -> Any:
    """The result of a process; raises `InputError` if the process has died."""
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise InputError(
            f"the process that times '{version}' has ended ({error}); if memory is insufficient, --size small needs a "
            "quarter of it"
        ) from error
