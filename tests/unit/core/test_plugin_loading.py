"""What a plugin asks of invkit is looked at before it is imported, and a slow import is told."""

from __future__ import annotations

import sys
import warnings

import pytest

from invkit.core import plugin_loading, registry
from invkit.core.errors import PluginError
from invkit.core.plugin_loading import requirements_of, unmet_requirement

PLUGIN = "from invkit.fidelities.norms import MSE\nclass Mine(MSE): pass\n"
POINT = "[invkit.fidelities]\nmine = {0}:Mine\n"


@pytest.mark.parametrize("asked", ["invkit<0.0.1", "Invkit (>=999)", "invkit[cluster]==0.0.7; python_version>='3'"])
def test_a_plugin_for_another_version_is_not_imported(install, asked):
    install("old-plugin", POINT.format("old_plugin"), asked, old_plugin="raise AssertionError('imported')")
    with pytest.raises(PluginError) as caught:
        registry.load("fidelities", "mine")
    said = str(caught.value)
    assert "'mine' of old-plugin 1.2 is not loaded: it asks for invkit" in said
    assert "0.1.0 is installed; get a version of old-plugin" in said
    assert "pip install --upgrade old-plugin" in said
    assert "old_plugin" not in sys.modules


@pytest.mark.parametrize(
    "asked", ["", "invkit", "invkit>=0.0.1", "invkit<0.0.1; extra == 'old'", "numpy<0.1", "not a requirement !!"]
)
def test_what_asks_nothing_of_this_version_is_imported(install, asked):
    install("new-plugin", POINT.format("new_plugin"), asked, new_plugin=PLUGIN)
    assert registry.load("fidelities", "mine").__module__ == "new_plugin"


def test_a_distribution_that_is_not_there_asks_for_nothing():
    assert requirements_of("no-such-distribution") == []
    assert unmet_requirement("no-such-distribution") is None


def test_a_slow_import_is_told_with_the_plugin_and_its_seconds(install, monkeypatch):
    monkeypatch.setattr(plugin_loading, "PATIENCE", 0.2)
    slow = f"import time\ntime.sleep(0.25)\n{PLUGIN}"
    install("slow-plugin", POINT.format("slow_plugin"), slow_plugin=slow)
    with pytest.warns(RuntimeWarning, match=r"importing 'mine' of slow-plugin took 0\.[2-9] s beside torch"):
        assert registry.load("fidelities", "mine").__name__ == "Mine"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.load("fidelities", "mine")  # imported already


def test_what_invkit_imports_itself_does_not_count(install, monkeypatch):
    monkeypatch.setattr(plugin_loading, "PATIENCE", 0.2)
    monkeypatch.setattr(plugin_loading, "LIBRARIES", (*plugin_loading.LIBRARIES, "large_library"))
    modules = {"large_library": "import time\ntime.sleep(0.25)\n", "quick_plugin": f"import large_library\n{PLUGIN}"}
    install("quick-plugin", POINT.format("quick_plugin"), **modules)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.load("fidelities", "mine")


def test_the_import_statement_is_as_before_also_after_a_failure(install):
    plain = __import__
    install("broken-plugin", POINT.format("broken_plugin"), broken_plugin="raise RuntimeError('no')")
    with pytest.raises(PluginError, match="RuntimeError: no"):
        registry.load("fidelities", "mine")
    assert __builtins__["__import__"] is plain
