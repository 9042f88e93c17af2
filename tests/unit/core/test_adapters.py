"""Adapters, which make components of another library: found by prefix, loaded one by one, with clear errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from invkit.core import registry
from invkit.core.errors import PluginError, UnknownNameError
from invkit.core.registry import Adapter
from invkit.fidelities.norms import L1, MSE
from invkit.recipes.model import check_parameters, parse_recipe
from invkit.testing.conformance import check_adapter

MODULE = """
from invkit.core.registry import Adapter
from invkit.core.errors import PluginError
from invkit.fidelities.norms import MSE

class Halved(MSE):
    '''A loss of another library.'''

class Losses(Adapter):
    '''Losses of another library.'''

    def names(self, family):
        return ["Half", "Whole"] if family == "fidelities" else []

    def component(self, family, name):
        if name == "Whole":
            raise PluginError("Whole is too much")
        return Halved
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put a distribution of entry points on sys.path, as pip would; the registry scans afresh, and again afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._installed.cache_clear()

    def put(distribution: str, entry_points: str, module: str = MODULE) -> None:
        folder = tmp_path / f"{distribution}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (folder / "entry_points.txt").write_text(entry_points)
        (tmp_path / f"{distribution}_module.py").write_text(module)
        monkeypatch.delitem(sys.modules, f"{distribution}_module", raising=False)

    yield put
    registry._installed.cache_clear()


@pytest.fixture
def losses(install: Callable[..., None]) -> None:
    install("losses", "[invkit.adapters]\nlib = losses_module:Losses\n")


def test_the_adapter_of_a_plugin_makes_components_by_prefix(losses: None) -> None:
    entry = registry.find("fidelities", "lib:Half")
    assert isinstance(entry, registry.AdaptedEntry)
    assert vars(entry) == {
        "family": "fidelities",
        "name": "Half",
        "distribution": "lib",
        "version": "1.2",  # the adapter's: there is no distribution of the library's name
        "value": "losses_module:Losses",
    }
    component = registry.load("fidelities", "lib:Half")
    assert component.__name__ == "Halved"
    assert registry.load("fidelities", "losses:lib:Half") is component
    assert "Half" not in registry.names("fidelities")


def test_a_recipe_can_name_an_adapted_component(losses: None) -> None:
    text = "name = 'mine'\nimage_prior = 'pixels'\nfidelity = 'lib:Half'\nsolver = 'joint-adam'"
    checked = check_parameters(parse_recipe(text), seed=0)
    assert checked["fidelity.0"].component.__name__ == "Halved"


@pytest.mark.parametrize(
    ("family", "name", "error", "expected"),
    [
        ("fidelities", "lib:Halff", UnknownNameError, "'lib:Halff' in fidelities; did you mean 'lib:Half'"),
        ("fidelities", "lib:Whole", PluginError, "Whole is too much"),
        ("solvers", "lib:Half", UnknownNameError, "'lib:Half' in solvers; there are admm"),
        ("fidelities", "bil:Half", UnknownNameError, "'bil:Half' in fidelities; there are"),
        ("adapters", "liv", UnknownNameError, "'liv' in adapters; did you mean 'lib'"),
        ("adapters", "lib:lib", UnknownNameError, "'lib:lib' in adapters"),
    ],
)
def test_an_unknown_part_of_an_adapter_is_refused(
    losses: None, family: str, name: str, error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        registry.load(family, name)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("import MSE", "import MSSE", "'lib' of losses 1.2 cannot be loaded"),
        (
            "Losses(Adapter)",
            "Losses",
            "'lib' of losses is registered in adapters, but .* not a subclass of invkit.core.registry.Adapter",
        ),
        ("def names(", "def nams(", "Losses is abstract; it must define names"),
        ('["Half", "Whole"] if', "1 / 0 if", "the adapter 'lib' fails: ZeroDivisionError"),
        ("return Halved", "return 3 / 0", "the adapter 'lib' fails: ZeroDivisionError"),
        ("return Halved", "return 3", "'Half' of lib is registered in fidelities, but .* is not a subclass"),
    ],
)
def test_a_broken_adapter_breaks_only_its_own_use(
    install: Callable[..., None], old: str, new: str, expected: str
) -> None:
    install("losses", "[invkit.adapters]\nlib = losses_module:Losses\n", MODULE.replace(old, new))
    assert registry.load("fidelities", "mse") is MSE
    assert "lib" in registry.names("adapters")
    with pytest.raises(PluginError, match=expected):
        registry.load("fidelities", "lib:Half")


def test_two_adapters_of_one_prefix_are_an_error_that_names_both(install: Callable[..., None]) -> None:
    for distribution in ("first", "second"):
        install(distribution, f"[invkit.adapters]\nlib = {distribution}_module:Losses\n")
    with pytest.raises(PluginError, match="'first:lib' or 'second:lib'"):
        registry.load("fidelities", "lib:Half")
    assert registry.load("fidelities", "second:lib:Half").__module__ == "second_module"


def test_a_distribution_of_the_prefix_comes_first(install: Callable[..., None]) -> None:
    """A library may itself register components for invkit one day."""
    adapter = "[invkit.adapters]\nlosses = losses_module:Losses\n"
    install("losses", f"{adapter}[invkit.fidelities]\nHalf = invkit.fidelities.norms:L1\n")
    assert registry.load("fidelities", "losses:Half") is L1


def test_an_adapter_can_be_registered_for_a_session() -> None:
    class Losses(Adapter):
        """One loss."""

        def names(self, family: str) -> Sequence[str]:
            return ["L1"] if family == "fidelities" else []

        def component(self, family: str, name: str) -> Any:
            return L1

    registry.register("adapters", "here", Losses)
    try:
        assert registry.load("fidelities", "here:L1") is L1
        check_adapter(Losses)
    finally:
        registry.unregister("adapters", "here")
    with pytest.raises(UnknownNameError):
        registry.find("fidelities", "here:L1")


@pytest.mark.parametrize(
    ("names", "made", "expected"),
    [
        (lambda family: ["L1", "L1"], lambda: L1, "gives names of operators twice"),
        (lambda family: ["a:L1"], lambda: L1, "has empty names in operators, or with ':'"),
        (lambda family: [], lambda: L1, "makes no component of any family"),
        (lambda family: ["L1"] if family == "fidelities" else [], lambda: type("L1", (L1,), {}), "another 'L1' of fid"),
    ],
)
def test_the_conformance_check_finds_adapters_that_break_the_rules(
    names: Callable[[str], list[str]], made: Callable[[], type[Any]], expected: str
) -> None:
    class Losses(Adapter):
        """Losses."""

        def names(self, family: str) -> Sequence[str]:
            return names(family)

        def component(self, family: str, name: str) -> Any:
            return made()

    with pytest.raises(AssertionError, match=expected):
        check_adapter(Losses)


def test_deepinv_is_adapted_by_invkit_and_listing_does_not_import_it() -> None:
    code = (
        "import sys\n"
        "from invkit import registry\n"
        "print([(e.name, e.distribution) for e in registry.entries('adapters') if e.distribution == 'invkit'])\n"
        "print([m for m in sys.modules if m in ('torch', 'deepinv')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[('deepinv', 'invkit')]", "[]"]
