"""The registry: how components are listed and loaded, and the errors for each failure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from invkit.core import registry
from invkit.core.errors import InputError, PluginError, UnknownNameError
from invkit.core.interfaces import Fidelity
from invkit.fidelities import MSE


class Half(Fidelity):
    """A fidelity of this test."""

    def forward(self, predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        return (predicted - data).abs().flatten(1).mean(1) / 2


@pytest.fixture
def half() -> Iterator[None]:
    registry.register("fidelities", "half", Half)
    yield
    registry.unregister("fidelities", "half")


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_listing_imports_no_component_and_no_heavy_library() -> None:
    code = (
        "import sys\n"
        "from invkit import registry\n"
        "print(sum(len(registry.entries(family)) for family in registry.FAMILIES))\n"
        "families = tuple(f'invkit.{family}' for family in registry.FAMILIES)\n"
        "print([m for m in sys.modules if m in ('torch', 'deepinv', 'numpy') or m.startswith(families)])\n"
    )
    count, heavy = run_python(code).splitlines()
    assert int(count) > 20
    assert heavy == "[]"


def test_names_are_sorted_and_each_once() -> None:
    for family in registry.FAMILIES:
        assert registry.names(family) == sorted(set(registry.names(family)))
    assert {"dip-skip", "pixels"} <= set(registry.names("image_priors"))


@pytest.mark.parametrize(
    ("family", "misspelt", "meant"),
    [("image_priors", "pixel", "pixels"), ("recipes", "self-deblur", "selfdeblur"), ("solvers", "joint", "joint-adam")],
)
def test_an_unknown_name_suggests_the_nearest(family: str, misspelt: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=f"'{misspelt}' in {family}; did you mean .*'{meant}'"):
        registry.find(family, misspelt)


def test_a_name_without_a_near_one_lists_all_names() -> None:
    with pytest.raises(UnknownNameError, match=r"there are .*convolution, .*identity"):
        registry.find("operators", "qqqq")


def test_an_unknown_family_lists_the_families() -> None:
    with pytest.raises(UnknownNameError, match="'quux'; the families are operators, image_priors"):
        registry.names("quux")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("priors", "'image_priors' or 'kernel_priors'"), ("image_prior", "'image_priors'"), ("fidelitys", "'fidelities'")],
)
def test_an_unknown_family_suggests_the_nearest(misspelt: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"no family '{misspelt}'; did you mean {meant}\? The families are"):
        registry.entries(misspelt)


def test_an_abstract_class_is_refused_with_its_missing_methods(install: Callable[..., Path]) -> None:
    text = (
        "from invkit.core.interfaces import LinearOperator\n"
        "class Half(LinearOperator):\n"
        "    def forward(self, image, kernel): return image\n"
    )
    install("half-done", "[invkit.operators]\nhalf = half_done:Half\n", half_done=text)
    with pytest.raises(PluginError, match=r"'half' of half-done .*Half is abstract; it must define adjoint, image_sh"):
        registry.load("operators", "half")


def test_every_place_of_a_recipe_has_a_family_with_an_interface() -> None:
    assert all(registry.FAMILIES[family] for family in registry.PLACES.values())


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("raise RuntimeError('no licence found')", "RuntimeError: no licence found"),
        ("import a_library_nobody_has", "No module named 'a_library_nobody_has'"),
        ("x = (", "SyntaxError"),
        ("Other = 1", "AttributeError"),
        ("raise SystemExit('no display')", "SystemExit: no display"),
    ],
)
def test_a_broken_plugin_breaks_only_its_own_use(install: Callable[..., Path], module: str, expected: str) -> None:
    install("broken-plugin", "[invkit.fidelities]\nbroken = broken_module:Broken\n", broken_module=module)
    assert "broken" in registry.names("fidelities")
    assert issubclass(registry.load("fidelities", "mse"), Fidelity)
    with pytest.raises(PluginError, match=r"'broken' of broken-plugin 1.2 cannot be loaded") as caught:
        registry.load("fidelities", "broken")
    assert expected in str(caught.value)


def test_two_distributions_with_one_name_are_an_error_that_names_both(install: Callable[..., Path]) -> None:
    for distribution in ("first-plugin", "second-plugin"):
        module = distribution.replace("-", "_")
        text = "from invkit.fidelities.norms import MSE\nclass Mine(MSE): pass\n"
        install(distribution, f"[invkit.fidelities]\nmine = {module}:Mine\n", **{module: text})
    with pytest.raises(PluginError, match="'first-plugin:mine' or 'second-plugin:mine'"):
        registry.load("fidelities", "mine")
    assert registry.load("fidelities", "second-plugin:mine").__module__ == "second_plugin"
    assert registry.names("fidelities").count("mine") == 1


def test_a_plugin_cannot_take_a_built_in_name_silently(install: Callable[..., Path]) -> None:
    install("greedy", "[invkit.fidelities]\nmse = torch.nn:MSELoss\n")
    with pytest.raises(PluginError, match="'greedy:mse' or 'invkit:mse'"):
        registry.find("fidelities", "mse")
    assert registry.load("fidelities", "invkit:mse").__module__ == "invkit.fidelities.norms"


def test_entry_points_of_unknown_families_are_ignored(install: Callable[..., Path]) -> None:
    install("early-bird", "[invkit.quux]\nhubble = os:path\n[console_scripts]\nx = os:path\n")
    assert all("early-bird" not in {e.distribution for e in registry.entries(f)} for f in registry.FAMILIES)


def test_a_component_of_another_family_is_refused(install: Callable[..., Path]) -> None:
    install("muddled", "[invkit.fidelities]\nmuddled = invkit.image_priors.pixels:Pixels\nfunction = os.path:join\n")
    for name in ("muddled", "function"):
        with pytest.raises(
            PluginError, match=f"'{name}' of muddled .* not a subclass of invkit.core.interfaces.Fidelity"
        ):
            registry.load("fidelities", name)


def test_plugins_can_be_disabled(install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    install("some-plugin", "[invkit.fidelities]\nsome = torch.nn:MSELoss\n")
    monkeypatch.setenv("INVKIT_DISABLE_PLUGINS", "1")
    assert {entry.distribution for entry in registry.entries("fidelities")} == {"invkit"}


def test_an_installed_entry_names_its_distribution(install: Callable[..., Path]) -> None:
    install("some-plugin", "[invkit.metrics]\nniqe = some_module:Niqe\n")
    assert registry.find("metrics", "niqe") == registry.Entry(
        "metrics", "niqe", "some-plugin", "1.2", "some_module:Niqe"
    )


def test_a_component_of_this_session_is_listed_loaded_and_removed(half: None) -> None:
    assert "half" in registry.names("fidelities")
    assert registry.load("fidelities", "half") is Half
    registry.unregister("fidelities", "half")
    with pytest.raises(UnknownNameError, match="half"):
        registry.load("fidelities", "half")


def test_an_installed_component_is_not_replaced_by_accident() -> None:
    with pytest.raises(InputError, match=r"invkit already has 'mse' in fidelities.*or replace it.*replace=True"):
        registry.register("fidelities", "mse", Half)
    assert registry.load("fidelities", "mse") is not Half


def test_a_cell_of_a_notebook_may_be_run_again(half: None) -> None:
    registry.register("fidelities", "half", MSE)
    assert registry.load("fidelities", "half") is MSE


def test_a_component_of_this_session_may_replace_an_installed_one() -> None:
    registry.register("fidelities", "mse", Half, replace=True)
    try:
        assert registry.load("fidelities", "mse") is Half
    finally:
        registry.unregister("fidelities", "mse")
    assert registry.load("fidelities", "mse") is not Half


def test_a_registered_component_of_another_family_is_refused_when_used() -> None:
    registry.register("solvers", "module", nn.Module)
    try:
        with pytest.raises(PluginError, match=r"not a subclass of invkit\.core\.solver\.Solver"):
            registry.load("solvers", "module")
    finally:
        registry.unregister("solvers", "module")


def test_registering_in_an_unknown_family_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="there is no family 'fidelity'; did you mean 'fidelities'"):
        registry.register("fidelity", "half", Half)
