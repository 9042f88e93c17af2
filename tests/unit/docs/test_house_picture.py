"""The picture on the front page of the documentation says what the registry holds."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from invkit.core import registry

DOCS = Path(__file__).parents[3] / "docs"
SENTENCE = ("image_priors", "kernel_priors", "operators", "fidelities", "regularizers", "solvers")


@pytest.fixture
def picture(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    from house_picture import house_picture

    yield ElementTree.fromstring(house_picture("up/"))
    sys.modules.pop("house_picture")


def links(picture):
    return {link.get("href"): link for link in picture.iter("a")}


@pytest.mark.parametrize("family", SENTENCE)
def test_a_box_holds_every_name_of_its_family_and_leads_to_it(picture, family):
    box = links(picture)[f"up/generated/components.html#components-{family.replace('_', '-')}"]
    words = " ".join(text.text for text in box.iter("text")).replace(",", "").split()
    assert set(registry.names(family)) <= set(words)


@pytest.mark.parametrize("family", SENTENCE)
def test_the_names_stay_inside_their_box(picture, family):
    box = links(picture)[f"up/generated/components.html#components-{family.replace('_', '-')}"]
    rectangle = box.find("rect")
    assert rectangle is not None
    lowest = max(int(text.get("y")) for text in box.iter("text"))
    assert lowest + 5 <= int(rectangle.get("y")) + int(rectangle.get("height"))


def test_every_family_has_a_place(picture):
    from house_picture import page_of

    assert {f"up/{page_of(family)}" for family in registry.FAMILIES} - set(links(picture)) <= {
        f"up/{page_of('adapters')}"  # of other libraries, which stand in the boxes of what they adapt
    }
