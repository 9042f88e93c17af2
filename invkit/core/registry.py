"""Names of components, from entry points. Listing imports nothing; only the component asked for is loaded.

Built-in components are registered as those of plugins: by an entry point in the group ``invkit.<family>``.
"""

from __future__ import annotations

import importlib
import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distributions, version
from typing import Any, ClassVar, TypeVar

from .errors import InputError, PluginError, UnknownNameError, one_line, reported_as
from .messages import near_names, shortened
from .nested import Component
from .plugin_loading import entry_point_name, timed_import, unmet_requirement

__all__ = [
    "COMPONENT_LISTS",
    "FAMILIES",
    "FAMILIES_OUTSIDE_RECIPES",
    "PLACES",
    "AdaptedEntry",
    "Adapter",
    "Entry",
    "entries",
    "find",
    "is_extended",
    "library_version",
    "load",
    "names",
    "register",
    "registered_name",
    "unregister",
]

AdapterAnswer = TypeVar("AdapterAnswer")

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
    "adapters": "invkit.core.registry:Adapter",
    "recipes": None,
}
"""Each family, and the abstract class of its components; None for recipes, which are files."""

FAMILIES_OUTSIDE_RECIPES = ("metrics", "datasets", "observers", "adapters", "recipes")
"""The families whose components no recipe contains."""

PLACES: dict[str, str] = {
    "operator": "operators",
    "image_prior": "image_priors",
    "kernel_prior": "kernel_priors",
    "fidelity": "fidelities",
    "regularizers": "regularizers",
    "solver": "solvers",
    "selection": "no_reference_metrics",
}
"""Each place of a recipe, and the family of its components. The selection is not a part of a problem or a solver."""

COMPONENT_LISTS = ("fidelity", "regularizers", "selection")
"""The places of a recipe that hold several components."""

THIS_SESSION = "this session"
OWN_DISTRIBUTION = "invkit"
_registered: dict[tuple[str, str], object] = {}


class Adapter(Component, ABC):
    """Parts of another library as components, registered by a prefix: ``prefix:Name`` is a part of that library.

    A distribution registers it in the group ``invkit.adapters``; the prefix should be the name of the library's
    distribution. A recipe may then write ``operator = "prefix:Name"``. The class is constructed without arguments
    whenever it is needed.
    """

    family: ClassVar[str] = "adapters"

    @abstractmethod
    def names(self, family: str) -> Sequence[str]:
        """The library's names for a family, none for most families; may import the library."""

    @abstractmethod
    def component(self, family: str, name: str) -> Any:
        """The component class of one of `names`; the same class at every call.

        Raises:
            InvkitError: that part cannot be a component; says why.
        """


@dataclass(frozen=True)
class Entry:
    """One registered name: its origin, and the module and class of its component."""

    family: str
    name: str
    distribution: str
    version: str
    value: str


@dataclass(frozen=True)
class AdaptedEntry(Entry):
    """A component that an adapter makes; ``distribution`` is the adapter's name, ``value`` the adapter's class."""


def register(family: str, name: str, component: object, *, replace: bool = False) -> None:
    """Add a component for this Python session (notebooks, tests); it may be registered again, as a cell is run again.

    Args:
        family: as "image_priors".
        name: by which recipes name it.
        component: a class; for recipes, TOML text.
        replace: take the place of an installed component of this name, until `unregister`. Every recipe that names
            the component then uses this one.

    Raises:
        UnknownNameError: there is no such family.
        InputError: an installed component has the name, and ``replace`` is False.

    Example:
        >>> from invkit.image_priors import Pixels
        >>> register("image_priors", "my-pixels", Pixels)
        >>> load("image_priors", "my-pixels").__name__
        'Pixels'
        >>> unregister("image_priors", "my-pixels")
    """
    check_known_family(family)
    owners = [entry.distribution for entry in _installed()[family] if entry.name == name]
    if owners and not replace:
        raise InputError(
            f"{' and '.join(owners)} already has '{name}' in {family}, and recipes that name it would change; choose "
            "another name, or replace it in this session with register(..., replace=True)"
        )
    _registered[family, name] = component


