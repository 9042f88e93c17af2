"""Templates -> files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ... import __version__
from ...core.errors import InputError
from .names import Names

__all__ = ["package_files", "write_package"]


def package_files(names: Names) -> dict[str, str]:
    """The text of each file of a distribution by its path, relative to the distribution's folder.

    Raises:
        InputError: the class would bear the name of another one that its module imports.
    """
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{names.package}/__init__.py": "package.py",
        f"{names.package}/{names.module}.py": f"{names.family}.py",
        f"{names.package}/{names.component}.toml": "recipe.toml",
        "tests/test_conformance.py": "test_conformance.py",
    }
    texts = {path: rendered(template, names) for path, template in templates.items()}
    module = texts[f"{names.package}/{names.module}.py"]
    if re.search(rf"^from .* import .*\b{names.cls}\b", module, re.MULTILINE):
        raise InputError(
            f"the component '{names.component}' would be the class {names.cls}, a name that its module needs for "
            "another; choose one with --component"
        )
    return texts


def rendered(template: str, names: Names) -> str:
    """A template with the names in it, and the range of invkit's versions that the distribution is written for."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("invkit.apps.scaffold")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    major, minor = map(int, __version__.split(".")[:2])
    versions = f">={major}.{minor},<{major}.{minor + 1}" if major == 0 else f">={major}.{minor},<{major + 1}"
    return environment.get_template(f"{template}.jinja").render(**asdict(names), versions=versions)


def write_package(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the files into a folder that is new or empty.

    Raises:
        InputError: there is something in the folder, or it cannot be written.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder} is there already and is not empty; choose another name, or another --output")
    try:
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror or error}); choose another --output") from error
