"""The package of each family has its registered components as attributes, and imports them on first use."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import EntryPoint, distribution

import pytest

from invkit.core.lazy import lazy_attributes, lazy_names

FAMILIES = (
    "operators",
    "image_priors",
    "kernel_priors",
    "regularizers",
    "fidelities",
    "solvers",
    "metrics",
    "datasets",
)
PREFIXES = tuple(f"invkit.{family}." for family in FAMILIES)
POINTS = [point for point in distribution("invkit").entry_points if point.module.startswith(PREFIXES)]


def test_there_are_components_in_every_family() -> None:
    assert {point.module.split(".")[1] for point in POINTS} == set(FAMILIES)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.group}-{point.name}")
def test_each_component_is_an_attribute_of_the_package_of_its_family(point: EntryPoint) -> None:
    package = importlib.import_module(".".join(point.module.split(".")[:2]))
    assert getattr(package, point.attr) is point.load()
    assert point.attr in dir(package)


def test_importing_and_listing_the_families_imports_no_torch() -> None:
    families = [f"invkit.{family}" for family in FAMILIES]
    code = f"import importlib, sys\nfor f in {families}: dir(importlib.import_module(f))\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_misspelt_component_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ImportError, match=r"cannot import name 'JointAdm' from 'invkit.solvers'"):
        from invkit.solvers import JointAdm  # noqa: F401
    with pytest.raises(AttributeError, match=r"module 'invkit.solvers' has no attribute 'JointAdm'; .*'JointAdam'"):
        lazy_attributes("invkit.solvers")("JointAdm")


def test_a_module_of_the_package_is_still_a_module() -> None:
    from invkit.image_priors import pixels

    assert pixels.Pixels is importlib.import_module("invkit.image_priors").Pixels


def test_further_names_are_attributes_too() -> None:
    others = {"psnr": "invkit.numerics.similarity"}
    assert lazy_attributes("invkit.fidelities", others)("psnr").__name__ == "psnr"
    names = lazy_names("invkit.fidelities", others)()
    assert names == sorted(names)
    assert {"L1", "MSE", "Poisson", "SSIM", "psnr"} <= set(names)
