"""Fixtures and Hypothesis profiles of the whole suite."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

DATA = "INVKIT_DATA"
REQUIRED = "INVKIT_REQUIRE_DATA"

# Before torch is imported: on tensors as small as the tests' threads wait for each other longer than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shared machine makes any deadline a matter of luck; "ci" draws the same examples every time, "thorough" new ones.
settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell ignores Ctrl-C for what it starts in the background, and programs hand that on to those they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the benchmark photographs, which cannot be shipped with the code."""
    folder = os.environ.get(DATA)
    if folder and Path(folder).is_dir():
        return Path(folder)
    reason = (
        f"{DATA} names {folder!r}, which is no folder" if folder else f"the benchmark photographs are not here ({DATA})"
    )
    remedy = f"set {DATA} to a folder that holds levin/, lai/ and real/"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but {reason}; {remedy}")
    pytest.skip(f"{reason}; {remedy}")


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Presses Ctrl-C, with Python's own handler, whatever the test runner has set."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)
