"""The recipes that the page offers: those that restore one photograph and ask for nothing else.

Told from the recipes' text, because loading their components would import torch.
"""

from __future__ import annotations

from typing import Any

from ...core import registry
from ...core.errors import InvkitError
from ...recipes.toml import read_toml, registered_text
from .asked import AUTO

__all__ = ["offered"]

OF_A_PHOTOGRAPH = ("convolution", "downsampling", "haze", "identity", "varying-blur")  # operators
GIVEN = "known"  # kernel priors of that name, and those that begin with it, ask for a file
FROM_ANOTHER = "polish"  # of use only from the kernel of another recipe
FIRST = (AUTO, "fast", "best", "fast-map", "selfdeblur-small")
BY_ITSELF = "Automatic: best, or fast where the time limit is too short for it"


def offered() -> dict[str, str]:
    """The title of each recipe by its name, what most people want first; a plugin's broken recipe is left out."""
    titles = {name: title for name in registry.names("recipes") if (title := title_of(name)) is not None}
    titles[AUTO] = BY_ITSELF
    return {name: titles[name] for name in [*(one for one in FIRST if one in titles), *titles]}


def title_of(name: str) -> str | None:
    """What a recipe is, None where it does not restore a photograph by itself or cannot be read."""
    try:
        document = read_toml(registered_text(name), name)
    except InvkitError:
        return None
    operator, prior = (called(document.get(place)) for place in ("operator", "kernel_prior"))
    if (operator or "convolution") not in OF_A_PHOTOGRAPH or prior.startswith(GIVEN) or name == FROM_ANOTHER:
        return None
    return str(document.get("title") or name)


def called(spec: Any) -> str:
    """The name of a component, which may stand alone or in a table; an empty text where there is none."""
    return str(spec.get("name", "") if isinstance(spec, dict) else spec or "")
