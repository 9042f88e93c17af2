"""The names of a new distribution, each of which follows from its own unless it is given."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from importlib.metadata import packages_distributions

from ...core import registry
from ...core.errors import InputError

__all__ = ["FAMILIES", "Names", "names_for"]

FAMILIES = ("kernel_priors", "image_priors", "regularizers", "fidelities", "operators")
"""The families that there is an example of."""

DISTRIBUTION = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"  # PEP 508
COMPONENT = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"  # as those of invkit


@dataclass(frozen=True)
class Names:
    """What everything is called.

    Attributes:
        family: of the component.
        distribution: what pip installs.
        package: what Python imports.
        component: what a recipe names, and the recipe that comes with it.
        module: the file that holds it.
        cls: its class.
    """

    family: str
    distribution: str
    package: str
    component: str
    module: str
    cls: str


def names_for(distribution: str, family: str, component: str | None = None) -> Names:
    """All names, checked.

    Args:
        distribution: as pip knows it.
        family: one of `FAMILIES`.
        component: None takes the distribution's, without "invkit-" before it.

    Raises:
        InputError: one of them cannot be used: says why, and what could.
        UnknownNameError: there is no such family.
    """
    check_family(family)
    if not re.fullmatch(DISTRIBUTION, distribution):
        raise InputError(
            f"'{distribution}' is no name of a distribution: letters, digits, '-', '_' and '.' make one, as my-prior"
        )
    package = re.sub(r"[-_.]+", "_", distribution).lower()
    check_package(package, distribution)
    chosen = component or package.removeprefix("invkit_").replace("_", "-")
    check_component(chosen, family, distribution)
    words = chosen.split("-")
    return Names(family, distribution, package, chosen, "_".join(words), "".join(word.capitalize() for word in words))


def check_family(family: str) -> None:
    """Refuse a family of which there is no example."""
    registry.check_family(family)
    if family not in FAMILIES:
        raise InputError(
            f"there is no example for the family {family} to begin with; there is one for {', '.join(FAMILIES)}. Take "
            f"one of these, and put in its place a class that derives from {registry.FAMILIES[family] or 'nothing'} "
            f'and an entry point in the group "invkit.{family}"'
        )


def check_package(package: str, distribution: str) -> None:
    """Refuse a package that Python could not import, or that would hide another."""
    if not package.isidentifier() or keyword.iskeyword(package):
        raise InputError(f"'{distribution}' makes the package '{package}', which Python cannot import; choose another")
    plugins = {entry.distribution for family in registry.FAMILIES for entry in registry.entries(family)} - {"invkit"}
    others = set(packages_distributions().get(package, ())) - ({distribution} & plugins)  # it may be there already
    if package in sys.stdlib_module_names or others:
        owner = " and ".join(sorted(others)) or "Python"
        raise InputError(f"'{distribution}' makes the package '{package}', which {owner} has too; choose another name")


def check_component(component: str, family: str, distribution: str) -> None:
    """Refuse a name that no recipe should write, that Python cannot, or that another distribution has."""
    if not re.fullmatch(COMPONENT, component) or keyword.iskeyword(component):
        raise InputError(
            f"'{component}' is no name of a component: lower-case letters and digits with '-' between words make one, "
            "as straight-motion; choose one with --component"
        )
    for place in (family, "recipes"):
        owners = {e.distribution for e in registry.entries(place) if e.name == component} - {distribution}
        if owners:
            raise InputError(
                f"{' and '.join(sorted(owners))} has '{component}' in {place} already; choose another with --component"
            )
