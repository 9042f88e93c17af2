"""Solvers. The loop is written once, here; a solver defines how to start and one step."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar, final

import torch
from torch import Tensor

from .contracts import check_components
from .errors import AssemblyError, DivergedError, InputError, is_out_of_memory, one_line
from .interfaces import ImagePrior, OperatorParameterPrior
from .parameters import Component
from .problem import Problem, check_weighted, parts, threads_for
from .registry import registered_name
from .result import Result, Snapshot, variances_of
from .runtime.process import keep_large_blocks

__all__ = [
    "Counting",
    "Interrupt",
    "Observer",
    "Recorder",
    "Solver",
    "State",
    "StopReason",
    "StopSolve",
    "after_interrupt",
    "deferred_interrupt",
]

StopReason = Literal["finished", "converged", "interrupted", "time limit", "observer"]
CHECK_EVERY = 25  # iterations between two checks of the loss; each check waits for the device


@dataclass
class State(ABC):
    """Everything that changes during a solve. A saved and loaded state continues to the same bits.

    Attributes:
        iteration: number of steps done.
        losses: the loss of every step, each a scalar tensor on the solve's device.
        converged: set by a step after which no further one is needed.
        seconds: time spent in the loop, over all resumed runs.
    """

    iteration: int = 0
    losses: list[Tensor] = field(default_factory=list)
    converged: bool = False
    seconds: float = 0.0

    @property
    def loss(self) -> float:
        """The last loss; NaN before the first step. Waits for the device."""
        return float(self.losses[-1]) if self.losses else float("nan")

    @abstractmethod
    def estimate(self) -> tuple[Tensor, Tensor]:
        """Image (B, C, H, W) and kernel (B, 1, h, w), or another operator parameter, without gradients."""

    @abstractmethod
    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """The priors at the end of the solve, from which another solve may start; the problem's own do not change."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings and containers of them, which ``torch.load(weights_only=True)`` accepts."""
        return {
            "iteration": self.iteration,
            "losses": stacked(self.losses),
            "converged": self.converged,
            "seconds": self.seconds,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore the values of `state_dict`; the state must have been started on the same problem."""
        self.iteration = int(saved["iteration"])
        if saved["losses"].ndim != 1:
            raise ValueError(f"the losses have shape {tuple(saved['losses'].shape)}")
        self.losses = list(saved["losses"])
        self.converged = bool(saved["converged"])
        self.seconds = float(saved["seconds"])


def stacked(losses: Sequence[Tensor]) -> Tensor:
    """The losses as one tensor (n,) on the CPU; those before a resume may be on another device than later ones."""
    if not losses:
        return torch.empty(0)
    return torch.stack([loss.to(losses[-1].device) for loss in losses]).cpu()


StateT = TypeVar("StateT", bound=State)


class StopSolve(Exception):  # noqa: N818 - as StopIteration
    """Raised by `Observer.stepped` to end the solve after this step; the result then says "observer"."""


class Observer(Component):
    """Observes a solve (progress, snapshots, checkpoints). It reads the state and never changes it.

    It may end the solve with `StopSolve`. Any other error of an observer does not end it: the solve continues without
    this observer and warns. One observer may observe several solves, one after the other: the stages of a recipe. A
    registered observer may have the positional argument ``folder``, the run's output folder; it writes nothing before
    it is started.
    """

    family: ClassVar[str] = "observers"

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Called before the first step; ``state.iteration`` is above 0 in a resumed run.

        Args:
            problem: that is solved.
            state: before the first step.
            iterations: the highest number of steps.
        """

    def stepped(self, problem: Problem, state: State) -> None:
        """Called after each step.

        Raises:
            StopSolve: no further step is wanted.
        """

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Called after the last step.

        Args:
            problem: that is solved.
            state: the last one.
            reason: why the solve ended; None after an error, perhaps in the middle of a step.
        """


class Recorder(Observer, ABC):
    """The ability of an observer to keep snapshots for the result."""

    @abstractmethod
    def recorded(self) -> Sequence[Snapshot]:
        """The snapshots so far, of all observed solves."""


class Counting(Observer, ABC):
    """The ability of an observer to show how many parts of a task are done, other than steps of a solve."""

    @abstractmethod
    def counting(self, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A ``with`` statement that shows progress; its function is called with the number of completed parts."""


class Solver(Component, ABC, Generic[StateT]):
    """The settings of a method. A solver holds no problem, so that one solver solves many problems.

    Attributes:
        iterations: the highest number of steps.
        needs: the abilities that the problem's components must have, as types, by part: "operator", "image_prior",
            "kernel_prior", "fidelity" or "regularizers" (all of those on the image, and at least one).
        keeps_large_blocks: whether the C library keeps freed memory after the first step (`runtime.process`).
            Set it for solvers whose steps allocate large tensors again and again.
        remedy: what a user can do if the loss is no longer finite.
    """

    family: ClassVar[str] = "solvers"
    remedy: str = "usually the weight of a regularizer is too small, or data and kernel are not in their units"
    iterations: int
    keeps_large_blocks: bool = False
    needs: ClassVar[Mapping[str, type]] = {}

    @abstractmethod
    def start(self, problem: Problem) -> StateT:
        """A fresh state; does not change the problem and its components."""

    def steps(self, problem: Problem) -> int:
        """The highest number of steps for a problem: ``iterations``, unless the method works at several scales."""
        return self.iterations

    @abstractmethod
    def step(self, problem: Problem, state: StateT) -> StateT:
        """One iteration; appends its loss to ``state.losses``."""

    def check(self, problem: Problem) -> None:
        """Refuse a problem without the abilities that the solver needs; raises `AssemblyError` that names them."""
        check_components(self, problem)
        for part, ability in self.needs.items():
            components = parts(problem, part)
            if not components:
                raise AssemblyError(f"{type(self).__name__} needs {part} of type {ability.__name__}, and there is none")
            for component in components:
                if not isinstance(component, ability):
                    raise AssemblyError(
                        f"{type(self).__name__} needs {part} of type {ability.__name__}, and "
                        f"{type(component).__name__} is not"
                    )
        check_weighted(self, problem, self.steps(problem) if problem.is_graded else 0)

    @final
    def solve(
        self,
        problem: Problem,
        *,
        observers: Sequence[Observer] = (),
        time_limit: float | None = None,
        resume: Mapping[str, Any] | None = None,
    ) -> Result:
        """Iterate until the last step, convergence, the time limit, Ctrl-C or `StopSolve`, whichever comes first.

        Args:
            problem: not changed.
            observers: called after every step.
            time_limit: seconds after which no further step starts; None for no limit.
            resume: a ``state_dict`` of an earlier solve of the same problem.

        Returns:
            The result at the stop; ``result.stopped`` says which of these it was.

        Raises:
            AssemblyError: the problem lacks an ability that the solver needs.
            DivergedError: the loss became infinite or NaN.
            InputError: the saved state is not of such a solve.

        Warns:
            RuntimeWarning: an observer has failed.
        """
        self.check(problem)
        with threads_for(problem):
            state = self.start(problem)
            if resume is not None:
                restore_state(state, resume)
            run = _Run(self, problem, state, list(observers), time_limit)
            reason = run.to_the_end()
        image, kernel = run.state.estimate()
        return Result(
            image=image.detach().cpu(),
            kernel=kernel.detach().cpu(),
            variances=variances_of(run.state),
            history=tuple(stacked(run.state.losses).tolist()),
            stopped=reason,
            iterations=run.state.iteration,
            seconds=run.state.seconds,
            snapshots=tuple(one for each in observers if isinstance(each, Recorder) for one in each.recorded()),
        )


@dataclass
class _Run(Generic[StateT]):
    """One call of `Solver.solve`: the loop and its observers, without those that have failed."""

    solver: Solver[StateT]
    problem: Problem
    state: StateT
    observers: list[Observer]
    time_limit: float | None
    reason: StopReason | None = None
    enough: bool = False  # for an observer

    def to_the_end(self) -> StopReason:
        with ExitStack() as endings:  # every started observer is stopped, also after an error of another one
            for observer in [*self.observers]:
                endings.callback(self.end, observer)
                self.tell(observer, observer.started, self.problem, self.state, self.solver.steps(self.problem))
            reached = self.loop()
            check_finite(self.state, self.solver.remedy)
            self.reason = reached
        return reached

    def end(self, observer: Observer) -> None:
        if observer in self.observers:
            self.tell(observer, observer.stopped, self.problem, self.state, self.reason)

    def tell(self, observer: Observer, method: Callable[..., None], *facts: Any) -> None:
        """Call a method of an observer; one that fails is dropped, because it must not cost a solve of hours."""
        try:
            method(*facts)
        except StopSolve:
            self.enough = True
        except Exception as error:  # a plugin may fail in any way
            self.observers.remove(observer)
            name = registered_name(Observer.family, type(observer))
            text = f"the observer '{name}' has failed ({one_line(error)}); the solve continues without it"
            warnings.warn(text, RuntimeWarning, stacklevel=2)

    def loop(self) -> StopReason:
        started, earlier = time.monotonic(), self.state.seconds
        with deferred_interrupt() as interrupted:
            steps = self.solver.steps(self.problem)
            while self.state.iteration < steps and not self.state.converged:
                if interrupted.is_set():
                    return "interrupted"
                if self.enough:
                    return "observer"
                if self.time_limit is not None and time.monotonic() - started >= self.time_limit:
                    return "time limit"
                self.state = self.solver.step(self.problem, self.state)
                if self.solver.keeps_large_blocks:  # not earlier: memory that libraries keep should lie elsewhere
                    keep_large_blocks()
                self.state.iteration += 1
                self.state.seconds = earlier + time.monotonic() - started
                if self.state.iteration % CHECK_EVERY == 0:
                    check_finite(self.state, self.solver.remedy)
                for observer in [*self.observers]:
                    self.tell(observer, observer.stepped, self.problem, self.state)
        return "converged" if self.state.converged else "finished"


def restore_state(state: State, saved: Mapping[str, Any]) -> None:
    """Load a saved state into one that was just started; raises `InputError` if the saved one is of another form."""
    shapes = [value.shape for value in state.estimate()]
    try:
        state.load_state_dict(saved)
        found = [value.shape for value in state.estimate()]
        if found != shapes:
            raise ValueError(f"image and kernel have shapes {found} instead of {shapes}")
    except Exception as error:  # whoever wrote the file decides what is missing or of another type in it
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"the saved state does not fit this run ({one_line(error)}); it is damaged, start anew with --overwrite"
        ) from error