def unregister(family: str, name: str) -> None:
    """Remove what `register` added."""
    _registered.pop((family, name), None)


def is_extended() -> bool:
    """Whether components are registered in this process only."""
    return bool(_registered)


def entries(family: str) -> list[Entry]:
    """All entries of a family, sorted by name; two distributions may offer the same name."""
    check_known_family(family)
    session = [
        Entry(family, name, THIS_SESSION, "", repr(component))
        for (its_family, name), component in _registered.items()
        if its_family == family
    ]
    return sorted([*session, *_installed()[family]], key=lambda entry: (entry.name, entry.distribution))


def names(family: str) -> list[str]:
    """The names of a family, sorted, each once.

    Example:
        >>> names("fidelities")
        ['gaussian-poisson', 'huber', 'l1', 'mse', 'poisson', 'ssim']
    """
    return sorted({entry.name for entry in entries(family)})


def find(family: str, name: str) -> Entry:
    """The entry of a name; ``distribution:name`` chooses between distributions, ``adapter:name`` an adapter's part.

    Raises:
        UnknownNameError: there is no such name; the nearest ones are suggested.
        PluginError: two distributions offer it, or the adapter fails.
    """
    wanted, _, plain = name.rpartition(":")
    found = [e for e in entries(family) if e.name == plain and wanted in ("", e.distribution)]
    if not found:
        return adapted_entry(family, name)
    session = [entry for entry in found if entry.distribution == THIS_SESSION]
    if session:
        return session[0]
    if len(found) > 1:
        offers = " or ".join(f"'{entry.distribution}:{plain}'" for entry in found)
        raise PluginError(f"two distributions offer the {family} name '{plain}'; write {offers}")
    return found[0]


def load(family: str, name: str) -> Any:
    """The component: a class, or for recipes the package that contains ``name.toml``.

    Raises:
        UnknownNameError, PluginError: as `find`; also if the import fails, or the class is abstract or of another
            family.

    Example:
        >>> load("regularizers", "tv").__name__
        'TotalVariation'
    """
    entry = find(family, name)
    if entry.distribution == THIS_SESSION:
        component: object = _registered[family, entry.name]
    elif isinstance(entry, AdaptedEntry):
        component = ask_adapter(entry.distribution, lambda adapter: adapter.component(family, entry.name))
    else:
        component = _import(entry)
    check_class(entry, component)
    return component


def adapted_entry(family: str, name: str) -> AdaptedEntry:
    """The entry of ``adapter:name``; its version is that of the library of the adapter's name, if installed.

    Raises:
        UnknownNameError: there is no such adapter, or it has no such name.
        PluginError: the adapter fails.
    """
    prefix, _, plain = name.rpartition(":")
    if name not in adapted_names(family, prefix):
        raise UnknownNameError(unknown_name(family, name))
    source = find("adapters", prefix)
    return AdaptedEntry(family, plain, prefix, library_version(source), source.value)


def library_version(adapter: Entry) -> str:
    """The version of the distribution of the adapter's name; if there is none, the adapter's own version."""
    try:
        return version(adapter.name)
    except PackageNotFoundError:
        return adapter.version


def adapted_names(family: str, prefix: str) -> list[str]:
    """The names of an adapter for a family, with the prefix; none if there is no such adapter."""
    adapters = {name for e in entries("adapters") for name in (e.name, f"{e.distribution}:{e.name}")}
    if prefix not in adapters:
        return []
    return [f"{prefix}:{name}" for name in ask_adapter(prefix, lambda adapter: adapter.names(family))]


