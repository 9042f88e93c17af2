"""Fixtures and Hypothesis profiles of the whole suite."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from invkit.core import registry

DATA = "INVKIT_DATA"
REQUIRED = "INVKIT_REQUIRE_DATA"

# Before torch is imported: on tensors as small as the tests' threads wait for each other longer than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shared machine makes any deadline a matter of luck; "ci" draws the same examples every time, "thorough" new ones.
# "versions" is for other versions of the libraries: what differs with them differs for the first examples.
settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "versions", deadline=None, derandomize=True, max_examples=5, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell ignores Ctrl-C for what it starts in the background, and programs hand that on to those they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_left_registered() -> Iterator[None]:
    """A component that a test registers and leaves behind would fail other tests, depending on their order."""
    before = dict(registry._registered)
    yield
    left = sorted(" ".join(key) for key in registry._registered if key not in before)
    for key in set(registry._registered) - set(before):
        registry.unregister(*key)
    assert not left, f"still registered: {', '.join(left)}"


@pytest.fixture
def torch_threads() -> Iterator[Callable[[int], None]]:
    """Sets the threads that torch uses, whatever the machine has; afterwards they are what they were."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


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
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Put a distribution on sys.path, as pip would: its metadata, its entry points and its modules, by their names.

    The registry scans afresh, and again afterwards. Gives the folder they lie in.
    """
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def put(distribution: str, entry_points: str, requires: str = "", **modules: str) -> Path:
        folder = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
        folder.mkdir()
        asked = f"Requires-Dist: {requires}\n" if requires else ""
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n{asked}")
        (folder / "entry_points.txt").write_text(entry_points)
        registry._installed.cache_clear()
        for name, text in modules.items():
            (site / f"{name}.py").write_text(text)
            monkeypatch.delitem(sys.modules, name, raising=False)
        return site

    yield put
    registry._installed.cache_clear()


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Presses Ctrl-C, with Python's own handler, whatever the test runner has set."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)
