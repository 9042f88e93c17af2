"""A suite: which recipes are to be tried on which datasets, and what is to be measured, as a small TOML file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from ..core.errors import InputError
from ..core.nested import Strict, listed, named
from ..core.parameters import read_strictly
from ..recipes.messages import Place, explain, hint
from ..recipes.toml import read_toml

__all__ = [
    "DatasetSpec",
    "MetricSpec",
    "RecipeSpec",
    "Suite",
    "bundled",
    "load_suite",
    "parse_suite",
    "selected",
]

LABEL = re.compile(r"(?!.*--)[A-Za-z0-9._-]{1,60}", re.ASCII)
LISTS = ("datasets", "recipes", "metrics")
NAME = "registered name, or 'distribution:name'"


def _check_label(label: str) -> str:
    if not LABEL.fullmatch(label) or label.strip(".") == "":
        raise ValueError("should be at most 60 letters, digits, '.', '_' and '-', without '--'")
    return label


class Labelled(Strict):
    """What a suite names, and how its results call it."""

    name: str = Field(min_length=1, description=NAME)
    label: Annotated[str, AfterValidator(_check_label)] = Field(description="short name in tables and file names")


class DatasetSpec(Labelled):
    """A dataset and what differs from its defaults."""

    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the dataset")


class RecipeSpec(Labelled):
    """A recipe and what is changed in it."""

    name: str = Field(min_length=1, description=f"{NAME}, or a .toml file beside the suite")
    overrides: list[str] = Field(default_factory=list, description="settings, as 'solver.params.iterations=500'")


class MetricSpec(Labelled):
    """A metric and what differs from its defaults."""

    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the metric")


L = TypeVar("L", bound=Labelled)


def _distinct(items: list[L]) -> list[L]:
    labels = [item.label for item in items]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f"two are labelled '{twice[0]}': give one of them a label of its own")
    return items


def _once(items: list[int]) -> list[int]:
    if len(set(items)) < len(items):
        raise ValueError("should hold each number once")
    return items


Item = BeforeValidator(named)
Listed = BeforeValidator(listed)
Distinct = AfterValidator(_distinct)
Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], AfterValidator(_once)]
Iterations = Annotated[list[Annotated[int, Field(ge=1)]], AfterValidator(_once)]


class Suite(Strict):
    """Every recipe is tried on every case of every dataset, once for each seed."""

    title: str = ""
    datasets: Annotated[list[Annotated[DatasetSpec, Item]], Listed, Distinct] = Field(
        min_length=1, description="names, or tables {name = ..., label = ..., params = {...}}"
    )
    recipes: Annotated[list[Annotated[RecipeSpec, Item]], Listed, Distinct] = Field(
        min_length=1, description="names, or tables {name = ..., label = ..., overrides = [...]}"
    )
    metrics: Annotated[list[Annotated[MetricSpec, Item]], Listed, Distinct] = Field(
        min_length=1, description="names, or tables {name = ..., label = ..., params = {...}}"
    )
    seeds: Seeds = Field(default=[0], min_length=1, description="of every random number of a recipe")
    snapshots: Iterations = Field(default=[], description="iterations after which image and kernel are kept")
    overrides: list[str] = Field(default=[], description="settings of every recipe; its own come after them")
    limit: int | None = Field(default=None, ge=1, description="cases of each dataset, spread evenly; none: all")
    color: Literal["luma", "rgb"] | None = Field(default=None, description="what is restored; none: the recipe's")
    device: str = Field(default="auto", min_length=1, description="auto, cpu, cuda, cuda:1, mps")
    time_limit: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="seconds of one job")
    keep: Literal["images", "figures"] = Field(
        default="images", description="'images': every restored picture; 'figures': those of the first seed"
    )

    def keeps_pictures(self, seed: int) -> bool:
        """Whether the pictures of a seed's jobs are kept: figures show those of the first one. Kernels always are."""
        return self.keep == "images" or seed == self.seeds[0]


SPECS: dict[str, type[Labelled]] = {"datasets": DatasetSpec, "recipes": RecipeSpec, "metrics": MetricSpec}


def bundled() -> list[str]:
    """The names of the suites that come with invkit."""
    found = (Path(entry.name) for entry in (files(__package__) / "suites").iterdir())
    return sorted(path.stem for path in found if path.suffix == ".toml")


def load_suite(name_or_path: str | Path, preset: str | None = None) -> Suite:
    """A suite by name or from a ``.toml`` file; recipes named as files are looked for beside it.

    Args:
        name_or_path: of a bundled suite, or the path of a file.
        preset: one of the suite's presets, whose settings take the place of the suite's.

    Raises:
        InputError: there is no such suite or preset, or what it says is not allowed; names the place.
        RecipeError: it is not valid TOML.
    """
    given = str(name_or_path)
    if not given.endswith(".toml"):
        return parse_suite(bundled_text(given), given, preset)
    try:
        text = Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the suite {given} cannot be read: {error}") from error
    suite = parse_suite(text, given, preset)
    folder = Path(given).resolve().parent
    beside = [recipe.model_copy(update={"name": file_beside(recipe.name, folder)}) for recipe in suite.recipes]
    return suite.model_copy(update={"recipes": beside})


def bundled_text(name: str) -> str:
    """The text of a bundled suite; raises `InputError`."""
    known = bundled()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        guess = f"did you mean '{near[0]}'? " if near else ""
        raise InputError(f"there is no suite '{name}'; {guess}Give one of {', '.join(known)}, or a .toml file")
    return (files(__package__) / "suites" / f"{name}.toml").read_text(encoding="utf-8")


