"""The requirements of a plugin are checked before its import, and a slow import gives a warning."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from invkit.core import plugin_loading, registry
from invkit.core.errors import PluginError
from invkit.core.plugin_loading import requirements_of, unmet_requirement

PLUGIN = "from invkit.fidelities.norms import MSE\nclass Mine(MSE): pass\n"
POINT = "[invkit.fidelities]\nmine = {0}:Mine\n"


@pytest.mark.parametrize("asked", ["invkit<0.0.1", "Invkit (>=999)", "invkit[cluster]==0.0.7; python_version>='3'"])
def test_a_plugin_for_another_version_is_not_imported(install: Callable[..., Path], asked: str) -> None:
    install("old-plugin", POINT.format("old_plugin"), asked, old_plugin="raise AssertionError('imported')")
    with pytest.raises(PluginError) as caught:
        registry.load("fidelities", "mine")
    message = str(caught.value)
    assert "'mine' of old-plugin 1.2 is not loaded: it requires invkit" in message
    assert "0.1.0 is installed; install a version of old-plugin for this one" in message
    assert "old_plugin" not in sys.modules


@pytest.mark.parametrize(
    "asked", ["", "invkit", "invkit>=0.0.1", "invkit<0.0.1; extra == 'old'", "numpy<0.1", "not a requirement !!"]
)
def test_a_plugin_without_a_requirement_on_this_version_is_imported(install: Callable[..., Path], asked: str) -> None:
    install("new-plugin", POINT.format("new_plugin"), asked, new_plugin=PLUGIN)
    assert registry.load("fidelities", "mine").__module__ == "new_plugin"


def test_a_distribution_that_is_missing_has_no_requirements() -> None:
    assert requirements_of("no-such-distribution") == []
    assert unmet_requirement("no-such-distribution") is None


def test_a_slow_import_gives_a_warning_with_the_plugin_and_its_seconds(
    install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_loading, "SLOW_IMPORT_SECONDS", 0.2)
    slow = f"import time\ntime.sleep(0.25)\n{PLUGIN}"
    install("slow-plugin", POINT.format("slow_plugin"), slow_plugin=slow)
    expected = (
        r"importing 'mine' of slow-plugin took 0\.[2-9] s; its authors can avoid this by importing large libraries"
    )
    with pytest.warns(RuntimeWarning, match=expected):
        assert registry.load("fidelities", "mine").__name__ == "Mine"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.load("fidelities", "mine")  # imported already


def test_the_import_of_torch_is_not_counted_for_the_plugin(install: Callable[..., Path]) -> None:
    """The interface of the family imports torch, which takes a second, before the plugin is imported."""
    site = install("quick-plugin", POINT.format("quick_plugin"), quick_plugin=f"import torch\n{PLUGIN}")
    code = (
        "import sys, warnings\n"
        "from invkit.core import plugin_loading, registry\n"
        "plugin_loading.SLOW_IMPORT_SECONDS = 0.4\n"
        "warnings.simplefilter('error')\n"
        "assert 'torch' not in sys.modules\n"
        "print(registry.load('fidelities', 'mine').__name__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout, done.stderr) == ("Mine\n", "")


def test_invkit_s_own_components_are_neither_timed_nor_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "timed_import", lambda *given: pytest.fail("timed"))
    monkeypatch.setattr(registry, "unmet_requirement", lambda *given: pytest.fail("checked"))
    assert registry.load("fidelities", "mse").__name__ == "MSE"