def ask_adapter(prefix: str, question: Callable[[Adapter], AdapterAnswer]) -> AdapterAnswer:
    """The answer of an adapter; raises `PluginError` if it fails."""
    adapter = load("adapters", prefix)
    with reported_as(PluginError, f"the adapter '{prefix}' fails"):
        return question(adapter())


def check_known_family(family: str) -> None:
    """Raise `UnknownNameError` for a family that does not exist."""
    if family not in FAMILIES:
        near = [f for f in FAMILIES if family and family in f] or near_names(family, FAMILIES)
        hint = f"did you mean {' or '.join(repr(f) for f in near)}? The" if near else "the"
        raise UnknownNameError(f"there is no family '{family}'; {hint} families are {', '.join(FAMILIES)}")


def unknown_name(family: str, name: str) -> str:
    """The message for a name that nothing has."""
    known = adapted_names(family, name.rpartition(":")[0]) or names(family)
    near = near_names(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"there are {', '.join(known) or 'none'}"
    return f"nothing named '{shortened(name, 100)}' in {family}; {hint}"


def registered_name(family: str, component: type) -> str:
    """The name under which a class is registered in a family, or the class's own name."""
    session = (name for (its_family, name), one in _registered.items() if its_family == family and one is component)
    return next(session, None) or entry_point_name(family, component) or component.__name__


def interface_of(family: str) -> Any:
    """The abstract class of a family's components; None for recipes."""
    path = FAMILIES[family]
    if path is None:
        return None
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def check_class(entry: Entry, component: object) -> None:
    """Raise `PluginError` for a component that is not a concrete class of its family."""
    interface = interface_of(entry.family)
    if interface is None:
        return
    if not (isinstance(component, type) and issubclass(component, interface)):
        raise PluginError(
            f"'{entry.name}' of {entry.distribution} is registered in {entry.family}, but {entry.value} "
            f"is not a subclass of {interface.__module__}.{interface.__qualname__}"
        )
    if inspect.isabstract(component):
        missing = ", ".join(sorted(getattr(component, "__abstractmethods__", ())))
        raise PluginError(
            f"'{entry.name}' of {entry.distribution} cannot be built: {component.__qualname__} is abstract; "
            f"it must define {missing}"
        )


def _import(entry: Entry) -> object:
    point, is_ours = (
        EntryPoint(entry.name, entry.value, f"invkit.{entry.family}"),
        entry.distribution == OWN_DISTRIBUTION,
    )
    unmet = None if is_ours else unmet_requirement(entry.distribution)
    if unmet:
        raise PluginError(f"'{entry.name}' of {entry.distribution} {entry.version} is not loaded: {unmet}")
    interface_of(entry.family)  # imports torch, whose seconds are not the plugin's
    try:
        return point.load() if is_ours else timed_import(point, entry.distribution)
    except (Exception, SystemExit) as error:  # a plugin may fail in any way; it must break only its own use
        raise PluginError(
            f"'{entry.name}' of {entry.distribution} {entry.version} cannot be loaded from {entry.value}: "
            f"{one_line(error)}"
        ) from error


@cache
def _installed() -> dict[str, list[Entry]]:
    """Entries of the installed distributions by family; the environment is scanned once per process."""
    found: dict[str, dict[tuple[str, str], Entry]] = {family: {} for family in FAMILIES}
    only_own = bool(os.environ.get("INVKIT_DISABLE_PLUGINS"))
    for distribution in distributions():
        points = [p for p in distribution.entry_points if p.group.startswith("invkit.")]
        if not points:
            continue
        metadata = distribution.metadata  # each access reads a file
        for point in points:
            family, owner = point.group.removeprefix("invkit."), metadata["Name"]
            if family in FAMILIES and not (only_own and owner != OWN_DISTRIBUTION):
                entry = Entry(family, point.name, owner, metadata["Version"], point.value)
                found[family].setdefault((point.name, owner), entry)
    return {family: list(by_name.values()) for family, by_name in found.items()}
