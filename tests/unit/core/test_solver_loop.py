"""The loop of solvers: how it ends, the calls of its observers, and that a resumed solve has the same bits."""

from __future__ import annotations

import copy
import io
import itertools
import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from narrow import tensor
from torch import nn

from invkit.core.errors import AssemblyError, DivergedError
from invkit.core.interfaces import (
    Fidelity,
    ImagePrior,
    KernelPrior,
    LatentPrior,
    LinearOperator,
    OperatorParameterPrior,
)
from invkit.core.problem import Problem
from invkit.core.solver import CHECK_EVERY, Observer, Solver, State, StopSolve, after_interrupt, deferred_interrupt
from invkit.numerics.geometry import Shape
from invkit.solvers import GradientDescent, JointAdam, Pyramid, Wiener


class Same(LinearOperator):
    def forward(self, image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return image * kernel

    def adjoint(self, data: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return data * kernel

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        return data_shape


class Free(ImagePrior):
    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.value = nn.Parameter(torch.zeros(shape))

    def forward(self) -> torch.Tensor:
        return self.value


class One(KernelPrior):
    def forward(self) -> torch.Tensor:
        return torch.ones(self.shape)


class Squares(Fidelity):
    def forward(self, predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        return (predicted - data).square().flatten(1).mean(1)


@dataclass
class HalvingState(State):
    value: torch.Tensor = field(default_factory=lambda: torch.zeros(0))

    def estimate(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.value.clone(), torch.ones(1, 1, 1, 1)

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        return problem.image_prior, problem.kernel_prior

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "value": self.value}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        super().load_state_dict(saved)
        self.value = saved["value"].clone()


class Halving(Solver[HalvingState]):
    """Moves half of the way to the data in each step; ``during`` is called in the middle of a step."""

    def __init__(
        self, iterations: int = 10, during: Callable[[HalvingState], object] | None = None, loss: float | None = None
    ) -> None:
        self.iterations = iterations
        self.during = during or (lambda state: None)
        self.loss = loss

    def start(self, problem: Problem) -> HalvingState:
        return HalvingState(value=problem.image_prior().detach().clone())

    def step(self, problem: Problem, state: HalvingState) -> HalvingState:
        self.during(state)
        state.value = (state.value + problem.data) / 2
        reached = problem.objective(state.value, torch.ones(1, 1, 1, 1))[0]
        state.losses.append(reached if self.loss is None else torch.tensor(self.loss))
        return state


class Diary(Observer):
    def __init__(self) -> None:
        self.entries: list[tuple[str | int, ...]] = []

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        self.entries.append(("started", state.iteration, iterations))

    def stepped(self, problem: Problem, state: State) -> None:
        self.entries.append(("stepped", state.iteration))

    def stopped(self, problem: Problem, state: State, reason: str | None) -> None:
        self.entries.append(("stopped", state.iteration))


@pytest.fixture
def problem() -> Problem:
    data = torch.rand(1, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    return Problem(data, Same(), Free((1, 1, 3, 4)), One((1, 1, 1, 1)), Squares())


def at_iteration(iteration: int, action: Callable[[], object]) -> Callable[[State], object]:
    return lambda state: action() if state.iteration == iteration else None


def test_it_ends_finished_after_its_iterations(problem: Problem) -> None:
    result = Halving(iterations=10).solve(problem)
    assert (result.stopped, result.iterations, len(result.history)) == ("finished", 10, 10)
    torch.testing.assert_close(result.image, problem.data * (1 - 2.0**-10))  # half of the way, ten times


def test_the_loss_of_a_contraction_falls_by_its_factor_squared(problem: Problem) -> None:
    history = Halving(iterations=6).solve(problem).history
    for before, after in itertools.pairwise(history):
        assert after == pytest.approx(before / 4, rel=1e-4)  # float32 differences near convergence


def test_the_problem_is_left_unchanged(problem: Problem) -> None:
    before = copy.deepcopy(problem.image_prior.state_dict())
    Halving().solve(problem)
    torch.testing.assert_close(problem.image_prior.state_dict(), before, rtol=0, atol=0)


def test_observers_are_called_at_the_start_after_every_step_and_at_the_end(problem: Problem) -> None:
    diary = Diary()
    Halving(iterations=3).solve(problem, observers=[diary])
    assert diary.entries == [("started", 0, 3), ("stepped", 1), ("stepped", 2), ("stepped", 3), ("stopped", 3)]


def test_observers_change_nothing(problem: Problem) -> None:
    alone = Halving().solve(problem)
    watched = Halving().solve(problem, observers=[Diary(), Observer()])
    assert torch.equal(tensor(alone.image), tensor(watched.image))
    assert alone.history == watched.history


def test_observers_are_called_at_the_end_if_a_step_fails(problem: Problem) -> None:
    diary = Diary()
    broken = Halving(during=at_iteration(2, lambda: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        broken.solve(problem, observers=[diary])
    assert diary.entries[-1] == ("stopped", 2)


@pytest.mark.parametrize("method", ["started", "stepped", "stopped"])
def test_an_observer_that_fails_is_dropped_and_the_solve_continues(problem: Problem, method: str) -> None:
    class Faulty(Diary):
        pass

    def fail(self: Faulty, *facts: object) -> None:
        self.entries.append(("failed",))
        raise OSError("the disk is full")

    setattr(Faulty, method, fail)
    faulty, diary = Faulty(), Diary()
    with pytest.warns(RuntimeWarning, match=r"'Faulty' has failed \(OSError: the disk is full\)") as warned:
        result = Halving(iterations=3).solve(problem, observers=[faulty, diary])
    assert len(warned) == 1
    assert faulty.entries[-1] == ("failed",)  # it is not called again
    assert diary.entries[-1] == ("stopped", 3)
    assert result.stopped == "finished"
    assert result.history == Halving(iterations=3).solve(problem).history


def test_an_observer_ends_the_solve_after_a_step_and_the_others_are_told(problem: Problem) -> None:
    class Enough(Observer):
        def stepped(self, problem: Problem, state: State) -> None:
            if state.iteration == 3:
                raise StopSolve

    diary = Diary()
    result = Halving(iterations=10).solve(problem, observers=[Enough(), diary])
    assert (result.stopped, result.iterations, result.is_complete) == ("observer", 3, False)
    assert diary.entries[-2:] == [("stepped", 3), ("stopped", 3)]


@pytest.mark.parametrize(
    ("solver", "remedy"),
    [
        (JointAdam(), "set a smaller learning rate"),
        (JointAdam(precision="bfloat16"), "set a smaller learning rate or precision=float32"),
        (Pyramid(inner=JointAdam()), "set a smaller learning rate"),
        (GradientDescent(), "set a smaller step"),
        (Wiener(), "usually the weight of a regularizer is too small"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_remedy_for_a_loss_that_is_not_finite_is_one_that_the_solver_has(solver: Solver[Any], remedy: str) -> None:
    assert solver.remedy.startswith(remedy)


def test_a_step_may_end_the_solve(problem: Problem) -> None:
    def enough(state: State) -> None:
        state.converged = state.iteration == 4

    result = Halving(iterations=100, during=enough).solve(problem)
    assert (result.stopped, result.iterations) == ("converged", 5)


def test_no_step_starts_after_the_time_limit(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("invkit.core.solver.time.monotonic", lambda: float(next(clock)))
    result = Halving(iterations=100).solve(problem, time_limit=5.0)
    assert result.stopped == "time limit"
    assert 0 < result.iterations < 5
    assert len(result.history) == result.iterations


def test_a_time_limit_of_zero_gives_the_initial_state(problem: Problem) -> None:
    result = Halving().solve(problem, time_limit=0.0)
    assert (result.stopped, result.iterations, result.history) == ("time limit", 0, ())
    assert torch.equal(tensor(result.image), torch.zeros(1, 1, 3, 4))


def test_ctrl_c_ends_the_solve_after_the_current_step(problem: Problem, ctrl_c: Callable[[], None]) -> None:
    result = Halving(iterations=100, during=at_iteration(3, ctrl_c)).solve(problem)
    assert (result.stopped, result.iterations, len(result.history)) == ("interrupted", 4, 4)
    torch.testing.assert_close(result.image, problem.data * (1 - 2.0**-4))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_acts_as_usual(problem: Problem, ctrl_c: Callable[[], None]) -> None:
    def twice() -> None:
        ctrl_c()
        ctrl_c()

    diary = Diary()
    with pytest.raises(KeyboardInterrupt):
        Halving(during=at_iteration(3, twice)).solve(problem, observers=[diary])
    assert diary.entries[-1] == ("stopped", 3)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_solves_within_one_deferral_share_the_first_ctrl_c_and_the_next_acts_as_usual(
    problem: Problem, ctrl_c: Callable[[], None]
) -> None:
    with deferred_interrupt() as asked:
        assert Halving(iterations=4).solve(problem).stopped == "finished"
        assert Halving(during=at_iteration(3, ctrl_c)).solve(problem).stopped == "interrupted"
        assert asked.is_set()
        late = Halving(iterations=4).solve(problem)
        assert (late.stopped, late.iterations) == ("interrupted", 0), "a later solve ends before its first step"
        with after_interrupt():
            assert Halving(iterations=4).solve(problem).stopped == "finished", "a solve in after_interrupt is completed"
            with pytest.raises(KeyboardInterrupt):
                Halving(during=at_iteration(3, ctrl_c)).solve(problem)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_between_two_solves_is_remembered(problem: Problem, ctrl_c: Callable[[], None]) -> None:
    with deferred_interrupt() as asked:
        Halving(iterations=4).solve(problem)
        ctrl_c()
        assert asked.is_set()


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_exit_code_of_an_interrupted_program_is_that_of_a_shell(sent: signal.Signals, exit_code: int) -> None:
    with deferred_interrupt() as asked:
        os.kill(os.getpid(), sent)
    assert (asked.is_set(), asked.exit_code) == (True, exit_code)


@pytest.mark.parametrize("during", [None, at_iteration(3, lambda: 1 / 0)], ids=["finished", "failed"])
def test_ctrl_c_acts_as_usual_after_the_solve(problem: Problem, ctrl_c: Callable[[], None], during: None) -> None:
    with nullcontext() if during is None else pytest.raises(ZeroDivisionError):
        Halving(during=during).solve(problem)
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_it_solves_in_a_thread_that_receives_no_signals(problem: Problem) -> None:
    results = []
    thread = threading.Thread(target=lambda: results.append(Halving().solve(problem)))
    thread.start()
    thread.join()
    assert [result.stopped for result in results] == ["finished"]


def saved_after(iterations: int, problem: Problem) -> Any:
    """The state after some iterations, read with ``torch.load(weights_only=True)``."""
    states = []

    class Keep(Observer):
        def stepped(self, problem: Problem, state: State) -> None:
            states.append(copy.deepcopy(state.state_dict()))

    Halving(iterations=iterations).solve(problem, observers=[Keep()])
    file = io.BytesIO()
    torch.save(states[-1], file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("stop", [1, 4, 9])
def test_a_resumed_solve_is_the_uninterrupted_one_to_the_bit(problem: Problem, stop: int) -> None:
    whole = Halving(iterations=10).solve(problem)
    resumed = Halving(iterations=10).solve(problem, resume=saved_after(stop, problem))
    assert torch.equal(tensor(resumed.image), tensor(whole.image))
    assert resumed.history == whole.history
    assert resumed.iterations == 10


def test_a_resumed_solve_continues_the_count_of_iterations_and_seconds(problem: Problem) -> None:
    saved = {**saved_after(4, problem), "seconds": 100.0}
    diary = Diary()
    result = Halving(iterations=6).solve(problem, observers=[diary], resume=saved)
    assert diary.entries[0] == ("started", 4, 6)
    assert 100.0 < result.seconds < 200.0


def test_a_finished_solve_has_nothing_to_resume(problem: Problem) -> None:
    result = Halving(iterations=10).solve(problem, resume=saved_after(10, problem))
    assert (result.stopped, result.iterations, len(result.history)) == ("finished", 10, 10)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_solve_soon(problem: Problem, loss: float) -> None:
    diary = Diary()
    with pytest.raises(DivergedError, match=f"the loss is {loss} after {CHECK_EVERY} iterations"):
        Halving(iterations=10 * CHECK_EVERY, loss=loss).solve(problem, observers=[diary])
    assert diary.entries[-1] == ("stopped", CHECK_EVERY)


def test_a_loss_that_is_not_finite_is_found_at_the_end_of_a_short_solve(problem: Problem) -> None:
    with pytest.raises(DivergedError, match="after 3 iterations"):
        Halving(iterations=3, loss=float("nan")).solve(problem)


def test_the_loss_is_unknown_before_the_first_step(problem: Problem) -> None:
    state = Halving().start(problem)
    assert state.loss != state.loss
    assert state.state_dict()["losses"].shape == (0,)


def test_a_missing_ability_is_refused_before_the_first_step(problem: Problem) -> None:
    class Picky(Halving):
        needs = {"image_prior": LatentPrior}  # noqa: RUF012 - a ClassVar in the base class

        def start(self, problem: Problem) -> HalvingState:
            raise AssertionError("started on a problem it cannot solve")

    with pytest.raises(AssemblyError, match="Picky needs image_prior of type LatentPrior, and Free is not"):
        Picky().solve(problem)