def file_beside(name: str, folder: Path) -> str:
    """The path of a recipe's file, or its registered name as it is."""
    return str(folder / name) if name.endswith(".toml") else name


def parse_suite(text: str, origin: str = "suite", preset: str | None = None) -> Suite:
    """A suite from TOML text, and all of its presets checked; arguments and errors as `load_suite`."""
    document = read_toml(text, origin)
    presets = document.pop("presets", {})
    if not isinstance(presets, Mapping) or not all(isinstance(each, Mapping) for each in presets.values()):
        raise InputError(f"{origin}: presets: should be tables [presets.NAME], got {presets!r:.80}")
    suites = {name: validated(merged(document, each), f"{origin}, preset {name}") for name, each in presets.items()}
    if preset is None:
        return validated(document, origin)
    if preset not in suites:
        raise InputError(f"{origin} has no preset '{preset}'; {hint(preset, list(suites))}")
    return suites[preset]


def validated(document: Mapping[str, Any], origin: str) -> Suite:
    """A suite from its document; raises `InputError`."""
    written = written_out(document)
    try:
        return read_strictly(Suite, written)
    except ValidationError as error:
        raise InputError(f"{origin}: {explain(error, written, model_at)}") from error
    except TypeError as error:
        raise InputError(f"{origin} holds a value that no suite can: {error}") from error


def model_at(place: Place) -> type[BaseModel]:
    """The model that knows the last name of a place in a suite."""
    return SPECS.get(str(place[0]), Suite) if len(place) > 1 else Suite


def written_out(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without short forms: lists of tables, each with its label."""
    lists = {key: [with_label(item) for item in items_of(document[key])] for key in LISTS if is_list(document, key)}
    return {**document, **lists}


def is_list(document: Mapping[str, Any], key: str) -> bool:
    """Whether a document has a list, or the short form of one, at a key; validation refuses what else is there."""
    return isinstance(document.get(key), list | str | Mapping)


def items_of(value: Any) -> list[Any]:
    """The items of a list or of its short form, as tables."""
    items: list[Any] = named(listed(value))
    return items


def with_label(item: Any) -> Any:
    """A table with its label, which is its name unless it says otherwise."""
    if not isinstance(item, Mapping) or "label" in item or not isinstance(item.get("name"), str):
        return item
    return {**item, "label": label_of(item["name"])}


def label_of(name: str) -> str:
    """A label for a registered name or the path of a recipe's file."""
    return Path(name).stem if name.endswith(".toml") else name.rpartition(":")[2]


def merged(document: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """The document with a preset laid over it.

    A value takes the place of the suite's, and ``overrides`` are added to the suite's. A dataset, recipe or metric of
    a label that the suite has changes that one, where it has ``overrides`` and ``params`` added to its own; one of
    another label is added.
    """
    base, over = written_out(document), written_out(preset)
    joined: dict[str, Callable[[Any, Any], Any]] = dict.fromkeys(LISTS, merged_lists)
    joined["overrides"] = added
    return base | {
        key: joined[key](base[key], value) if key in joined and key in base else value for key, value in over.items()
    }


def merged_lists(base: Any, over: Any) -> Any:
    """Two lists of labelled tables as one."""
    if not (isinstance(base, list) and isinstance(over, list)):
        return over
    result = list(base)
    places = {item["label"]: place for place, item in enumerate(base) if isinstance(item, Mapping) and "label" in item}
    for item in over:
        place = places.get(str(item.get("label"))) if isinstance(item, Mapping) else None
        if place is None:
            result.append(item)
        else:
            result[place] = merged_item(result[place], item)
    return result


def merged_item(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A labelled table with the changes of a preset."""
    joined = {key: added(base[key], over[key]) for key in ("overrides", "params") if key in base and key in over}
    return {**base, **over, **joined}


def added(base: Any, over: Any) -> Any:
    """Two lists or two tables as one; the second alone where they are not of one kind."""
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *over]
    return {**base, **over} if isinstance(base, Mapping) and isinstance(over, Mapping) else over


def selected(
    suite: Suite,
    *,
    recipes: Sequence[str] = (),
    datasets: Sequence[str] = (),
    seeds: Sequence[int] = (),
    limit: int | None = None,
    overrides: Sequence[str] = (),
) -> Suite:
    """A part of a suite, or more than it: what is left empty stays as it is.

    Args:
        suite: the suite.
        recipes: labels of the suite's; another text is a registered recipe or the path of a file.
        datasets: labels of the suite's; another text is a registered dataset.
        seeds: instead of the suite's.
        limit: cases of each dataset.
        overrides: further settings of every recipe, which come after those of the suite and the recipe.

    Raises:
        InputError: as `load_suite`.
    """
    changes: dict[str, Any] = {}
    if recipes:
        changes["recipes"] = [one_of(suite.recipes, name) for name in recipes]
    if datasets:
        changes["datasets"] = [one_of(suite.datasets, name) for name in datasets]
    if seeds:
        changes["seeds"] = list(seeds)
    if limit is not None:
        changes["limit"] = limit
    document = suite.model_dump(mode="json") | changes
    for recipe in document["recipes"]:
        recipe["overrides"] = [*recipe.get("overrides", ()), *overrides]
    return validated(document, "the options")


def one_of(known: Sequence[Labelled], name: str) -> dict[str, Any]:
    """What the suite has under that label, or else what bears the name."""
    found = next((item for item in known if item.label == name), None)
    if found is not None:
        return found.model_dump(mode="json")
    return {"name": str(Path(name).resolve()) if name.endswith(".toml") else name, "label": label_of(name)}