def check_finite(state: State, remedy: str) -> None:
    """Raise `DivergedError` with a remedy if the last loss is not finite."""
    if state.losses and not bool(torch.isfinite(state.losses[-1])):
        raise DivergedError(f"the loss is {state.loss} after {state.iteration} iterations; {remedy}")


class Interrupt(threading.Event):
    """The first Ctrl-C, or SIGTERM.

    Attributes:
        number: of the signal; None before it came.
    """

    number: int | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of a program that a signal ended, as shells and job schedulers know it: 130, or 143."""
        return 128 + (self.number or signal.SIGINT)


_listening: ContextVar[Interrupt | None] = ContextVar("_listening", default=None)


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Turn the first Ctrl-C, or SIGTERM of a job scheduler, into an event, so that no step is interrupted.

    The second one acts as usual. A signal that the process ignores (nohup) stays ignored. Inside another
    `deferred_interrupt` the event is that of the outer one. If it is set already, a solve ends before its first step,
    unless it runs inside `after_interrupt`.
    """
    asked, outer = Interrupt(), _listening.get()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # signals reach only the main thread
        return
    if outer is not None:
        yield outer
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # None: a handler that was not set by Python, which cannot be restored
    caught = {number: handler for number, handler in previous.items() if handler not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in caught.items():
            signal.signal(number, handler)

    def note(signum: int, frame: object) -> None:
        asked.number = signum
        asked.set()
        restore()

    for number in caught:
        signal.signal(number, note)
    token = _listening.set(asked)
    try:
        yield asked
    finally:
        _listening.reset(token)
        restore()


@contextmanager
def after_interrupt() -> Iterator[None]:
    """Continue after Ctrl-C, to restore an image from the result so far; a second Ctrl-C acts as usual."""
    token = _listening.set(Interrupt())
    try:
        yield
    finally:
        _listening.reset(token)
