"""The threads of a solve, which are restored afterwards; and inner solves, which compute their losses at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from deconvolution import a_kernel, blocks, made
from narrow import array, tensor

import invkit
from invkit.core.errors import DivergedError
from invkit.core.problem import Problem, Term, threads_for
from invkit.core.runtime import threads
from invkit.core.runtime.threads import at_most_threads, threads_worth
from invkit.core.solver import Observer, State
from invkit.operators.convolution import Convolution
from invkit.regularizers.plug_and_play import PlugAndPlay
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.admm import ADMM
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.inner import Advancing, run_inner


@pytest.fixture(autouse=True)
def two_threads(torch_threads: Callable[[int], None]) -> None:
    """Two threads, whatever the machine has."""
    torch_threads(2)


def photograph(regularizer: PlugAndPlay | None = None) -> Problem:
    kernel, terms = a_kernel(1, (3, 4)), [Term(regularizer or TotalVariation(), 1e-3)]
    return made(Convolution()(blocks(1, 1, (24, 24)), kernel).clamp(0, 1), kernel, terms, "valid")


class Counting(Observer):
    """Records the number of threads at every step."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def stepped(self, problem: Problem, state: State) -> None:
        self.seen.append(torch.get_num_threads())


class FailingADMM(ADMM):
    """Fails at the first step."""

    def step(self, problem: Problem, state: Any) -> Any:
        raise DivergedError("on purpose")


def test_a_small_image_is_solved_by_one_thread_and_the_setting_is_restored() -> None:
    observer = Counting()
    ADMM(iterations=3).solve(photograph(), observers=[observer])
    assert observer.seen == [1, 1, 1]
    assert torch.get_num_threads() == 2


def test_the_setting_is_restored_after_an_error_too() -> None:
    with pytest.raises(DivergedError, match="on purpose"):
        FailingADMM(iterations=3).solve(photograph())
    assert torch.get_num_threads() == 2


def test_a_large_image_and_a_denoiser_use_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def used(problem: Problem) -> int:
        with threads_for(problem):
            return torch.get_num_threads()

    assert used(photograph()) == 1
    assert used(photograph(PlugAndPlay(denoiser="MedianFilter"))) == 2
    monkeypatch.setattr(threads, "ONE_THREAD_BELOW", 24 * 24)
    assert used(photograph()) == 2


def threads_of(recipe: str, shape: tuple[int, ...], **options: Any) -> set[int]:
    """The numbers of threads of two steps of a recipe on random data."""
    observer, data = Counting(), np.random.default_rng(0).uniform(0.2, 0.8, shape).astype("float32")
    options = {"overrides": ["solver.iterations=2"], "progress": False, "observers": [observer], **options}
    invkit.restore(data, recipe, **options)
    return set(observer.seen)


MASK = np.arange(24 * 24).reshape(24, 24) % 3 > 0


@pytest.mark.parametrize(
    ("recipe", "shape", "options"),
    [
        ("inpaint-tv", (24, 24), {"kernel": MASK}),
        ("denoise-tv", (24, 24), {}),
        ("super-resolution", (24, 24), {"kernel": np.full((2, 2), 0.25)}),
        ("dehaze", (24, 24, 3), {}),
        ("epll", (24, 24), {"kernel": np.full((3, 3), 1 / 9), "overrides": ["solver.inner.iterations=1"]}),
        ("tomography", (1, 8, 24), {}),
    ],
)
def test_small_data_of_every_kind_take_one_thread(recipe: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    assert threads_of(recipe, shape, **options) == {1}


def test_a_network_and_large_data_take_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert threads_of("denoise-dip", (64, 64)) == {2}
    monkeypatch.setattr(threads, "ONE_THREAD_BELOW", 24 * 24)
    assert threads_of("inpaint-tv", (24, 24), kernel=MASK) == {2}


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "PASSIVE None"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"), ({"GOMP_SPINCOUNT": "5"}, "None 5")],
)
def test_threads_wait_asleep_unless_the_environment_says_otherwise(given: dict[str, str], expected: str) -> None:
    code = "import os, invkit; print(*map(os.environ.get, ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')))"
    environment = {name: value for name, value in os.environ.items() if name not in invkit._WAITING} | given
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_threads_are_never_added() -> None:
    torch.set_num_threads(1)
    with at_most_threads(2), threads_worth(10**9):
        assert torch.get_num_threads() == 1
    with threads_worth(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("recipe", ["xu-l0", "krishnan"])
def test_threads_change_no_bit_of_a_small_restoration(recipe: str) -> None:
    image = np.clip(np.cumsum(np.random.default_rng(0).normal(0, 0.05, (48, 48)), 1) + 0.5, 0, 1).astype("float32")
    images: list[np.ndarray] = []
    for number in (1, 2):
        torch.set_num_threads(number)
        images.append(array(invkit.deblur(image, recipe=recipe, kernel_size=7, progress=False).image))
    assert np.array_equal(images[0], images[1])


@pytest.mark.parametrize("solver", [ADMM(iterations=4), HalfQuadratic(beta_max=100.0)])
def test_an_inner_solve_has_the_same_image_as_a_solve_and_only_the_last_loss(solver: Advancing[Any]) -> None:
    problem = photograph()
    state, result = run_inner(solver, problem), solver.solve(problem)
    assert torch.equal(state.estimate()[0], tensor(result.image))
    assert [float(loss) for loss in state.losses] == [result.history[-1]]
