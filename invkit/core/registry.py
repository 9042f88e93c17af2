"""Names -> components, from entry points. Listing imports nothing; only the one component asked for is loaded.

Built-in components are registered exactly as a plugin's are: by an entry point in the group ``invkit.<family>``.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distributions, version
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import InvkitError, PluginError, UnknownNameError
from .plugin_loading import imported, unmet_requirement

if TYPE_CHECKING:
    from .adapters import Adapter

__all__ = [
    "FAMILIES",
    "OUTSIDE",
    "PLACES",
    "Adapted",
    "Entry",
    "entries",
    "find",
    "is_extended",
    "library_version",
    "load",
    "names",
    "register",
    "unregister",
]

T = TypeVar("T")

FAMILIES: dict[str, str | None] = {
    "operators": "invkit.core.interfaces:ForwardOperator",
    "image_priors": "invkit.core.interfaces:ImagePrior",
    "kernel_priors": "invkit.core.interfaces:OperatorParameterPrior",
    "regularizers": "invkit.core.interfaces:Regularizer",
    "fidelities": "invkit.core.interfaces:Fidelity",
    "solvers": "invkit.core.solver:Solver",
    "edge_selection": "invkit.solvers.map.interfaces:EdgeSelection",
    "kernel_estimation": "invkit.solvers.map.interfaces:KernelEstimation",
    "kernel_postprocessing": "invkit.solvers.map.interfaces:KernelPostprocessing",
    "no_reference_metrics": "invkit.core.evaluation:NoReferenceMetric",
    "metrics": "invkit.core.evaluation:Metric",
    "datasets": "invkit.core.evaluation:Dataset",
    "observers": "invkit.core.solver:Observer",
    "adapters": "invkit.core.adapters:Adapter",
    "recipes": None,
}
"""Each family and the abstract class its components derive from; None where a family has no class (yet)."""

OUTSIDE = ("metrics", "datasets", "observers", "adapters", "recipes")
"""The families that stand in no recipe: what recipes are tried on, by what, who watches, and recipes themselves."""

PLACES: dict[str, str] = {
    "operator": "operators",
    "image_prior": "image_priors",
    "kernel_prior": "kernel_priors",
    "fidelity": "fidelities",
    "regularizers": "regularizers",
    "solver": "solvers",
    "selection": "no_reference_metrics",
}
"""Each place of a recipe with the family that stands there; all but the selection are parts of a problem, or solve it."""

THIS_SESSION = "this session"
OURSELVES = "invkit"
_registered: dict[tuple[str, str], object] = {}


@dataclass(frozen=True)
class Entry:
    """One registered name: where it comes from, and where its component would be imported from."""

    family: str
    name: str
    distribution: str
    version: str
    value: str


@dataclass(frozen=True)
class Adapted(Entry):
    """What an adapter makes a component: the distribution is the adapter's name, the value where that is from."""


def register(family: str, name: str, component: object) -> None:
    """Add a component for this Python session (notebooks, tests); it takes precedence over an installed one.

    Raises:
        UnknownNameError: there is no such family.
    """
    check_family(family)
    _registered[family, name] = component


def unregister(family: str, name: str) -> None:
    """Take back what `register` added."""
    _registered.pop((family, name), None)


def is_extended() -> bool:
    """Whether there are components that only this process knows."""
    return bool(_registered)


def entries(family: str) -> list[Entry]:
    """All entries of a family, sorted by name; two distributions may offer the same name."""
    check_family(family)
    session = [
        Entry(family, name, THIS_SESSION, "", repr(component))
        for (its_family, name), component in _registered.items()
        if its_family == family
    ]
    return sorted([*session, *_installed()[family]], key=lambda entry: (entry.name, entry.distribution))


def names(family: str) -> list[str]:
    """The names of a family, sorted, each once."""
    return sorted({entry.name for entry in entries(family)})


def find(family: str, name: str) -> Entry:
    """The one entry of that name; ``distribution:name`` chooses between two distributions, ``adapter:name`` an adapter.

    Raises:
        UnknownNameError: nothing bears the name; the nearest ones are suggested.
        PluginError: two distributions bear it, or the adapter fails.
    """
    wanted, _, plain = name.rpartition(":")
    found = [e for e in entries(family) if e.name == plain and wanted in ("", e.distribution)]
    if not found:
        return adapted(family, name)
    session = [entry for entry in found if entry.distribution == THIS_SESSION]
    if session:
        return session[0]
    if len(found) > 1:
        offers = " or ".join(f"'{entry.distribution}:{plain}'" for entry in found)
        raise PluginError(f"two distributions offer the {family} name '{plain}'; write {offers}")
    return found[0]


def load(family: str, name: str) -> Any:
    """The component itself: a class, or for recipes the package that holds ``name.toml``.

    Raises:
        UnknownNameError, PluginError: as `find`; also when importing fails, or the class is abstract or of another
            family.
    """
    entry = find(family, name)
    if entry.distribution == THIS_SESSION:
        component: object = _registered[family, entry.name]
    elif isinstance(entry, Adapted):
        component = asked(entry.distribution, lambda adapter: adapter.component(family, entry.name))
    else:
        component = _import(entry)
    check_class(entry, component)
    return component


