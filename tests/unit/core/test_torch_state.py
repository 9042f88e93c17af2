"""What the caller has set in torch and NumPy changes no result, and is as it was afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import torch

import invkit
from invkit.core.result import Result
from invkit.networks.random import seeded

KERNEL = np.ones((3, 3)) / 9


@contextmanager
def default_type() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        assert torch.get_default_dtype() is torch.float64  # as the caller left it
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        assert torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)


STATES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "float64": default_type,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "deterministic": deterministic,
    "another device": lambda: torch.device("meta"),
    "NumPy raises": lambda: np.errstate(all="raise"),
}


def picture() -> np.ndarray:
    plain = np.kron(np.random.default_rng(0).uniform(0.1, 0.9, (6, 6)), np.ones((8, 8)))
    return np.asarray(plain, np.float32)


def by_network(seed: int = 0) -> Result:
    settings = ["solver.iterations=3", "image_prior.channels=8", "solver.milestones=[]"]
    options = {"kernel_size": 5, "seed": seed}
    return invkit.deblur(picture(), recipe="selfdeblur-small", overrides=settings, progress=False, **options)  # type: ignore[arg-type]


def by_pyramid() -> Result:
    return invkit.deblur(picture(), recipe="fast-map", kernel_size=5, progress=False)


def known_kernel() -> Result:
    return invkit.deconvolve(picture(), KERNEL, progress=False)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("solve", [by_network, by_pyramid, known_kernel])
def test_the_state_of_the_caller_changes_no_bit(state: str, solve: Callable[[], Result]) -> None:
    expected = np.asarray(solve().image)
    with STATES[state]():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.empty(0).device
        found = np.asarray(solve().image)
        after = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.empty(0).device
    assert before == after
    np.testing.assert_array_equal(found, expected)


def test_threads_of_one_process_give_the_bits_of_one_alone(torch_threads: Callable[[int], None]) -> None:
    torch_threads(1)
    expected = [np.asarray(by_network(seed).image) for seed in range(2)]
    found: dict[tuple[int, int], np.ndarray] = {}

    def solve(seed: int) -> None:
        for turn in range(4):
            found[seed, turn] = np.asarray(by_network(seed).image)

    threads = [threading.Thread(target=solve, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for (seed, _), image in found.items():
        np.testing.assert_array_equal(image, expected[seed])


def test_the_random_numbers_of_the_caller_go_on() -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # the global generator is what is tested
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)
    by_network()
    assert torch.equal(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])


def test_one_thread_at_a_time_draws() -> None:
    drawn: list[torch.Tensor] = []

    def draw() -> None:
        for _ in range(50):
            with seeded(1):
                drawn.append(torch.cat([torch.rand(50) for _ in range(20)]))

    threads = [threading.Thread(target=draw) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, drawn[0]) for one in drawn)
