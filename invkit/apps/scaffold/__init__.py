"""What ``invkit plugin new`` writes: a distribution with one working component, its recipe and its tests."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path

from ...core import registry
from ...core.errors import InputError

__all__ = ["TEMPLATE_FAMILIES", "PluginNames", "plugin_files", "plugin_names", "write_plugin"]

TEMPLATE_FAMILIES = ("kernel_priors", "image_priors", "regularizers", "fidelities", "operators")
"""The families that have a template."""

DISTRIBUTION_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"  # PEP 508
COMPONENT_PATTERN = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"  # the form of invkit's own names


@dataclass(frozen=True)
class PluginNames:
    """The names in a new distribution.

    Attributes:
        family: family of the component.
        distribution: name that pip installs.
        package: name that Python imports.
        component: name of the component in recipes, and of the recipe that uses it.
        module: the file that holds the component.
        cls: class of the component.
    """

    family: str
    distribution: str
    package: str
    component: str
    module: str
    cls: str

    @property
    def folder(self) -> str:
        """Of the package, in the distribution's folder. Under "src", as Python otherwise imports the outer folder."""
        return f"src/{self.package}"

    @property
    def file(self) -> str:
        """Of the component."""
        return f"{self.folder}/{self.module}.py"


def plugin_names(distribution: str, family: str, component: str | None = None) -> PluginNames:
    """All names of a new distribution, checked.

    Args:
        distribution: name that pip installs.
        family: one of `TEMPLATE_FAMILIES`.
        component: name of the component; None takes the distribution's name without a leading "invkit-".

    Raises:
        InputError: a name cannot be used; the message says why and what to choose instead.
        UnknownNameError: there is no such family.

    Example:
        >>> plugin_names("invkit-my-prior", "kernel_priors").component
        'my-prior'
    """
    check_template_family(family)
    if not re.fullmatch(DISTRIBUTION_PATTERN, distribution):
        raise InputError(
            f"'{distribution}' cannot name a distribution; use letters, digits, '-', '_' and '.', as in my-prior"
        )
    package = re.sub(r"[-_.]+", "_", distribution).lower()
    check_package_name(package, distribution)
    chosen = component or package.removeprefix("invkit_").replace("_", "-")
    check_component_name(chosen, family, distribution)
    parts = chosen.split("-")
    return PluginNames(family, distribution, package, chosen, "_".join(parts), "".join(map(str.capitalize, parts)))


def check_template_family(family: str) -> None:
    """Refuse a family that has no template; raises `InputError` or `UnknownNameError`."""
    registry.check_known_family(family)
    if family not in TEMPLATE_FAMILIES:
        raise InputError(
            f"there is no template for the family {family}, only for {', '.join(TEMPLATE_FAMILIES)}. Take one of "
            f"these, replace its class by one that derives from {registry.FAMILIES[family] or 'nothing'}, and name it "
            f'in the entry-point group "invkit.{family}"'
        )


def check_package_name(package: str, distribution: str) -> None:
    """Refuse a package that Python cannot import, or that would hide another package; raises `InputError`."""
    if not package.isidentifier() or keyword.iskeyword(package):
        raise InputError(
            f"'{distribution}' gives the package '{package}', which Python cannot import; choose another name"
        )
    plugins = {entry.distribution for family in registry.FAMILIES for entry in registry.entries(family)} - {"invkit"}
    others = set(packages_distributions().get(package, ())) - ({distribution} & plugins)  # it may be installed already
    if package in sys.stdlib_module_names or others:
        owner = " and ".join(sorted(others)) or "Python"
        raise InputError(
            f"'{distribution}' gives the package '{package}', which {owner} already has; choose another name"
        )


def check_component_name(component: str, family: str, distribution: str) -> None:
    """Refuse a malformed name, a keyword of Python, and a name of another distribution; raises `InputError`.

    Args:
        component: the name.
        family: family of the component.
        distribution: the new distribution, which may be installed already.
    """
    if not re.fullmatch(COMPONENT_PATTERN, component) or keyword.iskeyword(component):
        raise InputError(
            f"'{component}' cannot name a component; use lower-case letters and digits, with '-' between words, as in "
            "straight-motion, and give the name with --component"
        )
    for place in (family, "recipes"):
        owners = {e.distribution for e in registry.entries(place) if e.name == component} - {distribution}
        if owners:
            raise InputError(
                f"{' and '.join(sorted(owners))} already has '{component}' in {place}; choose another name with "
                "--component"
            )


def plugin_files(names: PluginNames) -> dict[str, str]:
    """The text of each file of a distribution, by its path relative to the distribution's folder.

    Raises:
        InputError: the component's class has the name of a class that its module imports.
    """
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{names.folder}/__init__.py": "package.py",
        names.file: f"{names.family}.py",
        f"{names.folder}/{names.component}.toml": "recipe.toml",
        "tests/test_conformance.py": "test_conformance.py",
    }
    texts = {path: render_template(template, names) for path, template in templates.items()}
    module = texts[names.file]
    if re.search(rf"^from .* import .*\b{names.cls}\b", module, re.MULTILINE):
        raise InputError(
            f"the component '{names.component}' would be the class {names.cls}, but its module imports another class "
            "of this name; choose another name with --component"
        )
    return texts


def render_template(template: str, names: PluginNames) -> str:
    """Fill a template with the names and with the range of invkit versions that the distribution requires."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("invkit.apps.scaffold")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    major, minor = map(int, version("invkit").split(".")[:2])
    versions = f">={major}.{minor},<{major}.{minor + 1}" if major == 0 else f">={major}.{minor},<{major + 1}"
    return environment.get_template(f"{template}.jinja").render(**asdict(names), versions=versions)


def write_plugin(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the files into a folder that is new or empty.

    Raises:
        InputError: the folder is not empty, or it cannot be written.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty; choose another name, or another --output")
    try:
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror or error}); choose another --output") from error