def adapted(family: str, name: str) -> Adapted:
    """The entry of ``adapter:name``; its version is that of the library, where that is called as the adapter.

    Raises:
        UnknownNameError: there is no such adapter, or it has nothing of the name.
        PluginError: the adapter fails.
    """
    prefix, _, plain = name.rpartition(":")
    if name not in offered(family, prefix):
        raise UnknownNameError(unknown(family, name))
    source = find("adapters", prefix)
    return Adapted(family, plain, prefix, library_version(source), source.value)


def library_version(adapter: Entry) -> str:
    """The version of the library that an adapter is of, or the adapter's own where no distribution bears its name."""
    try:
        return version(adapter.name)
    except PackageNotFoundError:
        return adapter.version


def offered(family: str, prefix: str) -> list[str]:
    """What an adapter has for a family, with the prefix; nothing where there is no such adapter."""
    adapters = {bears for e in entries("adapters") for bears in (e.name, f"{e.distribution}:{e.name}")}
    if prefix not in adapters:
        return []
    return [f"{prefix}:{name}" for name in asked(prefix, lambda adapter: adapter.names(family))]


def asked(prefix: str, question: Callable[[Adapter], T]) -> T:
    """What an adapter says; raises `PluginError` where it fails."""
    adapter = load("adapters", prefix)
    try:
        return question(adapter())
    except InvkitError:
        raise
    except (Exception, SystemExit) as error:  # as of a plugin's import
        raise PluginError(f"the adapter '{prefix}' fails: {type(error).__name__}: {error}") from error


def check_family(family: str) -> None:
    """Raise `UnknownNameError` for a family that does not exist."""
    if family not in FAMILIES:
        near = [f for f in FAMILIES if family and family in f] or difflib.get_close_matches(family, FAMILIES)
        hint = f"did you mean {' or '.join(repr(f) for f in near)}? The" if near else "the"
        raise UnknownNameError(f"there is no family '{family}'; {hint} families are {', '.join(FAMILIES)}")


def unknown(family: str, name: str) -> str:
    """The message for a name that nothing bears."""
    known = offered(family, name.rpartition(":")[0]) or names(family)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"there are {', '.join(known) or 'none'}"
    return f"nothing named '{name}' in {family}; {hint}"


def check_class(entry: Entry, component: object) -> None:
    """Raise `PluginError` when a component is not a class of its family, or an abstract one."""
    path = FAMILIES[entry.family]
    if path is None:
        return
    module, _, attribute = path.partition(":")
    interface = getattr(importlib.import_module(module), attribute)
    if not (isinstance(component, type) and issubclass(component, interface)):
        raise PluginError(
            f"'{entry.name}' of {entry.distribution} is registered in {entry.family}, but {entry.value} "
            f"is not a subclass of {path.replace(':', '.')}"
        )
    if inspect.isabstract(component):
        missing = ", ".join(sorted(getattr(component, "__abstractmethods__", ())))
        raise PluginError(
            f"'{entry.name}' of {entry.distribution} cannot be built: {component.__qualname__} is abstract; "
            f"it must define {missing}"
        )


def _import(entry: Entry) -> object:
    point, is_ours = EntryPoint(entry.name, entry.value, f"invkit.{entry.family}"), entry.distribution == OURSELVES
    unmet = None if is_ours else unmet_requirement(entry.distribution)
    if unmet:
        raise PluginError(f"'{entry.name}' of {entry.distribution} {entry.version} is not loaded: {unmet}")
    try:
        return point.load() if is_ours else imported(point, entry.distribution)
    except (Exception, SystemExit) as error:  # a plugin may fail in any way; it must break only its own use
        raise PluginError(
            f"'{entry.name}' of {entry.distribution} {entry.version} cannot be loaded from {entry.value}: "
            f"{type(error).__name__}: {error}"
        ) from error


@cache
def _installed() -> dict[str, list[Entry]]:
    """Entries of the installed distributions by family; an environment scanned once per process."""
    found: dict[str, dict[tuple[str, str], Entry]] = {family: {} for family in FAMILIES}
    only_own = bool(os.environ.get("INVKIT_DISABLE_PLUGINS"))
    for distribution in distributions():
        points = [p for p in distribution.entry_points if p.group.startswith("invkit.")]
        if not points:
            continue
        about = distribution.metadata  # read from its file at every look, so that one must do
        for point in points:
            family, owner = point.group.removeprefix("invkit."), about["Name"]
            if family in FAMILIES and not (only_own and owner != OURSELVES):
                entry = Entry(family, point.name, owner, about["Version"], point.value)
                found[family].setdefault((point.name, owner), entry)
    return {family: list(by_name.values()) for family, by_name in found.items()}
