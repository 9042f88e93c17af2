"""What is at hand: which datasets are present, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core import registry
from ..core.errors import InputError, PluginError
from ..core.interfaces import Dataset, Downloadable
from ..core.parameters import parameters_of
from ..datasets.places import data_folder

__all__ = ["dataset_facts"]


def dataset_facts(name: str, data: Path | None) -> dict[str, Any]:
    """Name, title, number of cases, place and licence of a dataset; of one that cannot be loaded, why.

    Args:
        name: as registered.
        data: the folder of all data, or None.

    Returns:
        ``cases`` is None where there are none, and ``where`` then says what is to be done.
    """
    try:
        component: type[Dataset] = registry.load("datasets", name)
        number, place = presence(name, component, data)
    except PluginError as error:
        return {"name": name, "title": str(error), "cases": None, "where": "", "licence": ""}
    return {"name": name, "title": component.title, "cases": number, "where": place, "licence": component.licence}


def presence(name: str, component: type[Dataset], data: Path | None) -> tuple[int | None, str]:
    """How many cases a dataset has, and where; or what is to be done for there to be some."""
    required = [key for key, parameter in parameters_of(component).model_fields.items() if parameter.is_required()]
    if required:
        return None, f"set {', '.join(required)}"
    try:
        number = len(component(data).cases())
    except InputError:
        return None, f"absent: invkit data fetch {name}"
    return number, str(data_folder(data) / component.folder) if issubclass(component, Downloadable) else "ready"
