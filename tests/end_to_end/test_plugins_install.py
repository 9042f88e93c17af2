"""Each distribution under plugins/ installs in a separate environment, and passes its tests and invkit's checks."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from clean_environment import Environment, make_environment
from packaging.requirements import Requirement

import invkit

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDERS = sorted(path.parent for path in (Path(invkit.__file__).parent.parent / "plugins").glob("*/pyproject.toml"))
BUILD_FILES = ("build", "*.egg-info", "__pycache__", ".pytest_cache")

SUITE = """
import pytest
from invkit.testing import check_component, conformance_cases

@pytest.mark.parametrize("case", conformance_cases({name!r}))
def test_suite(case):
    check_component(*case)
"""


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of one plugin, because a build leaves files in its folder."""
    copy: Path = tmp_path / request.param.name
    shutil.copytree(request.param, copy, ignore=shutil.ignore_patterns(*BUILD_FILES))
    return copy


def project(folder: Path) -> dict[str, object]:
    facts: dict[str, object] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return facts


def absent(requirements: object) -> list[str]:
    """The requirements that are not installed here."""
    assert isinstance(requirements, list)
    found = []
    for name in (Requirement(line).name for line in requirements):
        try:
            distribution(name)
        except PackageNotFoundError:
            found.append(name)
    return found


def test_there_are_plugins() -> None:
    assert {"template", "invkit-tensorboard"} <= {folder.name for folder in FOLDERS}


def test_a_plugin_installs_passes_its_tests_and_conforms(source: Path, tmp_path: Path) -> None:
    facts, environment = project(source), make_environment(tmp_path / "environment")
    missing = absent(facts["dependencies"])
    if not missing:
        (source / "tests" / "test_suite.py").write_text(SUITE.format(name=facts["name"]), encoding="utf-8")
    environment.succeed(f"pip install ./{source.name}", tmp_path)
    shutil.rmtree(source / "build", ignore_errors=True)
    assert_listed(environment, str(facts["name"]), tmp_path)
    output = environment.succeed(f"pytest -v -p no:cacheprovider {source.name}/tests", tmp_path)
    assert " PASSED" in output
    if missing:
        pytest.skip(f"installed and tested without the conformance checks, which need {', '.join(missing)}")
    assert "test_suite[case0] PASSED" in output


def assert_listed(environment: Environment, name: str, folder: Path) -> None:
    """The components of the plugin are listed, even if their requirements are missing."""
    rows = json.loads(environment.succeed("invkit list --json", folder))
    assert name in {row["distribution"] for row in rows}
