"""Failures of plugins and libraries become errors of invkit that say what failed and what to do."""

from __future__ import annotations

import pytest

from invkit.core.errors import AssemblyError, OutOfMemoryError, PluginError, reported_as


@pytest.mark.parametrize("failure", [KeyError("a"), SystemExit(3), AssertionError(), RuntimeError("shapes\ndiffer")])
def test_any_failure_is_reported_in_one_line_with_its_cause(failure: BaseException) -> None:
    with pytest.raises(PluginError) as caught, reported_as(PluginError, "the metric failed", "reinstall it"):
        raise failure
    first = str(failure).partition("\n")[0]
    assert str(caught.value) == f"the metric failed: {type(failure).__name__}: {first}; reinstall it"
    assert caught.value.__cause__ is failure


@pytest.mark.parametrize(
    "failure",
    [
        AssemblyError("a sentence for the user"),
        OutOfMemoryError("too large"),
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        KeyboardInterrupt(),
    ],
)
def test_errors_of_invkit_a_lack_of_memory_and_ctrl_c_pass(failure: BaseException) -> None:
    with pytest.raises(type(failure)) as caught, reported_as(PluginError, "the metric failed"):
        raise failure
    assert caught.value is failure
