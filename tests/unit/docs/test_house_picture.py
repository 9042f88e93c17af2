"""The picture on the front page of the documentation agrees with the registry and with the import contract."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from invkit.core import registry

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
SENTENCE = ("image_priors", "kernel_priors", "operators", "fidelities", "regularizers", "solvers")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(ROOT / "docs")
    yield import_module("house_picture")
    sys.modules.pop("house_picture")


@pytest.fixture
def picture(module: ModuleType) -> ElementTree.Element:
    return ElementTree.fromstring(module.house_picture("up/"))


def links(picture: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {link.attrib["href"]: link for link in picture.iter("a")}


def box_of(picture: ElementTree.Element, family: str) -> ElementTree.Element:
    return links(picture)[f"up/generated/components.html#components-{family.replace('_', '-')}"]


@pytest.mark.parametrize("family", SENTENCE)
def test_a_box_contains_every_name_of_its_family(picture: ElementTree.Element, family: str) -> None:
    names = " ".join(text.text or "" for text in box_of(picture, family).iter("text")).replace(",", "").split()
    assert set(registry.names(family)) <= set(names)


@pytest.mark.parametrize("family", SENTENCE)
def test_the_names_stay_inside_their_box(picture: ElementTree.Element, family: str) -> None:
    box = box_of(picture, family)
    rectangle = box.find("rect")
    assert rectangle is not None
    lowest = max(int(text.attrib["y"]) for text in box.iter("text"))
    assert lowest + 5 <= int(rectangle.attrib["y"]) + int(rectangle.attrib["height"])


def test_every_family_has_a_link(module: ModuleType, picture: ElementTree.Element) -> None:
    families = set(registry.FAMILIES) - {"adapters"}  # their components are those of other families
    assert {f"up/{module.page_of(family)}" for family in families} <= set(links(picture))


def test_the_folders_are_in_the_order_of_the_import_contract(module: ModuleType) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    layers = [{name.strip().removeprefix("invkit.") for name in layer.split("|")} for layer in contract["layers"]]
    components = {*SENTENCE, "metrics", "datasets"}
    assert [components if level == ("components",) else set(level) for level in module.LEVELS] == layers
